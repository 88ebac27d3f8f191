"""Rate limits on every backend, in both colours, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.colours import Colour
from tests.limits.support import MovedClock


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    clock = MovedClock()
    monkeypatch.setattr("upstash_ratelimit.utils.time", clock)  # the module that the package asks for the time
    return clock


@pytest.fixture(params=["memory", "sqlite", "upstash"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend: Backend
    if request.param == "memory":
        backend = Memory()
    elif request.param == "sqlite":
        backend = SQLite(tmp_path / "limits.db")
    else:
        upstash: LocalUpstash = request.getfixturevalue("upstash")
        backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    yield backend
    backend.close()


@pytest.fixture(params=list(Colour), ids=lambda colour: colour.value)
def colour(request: pytest.FixtureRequest) -> Colour:
    found = request.param
    assert isinstance(found, Colour)
    return found
