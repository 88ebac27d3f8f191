"""Catch-ups in every order, and with a crash, a lost answer or a refusal at every step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eventsource_upstash import CatchUp, Memory, OutcomeUnknown, ProjectionStopped, SQLite, Unavailable
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import Endings, ScheduleFailed, ViewsWrapper, World, explore, pausing, replay
from tests.conformance import broken_views as broken
from tests.conformance.broken_views import BrokenViews
from tests.stepping.subject import (
    Bounced,
    Paid,
    catch_up,
    check_view,
    checkpoints,
    fragile,
    stepped_projector,
    stepped_store,
    store,
)

Note = Callable[[str, object], None]


def filled(backend: Backend, count: int = 3) -> Backend:
    for index in range(count):
        store(backend).append(f"account-{index % 2}", Paid(index + 1))
    return backend


def catch_ups(
    backend: Callable[[], Backend], count: int = 2, *, after: bool = True, page_size: int = 1_000, inside: bool = False
) -> Callable[[], World]:
    """So many projectors at once."""

    def world() -> World:
        inner = filled(backend())
        stepped = pausing(inner, after=after, inside=inside)
        head = store(inner).head()

        def check(endings: Endings) -> None:
            check_view(inner)
            for ending in endings.values():
                assert ending.ok or ending.crashed or isinstance(ending.error, (OutcomeUnknown, Unavailable))
                if ending.ok:
                    assert isinstance(ending.returned, CatchUp)
                    assert ending.returned.position == head, "a catch-up says it is there, and is not"
                    assert checkpoints(inner)["balances"] == head
            before = checkpoints(inner)["balances"]
            catch_up(inner)
            check_view(inner)
            assert checkpoints(inner) == {"balances": head, "fragile": head}
            assert before <= head

        actors = {f"projector {n}": stepped_projector(stepped, page_size).catch_up() for n in range(count)}
        return World(actors, check)

    return world


def test_two_catch_ups(record_property: Note) -> None:
    explored = explore(catch_ups(Memory, after=False), merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules == 20  # three calls each: 6 over 3


def test_two_catch_ups_page_by_page(record_property: Note) -> None:
    explored = explore(catch_ups(Memory, after=False, page_size=1), switches=3, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 190


def test_two_catch_ups_over_the_waits_of_sqlite(tmp_path: Path, record_property: Note) -> None:
    backends: list[SQLite] = []

    def fresh() -> Backend:
        backends.append(SQLite(tmp_path / f"{len(backends)}.db", synchronous="NORMAL"))
        return backends[-1]

    explored = explore(catch_ups(fresh, after=False, inside=True), switches=1, merging=True)
    for backend in backends:
        backend.close()
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 12


def test_three_catch_ups(record_property: Note) -> None:
    explored = explore(catch_ups(Memory, 3, after=False), switches=3, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 400


def test_a_crash_at_every_step_and_another_catch_up(record_property: Note) -> None:
    explored = explore(catch_ups(Memory, 1, page_size=2), crashes=1, merging=True)
    record_property("schedules", explored.schedules)
    # One before the first call, one after each of them, and one without a crash.
    assert explored.schedules == explored.crashes + 1 >= 7


def test_a_crash_of_one_of_two_at_every_step(record_property: Note) -> None:
    explored = explore(catch_ups(Memory, 2, page_size=2), crashes=1, switches=2, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.crashes >= 140


def test_a_lost_answer_or_a_refusal_at_every_step(record_property: Note) -> None:
    explored = explore(catch_ups(Memory, 2), lost_answers=1, refusals=1, switches=2, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.lost_answers >= 100
    assert explored.refusals >= 80


def append_and_catch_up(backend: Callable[[], Backend], *, readers: int = 1, after: bool = True) -> Callable[[], World]:
    """Somebody appends while others fold. What is folded afterwards is everything."""

    def world() -> World:
        inner = filled(backend(), 2)
        stepped = pausing(inner, after=after)

        def check(endings: Endings) -> None:
            assert all(ending.ok for ending in endings.values())
            check_view(inner)
            for ending in endings.values():
                if isinstance(ending.returned, CatchUp):
                    assert ending.returned.position >= 2
            catch_up(inner)
            check_view(inner)
            assert checkpoints(inner)["balances"] == store(inner).head() == 4

        actors = {f"projector {n}": stepped_projector(stepped).catch_up() for n in range(readers)}
        writer = stepped_store(stepped).append("account-0", Paid(10), Paid(20))
        return World({"writer": writer, **actors}, check)

    return world


def test_an_append_and_a_catch_up(record_property: Note) -> None:
    explored = explore(append_and_catch_up(Memory), merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules == 4


def test_an_append_and_two_catch_ups(record_property: Note) -> None:
    explored = explore(append_and_catch_up(Memory, readers=2, after=False), switches=3, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 190


def test_two_appends_and_a_catch_up_with_a_crash(record_property: Note) -> None:
    def world() -> World:
        inner = Memory()
        stepped = pausing(inner, after=False)

        def check(endings: Endings) -> None:
            check_view(inner)
            catch_up(inner)
            check_view(inner)
            acknowledged = {name for name, ending in endings.items() if ending.ok and name != "projector"}
            streams = {recorded.stream for recorded in store(inner).read()}
            assert acknowledged <= streams, "an append returned, and its event is not in the log"

        writers = {name: stepped_store(stepped).append(name, Paid(1)) for name in ("left", "right")}
        return World({**writers, "projector": stepped_projector(stepped).catch_up()}, check)

    explored = explore(world, crashes=1, switches=3, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.crashes >= 24


def test_a_handler_that_fails_does_not_hold_up_one_that_works(record_property: Note) -> None:
    def world() -> World:
        inner = filled(Memory(), 2)
        bad = store(inner).append("account-1", Bounced(5)).position
        head = store(inner).append("account-0", Paid(7)).position
        stepped = pausing(inner, after=False)

        def check(endings: Endings) -> None:
            check_view(inner)
            check_view(inner, fragile)
            for ending in endings.values():
                assert ending.crashed or isinstance(ending.error, ProjectionStopped)
            if not all(ending.crashed for ending in endings.values()):
                assert checkpoints(inner) == {"balances": head, "fragile": bad - 1}

        projectors = {name: stepped_projector(stepped).catch_up() for name in ("left", "right")}
        return World(projectors, check)

    explored = explore(world, crashes=1, switches=3, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 45


GUARDS = [
    broken.IgnoresTheCheckpoint,
    broken.LeaksTheDocumentsOfLosers,
    broken.LooksAndThenCommits,
    broken.CommitsInTwoSteps,
]


@pytest.mark.parametrize("views", GUARDS, ids=lambda views: views.__name__)
def test_views_that_break_the_commit_are_caught(views: type[ViewsWrapper]) -> None:
    world = catch_ups(lambda: BrokenViews(views), 2, after=False, page_size=2, inside=True)
    with pytest.raises(ScheduleFailed) as caught:
        explore(world, crashes=1, switches=3, merging=True)
    steps = caught.value.schedule
    with pytest.raises(ScheduleFailed) as again:
        replay(world, caught.value.choices, crashes=1, switches=3, merging=True)
    assert again.value.schedule == steps, "the schedule does not lead to the same failure again"
