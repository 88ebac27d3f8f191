"""The quota's page in Chromium: users, calls, the table behind and in step; light and dark, wide and narrow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from examples.quota.http_api import create_app
from examples.quota.service import Quota


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    quota = Quota(f"sqlite:{tmp_path}/log.db", f"sqlite:///{tmp_path}/table.db")
    server = make_server("127.0.0.1", 0, create_app(quota), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()
    quota.close()


def test_calls_are_counted_and_the_job_brings_the_table_in_step(browser: Browser, url: str) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(url) else complaints.append(request.url))
    page.goto(url)
    expect(page.locator("#nobody")).to_be_visible()
    page.get_by_role("textbox", name="Name").fill("ada")
    page.get_by_role("button", name="Register").click()
    row = page.locator("li[data-user=ada]")
    expect(row).to_contain_text("0 of 100")
    expect(row).to_contain_text("not in the table yet")
    expect(page.locator("#state")).to_have_text("behind")

    page.get_by_role("button", name="Call 10 times in the name of ada").click()
    expect(page.get_by_role("status")).to_have_text("90 calls are left to ada.")
    expect(row).to_contain_text("10 of 100")
    expect(row.get_by_role("meter")).to_have_attribute("aria-valuenow", "10")

    page.get_by_role("button", name="Run the job now").click()
    expect(page.locator("#state")).to_have_text("in step")
    expect(row).to_contain_text("table: the same")
    expect(page.locator("#calls")).to_have_text("10")

    page.get_by_role("button", name="Call in the name of ada").click()
    expect(row).to_contain_text("table: 10")
    page.get_by_role("button", name="One step, then stop").click()
    expect(row).to_contain_text("table: the same")

    page.get_by_role("textbox", name="Name").fill("Not A Name")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("status")).to_contain_text("small letters")
    page.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_nothing_is_cut_off(browser: Browser, url: str, scheme: str, width: int, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": width, "height": 760}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    page.get_by_role("textbox", name="Name").fill("a" * 64)
    page.get_by_role("button", name="Register").click()
    expect(page.locator("#users li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert len(page.screenshot(path=tmp_path / "page.png", full_page=True)) > 10_000
    page.close()
