"""A topic as a log: merged by time, gaps and all; what was trimmed, recreated or grown is noticed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from eventsource_upstash import LogTrimmed, Memory, Misuse
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.backends.kafka.log import KafkaLog
from eventsource_upstash.backends.kafka.partitioner import partition_for
from eventsource_upstash.backends.kafka.topic import Fetched
from eventsource_upstash.domain.events import ANY, Appended, StoredEvent
from eventsource_upstash.domain.positions import Vector, position_at
from eventsource_upstash.domain.queries import Query
from eventsource_upstash.ports import Append, KeyReused, Log, Page, PartitionedLog
from tests.kafka.memory_topic import MemoryTopic

T = TypeVar("T")

MEGABYTES = 4 * 1024**2


def run(work: Coroutine[Any, Any, T]) -> T:
    return blocking.run(work)


def log_of(topic: MemoryTopic, **options: Any) -> KafkaLog:
    log = Kafka(topic, views=Memory(), **options).log(blocking.PORT)
    assert isinstance(log, KafkaLog)
    return log


def an_append(stream: str, *payloads: bytes, at: int, key: str | None = None) -> Append:
    events = [("happened", 1, payload) for payload in payloads or (b"%d" % at,)]
    return Append(stream, ANY, events, at, at << 20, key=key, digest=b"" if key is None else b"".join(payloads))


def append(log: Log, stream: str, *payloads: bytes, at: int, key: str | None = None) -> Appended:
    answer = run(log.append(an_append(stream, *payloads, at=at, key=key)))
    assert isinstance(answer, Appended)
    return answer


def pages(log: Log, after: int = 0, limit: int = 1_000, query: Query | None = None) -> list[Page]:
    found: list[Page] = []
    while True:
        page = run(log.read(after, limit, MEGABYTES, query))
        found.append(page)
        assert page.reached is not None
        assert page.reached > after or page.reached == page.head
        after = page.reached
        if after >= page.head:
            return found


def rows(log: Log, after: int = 0, limit: int = 1_000, query: Query | None = None) -> list[StoredEvent]:
    return [row for page in pages(log, after, limit, query) for row in page.events]


def payloads(log: Log, after: int = 0, limit: int = 1_000) -> list[bytes]:
    return [row[9] for row in rows(log, after, limit)]


def test_it_is_a_log_in_partitions() -> None:
    backend = Kafka(MemoryTopic(), views=Memory())
    log: PartitionedLog = log_of(MemoryTopic(partitions=3))
    assert backend.capabilities.partitions
    assert run(log.partitions())[0] == 3
    assert log.partition_of("a", 3) == partition_for("a", 3)


def test_one_partition_reads_as_plain_numbers() -> None:
    log = log_of(MemoryTopic())
    first, second = append(log, "a", at=1), append(log, "b", b"2", b"3", at=2)
    assert (first.position, second.position, second.revision) == (1, 3, 3)
    (page,) = pages(log)
    assert [type(each) for each in (page.head, page.reached)] == [int, int]
    assert (page.head, page.reached) == (3, 3)
    assert [row[0] for row in page.events] == [1, 2, 3]
    assert run(log.head())[0] == 3


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
def test_partitions_are_merged_by_the_time_of_their_events(limit: int) -> None:
    topic = MemoryTopic(partitions=4)
    log = log_of(topic)
    for at in range(1, 60):
        append(log, f"stream-{at % 11}", at=at)
    found = pages(log, limit=limit)
    assert [row[9] for page in found for row in page.events] == [b"%d" % at for at in range(1, 60)]
    assert isinstance(found[-1].head, Vector)
    assert int(found[-1].head) == 59
    for page in found:
        assert len(page.events) <= limit
    for row in rows(log):
        assert row[0] == position_at(partition_for(row[1], 4), row[2])


def test_what_was_fetched_too_much_is_kept_for_the_next_page() -> None:
    topic = MemoryTopic(partitions=2)
    log = log_of(topic)
    for at in range(1, 401):
        append(log, f"stream-{at % 7}", at=at)
    topic.calls.clear()
    assert len(rows(log, limit=20)) == 400
    assert topic.calls.count("fetch") < 20  # 50 records of each partition in each


@pytest.mark.parametrize(("partitions", "streams"), [(64, 640), (64, 1), (256, 1), (1, 9)])
def test_what_a_page_costs_is_no_matter_of_how_events_are_spread_over_partitions(partitions: int, streams: int) -> None:
    topic = MemoryTopic(partitions=partitions)
    log = log_of(topic)
    for at in range(1, 3_001):
        append(log, f"stream-{at % streams}", at=at)
    topic.calls.clear()
    assert len(rows(log, limit=500)) == 3_000
    # One for a page or less; where all is in one partition, a second one that finds the others empty.
    assert topic.calls.count("fetch") <= 2 * 7


@pytest.mark.parametrize("behind", [0, 3_000])
def test_a_stream_that_has_moved_twice_is_read_in_its_order(behind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic()
    reader = log_of(topic)
    at = iter(range(1, 10_000))
    append(log_of(topic), "first", at=next(at))
    after = pages(reader)[-1].reached or 0
    stream = next(f"s{n}" for n in range(99) if partition_for(f"s{n}", 2) == 1 and partition_for(f"s{n}", 3) == 0)
    for partitions in (1, 2, 3):
        topic.grow(partitions)
        append(log_of(topic), stream, at=next(at))
    for _ in range(behind):
        append(log_of(topic), stream, at=next(at))
    if behind:  # it has not come to the end for long
        monkeypatch.setattr("eventsource_upstash.backends.kafka.log.PARTITIONS_KNOWN_FOR", 0.0)
    found = [row[3] for row in rows(reader, after)]
    assert found == sorted(found)
    assert len(found) == 3 + behind


def test_large_events_do_not_pile_up_while_their_partition_waits_for_its_turn() -> None:
    topic = MemoryTopic(partitions=4)
    log = log_of(topic)
    for at in range(1, 401):
        stream = f"stream-{at % 40}"
        append(log, stream, b'"%s"' % (b"x" * 100_000), at=at if partition_for(stream, 4) == 0 else 1_000 + at)
    kept: list[int] = []
    fetch = topic.fetch

    def fetching(offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        found = fetch(offsets, limit, max_bytes)
        kept.append(len(found.records))
        return found

    topic.fetch = fetching  # type: ignore[method-assign]
    most = after = handed = 0
    while len(topic.records(0)) > handed:  # the others wait
        page = run(log.read(after, 10, MEGABYTES))
        handed += len(page.events)
        after = page.reached or 0
        most = max(most, sum(kept) - handed)
    assert most <= 4 * 20  # two shares of 1 MB for each partition


def test_two_who_read_at_different_places_take_nothing_from_each_other() -> None:
    topic = MemoryTopic(partitions=2)
    log = log_of(topic)
    for at in range(1, 2_001):
        append(log, f"stream-{at % 7}", at=at)
    places = {"behind": 0, "ahead": run(log.read(0, 1_500, MEGABYTES)).reached or 0}
    for who in ("behind", "ahead"):
        places[who] = run(log.read(places[who], 10, MEGABYTES)).reached or 0
    topic.calls.clear()
    for _ in range(4):
        for who, after in places.items():
            page = run(log.read(after, 10, MEGABYTES))
            assert len(page.events) == 10
            places[who] = page.reached or 0
    assert topic.calls.count("fetch") == 0


def test_an_event_stands_at_its_position_and_nothing_before_it_comes_later() -> None:
    log = log_of(MemoryTopic(partitions=3))
    given = [append(log, f"s{at}", at=at) for at in range(1, 20)]
    for appended in given:
        page = run(log.read(appended.position - 1, 1, MEGABYTES))
        assert page.reached is not None
    head = run(log.head())[0]
    assert all(appended.position <= head for appended in given)


def test_gaps_are_passed_over_and_reached() -> None:
    topic = MemoryTopic(markers=True)
    log = log_of(topic)
    topic.gap(0, 3)
    append(log, "a", b"1", b"2", at=1)
    topic.gap(0, 2)
    append(log, "a", b"3", at=2)
    topic.gap(0, 4)
    assert [row[0] for row in rows(log)] == [4, 5, 9]
    page = run(log.read(9, 100, MEGABYTES))
    assert (page.events, page.reached, page.head) == ([], 13, 13)
    assert run(log.head())[0] == 13
    topic.compact(0, 3)
    assert payloads(log_of(topic)) == [b"2", b"3"]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_repeat_is_handed_out_once(partitions: int) -> None:
    topic = MemoryTopic(partitions=partitions)
    log = log_of(topic)
    for at in range(1, 6):
        append(log, "a", at=at)
    partition = partition_for("a", partitions)
    (record, *_) = topic.records(partition)
    topic.put(record.value, record.key, partition=partition)
    append(log, "a", at=6)
    expected = [b"%d" % at for at in range(1, 7)]
    assert payloads(log) == expected
    for limit in (1, 2, 5):
        assert payloads(log_of(topic), limit=limit) == expected
    # A reader that was not there before looks back.
    fresh = log_of(topic)
    after = Vector().moved({partition: 5})
    assert payloads(fresh, after) == [b"6"]
    assert run(fresh.read(after, 100, MEGABYTES)).reached == Vector().moved({partition: 7})


def test_a_repeat_beyond_the_window_comes_again() -> None:
    for between, times in ((999, 1), (1_000, 2)):
        topic = MemoryTopic()
        log = log_of(topic)
        append(log, "a", at=1)
        topic.gap(0, between)
        (record,) = topic.records()
        topic.put(record.value, record.key)
        assert payloads(log) == [b"1"] * times
        assert len(rows(log_of(topic), between)) == times - 1


def test_two_appends_under_one_key_at_once_are_handed_out_once() -> None:
    topic = MemoryTopic()
    one, two = log_of(topic), log_of(MemoryTopic())
    append(one, "a", b"1", b"2", at=1, key="key")
    append(two, "a", b"1", b"2", at=2, key="key")  # as if neither had seen the other
    other = MemoryTopic()
    for record in (*topic.records(), *topic.records()):
        other.put(record.value, record.key)
    assert payloads(log_of(other)) == [b"1", b"2"]
    assert append(log_of(other), "a", b"1", b"2", at=3, key="key") == Appended(2, 2, repeated=True)


def test_a_key_is_known_within_the_window() -> None:
    topic = MemoryTopic()
    log = log_of(topic)
    first = append(log, "a", b"1", b"2", at=1, key="key")
    append(log, "a", at=2)
    assert append(log_of(topic), "a", b"1", b"2", at=3, key="key") == Appended(
        first.position, first.revision, repeated=True
    )
    assert run(log.append(an_append("a", b"other", at=4, key="key"))) == KeyReused()
    assert run(log.append(an_append("b", b"1", b"2", at=5, key="key"))) == KeyReused()
    assert run(log.recall("a", "key")) == Appended(first.position, first.revision, repeated=True)
    assert isinstance(run(log.recall("b", "key")), KeyReused)
    assert not isinstance(run(log.recall("a", "another")), (Appended, KeyReused))
    topic.gap(0, 1_000)
    assert append(log, "a", b"1", b"2", at=6, key="key").repeated is False
    assert payloads(log) == [b"1", b"2", b"2", b"1", b"2"]


def test_what_retention_took_before_it_was_read_is_told() -> None:
    topic = MemoryTopic("todo", partitions=2)
    log = log_of(topic)
    for at in range(1, 41):
        append(log, f"stream-{at}", at=at)
    at_five = Vector((5, 5))
    topic.truncate(1, 5)
    assert len(rows(log, at_five)) == 30  # it was read
    topic.truncate(1, 8)
    with pytest.raises(LogTrimmed, match=r"topic 'todo', partition 1: the offsets 5 to 7 .* beginning='1:8'") as told:
        run(log_of(topic).read(at_five, 100, MEGABYTES))
    assert (told.value.topic, told.value.partition, told.value.first, told.value.last) == ("todo", 1, 5, 7)
    with pytest.raises(LogTrimmed, match="the offsets 0 to 7"):
        run(log_of(topic).read(0, 100, MEGABYTES))
    declared = log_of(topic, beginning="1:8")
    assert len(rows(declared)) == 32
    assert len(rows(declared, at_five)) == 27
    with pytest.raises(LogTrimmed, match="the offsets 7 to 7"):
        run(log_of(topic, beginning="1:7").read(0, 100, MEGABYTES))


def test_a_topic_that_was_made_anew_has_a_head_below_who_has_read_it() -> None:
    for partitions in (1, 2):
        topic = MemoryTopic(partitions=partitions)
        log = log_of(topic)
        for at in range(1, 21):
            append(log, f"s{at}", at=at)
        reached = run(log.head())[0]
        topic.recreate()
        for at in range(30, 35):
            append(log, f"s{at}", at=at)
        page = run(log.read(reached, 100, MEGABYTES))
        assert page.events == []
        assert not reached <= page.head
        assert page.reached == reached
        assert not reached <= run(log.head())[0]


def test_new_partitions_are_noticed_and_read_from_their_beginning(caplog: pytest.LogCaptureFixture) -> None:
    topic = MemoryTopic("todo")
    reader, writer = log_of(topic), log_of(topic)
    for at in range(1, 11):
        append(writer, f"s{at}", at=at)
    (page,) = pages(reader)
    assert page.reached == 10
    topic.grow(3)
    for at in range(11, 31):
        append(log_of(topic), f"s{at}", at=at)
    with caplog.at_level(logging.WARNING, "eventsource_upstash.kafka"):
        found = rows(reader, page.reached)
    assert sorted(row[3] for row in found) == list(range(11, 31))
    assert [record.getMessage()[:36] for record in caplog.records] == ["topic todo has 3 partitions, and had"]
    assert payloads(log_of(topic)) == [b"%d" % at for at in range(1, 31)]


def test_a_query_is_answered_by_looking_at_everything() -> None:
    log = log_of(MemoryTopic(partitions=3))
    for at in range(1, 51):
        tags = b'["seventh"]' if at % 7 == 0 else None
        run(log.append(Append(f"s{at % 5}", ANY, [("a" if at % 2 else "b", 1, b"%d" % at)], at, at << 20, tags=tags)))
    for limit in (1, 3, 1_000):
        assert [row[3] for row in rows(log, 0, limit, Query.of(tags=["seventh"]))] == [7, 14, 21, 28, 35, 42, 49]
        assert [row[3] for row in rows(log, 0, limit, Query.of(types=["a"], tags=["seventh"]))] == [7, 21, 35, 49]
    assert rows(log, 0, 10, Query.of(tags=["never"])) == []


def test_a_partition_is_a_log_of_its_own() -> None:
    topic = MemoryTopic(partitions=3)
    log = log_of(topic)
    empty = log.part(1)
    assert run(empty.head())[0] == 0
    assert run(empty.read(0, 10, MEGABYTES)).reached == 0
    for at in range(1, 40):
        append(log, f"s{at}", at=at)
    for partition in range(3):
        part = log.part(partition)
        expected = [row for row in rows(log) if row[0] >> 40 == partition]
        assert rows(part, 0, 7) == expected
        assert run(part.head())[0] == expected[-1][0]
        assert rows(part, expected[4][0], 7) == expected[5:]
        with pytest.raises(Misuse, match="not in partition"):
            run(part.read(position_at((partition + 1) % 3, 5), 10, MEGABYTES))


def test_positions_beyond_the_topic_are_beyond_the_head() -> None:
    log = log_of(MemoryTopic(partitions=2))
    append(log, "a", at=1)
    for far in (2**63 - 1, position_at(7, 3), Vector((0, 0, 0, 4))):
        page = run(log.read(far, 10, MEGABYTES))
        assert page.events == []
        assert not far <= page.head


@pytest.mark.parametrize(
    "misuse",
    [
        lambda log: log.append(Append("a", 0, [("t", 1, b"1")], 1, 1)),
        lambda log: log.read_stream("a", 0, 10, 10),
    ],
)
def test_what_kafka_cannot_do_is_refused(misuse: Callable[[KafkaLog], Coroutine[Any, Any, object]]) -> None:
    with pytest.raises(Misuse, match="Redis and SQLite"):
        run(misuse(log_of(MemoryTopic())))


def test_several_events_are_refused_where_nothing_makes_them_one() -> None:
    topic = MemoryTopic(atomic=False)
    with pytest.raises(Misuse, match="append one at a time"):
        append(log_of(topic), "a", b"1", b"2", at=1)
    assert topic.records() == []
    assert append(log_of(topic), "a", at=1).position == 1


def test_what_was_there_before_is_read_once_and_only_if_there_is_something_new() -> None:
    topic = MemoryTopic()
    writer = log_of(topic)
    for at in range(1, 51):
        append(writer, "a", at=at)
    reader = log_of(topic)
    topic.calls.clear()
    assert len(rows(reader, 40, limit=3)) == 10  # four pages
    assert topic.calls == [
        "partitions",
        "fetch",
        "fetch",
        "fetch",
        "partitions",
    ]  # the last two for what came meanwhile
    topic.calls.clear()
    assert rows(reader, 50) == []
    assert topic.calls == ["fetch", "partitions"]
    append(writer, "a", at=51)
    topic.calls.clear()
    assert payloads(reader, 50) == [b"51"]
    assert topic.calls == ["fetch", "partitions"]
