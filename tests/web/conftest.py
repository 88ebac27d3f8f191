"""Views over HTTP on every backend, in both colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from tests.web.players import AsyncCaller, Caller, Players


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "upstash"])
def players(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Players]:
    """A leaderboard with nobody on it."""
    backend: Backend
    if request.param == "memory":
        backend = Memory()
    elif request.param == "sqlite":
        backend = SQLite(tmp_path / "players.db")
    else:
        upstash: LocalUpstash = request.getfixturevalue("upstash")
        backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    players = Players(backend)
    yield players
    players.app.close()


@pytest.fixture(params=["blocking", "async"])
def caller(request: pytest.FixtureRequest, players: Players) -> Iterator[Caller]:
    """Sends requests to the view of the leaderboard."""
    caller = Caller(players) if request.param == "blocking" else AsyncCaller(players)
    yield caller
    caller.end()
