"""One broker for all tests of a run, started by the first that asks for it: each test has topics of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kafka.broker import Broker


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running
