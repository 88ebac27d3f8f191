"""Copies from a topic and to a topic, of one partition and of several."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import (
    Copied,
    LogCopy,
    LogTrimmed,
    Memory,
    Misuse,
    OutcomeUnknown,
    Refused,
    Unavailable,
    UndecodableEvent,
)
from eventsource_upstash._flow import comparing
from eventsource_upstash.backends.kafka import FOREIGN, Kafka
from eventsource_upstash.backends.kafka.topic import Record
from eventsource_upstash.domain.events import StoredEvent
from eventsource_upstash.domain.positions import Vector
from eventsource_upstash.ports import Append, Backend
from eventsource_upstash.testing.colours import Colour
from tests.copying.conftest import Make
from tests.copying.support import HISTORY, Counting, copied, fill, rows_of, written
from tests.copying.test_any_history import appends
from tests.kafka.memory_topic import MemoryTopic
from tests.searching import examples

KINDS = ("memory", "sqlite", "upstash")
COLOURS = pytest.mark.parametrize("colour", Colour, ids=lambda colour: colour.value)


def topic_of(partitions: int, *, atomic: bool = True) -> Kafka:
    return Kafka(MemoryTopic("todo", partitions, atomic=atomic, markers=True), views=Memory())


def by_stream(backend: Backend) -> dict[str, list[tuple[Any, ...]]]:
    """What is in a log, stream by stream: all but positions, and revisions as numbers from 1."""

    async def read() -> list[StoredEvent]:
        log = backend.log(Colour.BLOCKING.port)
        rows: list[StoredEvent] = []
        after = 0
        while True:
            page = await log.read(after, 5, 10**6)
            rows += page.events
            reached = page.reached if page.reached is not None else page.events[-1][0] if page.events else after
            if not page.events and reached == after:
                return rows
            after = reached

    streams: dict[str, list[tuple[Any, ...]]] = {}
    for _, stream, _, *rest in Colour.BLOCKING.run(read()):
        streams.setdefault(stream, []).append(tuple(rest))
    return streams


@COLOURS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("partitions", [1, 3])
def test_there_and_back(make: Make, kind: str, partitions: int, colour: Colour) -> None:
    one, topic, back = make(kind), topic_of(partitions), make(kind)
    fill(one)
    there = copied(colour, one, topic)
    assert by_stream(topic) == by_stream(one)
    assert (there.found, there.copied, there.position) == (0, 12, 12)
    assert isinstance(there.head, Vector) == (partitions > 1)
    returned = copied(colour, topic, back)
    assert by_stream(back) == by_stream(one)
    assert returned.copied == 12
    assert returned.position >= there.head, "beyond it where a transaction ends in a marker"
    assert there.compared is not None
    assert returned.compared is not None
    assert returned.compared.source.digest == there.compared.source.digest
    for source, destination in ((one, topic), (topic, back), (back, topic)):
        again = copied(colour, source, destination)
        assert (again.found, again.copied) == (12, 0)


@pytest.mark.parametrize("others", [1, 2, 5])
def test_from_a_topic_to_another_one(others: int) -> None:
    one, other = topic_of(3), topic_of(others)
    fill(one)
    copied(Colour.BLOCKING, one, other)
    assert by_stream(other) == by_stream(one)


def test_over_rest_each_event_is_written_by_itself() -> None:
    one, other = Memory(), topic_of(3, atomic=False)
    fill(one)
    copied(Colour.BLOCKING, one, other)
    assert by_stream(other) == by_stream(one)


@pytest.mark.parametrize("atomic", [True, False], ids=["native", "over REST"])
@pytest.mark.parametrize("source", ["memory", "topic"])
def test_ended_before_any_write_it_goes_on(source: str, atomic: bool) -> None:
    for number in itertools.count(1):
        topic = MemoryTopic("todo", 3, atomic=atomic, markers=True)
        one, other = Memory() if source == "memory" else topic_of(3), Kafka(topic, views=Memory())
        fill(one)
        left = [number]

        def end(step: str, left: list[int] = left) -> None:
            left[0] -= step == "produce"
            if left[0] < 0:
                raise Refused("as the test says")

        topic.before = end
        try:
            copied(Colour.BLOCKING, one, other)
        except Refused:
            topic.before = lambda _: None
            done = copied(Colour.BLOCKING, one, other)
            assert done.found > 0
            assert done.found + done.copied == 12
            assert by_stream(other) == by_stream(one)
        else:
            # Each partition's part of the first seven in a transaction, and the last one, which might have gone on.
            assert number == (3 if atomic else 12), topic.calls
            break


def test_a_copy_of_a_topic_ended_before_any_append_goes_on() -> None:
    def end() -> None:
        raise Refused("as the test says")

    for number in range(2, len(HISTORY) + 1):
        one, other = topic_of(3), Memory()
        fill(one)
        with pytest.raises(Refused, match="as the test says"):
            copied(Colour.BLOCKING, one, Counting(other, "log.append", number, end))
        done = copied(Colour.BLOCKING, one, other)
        assert done.found > 0
        assert done.found + done.copied == 12
        assert by_stream(other) == by_stream(one)


def test_a_topic_that_has_grown_since_is_gone_on_with() -> None:
    """What comes later may be older, and of another partition: the order of the copy is not the topic's any more."""
    topic = MemoryTopic("todo", 3)
    one, other = Kafka(topic, views=Memory()), Memory()
    fill(one, HISTORY[:4])
    copied(Colour.BLOCKING, one, other)
    topic.grow(5)
    fill(one, [written(f"s{number}", b"{}", number=number, recorded_us=number) for number in range(30)])
    fill(one, HISTORY[4:])
    done = copied(Colour.BLOCKING, one, other)
    assert (done.found, done.copied) == (8, 34)
    assert by_stream(other) == by_stream(one)


