"""The API's page, used as people use it. Nothing here sleeps: Playwright waits until what is expected is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_page import CONTRASTS

if TYPE_CHECKING:
    from conftest import Server, Window

    from tests.examples.cloud import Cloud

everywhere = pytest.mark.parametrize("backend", ["sqlite", "upstash"])
FAST = {"API_REPORT_TAKES": "1s"}
REFUSED = "429|401"
"""What Chromium writes to its console about answers that are expected here."""


@pytest.fixture
def variables() -> dict[str, str]:
    return FAST


@pytest.fixture
def server(backend: str, variables: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    from tests.browser.conftest import Server

    if backend == "upstash":
        cloud: Cloud = request.getfixturevalue("cloud")
        place = cloud.backend()
        server = Server(place, {**cloud.environment(place), **variables}, "examples.api.serve")
        cloud.deliver(place, server.url)
    else:
        server = Server(f"sqlite:{tmp_path / 'api.db'}", variables, "examples.api.serve")
    yield server
    server.kill()


def sign_in(window: Window, name: str, **options: object) -> Page:
    page = window("/#", REFUSED, **options)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Enter")
    expect(page.locator("#who")).to_have_text(name)
    expect(page.get_by_label("What do you want to say?")).to_be_focused()
    return page


def post(page: Page, text: str) -> None:
    page.get_by_label("What do you want to say?").fill(text)
    page.get_by_label("What do you want to say?").press("Enter")
    expect(page.locator(".post").filter(has_text=text).first).to_be_visible()
    expect(page.get_by_label("What do you want to say?")).to_have_value("")


def board(page: Page) -> list[tuple[str, str]]:
    return list(
        zip(
            page.locator("#board .who").all_inner_texts(), page.locator("#board .points").all_inner_texts(), strict=True
        )
    )


@everywhere
def test_two_people_write_like_and_see_the_ranks_move(window: Window) -> None:
    ada, eve = sign_in(window, "ada"), sign_in(window, "eve")
    post(ada, "Serverless Redis, at last")
    post(eve, "Nobody likes this")
    expect(ada.locator("#board .who")).to_have_text(
        ["eve", "ada"], timeout=20_000
    )  # equal points: the later name first
    eve.get_by_role("button", name="Like the post of ada, 0 so far").click()
    expect(eve.get_by_role("button", name="Like the post of ada, 1 so far")).to_have_attribute("aria-pressed", "true")
    expect(ada.locator("#board .who")).to_have_text(["ada", "eve"], timeout=20_000)
    assert board(ada) == [("ada", "11"), ("eve", "1")]
    expect(ada.locator("#board li").first.locator(".moved")).to_have_text("▲")
    expect(ada.locator("#cache")).to_have_text("304, from cache", timeout=20_000)
    expect(ada.locator("#traffic [data-kind=kept] .path").filter(has_text="/posts").first).to_be_visible()


def test_the_eleventh_at_once_is_told_when_to_come_again(window: Window) -> None:
    page = sign_in(window, "ada")
    expect(page.locator("#meter-text")).to_have_text("10 left")
    page.get_by_role("button", name="Eleven at once").click()
    expect(page.get_by_role("alert").filter(has_text="Too many requests")).to_be_visible()
    expect(page.locator("#meter")).to_have_attribute("aria-valuenow", "0")
    expect(page.locator("#traffic [data-kind=refused] .status")).to_have_text("429")
    expect(page.locator("#traffic .status").filter(has_text="201")).to_have_count(11)  # the session, and ten posts
    expect(page.locator("#meter-text")).to_have_text("10 left", timeout=15_000)
    expect(page.get_by_role("alert").filter(has_text="Too many requests")).to_have_count(0)
    post(page, "It goes on")


@everywhere
def test_a_report_is_made_in_the_background_and_a_dead_letter_is_revived(window: Window) -> None:
    page = sign_in(window, "ada")
    post(page, "The only one")
    page.get_by_role("button", name="Make a report").click()
    expect(page.locator("#traffic [data-kind=later] .path")).to_have_text("/reports")
    expect(page.locator(".report .badge")).to_have_text("Ready", timeout=15_000)
    expect(page.locator(".report .outcome")).to_have_text("1 post, 0 likes, 1 point, rank 1. Best: “The only one”")
    page.get_by_role("button", name="One that fails").click()
    expect(page.locator(".report .badge").first).to_have_text("Failed", timeout=15_000)
    expect(page.locator("#dead .to")).to_have_text("/workers/report", timeout=40_000)
    page.get_by_role("button", name="Deliver again: /workers/report").click()
    expect(page.locator(".report .badge").first).to_have_text("Ready", timeout=15_000)
    expect(page.get_by_text("None: every message has arrived.")).to_be_visible(timeout=40_000)


@pytest.mark.parametrize("variables", [{"API_REMINDER_AFTER": "2s"}])
def test_a_reminder_counts_down_and_becomes_a_notification(window: Window) -> None:
    page = sign_in(window, "ada")
    page.get_by_label("What to be reminded of").fill("Call grandmother")
    page.get_by_label("What to be reminded of").press("Enter")
    expect(page.locator(".reminder .text")).to_have_text("Call grandmother")
    expect(page.locator(".reminder.came")).to_have_count(1, timeout=15_000)
    expect(page.locator("#toast-text")).to_have_text("Reminder: Call grandmother")
    page.get_by_role("button", name="Dismiss: Call grandmother").click()
    expect(page.locator(".reminder")).to_have_count(0)


def test_a_reminder_takes_a_day_if_nobody_says_otherwise(window: Window) -> None:
    page = sign_in(window, "ada")
    expect(page.locator("#reminder-after")).to_have_text("24 h later")
    page.get_by_label("What to be reminded of").fill("Tomorrow")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator(".reminder .when")).to_have_text(re.compile("in 2[34] h"))


def test_the_clean_up_tells_when_it_runs_and_can_be_run(window: Window) -> None:
    page = sign_in(window, "ada")
    expect(page.locator("#next-run")).to_have_text(re.compile(r"in [0-9]+ (h|min|s)"))
    expect(page.locator("#last-run")).to_have_text("not yet")
    page.get_by_role("button", name="Run it now").click()
    expect(page.locator("#last-run")).to_contain_text("0 posts archived", timeout=15_000)


@pytest.mark.parametrize("variables", [{"API_SESSION": "9s"}])
def test_a_session_counts_down_and_ends(window: Window) -> None:
    page = sign_in(window, "ada")
    # Any of them: which seconds are shown on the way depends on how busy the machine is.
    expect(page.locator("#left")).to_have_text(re.compile("^[2-5] s"), timeout=15_000)
    page.get_by_role("button", name="Stay").click()
    expect(page.locator("#left")).to_have_text(re.compile("^[6-9] s"))
    expect(page.get_by_label("Your name")).to_be_visible(timeout=15_000)
    expect(page.locator("#toast-text")).to_have_text("Your session has ended. Please sign in again.")


def test_what_cannot_be_is_told_in_words_and_nothing_typed_is_lost(window: Window) -> None:
    page = window("/#", "422|429|401")
    page.get_by_label("Your name").fill("ada lovelace")
    page.get_by_label("Your name").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="A name has")).to_be_visible()
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Your name").press("Enter")
    expect(page.locator("#who")).to_have_text("ada")
    page.get_by_label("What do you want to say?").fill("x" * 501)
    page.get_by_role("button", name="Post", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="too long: 501 characters")).to_be_visible()
    expect(page.get_by_label("What do you want to say?")).to_have_value("x" * 501)
    post(page, "<img src=x onerror=alert(1)>")
    page.reload()
    expect(page.locator("#who")).to_have_text("ada")  # the session outlives the page
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your name")).to_be_focused()


def test_who_signs_in_next_finds_nothing_of_whoever_was_there_before(window: Window) -> None:
    page = sign_in(window, "ada")
    page.get_by_label("What to be reminded of").fill("A secret")
    page.get_by_role("button", name="Set", exact=True).click()
    page.get_by_role("button", name="Make a report").click()
    page.get_by_role("button", name="Eleven at once").click()
    expect(page.get_by_role("alert").filter(has_text="Too many requests")).to_be_visible()
    expect(page.locator(".report")).to_have_count(1)
    expect(page.locator(".reminder")).to_have_count(1)
    page.get_by_label("What do you want to say?").fill("Half a thought")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your name")).to_be_focused()
    expect(page.get_by_text("A report is asked for")).to_be_visible()
    page.get_by_label("Your name").fill("eve")
    page.get_by_label("Your name").press("Enter")
    expect(page.locator("#who")).to_have_text("eve")
    expect(page.locator("#next-run")).to_have_text(re.compile("^in "))  # what is hers has been fetched
    expect(page.locator("#meter-text")).to_have_text("10 left")
    expect(page.get_by_label("What do you want to say?")).to_have_value("")
    expect(page.get_by_role("alert").filter(has_text="Too many requests")).to_have_count(0)
    expect(page.locator(".report, .reminder")).to_have_count(0)
    expect(page.locator("#toast")).to_be_hidden()
    expect(page.locator("#traffic .status").filter(has_text="401")).to_have_count(0)


READ = [
    ".name h1", "#who", "#left", "#prolong", "#meter-text", "#write .primary", ".author", "time", ".said", "#cache",
    ".board .who", ".board .rank", ".points", ".traffic .status", ".traffic .path", ".traffic .took", ".badge",
    ".outcome", ".reminder .text", ".when", ".hint", ".facts dt", ".facts dd", ".letter .to", ".letter .why",
]  # fmt: skip


def test_it_fits_and_can_be_read(window: Window, tmp_path: Path) -> None:
    page = sign_in(window, "ada", reduced_motion="reduce")
    post(page, "Plain")
    post(page, "Incomprehensibilities" * 12)
    page.get_by_label("What to be reminded of").fill("Incomprehensibilities" * 8)
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator(".reminder")).to_be_visible()
    page.get_by_role("button", name="One that fails").click()
    expect(page.locator(".letter")).to_be_visible(timeout=15_000)
    for width in (1300, 900, 360):
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            ratios = page.evaluate(CONTRASTS, READ)
            assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}, (width, scheme)
