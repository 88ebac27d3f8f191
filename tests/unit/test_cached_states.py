"""States kept in the process: they save reading, and are never what the stream no longer makes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from eventsource_upstash import EventStore, Memory, Misuse, connect, connect_async
from eventsource_upstash._flow import caching
from eventsource_upstash._flow.caching import Cached, States
from eventsource_upstash.ports import Backend, Log, StreamPage
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.faults.driving import COLOURS, Driver
from tests.faults.processes import run
from tests.priced import Till
from tests.unit.test_snapshots import Add, Added, MutableSum, Sum, fold, summing


class Reads(BackendWrapper):
    """Notes how many events each look at a stream handed out; and its log can be replaced, as a restore does."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.events: list[int] = []
        self.logs: list[_Reads] = []

    def wrap_log(self, log: Log) -> Log:
        self.logs.append(_Reads(log, self))
        return self.logs[-1]

    def restore(self, other: Log) -> None:
        for log in self.logs:
            log.inner = other

    def take(self) -> list[int]:
        events, self.events = self.events, []
        return events


class _Reads(LogWrapper):
    def __init__(self, inner: Log, reads: Reads) -> None:
        super().__init__(inner)
        self.reads = reads

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        page = await self.inner.read_stream(stream, after_revision, limit, max_bytes, snapshot)
        self.reads.events.append(len(page.events))
        return page


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("every", [None, 4])
def test_only_what_came_since_is_read(colour: Any, every: int | None) -> None:
    memory = Memory()
    reads = Reads(memory)
    the = summing(every=every)
    app = Driver(reads, the.registry, colour, cache=10)
    other = EventStore(memory, the.registry)
    app.append("s", *[Added(1)] * 50)
    assert app.load(the.sums, "s").state == Sum(50, (1, 1, 1))
    assert reads.take() == [50]
    for _ in range(5):
        assert app.load(the.sums, "s").revision == 50
    assert reads.take() == [1] * 5, "the event that it was cached after, to see that it is there still"
    other.append("s", Added(2), Added(3))
    assert app.load(the.sums, "s").state == Sum(55, (1, 2, 3)), "it is never older than the stream"
    assert reads.take() == [3]
    executed = app.execute(the.sums, "s", Add((4, 5)))
    assert (executed.state, executed.revision) == (Sum(64, (3, 4, 5)), 54)
    assert app.execute(the.sums, "s", Add((6,))).state == Sum(70, (4, 5, 6))
    assert reads.take() == [1, 1], "what was executed here is not read again"


def test_a_repeated_command_tells_what_the_look_for_its_key_cost_and_what_was_read() -> None:
    the, till = summing(every=None), Till()
    store = EventStore(till, the.registry, cache=1)
    store.execute(the.sums, "s", Add((1,)), idempotency_key="k")
    till.calls = 0
    again = store.execute(the.sums, "s", Add((1,)), idempotency_key="k")
    assert again.repeated
    assert again.receipt.requests == till.calls == 3


def test_without_a_cache_the_stream_is_read() -> None:
    reads = Reads(Memory())
    the = summing(every=None)
    store = EventStore(reads, the.registry)
    store.append("s", Added(1), Added(2))
    for _ in range(3):
        store.load(the.sums, "s")
    assert reads.take() == [2, 2, 2]


def test_a_snapshot_is_gone_on_from_in_a_page_that_is_far_ahead() -> None:
    memory = Memory()
    reads = Reads(memory)
    the = summing(every=1_000)
    store = EventStore(reads, the.registry, cache=1)
    store.append("s", Added(1))
    store.load(the.sums, "s")
    other = EventStore(memory, the.registry)
    for _ in range(5):
        other.append("s", *[Added(1)] * 1_000)
    other.load(the.sums, "s")  # keeps one
    reads.take()
    assert store.load(the.sums, "s").state == Sum(5_001, (1, 1, 1))
    assert reads.take() == [1_000, 0], "the first page, and then the snapshot at the end"


@pytest.mark.parametrize("events", [[], [9], [9, 9], [9, 9, 9], [9, 9, 9, 9, 9]], ids=len)
@pytest.mark.parametrize("every", [None, 2])
def test_a_log_that_was_taken_back_is_read_anew(events: list[int], every: int | None) -> None:
    reads = Reads(Memory())
    the = summing(every=every)
    store = EventStore(reads, the.registry, cache=1)
    store.execute(the.sums, "s", Add((1, 2, 3)))
    restored = Memory()
    plain = EventStore(restored, the.registry)
    for amount in events:  # others, up to and past the revision that is cached
        plain.append("s", Added(amount))
    reads.restore(plain.flow.log)
    loaded = store.load(the.sums, "s")
    assert loaded.state == fold(restored)
    assert loaded.revision == len(events)
    assert store.execute(the.sums, "s", Add((7,))).state == fold(restored)


