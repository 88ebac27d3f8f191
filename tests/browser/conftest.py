"""The page in Debian's Chromium, against a real server of the example in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.examples.cloud import Cloud

ROOT = Path(__file__).parents[2]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Server:
    """An example, served; it can be killed and started again on the same port."""

    def __init__(
        self, backend: str, variables: dict[str, str] | None = None, module: str = "examples.todo.serve"
    ) -> None:
        self.module = module
        self.backend = backend
        self.variables = variables or {}
        self.port = 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            env={
                **os.environ,
                "PORT": str(self.port),
                "TODO_BACKEND": self.backend,
                "API_BACKEND": self.backend,
                **self.variables,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:([0-9]+)", self.process.stdout.readline())
        if not found:
            self.kill()
            pytest.fail("the server did not start")
        self.port = int(found[1])
        self.url = found[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture
def backend() -> str:
    """Where the events are: tests that are run on Upstash too give it another value."""
    return "sqlite"


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if backend == "upstash":
        cloud: Cloud = request.getfixturevalue("cloud")
        place = cloud.backend()
        server = Server(place, cloud.environment(place))
        cloud.deliver(place, server.url)
    else:
        server = Server(f"sqlite:{tmp_path / 'todo.db'}")
    yield server
    server.kill()


def chromium() -> str:
    """Where Chromium is."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert found, "install Chromium (apt-get install chromium), or say where it is: CHROMIUM=/path/to/it"
    return found


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
    yield browser
    browser.close()


Window = Callable[..., Page]


@pytest.fixture
def window(browser: Browser, server: Server) -> Iterator[Window]:
    """Opens windows, each with a fresh profile; at the end none may have complained or asked another host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    expected: list[str] = []

    def open_window(
        path: str = "/", errors: str = "", **options: Any
    ) -> Page:  # Any: as Browser.new_context takes them
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 760}, **options})
        contexts.append(context)
        expected.append(errors)
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(server.url) else complaints.append(request.url)
        )
        page.goto(server.url + path)
        if path == "/":
            expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            expect(page.locator("#lag")).to_have_text("lag 0")
        return page

    yield open_window
    for context in contexts:
        context.close()
    pattern = "|".join(filter(None, expected))
    assert [complaint for complaint in complaints if not (pattern and re.search(pattern, complaint))] == []


@pytest.fixture
def page(window: Window) -> Page:
    return window()
