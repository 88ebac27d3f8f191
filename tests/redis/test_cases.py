"""The exhaustive cases over Redis, each request a step, and the wrong scripts that they catch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing import ScheduleFailed
from tests.stepping.cases.every import Cell, count, quick
from tests.stepping.cases.places import CUT, REDIS, TOLD, Place, quietly, redis
from tests.stepping.cases.wrong import SCRIPTS, patched

Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def places(upstash: LocalUpstash) -> Iterator[dict[str, Place]]:
    with ExitStack() as stack:
        opened = (redis(upstash), redis(upstash, cut=True), redis(upstash, told=True))
        yield {place.name: place for place in map(stack.enter_context, opened)}


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    with quietly():
        yield


@pytest.mark.parametrize(("cell", "schedules"), quick(REDIS, CUT, TOLD), ids=str)
def test_every_order_of_a_case(cell: Cell, schedules: int, places: dict[str, Place], record_property: Note) -> None:
    explored = count(cell.case, places[cell.place], cell.trouble)
    record_property("schedules", explored.schedules)
    print(f"{' · '.join(cell)}: {explored.schedules:,} schedules")  # noqa: T201  how many there were is part of the claim
    assert explored.schedules == schedules


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_script_is_caught_by_a_case(name: str, upstash: LocalUpstash) -> None:
    wrong = SCRIPTS[name]
    with patched(wrong), redis(upstash, cut=wrong.place == CUT, told=wrong.place == TOLD) as place:
        with pytest.raises(ScheduleFailed) as caught:
            count(wrong.case, place, wrong.trouble)
        assert len(caught.value.schedule) == wrong.steps
