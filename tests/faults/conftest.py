"""Each backend and each colour, for the tests of what can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Memory, SQLite
from tests.faults.driving import COLOURS, Colour


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory | SQLite]:
    backend = Memory() if request.param == "memory" else SQLite(tmp_path / "log.db")
    yield backend
    backend.close()


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    colour: Colour = request.param
    return colour
