"""A server for each test, and no connection kept beyond it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash._io import blocking
from tests.faults.transport.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server
    blocking.PORT.close()
