"""The table of costs in the documentation is what is counted, and within what is promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import costs_actions, costs_reactors, costs_views
from benchmarks.costs_actions import Counted
from benchmarks.costs_table import Costs
from eventsource_upstash.local import LocalUpstash

TABLE = Path(__file__).parents[2] / "docs" / "costs-actions-table.md"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalUpstash]:
    # One of its own: a test that flushes another one's scripts would add a request here.
    with LocalUpstash() as running:
        running.faults.add("lose-delivery", count=None)
        costs_actions.counted(running)  # the first time that it sees a script costs more
        costs_reactors.counted(running)
        running.flush()
        yield running


@pytest.fixture(scope="module")
def rows(server: LocalUpstash) -> list[Counted]:
    return costs_actions.counted(server) + costs_views.counted(server) + costs_reactors.counted(server)


def test_each_action_costs_what_is_promised(rows: list[Counted]) -> None:
    exceeded = [row for row in rows if row[3] != row[1] or row[4] > int(row[2])]
    assert not exceeded


def test_the_table_in_the_documentation_is_what_is_counted(rows: list[Counted]) -> None:
    assert TABLE.read_text() == Costs({}, {}, rows).actions_markdown()
