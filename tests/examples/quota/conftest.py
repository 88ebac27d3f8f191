"""The quota over a log in memory and a table in a file, by a clock that stands until it is moved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.quota.service import Quota
from tests.examples.quota.support import Clock, Made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Made]:
    """Makes a quota, without a worker: what is folded and delivered is the test's to say."""
    made: list[Quota] = []

    def make(backend: str = "memory:", budget: float = 20.0) -> Quota:
        quota = Quota(backend, f"sqlite:///{tmp_path}/table.db", clock=clock, budget=budget)
        quota.set_up()
        made.append(quota)
        return quota

    yield make
    for quota in made:
        quota.engine.dispose()
        quota.app.close()


@pytest.fixture
def quota(make: Made) -> Quota:
    return make()
