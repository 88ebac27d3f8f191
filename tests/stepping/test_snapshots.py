"""Executors with snapshots and cached states, in any order of their steps, with crashes: the stream's state wins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventsource_upstash import AsyncEventStore, EventStore, Memory
from eventsource_upstash.testing import Endings, World, explore, pausing
from tests.unit.test_snapshots import Add, Added, fold, kept, summing

Note = Callable[[str, object], None]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("cache", [0, 1])
def test_two_executors(every: int, cache: int, record_property: Note) -> None:
    the = summing(every=every)

    def world() -> World:
        inner = Memory()
        EventStore(inner, the.registry).append("s", Added(1), Added(2), Added(3))  # a load of it keeps one

        async def executor(amount: int) -> None:
            store = AsyncEventStore(pausing(inner), the.registry, cache=cache)
            executed = await store.execute(the.sums, "s", Add((amount,)))
            assert executed.state.seen[-1] == amount

        def check(endings: Endings) -> None:
            assert all(ending.ok or ending.crashed for ending in endings.values())
            amounts = [event.event.amount for event in EventStore(inner, the.registry).read_stream("s")]  # type: ignore[attr-defined]
            for name, amount in (("left", 10), ("right", 20)):
                assert amounts.count(amount) == 1 if endings[name].ok else amounts.count(amount) <= 1
            loaded = EventStore(inner, the.registry).load(the.sums, "s")
            assert loaded.state == fold(inner), f"{amounts} make {fold(inner)}, and loaded is {loaded.state}"
            snapshot = kept(inner)
            assert snapshot is None or snapshot.revision <= len(amounts)

        return World({"left": executor(10), "right": executor(20)}, check)

    explored = explore(world, crashes=1, switches=3, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 80
    assert explored.crashes >= 50


def test_a_snapshot_that_is_refused_or_lost_holds_up_nobody(record_property: Note) -> None:
    the = summing(every=1)

    def world() -> World:
        inner = Memory()
        EventStore(inner, the.registry).append("s", Added(1), Added(2))
        store = AsyncEventStore(pausing(inner), the.registry, cache=1)

        def check(endings: Endings) -> None:
            for ending in endings.values():
                # The read and the append may fail; what becomes of the snapshot is nobody's trouble.
                assert ending.ok or "log.keep" not in str(ending.error)
            assert EventStore(inner, the.registry).load(the.sums, "s").state == fold(inner)

        return World({"loader": store.load(the.sums, "s"), "writer": store.append("s", Added(3))}, check)

    explored = explore(world, refusals=1, lost_answers=1, switches=2, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 20
