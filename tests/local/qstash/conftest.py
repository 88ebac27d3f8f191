"""A Valkey for these tests, and a QStash on it for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash.local.engine import Engine
from tests.local.qstash.support import World, world


@pytest.fixture(scope="session")
def engine_url() -> Iterator[str]:
    engine = Engine()
    engine.start()
    yield engine.url
    engine.stop()


@pytest.fixture
def qstash(engine_url: str) -> Iterator[World]:
    with world(engine_url) as made:
        yield made
