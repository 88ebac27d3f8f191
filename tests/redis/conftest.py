"""One local Upstash for all tests of a run: each test has a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash.local import LocalUpstash


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running