def test_a_lost_answer_is_looked_for() -> None:
    topic = MemoryTopic("todo", 2)
    one, other = Memory(), Kafka(topic, views=Memory())
    fill(one)
    calls = itertools.count()

    def lose(step: str) -> None:
        if step == "produce" and next(calls) % 3 == 0:
            raise OutcomeUnknown("as the test says")

    topic.after = lose
    assert copied(Colour.BLOCKING, one, other).copied == 12
    assert by_stream(other) == by_stream(one)
    assert len(topic.records()) == 12


def test_a_topic_is_filled_by_transactions() -> None:
    topic = MemoryTopic("todo", 3)
    one, other = Memory(), Kafka(topic, views=Memory())
    fill(one, [written(f"s{number % 7}", b"{}", number=2 * number) for number in range(2_100)])
    assert copied(Colour.BLOCKING, one, other).copied == 2_100
    assert by_stream(other) == by_stream(one)
    # Of each page a transaction for each 500 events of a partition, and the last event, which might have gone on.
    assert topic.calls.count("produce") <= 3 * (3 + 1) + 1


def test_what_cannot_be_told_ends_the_copy_and_the_next_one_tells() -> None:
    topic = MemoryTopic("todo", 2)
    one, other = Memory(), Kafka(topic, views=Memory())
    fill(one)
    away: list[str] = []

    def lose(step: str) -> None:
        if step == "produce" and len(topic.records()) >= 5 and not away:
            away.append(step)
            raise OutcomeUnknown("as the test says")

    def refuse(step: str) -> None:
        if away:
            raise Unavailable("as the test says")

    topic.before, topic.after = refuse, lose
    with pytest.raises(OutcomeUnknown):
        copied(Colour.BLOCKING, one, other)
    topic.before = topic.after = lambda _: None
    done = copied(Colour.BLOCKING, one, other)
    assert done.found >= 5
    assert by_stream(other) == by_stream(one)
    assert len(topic.records()) == 12


@COLOURS
def test_a_topic_with_other_events_is_refused(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "APART", 10)
    one = Memory()
    fill(one, [written(f"s{number}", b"{}", number=number) for number in range(2_500)])
    for others in ([written("own", b"{}", number=7)], [written("s1", b"{}", number=7)]):
        other = topic_of(3)
        fill(other, others)
        with pytest.raises(Refused, match=r"the destination holds the event .*, which the source does not hold there"):
            copied(colour, one, other)
    other = topic_of(3)
    MemoryTopic.put(other.topic, b"not ours", b"k")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="'kafka:foreign'"):
        copied(colour, one, other)


