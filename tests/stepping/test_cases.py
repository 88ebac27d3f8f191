"""The exhaustive cases: every order of the steps of two actors, with a failure at every one; how many there are.

`python -m tests.stepping.cases` prints the numbers; see tests/stepping/cases. What runs over Redis: tests/redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventsource_upstash import Appended, CatchUp, Memory, ProjectionStore
from eventsource_upstash.testing import Ending, Endings, ScheduleFailed, World, explore, pausing, replay
from tests.searching import thorough
from tests.stepping.cases import notices
from tests.stepping.cases.drawing import by_turns
from tests.stepping.cases.every import TROUBLES, Cell, cells, count, explored, known, quick
from tests.stepping.cases.places import (
    KAFKA,
    MEMORY,
    MODEL,
    SQLITE,
    TOPIC,
    Place,
    kafka,
    memory,
    model,
    quietly,
    sqlite,
)
from tests.stepping.cases.shown import PAGE, page
from tests.stepping.cases.wrong import PROTOCOLS
from tests.stepping.subject import Paid, balances, checkpoints, registry, stepped_projector, stepped_store, store

Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    with ExitStack() as stack:
        opened = (memory(), model(), sqlite(tmp_path_factory.mktemp("cases")), kafka(), kafka(waits=True))
        yield {place.name: place for place in map(stack.enter_context, opened)}


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    with quietly():
        yield


@pytest.mark.parametrize(("cell", "schedules"), quick(MEMORY, MODEL, SQLITE, KAFKA, TOPIC), ids=str)
def test_every_order_of_a_case(cell: Cell, schedules: int, places: dict[str, Place], record_property: Note) -> None:
    found = count(cell.case, places[cell.place], cell.trouble).schedules
    record_property("schedules", found)
    print(f"{' · '.join(cell)}: {found:,} schedules")  # noqa: T201  how many there were is part of the claim
    assert found == schedules


def test_the_table_in_the_documentation_has_these_numbers() -> None:
    assert known().keys() <= set(cells())
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_wrong_protocol_is_caught_by_a_case(name: str) -> None:
    wishes, _, trouble, wrong, steps, lost_after_us = PROTOCOLS[name]
    world = notices.told(wishes._replace(**wrong))
    with model(lost_after_us) as place:
        with pytest.raises(ScheduleFailed, match=r"nobody|though somebody was told|while another") as caught:
            explored(world, place, trouble)
        assert len(caught.value.schedule) == steps
        with pytest.raises(ScheduleFailed) as again, by_turns() as turns:
            replay(lambda: turns(lambda: world(place.fresh())), caught.value.choices, merging=True, **TROUBLES[trouble])
        assert again.value.schedule == caught.value.schedule


def _reads(call: str, what: object) -> bool:
    return call in {"views.pull", "views.load"}


def _actors(backend: Memory) -> dict[str, Any]:
    """Two who fold at once, or one who folds while another appends: whoever is there shares the backend only."""
    store(backend).append("account-0", Paid(1))
    stepped = pausing(backend, after=thorough() > 1, reads=_reads)
    return {
        "writer": stepped_store(stepped).append("account-0", Paid(2), Paid(3), expected_revision=1),
        "worker": stepped_projector(stepped).catch_up(),
    }


def _workers(backend: Memory) -> dict[str, Any]:
    store(backend).append("account-0", Paid(1), Paid(2))
    stepped = pausing(backend, after=thorough() > 1, reads=_reads)
    return {name: stepped_projector(stepped).catch_up() for name in ("one", "other")}


def _told(ending: Ending) -> str:
    answer = ending.returned
    if isinstance(answer, CatchUp):
        return f"folded {answer.applied} up to {answer.position} of {answer.head}"
    if isinstance(answer, Appended):
        return f"appended at {answer.position}"
    return "crashed" if ending.crashed else type(ending.error).__name__


def _left(backend: Memory) -> str:
    rows = [(each.position, each.event) for each in store(backend).read()]
    return f"{rows} {checkpoints(backend)} {dict(ProjectionStore(backend, registry).view(balances).items())}"


@pytest.mark.parametrize(
    ("actors", "trouble"),
    [
        *((_actors, trouble) for trouble in ("none", "a crash", "a refusal")),
        *((_workers, trouble) for trouble in ("none", "a crash")),
        *((_actors, trouble) for trouble in ("a lost answer",) if thorough() > 1),
    ],
)
def test_merged_schedules_end_as_all_of_them_do(actors: Callable[[Memory], dict[str, Any]], trouble: str) -> None:
    """All that two actors can be told, and all that can be left of it, is found with far fewer schedules."""

    def ends(*, merging: bool) -> tuple[set[str], int]:
        found: set[str] = set()

        def world() -> World:
            backend = Memory()

            def note(endings: Endings) -> None:
                told = sorted(f"{name}: {_told(ending)}" for name, ending in endings.items())
                found.add(f"{told} {_left(backend)}")

            return World(actors(backend), note)

        return found, explore(world, merging=merging, **TROUBLES[trouble]).schedules

    every, all_of_them = ends(merging=False)
    merged, some = ends(merging=True)
    assert merged == every
    assert some * 2 <= all_of_them
