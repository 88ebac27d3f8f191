"""One local Upstash for what goes wrong between it and its callers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash.local import LocalUpstash


@pytest.fixture(scope="package")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running
