"""One local Upstash for all tests of a run: each test has a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash.local import LocalUpstash


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture(scope="session")
def plain_upstash() -> Iterator[LocalUpstash]:
    """Over a Redis that refuses the flag of scripts which lock their keys only."""
    with LocalUpstash(key_locking=False) as running:
        yield running
