"""One local Upstash for all tests here: each has a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend

Make = Callable[[str], Backend]


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes an empty backend of a kind: memory, sqlite, upstash."""
    made: list[Backend] = []
    numbers = itertools.count()

    def one(kind: str) -> Backend:
        if kind == "memory":
            made.append(Memory())
        elif kind == "sqlite":
            made.append(SQLite(tmp_path / f"{next(numbers)}.db"))
        else:
            running: LocalUpstash = request.getfixturevalue("upstash")
            made.append(UpstashRedis(running.redis_url, running.redis_token, namespace=uuid4().hex))
        return made[-1]

    yield one
    for backend in made:
        backend.close()