def test_it_is_taken_back_between_load_and_append() -> None:
    reads = Reads(Memory())
    the = summing(every=None)
    store = EventStore(reads, the.registry, cache=1)
    store.append("s", Added(1), Added(2), Added(3))
    restored = Memory()
    plain = EventStore(restored, the.registry)
    plain.append("s", Added(9))
    tries: list[object] = []

    @the.sums.decide(int)
    def add(sum_: Any, command: int) -> Added:
        tries.append(sum_)
        reads.restore(plain.flow.log)
        return Added(command)

    executed = store.execute(the.sums, "s", 5)
    assert tries == [Sum(6, (1, 2, 3)), Sum(9, (9,))]
    assert (executed.state, executed.revision) == (Sum(14, (9, 5)), 2)


def test_states_that_can_be_changed_are_not_kept() -> None:
    reads = Reads(Memory())
    the = summing(MutableSum, every=None)
    store = EventStore(reads, the.registry, cache=10)
    store.append("s", Added(1), Added(2))
    loaded = store.load(the.sums, "s").state
    loaded.seen.clear()
    assert store.load(the.sums, "s").state == MutableSum(3, [1, 2])
    assert reads.take() == [2, 2]


def test_each_aggregate_has_its_own_state_of_a_stream() -> None:
    the, tens = summing(every=None), summing(every=None, step=10)
    memory = Memory()
    store = EventStore(memory, the.registry, cache=10)
    store.append("s", Added(1))
    for _ in range(2):
        assert store.load(the.sums, "s").state == Sum(1, (1,))
        assert store.load(tens.sums, "s").state == Sum(10, (1,))


def test_the_one_that_was_not_used_for_longest_goes() -> None:
    the = summing(every=None)
    states = States(2)
    for stream in ("a", "b"):
        states.put(the.sums, stream, Cached(Sum(1), 1, (1, 1)))
    assert states.get(the.sums, "a") is not None
    states.put(the.sums, "c", Cached(Sum(1), 1, (1, 1)))
    assert len(states) == 2
    assert states.get(the.sums, "b") is None
    assert states.get(the.sums, "a") is not None
    states.drop(the.sums, "a")
    states.drop(the.sums, "a")
    assert states.get(the.sums, "a") is None
    assert len(states) == 1


def test_what_is_put_again_counts_as_used() -> None:
    the = summing(every=None)
    states = States(2)
    for stream in ("a", "b", "a", "c"):
        states.put(the.sums, stream, Cached(Sum(1), 1, (1, 1)))
    assert [states.get(the.sums, stream) is not None for stream in "abc"] == [True, False, True]


def test_many_threads_share_it() -> None:
    the = summing(every=5)
    memory = Memory()
    store = EventStore(memory, the.registry, cache=2)
    begin = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        begin.wait()
        try:
            for index in range(50):
                store.execute(the.sums, f"s-{(thread + index) % 3}", Add((1,)), retries=200)
        except BaseException as error:  # told by the thread that asserts
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    loaded = [store.load(the.sums, f"s-{index}") for index in range(3)]
    assert sum(each.revision for each in loaded) == 200
    assert [each.state for each in loaded] == [fold(memory, stream=f"s-{index}") for index in range(3)]


def test_a_lock_that_is_held_where_a_process_is_forked_is_held_for_nobody_in_the_child() -> None:
    the = summing(every=None)
    states = States(2)
    with states.lock:
        caching._after_fork()
        states.put(the.sums, "a", Cached(Sum(1), 1, (1, 1)))
    assert states.get(the.sums, "a") is not None


def test_a_child_goes_on_while_another_thread_of_the_parent_was_within() -> None:
    run(
        """
from eventsource_upstash import EventStore, Memory
from tests.forking import forked, wait_for
from tests.unit.test_snapshots import Add, Sum, summing

the = summing(every=None)
store = EventStore(Memory(), the.registry, cache=1)
store.execute(the.sums, "s", Add((1,)))

def in_the_child():
    assert store.execute(the.sums, "s", Add((2,))).state == Sum(3, (1, 2))

lock = store.executing._states.lock
with lock:  # as another thread would hold it
    child = forked(in_the_child)
wait_for(child)
assert store.execute(the.sums, "s", Add((5,))).state == Sum(6, (1, 5))
"""
    )


@pytest.mark.parametrize("value", [-1, True, 1.5, "10", None])
def test_a_size_that_is_none(value: Any) -> None:
    the = summing()
    with pytest.raises(Misuse, match=r"cache=.* whole number from 0"):
        EventStore(Memory(), the.registry, cache=value)
    for connecting in (connect, connect_async):
        with pytest.raises(Misuse, match=r"cache=.* whole number from 0"):
            connecting("memory:", the.registry, cache=value)


def test_connect_hands_it_on() -> None:
    the = summing(every=None)
    reads = Reads(Memory())
    with connect(reads, the.registry, cache=1) as app:
        app.event_store.append("s", Added(1), Added(2))
        for _ in range(2):
            app.event_store.load(the.sums, "s")
        assert reads.take() == [2, 1]
