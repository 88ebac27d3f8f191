"""Whatever happens, in whatever order: views over partitions hold the fold of what they say they have reached."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import SQLite
from tests.kafka.histories import STEPS, run
from tests.kafka.partitioned import Partitioned, Topical


@settings(max_examples=60)
@given(STEPS, st.integers(1, 3))
def test_any_history_over_rows(steps: list[object], count: int) -> None:
    run(Partitioned(count), steps)


@settings(max_examples=40)
@given(STEPS, st.integers(1, 3))
def test_any_history_over_a_topic(steps: list[object], count: int) -> None:
    run(Topical(count), steps)


@settings(max_examples=15)
@given(STEPS, st.integers(1, 3))
def test_any_history_with_views_on_sqlite(steps: list[object], count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        backend = Partitioned(count, SQLite(Path(folder) / "views.db"))
        run(backend, steps)
        backend.close()
