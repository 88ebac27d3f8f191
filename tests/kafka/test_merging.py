"""Events of several partitions in one order, however they are read, with gaps and repeats in between."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import Kafka, Memory
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.kafka.records import encode
from eventsource_upstash.domain.events import ANY
from eventsource_upstash.domain.positions import Vector, vector
from eventsource_upstash.ports import Append, Log
from tests.kafka.memory_topic import MemoryTopic

STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["event", "event", "event", "gap", "repeat"]), st.integers(0, 30)),
    max_size=60,
)


def made_of(partitions: int, steps: list[tuple[int, str, int]]) -> tuple[MemoryTopic, list[list[tuple[int, int, int]]]]:
    """A topic, and of each partition the time, place and number of what is to be handed out."""
    topic = MemoryTopic(partitions=partitions)
    expected: list[list[tuple[int, int, int]]] = [[] for _ in range(partitions)]
    for number, (which, what, at) in enumerate(steps, 1):
        partition = which % partitions
        written = topic.records(partition)
        if what == "gap":
            topic.gap(partition)
        elif what == "repeat" and written:
            again = written[at % len(written)]
            topic.put(again.value, again.key, partition=partition)
        else:
            (record,) = encode(Append("s", ANY, [("happened", 1, b"%d" % number)], at, number))
            offset = topic.put(record.value, record.key, partition=partition)
            expected[partition].append((at, offset + 1, number))
    return topic, expected


def read(log: Log, limit: int, after: int = 0) -> tuple[list[tuple[int, int, int]], int]:
    found: list[tuple[int, int, int]] = []
    while True:
        page = blocking.run(log.read(after, limit, 1_000_000))
        assert len(page.events) <= limit
        found += [(row[0] >> 40, row[2], row[4]) for row in page.events]
        assert page.reached is not None
        assert page.reached >= after
        for row in page.events:
            assert page.reached >= row[0]
        if page.reached == page.head:
            return found, page.reached
        assert page.reached != after, "a page leads no further"
        after = page.reached


@given(st.integers(1, 4), STEPS, st.integers(1, 70), st.integers(1, 70))
def test_pages_of_any_size_are_one_order(
    partitions: int, steps: list[tuple[int, str, int]], limit: int, other: int
) -> None:
    topic, expected = made_of(partitions, steps)
    # Each partition as it stands; the next event is always the oldest of those that are next.
    queues = [list(reversed(each)) for each in expected]
    waiting = [(queue[-1][0], partition) for partition, queue in enumerate(queues) if queue]
    heapq.heapify(waiting)
    order: list[tuple[int, int, int]] = []
    while waiting:
        _, partition = heapq.heappop(waiting)
        _, place, number = queues[partition].pop()
        order.append((partition, place, number))
        if queues[partition]:
            heapq.heappush(waiting, (queues[partition][-1][0], partition))
    log = Kafka(topic, views=Memory()).log(blocking.PORT)
    found, reached = read(log, limit)
    assert found == order
    assert vector(reached) == Vector([topic.bounds([partition])[partition].high for partition in range(partitions)])
    # Who begins anew, in pages of another size and with another reader in between, is handed the same.
    assert read(log, other)[0] == order
    assert read(Kafka(topic, views=Memory()).log(blocking.PORT), other)[0] == order


@given(st.integers(1, 4), STEPS, STEPS, st.integers(1, 20))
def test_who_reads_on_in_another_process_misses_nothing_and_reads_nothing_twice(
    partitions: int, before: list[tuple[int, str, int]], after: list[tuple[int, str, int]], limit: int
) -> None:
    topic, _ = made_of(partitions, before)
    found, reached = read(Kafka(topic, views=Memory()).log(blocking.PORT), limit)
    whole, expected = made_of(partitions, [*before, *after])
    more, _ = read(Kafka(whole, views=Memory()).log(blocking.PORT), limit, reached)
    numbers = sorted(number for _, _, number in [*found, *more])
    assert numbers == sorted(number for each in expected for _, _, number in each)
