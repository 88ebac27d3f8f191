"""Appends in every order: one of two wins, and a retry after a lost answer does not write twice."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar, cast

import pytest

from eventsource_upstash import (
    Appended,
    ConcurrencyError,
    Executed,
    Memory,
    OutcomeUnknown,
    SQLite,
    Unavailable,
)
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import Endings, ScheduleFailed, World, explore, pausing
from tests.conformance.broken_log import BrokenLog, IgnoresTheExpectedRevision, LooksAndThenWrites
from tests.stepping.subject import Account, Overdrawn, Paid, Withdraw, account, stepped_store, store

T = TypeVar("T")
Note = Callable[[str, object], None]


async def insisting(call: Callable[[], Coroutine[object, None, T]]) -> T:
    """Do a call again as long as its outcome is not known, as a caller is told to."""
    while True:
        try:
            return await call()
        except (OutcomeUnknown, Unavailable):  # noqa: PERF203  to try again is what it does
            continue


def two_appends(backend: Callable[[], Backend], *, after: bool = True, inside: bool = False) -> Callable[[], World]:
    def world() -> World:
        inner = backend()
        revision = len(list(store(inner).read_stream("a")))
        appending = stepped_store(pausing(inner, after=after, inside=inside))

        def check(endings: Endings) -> None:
            winners = [ending for ending in endings.values() if ending.ok]
            losers = [ending.error for ending in endings.values() if not ending.ok]
            assert len(winners) == 1, f"{len(winners)} of two appends at one revision were written"
            (loser,) = losers
            assert isinstance(loser, ConcurrencyError)
            recorded = list(store(inner).read_stream("a", after_revision=revision))
            assert [each.revision for each in recorded] == [revision + 1, revision + 2]
            assert list(loser.events) == recorded, "the loser is not told what it missed"
            answer = winners[0].returned
            assert isinstance(answer, Appended)
            assert answer.position == recorded[-1].position

        return World(
            {
                "left": appending.append("a", Paid(1), Paid(2), expected_revision=revision),
                "right": appending.append("a", Paid(3), Paid(4), expected_revision=revision),
            },
            check,
        )

    return world


def test_two_appends_with_one_expected_revision(record_property: Note) -> None:
    explored = explore(two_appends(Memory))
    record_property("schedules", explored.schedules)
    assert explored.schedules == 20  # two callers, each with a pause before and after its append: 6 over 3


def test_two_appends_over_the_waits_of_sqlite(tmp_path: Path, record_property: Note) -> None:
    backend = SQLite(tmp_path / "events.db", synchronous="NORMAL")
    explored = explore(two_appends(lambda: backend, inside=True))
    backend.close()
    record_property("schedules", explored.schedules)
    assert explored.schedules == 252  # four pauses each: 10 over 5


def test_an_append_that_ignores_the_expected_revision_is_caught() -> None:
    with pytest.raises(ScheduleFailed, match="2 of two appends at one revision were written") as caught:
        explore(two_appends(lambda: BrokenLog(IgnoresTheExpectedRevision)))
    assert caught.value.schedule


def test_an_append_that_looks_and_then_writes_is_caught() -> None:
    with pytest.raises(ScheduleFailed, match="2 of two appends") as caught:
        explore(two_appends(lambda: BrokenLog(LooksAndThenWrites), inside=True))
    # It takes a schedule in which one looks before the other has written: one after another goes well.
    assert {step.split()[0] for step in caught.value.schedule} == {"left", "right"}
    assert len(caught.value.choices) > 6


def test_two_executions_decide_on_what_they_have_seen(record_property: Note) -> None:
    def world() -> World:
        inner = Memory()
        store(inner).append("a", Paid(10))
        executing = stepped_store(pausing(inner))

        async def customer(amount: int) -> Executed[Account] | None:
            try:
                return await executing.execute(account, "a", Withdraw(amount))
            except Overdrawn:
                return None

        def check(endings: Endings) -> None:
            loaded = store(inner).load(account, "a")
            took = [ending.returned for ending in endings.values()]
            assert took.count(None) == 1, "both were paid, or nobody"
            assert loaded.state in {Account(4), Account(3)}
            assert loaded.revision == 2

        return World({"left": customer(6), "right": customer(7)}, check)

    explored = explore(world)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 200


def test_a_lost_answer_and_the_same_key_again(record_property: Note) -> None:
    def world() -> World:
        inner = Memory()
        appending = stepped_store(pausing(inner))

        def check(endings: Endings) -> None:
            recorded = [each.event for each in store(inner).read_stream("a")]
            assert [event for event in recorded if event != Paid(3)] == [Paid(1), Paid(2)], f"written is {recorded}"
            assert recorded.count(Paid(3)) == 1 if endings["other"].ok else recorded.count(Paid(3)) <= 1
            answer = endings["insisting"].returned
            assert isinstance(answer, Appended)
            assert list(store(inner).read())[answer.position - 1].event == Paid(2)

        return World(
            {
                "insisting": insisting(lambda: appending.append("a", Paid(1), Paid(2), idempotency_key="key-1")),
                "other": appending.append("a", Paid(3)),
            },
            check,
        )

    explored = explore(world, lost_answers=2, refusals=1, switches=2)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 100
    assert explored.lost_answers >= 50


def test_a_lost_answer_and_the_same_revision_again(record_property: Note) -> None:
    """Without a key the repeat is a conflict, in which the caller finds its own events: nothing is written twice."""

    def world() -> World:
        inner = Memory()
        appending = stepped_store(pausing(inner))

        def check(endings: Endings) -> None:
            recorded = [each.event for each in store(inner).read_stream("a")]
            ending = endings["insisting"]
            assert len(recorded) == 1
            if ending.ok:
                assert recorded == [Paid(1)]
            else:
                assert isinstance(ending.error, ConcurrencyError)
                assert [each.event for each in ending.error.events] == recorded

        return World(
            {
                "insisting": insisting(lambda: appending.append("a", Paid(1), expected_revision=0)),
                "other": appending.append("a", Paid(2), expected_revision=0),
            },
            check,
        )

    explored = explore(world, lost_answers=1, refusals=1)
    record_property("schedules", explored.schedules)
    assert explored.lost_answers >= 20


def test_an_execution_under_a_key_is_done_once_whatever_is_lost(record_property: Note) -> None:
    def world() -> World:
        inner = Memory()
        store(inner).append("a", Paid(10))
        executing = stepped_store(pausing(inner))

        def check(endings: Endings) -> None:
            assert all(ending.ok or ending.crashed for ending in endings.values())
            done = [ending for ending in endings.values() if ending.ok]
            taken = len(list(store(inner).read_stream("a", after_revision=1)))
            assert taken == 1 if done else taken <= 1
            for ending in done:
                answer = cast("Executed[Account]", ending.returned)
                assert (answer.state, answer.revision, answer.position) == (Account(6), 2, 2)

        def withdrawing() -> Coroutine[object, None, Executed[Account]]:
            return insisting(lambda: executing.execute(account, "a", Withdraw(4), idempotency_key="key-1"))

        return World({"first": withdrawing(), "again": withdrawing()}, check)

    explored = explore(world, lost_answers=1, crashes=1, switches=2)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 1_000
    assert explored.crashes >= 100
