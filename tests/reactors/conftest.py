"""The shop of each colour, in memory and on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Memory, SQLite
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.colours import Colour
from tests.reactors.shops import Shop


@pytest.fixture(params=["memory-blocking", "sqlite-event loop", "memory-event loop", "sqlite-blocking"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    backend, _, colour = request.param.partition("-")
    made: Backend = Memory() if backend == "memory" else SQLite(tmp_path / "events.db")
    yield Shop(Colour(colour), made)
    made.close()
