"""A browser that follows a view by its own EventSource, over a server that is killed and started again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from eventsource_upstash import SQLite
from tests.web.players import Left, Players

ROOT = Path(__file__).parents[2]

FOLLOW = """() => {
  window.documents = {};
  window.told = [];
  const feed = new EventSource("/players/");
  const on = (name, use) => feed.addEventListener(name, ({ data }) => { use(JSON.parse(data)); told.push(name); });
  on("reset", () => (documents = {}));
  on("put", ({ key, document }) => (documents[key] = document.score));
  on("delete", ({ key }) => delete documents[key]);
  on("level", () => {});
}"""


class Server:
    """A view over a file, in a process of its own; from its second start on at the same port."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.port = 0

    def start(self, colour: str) -> str:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.serving", colour, str(self.file), str(self.port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"port ([0-9]+)", self.process.stdout.readline())
        if not found:
            self.kill()
            pytest.fail("the server did not start")
        self.port = int(found[1])
        return f"http://127.0.0.1:{self.port}/"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "players.db")
    yield server
    server.kill()


def shows(page: Page, players: Players) -> None:
    wanted = {key: document["score"] for key, document in players.documents().items()}
    page.wait_for_function("(wanted) => JSON.stringify(documents) === JSON.stringify(wanted)", arg=wanted)


@pytest.mark.parametrize("colour", ["asgi", "wsgi"])
def test_a_browser_follows_a_view_over_a_restart(browser: Browser, server: Server, colour: str) -> None:
    players = Players(SQLite(server.file))
    players.score(("a", 1), ("b", 1))
    page = browser.new_page()
    page.goto(server.start(colour) + "players/a")
    page.evaluate(FOLLOW)
    shows(page, players)
    players.score(("b", 1), ("c", 1))
    shows(page, players)
    server.kill()
    players.score(("d", 1))
    players.tell(Left("a"))
    server.start(colour)
    shows(page, players)
    players.score(("d", 1))
    shows(page, players)
    told = page.evaluate("told")
    assert told.count("reset") == told.count("level") == 1
    assert (told.count("put"), told.count("delete")) == (6, 1)
    page.close()
    players.app.close()