def test_somebody_else_in_a_topic_is_found_at_the_end() -> None:
    from eventsource_upstash import LogsDiffer

    topic = MemoryTopic("todo", 2)
    one, other = Memory(), Kafka(topic, views=Memory())
    fill(one)

    def write(step: str) -> None:
        if step == "produce":
            topic.before = lambda _: None
            fill(other, [written("own", b"{}", number=7)])

    topic.before = write
    with pytest.raises(LogsDiffer, match=r"the destination holds the event 'paid' .* of stream 'own'"):
        copied(Colour.BLOCKING, one, other)


def test_foreign_messages_are_copied_as_the_events_that_they_are_read_as() -> None:
    topic = MemoryTopic("todo", 2)
    topic.put(b'{"type":"create-task"}', b"task-1", timestamp_ms=1_679_400_000_000)
    topic.put(b"\xff", None, partition=1, timestamp_ms=1_679_400_000_001)
    plain, made = Memory(), Memory()
    copied(Colour.BLOCKING, Kafka(topic, views=Memory()), plain)
    assert {row[2] for rows in by_stream(plain).values() for row in rows} == {"kafka:foreign"}
    foreign = Kafka(topic, views=Memory(), foreign=lambda record: ("create-task", 1, record.value or b"null"))
    copied(Colour.BLOCKING, foreign, made)
    assert {row[2] for rows in by_stream(made).values() for row in rows} == {"create-task"}
    assert copied(Colour.BLOCKING, foreign, made).copied == 0


def test_foreign_messages_may_be_given_their_streams() -> None:
    topic = MemoryTopic("todo", 1)
    topic.put(b'{"id":"1"}', None, timestamp_ms=1)
    topic.put(b'{"id":"2"}', b"key", timestamp_ms=2)

    def task_of(record: Record) -> tuple[str, int, bytes, str]:
        return "create-task", 1, record.value or b"", f"task-{record.offset}"

    other = Memory()
    copied(Colour.BLOCKING, Kafka(topic, views=Memory(), foreign=task_of), other)
    assert [(row[1], row[9]) for row in rows_of(other)] == [("task-0", b'{"id":"1"}'), ("task-1", b'{"id":"2"}')]
    bad = Kafka(topic, views=Memory(), foreign=lambda record: ("create-task", 1, b"{}", "a\nb"))
    with pytest.raises(UndecodableEvent, match="raised Misuse at it"):
        copied(Colour.BLOCKING, bad, Memory())


def test_a_key_that_can_be_no_stream_is_copied_as_foreign() -> None:
    topic = MemoryTopic("todo", 1)
    topic.put(b"1", b"a\nb")
    other = Memory()
    copied(Colour.BLOCKING, Kafka(topic, views=Memory()), other)
    assert [row[1] for row in rows_of(other)] == [FOREIGN]


def test_a_type_that_nobody_can_register_is_not_copied() -> None:
    """It would be read as somebody else's record. A log that only apps have written to holds none."""
    one, topic = Memory(), MemoryTopic("todo", 1)
    fill(one, [written("a", b"1", number=1), written("a", b"2", number=2, type_="Schuld \u2014 erlassen")])
    with pytest.raises(Misuse, match=r"'a': 'Schuld . erlassen' can be no event type's name"):
        copied(Colour.BLOCKING, one, Kafka(topic, views=Memory()))
    assert not rows_of(Kafka(topic, views=Memory()))


def test_what_retention_took_is_told() -> None:
    topic = MemoryTopic("todo", 1)
    one = Kafka(topic, views=Memory())
    fill(one)
    topic.truncate(0, 3)
    with pytest.raises(LogTrimmed):
        copied(Colour.BLOCKING, one, Memory())
    rest = Kafka(topic, views=Memory(), beginning="0:3")
    assert copied(Colour.BLOCKING, rest, Memory()).copied == 9


def check(history: list[Append], end: int, one: Backend, other: Backend) -> None:
    fill(one, history[:end])
    first: Copied = LogCopy(one, other).run()
    fill(one, history[end:])
    second = LogCopy(one, other).run()
    assert second.found == first.copied
    assert by_stream(other) == by_stream(one)


@settings(max_examples=examples(20))
@given(appends(), st.integers(0, 8), st.integers(1, 4), st.booleans())
def test_any_history(history: list[Append], end: int, partitions: int, atomic: bool) -> None:
    check(history, end, Memory(), topic_of(partitions, atomic=atomic))
    check(history, end, topic_of(partitions), Memory())
    check(history, end, topic_of(partitions), topic_of(3, atomic=atomic))
