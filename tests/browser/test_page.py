"""The to-do page, used as a person uses it. Nothing here sleeps: Playwright waits until what is expected is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, Route, expect

if TYPE_CHECKING:
    from conftest import Server, Window

everywhere = pytest.mark.parametrize("backend", ["sqlite", "upstash"])

NEW = "What is there to do?"
NETWORK = (
    "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|Failed to load resource"
)


def add(page: Page, *texts: str) -> None:
    for text in texts:
        page.get_by_label(NEW).fill(text)
        page.get_by_label(NEW).press("Enter")
        expect(page.locator(".task:not(.waiting)").filter(has_text=text).first).to_be_visible()


def shows(page: Page, *texts: str) -> None:
    """The list holds exactly these, newest first, and nothing is waiting."""
    expect(page.locator(".task .text")).to_have_text(list(texts))
    expect(page.locator(".task.waiting, .task.leaving")).to_have_count(0)


def logged(page: Page, *types: str) -> None:
    """The log beside the list shows these events, newest first, as soon as it has heard of them."""
    expect(page.locator(".event .type")).to_have_text(list(types))


@everywhere
def test_a_task_is_added_ticked_edited_and_deleted(page: Page) -> None:
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    expect(page.get_by_text("No event yet.")).to_be_visible()
    expect(page.get_by_label(NEW)).to_be_focused()

    add(page, "Do the dishes!")
    shows(page, "Do the dishes!")
    expect(page.get_by_label(NEW)).to_have_value("")
    expect(page.get_by_text("Nothing to do.")).to_be_hidden()
    expect(page.locator("#head")).to_have_text("1")
    expect(page.locator("#checkpoint")).to_have_text("1")

    page.get_by_label("Done: Do the dishes!").check()
    expect(page.locator(".task.done")).to_have_count(1)
    expect(page.locator("#tally-text")).to_have_text("All 1 done")

    page.get_by_role("button", name="Edit: Do the dishes!").click()
    editor = page.get_by_label("Text of: Do the dishes!")
    expect(editor).to_be_focused()
    editor.fill("Do all the dishes")
    editor.press("Enter")
    shows(page, "Do all the dishes")
    expect(page.get_by_label("Done: Do all the dishes")).to_be_checked()

    page.locator(".task").hover()
    page.get_by_role("button", name="Delete: Do all the dishes").click()
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    expect(page.locator("#lag")).to_have_text("lag 0")
    logged(page, "delete-task", "update-task", "update-task", "create-task")
    assert page.locator(".event .position").all_inner_texts() == ["4", "3", "2", "1"]


@everywhere
def test_a_deletion_is_undone(page: Page) -> None:
    add(page, "One", "Two", "Three")
    page.get_by_label("Done: Two").check()
    expect(page.locator(".task.done")).to_have_count(1)
    page.locator(".task", has_text="Two").hover()
    page.get_by_role("button", name="Delete: Two").click()
    shows(page, "Three", "One")
    expect(page.get_by_text("Deleted “Two”")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    shows(page, "Three", "Two", "One")  # at its old place, and ticked as it was
    expect(page.get_by_label("Done: Two")).to_be_checked()
    expect(page.get_by_text("“Two” is back")).to_be_visible()
    expect(page.locator(".event .type")).to_have_text(
        ["update-task", "create-task", "delete-task", "update-task", "create-task", "create-task", "create-task"]
    )


def test_everything_works_with_the_keyboard_alone(page: Page) -> None:
    press = page.keyboard.press
    for text in ("First", "Second", "Third"):
        page.keyboard.type(text)
        press("Enter")
        expect(page.get_by_role("button", name=f"Edit: {text}")).to_be_visible()
    shows(page, "Third", "Second", "First")

    press("ArrowDown")
    expect(page.get_by_role("button", name="Edit: Third")).to_be_focused()
    press("ArrowDown")
    press("Enter")
    expect(page.get_by_label("Text of: Second")).to_be_focused()
    press("Control+a")
    page.keyboard.type("Never mind")
    press("Escape")
    shows(page, "Third", "Second", "First")
    expect(page.get_by_role("button", name="Edit: Second")).to_be_focused()
    press("Enter")
    page.keyboard.type(" to none")
    press("Enter")
    shows(page, "Third", "Second to none", "First")
    expect(page.get_by_role("button", name="Edit: Second to none")).to_be_focused()

    press("ArrowLeft")
    expect(page.get_by_label("Done: Second to none")).to_be_focused()
    press("Space")
    expect(page.get_by_label("Done: Second to none")).to_be_checked()
    expect(page.locator("#tally-text")).to_have_text("2 open, 1 done")

    press("End")
    expect(page.get_by_label("Done: First")).to_be_focused()
    press("ArrowRight")
    press("Delete")
    shows(page, "Third", "Second to none")
    expect(page.get_by_role("button", name="Edit: Second to none")).to_be_focused()  # the next one, not nowhere
    press("Control+z")
    shows(page, "Third", "Second to none", "First")

    press("/")
    expect(page.get_by_label(NEW)).to_be_focused()
    press("Tab")
    press("Tab")
    expect(page.get_by_label("Done: Third")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_what_cannot_be_is_told_in_words_and_nothing_typed_is_lost(window: Window) -> None:
    page = window(errors="422")
    page.get_by_label(NEW).press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Write what there is to do, then press Enter.")
    page.get_by_label(NEW).fill("x" * 1_001)
    expect(page.locator("#add-error")).to_be_hidden()
    page.get_by_label(NEW).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("too long: 1,001 characters")
    expect(page.get_by_label(NEW)).to_have_value("x" * 1_001)
    expect(page.get_by_label(NEW)).to_be_focused()
    shows(page)

    page.get_by_label(NEW).fill("Short")
    page.get_by_label(NEW).press("Enter")
    shows(page, "Short")
    page.get_by_role("button", name="Edit: Short").click()
    page.get_by_label("Text of: Short").fill("")
    page.get_by_label("Text of: Short").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="needs a text")).to_be_visible()
    page.get_by_label("Text of: Short").fill("y" * 1_002)
    page.get_by_label("Text of: Short").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="too long: 1,002 characters")).to_be_visible()
    expect(page.get_by_label("Text of: Short")).to_have_value("y" * 1_002)
    page.keyboard.press("Escape")
    shows(page, "Short")
    logged(page, "create-task")


def test_text_is_text(page: Page) -> None:
    texts = ["<img src=x onerror=alert(1)>", "<b>bold</b> & co", "/ \\ # %41", "a" * 300, "日本語 🙂"]
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    add(page, *texts)
    shows(page, *reversed(texts))
    expect(page.locator("#list img, #list b, #events img, #events b")).to_have_count(0)
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(fits)


@everywhere
def test_a_reload_keeps_everything(page: Page) -> None:
    add(page, "Stay", "Stay too")
    page.get_by_label("Done: Stay", exact=True).check()
    expect(page.locator("#head")).to_have_text("3")
    page.reload()
    shows(page, "Stay too", "Stay")
    expect(page.get_by_label("Done: Stay", exact=True)).to_be_checked()
    expect(page.locator(".event")).to_have_count(3)


@everywhere
def test_two_windows_are_in_step(window: Window) -> None:
    one, other = window(), window()
    add(one, "Shared")
    shows(other, "Shared")
    expect(other.locator(".event")).to_have_count(1)
    other.get_by_label("Done: Shared").check()
    expect(one.get_by_label("Done: Shared")).to_be_checked()
    one.locator(".task").hover()
    one.get_by_role("button", name="Delete: Shared").click()
    shows(other)
    one.get_by_role("button", name="Undo").click()
    shows(other, "Shared")
    expect(other.get_by_label("Done: Shared")).to_be_checked()


def test_what_arrives_from_another_window_leaves_an_editor_alone(window: Window) -> None:
    one, other = window(), window()
    add(one, "Draft", "Beside")
    shows(other, "Beside", "Draft")
    one.get_by_role("button", name="Edit: Draft").click()
    one.keyboard.type(", being wri")

    other.get_by_label("Done: Draft").check()
    add(other, "On top")
    other.get_by_label("Done: Beside").check()
    shows(one, "On top", "Beside", "Draft")
    expect(one.get_by_label("Done: Draft")).to_be_checked()
    expect(one.locator(".editor")).to_be_focused()
    expect(one.locator(".editor")).to_have_value("Draft, being wri")

    other.get_by_role("button", name="Edit: Draft").click()
    other.keyboard.type(" of theirs")
    other.keyboard.press("Enter")
    expect(one.locator(".note", has_text="Changed in another window to “Draft of theirs”")).to_be_visible()
    one.keyboard.type("tten")
    one.keyboard.press("Enter")
    for page in (one, other):
        shows(page, "On top", "Beside", "Draft, being written")
        expect(page.get_by_label("Done: Draft, being written")).to_be_checked()  # the other's tick was not undone


def test_a_task_deleted_elsewhere_does_not_take_the_text_along(window: Window) -> None:
    one, other = window(), window()
    add(one, "Below", "Contested", "Above")
    shows(other, "Above", "Contested", "Below")
    one.get_by_role("button", name="Edit: Contested").click()
    one.keyboard.type(" and improved")
    other.get_by_role("button", name="Edit: Contested").focus()
    other.keyboard.press("Delete")
    shows(other, "Above", "Below")
    expect(one.locator(".note", has_text="deleted in another window")).to_be_visible()
    expect(one.locator(".editor")).to_have_value("Contested and improved")
    one.locator(".editor").press("Enter")
    for page in (one, other):
        shows(page, "Contested and improved", "Above", "Below")


@everywhere
def test_a_lost_connection_is_shown_and_taken_up_again(window: Window, server: Server) -> None:
    page = window(errors=NETWORK)
    add(page, "Before")
    server.kill()
    expect(page.get_by_text("Connection lost, trying again")).to_be_visible()
    page.get_by_label(NEW).fill("Too early")
    page.get_by_label(NEW).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    expect(page.get_by_label(NEW)).to_have_value("Too early")
    shows(page, "Before")
    page.get_by_label("Done: Before").click()
    expect(page.locator("#toast-text")).to_contain_text("The server cannot be reached.")
    expect(page.get_by_label("Done: Before")).not_to_be_checked()

    server.start()
    expect(page.locator("#connection-text")).to_have_text("Live", timeout=30_000)
    page.get_by_label(NEW).press("Enter")
    shows(page, "Too early", "Before")
    expect(page.locator(".event")).to_have_count(2)  # none missed, none twice


def test_a_task_whose_answer_was_lost_is_there_once(window: Window) -> None:
    page = window(errors="ERR_FAILED")
    lost: list[int] = []

    def lose(route: Route) -> None:
        if len(lost) < 2:  # the page itself asks twice
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/api/tasks", lose)
    page.get_by_label(NEW).fill("Only once")
    page.get_by_label(NEW).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    expect(page.get_by_label(NEW)).to_have_value("Only once")
    page.get_by_label(NEW).press("Enter")
    expect(page.get_by_label(NEW)).to_have_value("")
    shows(page, "Only once")
    expect(page.locator(".event")).to_have_count(1)
    assert lost == [201, 201]


@everywhere
def test_many_events_are_told_in_order_and_once(window: Window) -> None:
    page = window()
    page.evaluate(
        """async () => {
          const headers = { "Content-Type": "application/json" };
          for (let number = 0; number < 30; number++)
            await Promise.all([0, 1, 2, 3].map((part) => fetch("/api/tasks",
              { method: "POST", headers, body: JSON.stringify({ text: `Task ${number}.${part}` }) })));
        }"""
    )
    expect(page.locator(".task")).to_have_count(120)
    expect(page.locator(".event")).to_have_count(120)
    assert page.locator(".event .position").all_inner_texts() == [str(position) for position in range(120, 0, -1)]
    expect(page.locator("#lag")).to_have_text("lag 0")


@everywhere
def test_the_page_falls_back_to_asking(window: Window) -> None:
    """Where the server cannot stream, as on AWS Lambda."""
    page = window()
    page.evaluate(
        """() => {
          const real = fetch;
          window.fetch = async (...asked) => {
            const answer = await real(...asked);
            if (!String(asked[0]).startsWith("/api/events")) return answer;
            return new Response(JSON.stringify({ ...(await answer.json()), streams: false }));
          };
          dispatchEvent(new Event("online"));
        }"""
    )
    expect(page.locator("#connection")).to_have_attribute("data-state", "polling")
    add(page, "Asked for")
    shows(page, "Asked for")
    expect(page.locator(".event")).to_have_count(1)


def test_an_event_shows_what_is_recorded(page: Page) -> None:
    add(page, "Look closer")
    page.locator(".event summary").click()
    expect(page.locator(".event pre")).to_contain_text('"revision": 1')
    expect(page.locator(".event pre")).to_contain_text('"text": "Look closer"')
    page.locator(".event summary").hover()
    expect(page.locator(".task.linked")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_fits_and_can_be_read(window: Window, tmp_path: Path, scheme: str, width: int) -> None:
    page = window(color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce")
    add(page, "Plain", "Incomprehensibilities" * 12)
    page.get_by_label("Done: Plain").check()
    expect(page.locator("#head")).to_have_text("3")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beside = page.evaluate("document.querySelector('.log').getBoundingClientRect().top < 200")
    assert beside == (width == 1200)
    ratios = page.evaluate(CONTRASTS, READ)
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


READ = [
    ".text", ".task.done .text", ".position", ".type", ".about", "time", "#tally-text", "#lag", ".name h1",
    "#connection", ".flow dt", ".flow dd", ".foot a", "#add .primary",
]  # fmt: skip

CONTRASTS = """(queries) => {
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
  for (const query of queries) {
    const element = document.querySelector(query);
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    ratios[query] = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }
  return ratios;
}"""


def test_the_graphql_console_works_without_any_other_host(window: Window) -> None:
    page = window("/graphql")
    expect(page.locator("#docs")).to_contain_text("createTask(text: String!): Task")
    page.get_by_role("button", name="Create").click()
    page.locator("#variables").fill('{"text": "From the console"}')
    page.locator("#query").press("Control+Enter")
    expect(page.locator("#result")).to_contain_text('"text": "From the console"')
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Run").click()  # with the id of the task just made
    expect(page.locator("#result")).to_contain_text('"deleteTask": "')
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#result")).to_contain_text("There is no such task.")
    page.locator("#variables").fill("{")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#state")).to_contain_text("The variables are not JSON")
