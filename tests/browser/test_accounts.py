"""The accounts page, used as a person uses it, over the functions as `make accounts` and its like serve them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from conftest import Window

ROOT = Path(__file__).parents[2]
NEW = "Name of the new account"

# A refused order is a 409, which the browser tells as well; so it does of a function that is not there.
ANSWERS = "status of (409|502|503)"


class Accounts:
    """All functions, served by one command."""

    def __init__(self, backend: str, folder: Path) -> None:
        module = "serve_upstash" if backend == "upstash" else "serve"
        files = {"ACCOUNTS_BACKEND": f"sqlite:{folder / 'a.db'}", "ORDERS_BACKEND": f"sqlite:{folder / 'o.db'}"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"examples.accounts.{module}"],
            cwd=ROOT,
            env={**os.environ, "PORT": "0", **files},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.url = ""
        self.running: dict[str, int] = {}
        assert self.process.stdout is not None
        while len(self.running) < 5:
            line = self.process.stdout.readline()
            if not line:
                pytest.fail("it did not start")
            if found := re.match(r"Accounts: (http://127\.0\.0\.1:[0-9]+)", line):
                self.url = found[1]
            if found := re.match(r" +(\w+) +process ([0-9]+)", line):
                self.running[found[1]] = int(found[2])

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


@pytest.fixture
def server(backend: str, tmp_path: Path) -> Iterator[Accounts]:
    """In place of the to-do example's: what `window` opens its windows at."""
    accounts = Accounts(backend, tmp_path)
    yield accounts
    accounts.close()


@pytest.fixture
def page(window: Window) -> Page:
    return shown(window)


def shown(window: Window, **options: object) -> Page:
    page = window("/?", errors=ANSWERS, **options)
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    return page


def row(page: Page, name: str) -> Locator:
    return page.locator(".account", has_text=name)


def opened(page: Page, name: str) -> Locator:
    page.get_by_label(NEW).fill(name)
    page.get_by_label(NEW).press("Enter")
    expect(row(page, name)).to_be_visible()
    return row(page, name)


def stands(account: Locator, status: str) -> None:
    """The account is in that status, and the order service knows."""
    expect(account.locator(".mine")).to_have_text(status)
    expect(account).to_have_attribute("data-arrived", "true", timeout=20_000)
    expect(account.locator(".theirs")).to_have_text(f"orders: {status}")


def order(account: Locator, item: str) -> None:
    account.get_by_role("button", name="Order").click()
    account.get_by_label("Item").fill(item)
    account.get_by_label("Item").press("Enter")


@pytest.mark.parametrize("backend", ["sqlite", "upstash"])
def test_no_order_of_a_suspended_account(page: Page) -> None:
    expect(page.get_by_text("No account yet.")).to_be_visible()
    tea = opened(page, "Tea & Co")
    stands(tea, "opened")
    tea.get_by_role("button", name="Activate").click()
    stands(tea, "active")
    order(tea, "Darjeeling")
    expect(page.locator(".order .decision")).to_have_text(["accepted"])

    tea.get_by_role("button", name="Suspend").click()
    expect(tea.get_by_label("Reason")).to_be_focused()
    tea.get_by_label("Reason").press("Enter")
    expect(tea.get_by_role("alert")).to_contain_text("Say why")
    tea.get_by_label("Reason").fill("Does not pay")
    tea.get_by_label("Reason").press("Enter")
    stands(tea, "suspended")
    order(tea, "Assam")
    expect(page.locator(".order .decision")).to_have_text(["refused", "accepted"])
    expect(page.locator("#toast-text")).to_have_text("The order is refused: the account is suspended.")
    tea.get_by_text("History").click()
    expect(tea.locator(".history li")).to_have_count(3)
    expect(tea.locator(".history li").first).to_contain_text("3. suspended: Does not pay")


def test_everything_works_with_the_keyboard_alone(page: Page) -> None:
    expect(page.get_by_label(NEW)).to_be_focused()
    page.keyboard.type("By hand")
    page.keyboard.press("Enter")
    account = row(page, "By hand")
    stands(account, "opened")
    account.get_by_role("button", name="Activate").focus()
    page.keyboard.press("Enter")
    stands(account, "active")
    expect(account.get_by_role("button", name="Order")).to_be_focused()  # what was pressed is gone, the focus is not
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("Never mind")
    page.keyboard.press("Escape")
    expect(account.get_by_label("Reason")).to_have_count(0)
    expect(account.get_by_role("button", name="Suspend")).to_be_focused()


def test_a_function_that_dies_is_shown_and_comes_back(page: Page, server: Accounts) -> None:
    account = opened(page, "Survivor")
    stands(account, "opened")
    os.kill(server.running["processor"], signal.SIGKILL)
    account.get_by_role("button", name="Activate").click()
    stands(account, "active")
    expect(page.locator(".function[data-state=up]")).to_have_count(4)


def test_accounts_are_shown_by_status(page: Page) -> None:
    opened(page, "One")
    opened(page, "Two").get_by_role("button", name="Activate").click()
    expect(row(page, "Two").locator(".mine")).to_have_text("active")
    page.get_by_role("button", name="Active", exact=True).click()
    expect(page.locator(".account .title")).to_have_text(["Two"])
    page.get_by_role("button", name="Archived").click()
    expect(page.get_by_text("No account is archived.")).to_be_visible()
    page.get_by_role("button", name="All").click()
    expect(page.locator(".account .title")).to_have_text(["Two", "One"])


def test_text_is_text(page: Page) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    account = opened(page, "<img src=x onerror=alert(1)>")
    account.get_by_role("button", name="Activate").click()
    stands(account, "active")
    order(account, "<b>bold</b>")
    expect(page.locator(".order .what")).to_have_text(re.compile("<b>bold</b>"))
    expect(page.locator("#accounts img, #orders b")).to_have_count(0)


def test_it_fits_and_can_be_read(window: Window, tmp_path: Path) -> None:
    for scheme in ("light", "dark"):
        for width in (1200, 390):
            size = {"width": width, "height": 860}
            page = shown(window, color_scheme=scheme, viewport=size, reduced_motion="reduce")
            if not page.locator(".account").count():
                tea = opened(page, "Tea & Co")
                opened(page, "Incomprehensibilities" * 9)
                tea.get_by_role("button", name="Activate").click()
                stands(tea, "active")
                order(tea, "Darjeeling")
            expect(page.locator(".order")).to_have_count(1)
            expect(page.locator(".function[data-state=up]")).to_have_count(4)
            page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("document.querySelector('aside').getBoundingClientRect().top < 400") == (width == 1200)
            ratios = page.evaluate(CONTRASTS)
            assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


CONTRASTS = """() => {
  const parse = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length === 3) return color;
    }
    return [255, 255, 255];
  };
  const ratios = {};
  for (const query of [".name h1", ".name p", "#connection", ".function h3", ".function .state", ".function dt",
                       ".function dd", ".function .does", ".title", ".id", ".mine", ".theirs", ".actions button",
                       ".history summary", ".filter button", "#open .primary", ".order .what", ".order .for",
                       ".order time", ".order .decision", ".foot a"]) {
    const element = document.querySelector(query);
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    ratios[query] = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }
  return ratios;
}"""
