"""The exhaustive cases over Redis, each request a step, and the wrong scripts that they catch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing import ScheduleFailed
from tests.stepping.cases.every import Cell, count, quick
from tests.stepping.cases.histories import Judged
from tests.stepping.cases.places import CUT, REDIS, TOLD, Place, quietly, redis
from tests.stepping.cases.wrong import SCRIPTS, patched
from tests.stepping.test_states import stored_is_part_of_the_state

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
    found = count(cell.case, places[cell.place], cell.trouble).schedules
    record_property("schedules", found)
    print(f"{' · '.join(cell)}: {found:,} schedules")  # noqa: T201  how many there were is part of the claim
    assert found == schedules


@pytest.mark.parametrize("place", [REDIS, CUT, TOLD])
def test_whatever_is_stored_is_part_of_the_state(place: str, places: dict[str, Place]) -> None:
    stored_is_part_of_the_state(places[place])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_script_is_caught_by_a_case(name: str, upstash: LocalUpstash) -> None:
    wrong = SCRIPTS[name]
    with patched(wrong), redis(upstash, cut=wrong.place == CUT, told=wrong.place == TOLD) as place:
        with pytest.raises(ScheduleFailed) as caught:
            count(wrong.case, place, wrong.trouble)
        assert len(caught.value.schedule) == wrong.steps


def test_a_wrong_answer_is_seen_by_the_checker_of_histories_only(
    upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SCRIPTS["append: it answers the revision that it has found"]
    with patched(wrong), redis(upstash) as place:
        with pytest.raises(ScheduleFailed, match=r"no acknowledged append is missing.* ends at revision"):
            count(wrong.case, place, wrong.trouble)
        monkeypatch.setattr(Judged, "check", lambda *_: None)
        assert count(wrong.case, place, wrong.trouble).schedules == 2
