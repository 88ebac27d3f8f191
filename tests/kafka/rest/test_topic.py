"""A topic over HTTP, in each dialect: what its contract says, whatever the server is like."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Refused, TooLarge, Unavailable
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.rest.topic import RestClient
from eventsource_upstash.backends.kafka.topic import Bounds, Fetched, NewRecord, OutOfRange, Topic
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.rest.double import DIALECTS, PASSWORD, URL, USER, ConfluentServer, Doubled, Failure, doubled

T = TypeVar("T")

MEGABYTES = 4 * 1024**2

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


def run(work: Coroutine[Any, Any, T]) -> T:
    return blocking.run(work)


def opened(topic: MemoryTopic, dialect: Dialect) -> tuple[RestClient, Doubled]:
    described, port = doubled(topic, dialect)
    return described.client(port), port


def filled(count: int, partitions: int = 1) -> MemoryTopic:
    topic = MemoryTopic(partitions=partitions)
    for number in range(count):
        topic.put(b"value-%d" % number, b"key", partition=number % partitions)
    return topic


def offsets(fetched: Fetched, partition: int = 0) -> list[int]:
    return [record.offset for record in fetched.records if record.partition == partition]


def everything(client: RestClient, asked: dict[int, int], limit: int = 7) -> dict[int, list[int]]:
    """What is read page by page until nothing is left."""
    found: dict[int, list[int]] = {partition: [] for partition in asked}
    for _ in range(200):
        fetched = run(client.fetch(asked, limit, MEGABYTES))
        for partition, offset in asked.items():
            found[partition] += offsets(fetched, partition)
            assert fetched.reached[partition] >= offset
        if fetched.ended >= asked.keys():
            return found
        assert fetched.reached != asked, "it does not move on"
        asked = {partition: fetched.reached[partition] for partition in asked}
    raise AssertionError("it does not end")


def test_a_record_comes_back_as_it_was_written(dialect: Dialect) -> None:
    topic = MemoryTopic(partitions=3)
    client, _ = opened(topic, dialect)
    record = NewRecord(
        "task-ü".encode(), '{"text":"/ # % \\"ü\\""}'.encode(), 1_700_000_000_123, (("content-type", b"x"),)
    )
    assert run(client.produce(2, [record]))[0] == [0]
    (found,) = run(client.fetch({2: 0}, 10, MEGABYTES)).records
    assert (found.partition, found.offset, found.key, found.value) == (2, 0, record.key, record.value)
    if dialect in ("upstash", "confluent-v3"):
        assert topic.records()[0].headers == record.headers
    if dialect == "upstash":
        assert found.timestamp_ms == record.timestamp_ms
        assert found.headers == record.headers


@pytest.mark.parametrize("partitions", [1, 2, 5, 12])
def test_partitions_and_bounds(dialect: Dialect, partitions: int) -> None:
    topic = filled(30, partitions)
    client, _ = opened(topic, dialect)
    for _ in range(2):  # the second time it knows something
        assert run(client.partitions())[0] == partitions
        found, _ = run(client.bounds(range(partitions)))
        assert found == topic.bounds(range(partitions))
    topic.grow(partitions + 2)
    assert run(client.partitions())[0] == partitions + 2
    assert run(client.bounds([partitions]))[0] == {partitions: Bounds(0, 0)}


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1), (0, 40), (1, 40), (33, 40), (39, 40)])
def test_bounds_wherever_they_are(dialect: Dialect, low: int, high: int) -> None:
    topic = filled(high)
    topic.truncate(0, low)
    client, _ = opened(topic, dialect)
    assert run(client.bounds([0]))[0] == {0: Bounds(low, high)}
    assert run(client.bounds([0]))[0] == {0: Bounds(low, high)}


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("limit", [1, 4, 1_000])
def test_all_is_read_in_order_and_no_partition_waits(dialect: Dialect, partitions: int, limit: int) -> None:
    topic = filled(25, partitions)
    client, _ = opened(topic, dialect)
    found = everything(client, dict.fromkeys(range(partitions), 0), limit)
    assert found == {number: [each.offset for each in topic.records(number)] for number in range(partitions)}
    fetched = run(client.fetch(dict.fromkeys(range(partitions), 0), limit, MEGABYTES))
    assert all(offsets(fetched, partition) for partition in range(partitions))
    assert len(fetched.records) <= max(limit, partitions)


def test_at_least_one_record_comes_however_large_it_is(dialect: Dialect) -> None:
    topic = MemoryTopic()
    topic.put(b"x" * 900_000)
    topic.put(b"x" * 1_400_000)
    client, _ = opened(topic, dialect)
    assert everything(client, {0: 0}, 10) == {0: [0, 1]}
    fetched = run(client.fetch({0: 0}, 10, 1))
    assert offsets(fetched) == [0]
    assert (fetched.reached, fetched.ended) == ({0: 1}, frozenset())


def test_nothing_new_is_the_end(dialect: Dialect) -> None:
    client, _ = opened(filled(3), dialect)
    assert run(client.fetch({0: 3}, 10, MEGABYTES))[:3] == ([], {0: 3}, frozenset({0}))
    client, _ = opened(MemoryTopic(), dialect)
    assert run(client.fetch({0: 0}, 10, MEGABYTES))[:3] == ([], {0: 0}, frozenset({0}))


def test_gaps_are_passed(dialect: Dialect) -> None:
    topic = filled(4)
    topic.gap(0, 2)
    topic.put(b"after")
    topic.compact(0, 1)
    client, _ = opened(topic, dialect)
    assert everything(client, {0: 0}) == {0: [0, 2, 3, 6]}
    assert everything(client, {0: 1}) == {0: [2, 3, 6]}
    assert everything(client, {0: 4}) == {0: [6]}


def test_a_gap_at_the_end_is_the_end_and_is_not_passed(dialect: Dialect) -> None:
    """What a server does not hand out may be a record that is not committed yet."""
    topic = filled(2)
    topic.gap(0, 1)
    client, _ = opened(topic, dialect)
    fetched = run(client.fetch({0: 2}, 10, MEGABYTES))
    assert (fetched.records, fetched.reached, fetched.ended) == ([], {0: 2}, frozenset({0}))
    topic.put(b"more")
    assert everything(client, {0: 2}) == {0: [3]}


@pytest.mark.parametrize("slow", [1, 2, 3, 7])
def test_a_server_that_is_slow_is_waited_for_or_unavailable_and_never_the_end(dialect: Dialect, slow: int) -> None:
    for number in range(6):
        topic = filled(12)
        topic.gap(0, 1)
        topic.put(b"last")
        client, port = opened(topic, dialect)
        found: list[int] = []
        tries = 0
        while len(found) < 13:
            if tries == number:
                port.server.slow = slow
            tries += 1
            try:
                fetched = run(client.fetch({0: found[-1] + 1 if found else 0}, 4, MEGABYTES))
            except Unavailable as unavailable:
                assert "nothing was skipped" in str(unavailable)  # noqa: PT017  it may come, and need not
                continue
            found += offsets(fetched)
            assert not fetched.ended or len(found) == 13, "it was taken for the end"
        assert found == [*range(12), 13]


def test_a_server_that_hands_out_nothing_is_unavailable(dialect: Dialect) -> None:
    client, port = opened(filled(12), dialect)
    port.server.slow = 1_000
    for offset in (0, 5, 11):
        with pytest.raises(Unavailable, match=f"goes on from offset {offset}, .*nothing was skipped"):
            run(client.fetch({0: offset}, 10, MEGABYTES))


def test_tombstones_and_records_without_a_key(dialect: Dialect) -> None:
    topic = MemoryTopic()
    topic.put(None, b"gone")
    topic.put(b"{}", None)
    client, _ = opened(topic, dialect)
    assert [(each.key, each.value) for each in run(client.fetch({0: 0}, 10, MEGABYTES)).records] == [
        (b"gone", None),
        (None, b"{}"),
    ]


@pytest.mark.parametrize(("low", "asked"), [(5, 2), (8, 7), (5, 0)])
def test_what_retention_took_is_said(dialect: Dialect, low: int, asked: int) -> None:
    topic = filled(10)
    topic.truncate(0, low)
    client, _ = opened(topic, dialect)
    with pytest.raises(OutOfRange) as caught:
        run(client.fetch({0: asked}, 10, MEGABYTES))
    assert (caught.value.partition, caught.value.offset, caught.value.bounds) == (0, asked, Bounds(low, 10))
    assert everything(client, {0: low}) == {0: list(range(low, 10))}


@pytest.mark.parametrize("taken", [1, 3, 6, 9])
def test_what_retention_takes_while_it_is_read_is_said(dialect: Dialect, taken: int) -> None:
    for number in range(1, 12):
        topic = filled(10)
        client, port = opened(topic, dialect)

        def trim(sent: int, number: int = number, topic: MemoryTopic = topic) -> None:
            if sent == number:
                topic.truncate(0, taken)

        port.before = trim
        found: list[int] = []
        lost: OutOfRange | None = None
        while len(found) < 10 and lost is None:
            try:
                found += offsets(run(client.fetch({0: len(found)}, 1_000, MEGABYTES)))
            except OutOfRange as out:
                lost = out
            assert found == list(range(len(found))), f"a silent jump, at request {number}"
        if lost is not None:
            assert (lost.offset, lost.bounds.low) == (len(found), taken)


def test_an_offset_beyond_the_end_is_said(dialect: Dialect) -> None:
    client, _ = opened(filled(3), dialect)
    with pytest.raises(OutOfRange) as caught:
        run(client.fetch({0: 7}, 10, MEGABYTES))
    assert (caught.value.offset, caught.value.bounds) == (7, Bounds(0, 3))


def test_a_topic_that_was_made_anew(dialect: Dialect) -> None:
    topic = filled(9, 3)
    client, _ = opened(topic, dialect)
    everything(client, {0: 0, 1: 0, 2: 0})
    topic.recreate(2)
    topic.put(b"first", partition=1)
    assert run(client.partitions())[0] == 2
    assert run(client.bounds([0, 1]))[0] == {0: Bounds(0, 0), 1: Bounds(0, 1)}


def test_no_such_topic(dialect: Dialect) -> None:
    described = RestTopic(URL, "absent", dialect=dialect, username=USER, password=PASSWORD)
    port = doubled(filled(1), dialect)[1]
    client = described.client(port)
    with pytest.raises(Refused, match="topic"):
        run(client.partitions())
    with pytest.raises(Refused, match="topic"):
        run(client.produce(0, [NewRecord(b"k", b"v", 0)]))
    with pytest.raises(Refused):
        run(client.fetch({0: 0}, 10, MEGABYTES))


def test_one_record_at_a_time(dialect: Dialect) -> None:
    topic = MemoryTopic()
    client, port = opened(topic, dialect)
    described: Topic = doubled(topic, dialect)[0]
    assert described.atomic is False
    with pytest.raises(Misuse, match="one at a time"):
        run(client.produce(0, [NewRecord(b"k", b"v", 0)] * 2))
    assert port.sent == 0


def test_a_lost_request_or_answer_to_a_read_is_asked_again(dialect: Dialect) -> None:
    topic = filled(25, 3)
    whole = {number: [each.offset for each in topic.records(number)] for number in range(3)}
    for when in ("before", "after"):
        number = 0
        while True:
            number += 1
            client, port = opened(topic, dialect)

            def lose(sent: int, number: int = number) -> None:
                if sent == number:
                    raise OutcomeUnknown("lost")

            setattr(port, when, lose)
            assert everything(client, {0: 0, 1: 0, 2: 0}) == whole
            assert run(client.partitions())[0] == 3
            assert run(client.bounds([0, 1, 2]))[0] == topic.bounds([0, 1, 2])
            if port.sent < number:
                break
        assert number > 5


def test_reads_that_are_lost_again_and_again_are_unavailable(dialect: Dialect) -> None:
    client, port = opened(filled(3), dialect)

    def lose(_: int) -> None:
        raise OutcomeUnknown("lost")

    port.after = lose
    for work in (client.partitions(), client.bounds([0]), client.fetch({0: 0}, 10, MEGABYTES)):
        with pytest.raises(Unavailable, match="6 attempts"):
            run(work)


def test_an_append_is_sent_again_only_when_it_cannot_have_arrived(dialect: Dialect) -> None:
    topic = MemoryTopic()
    client, port = opened(topic, dialect)
    run(client.produce(0, [NewRecord(b"k", b"v", 0)]))
    first = port.sent

    def refuse(sent: int) -> None:
        if sent <= first + 2:
            raise Unavailable("could not be reached")

    port.before = refuse
    offsets, receipt = run(client.produce(0, [NewRecord(b"k", b"v", 0)]))
    assert (offsets, receipt.requests) == ([1], 1)

    def lose(_: int) -> None:
        raise OutcomeUnknown("lost")

    port.after = lose
    sent = port.sent
    with pytest.raises(OutcomeUnknown, match="whether it was written is not known"):
        run(client.produce(0, [NewRecord(b"k", b"v", 0)]))
    assert (port.sent - sent, len(topic.records())) == (1, 3)


def test_too_large(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic()
    client, port = opened(topic, dialect)

    def answer(_: HttpRequest) -> HttpResponse:
        return port.server.failed(Failure(413, 413, "Request Entity Too Large"))

    run(client.produce(0, [NewRecord(b"k", b"v", 0)]))
    monkeypatch.setattr(port.server, "answer", answer)
    with pytest.raises(TooLarge, match="too large for the server"):
        run(client.produce(0, [NewRecord(b"k", b"v" * 100, 0)]))
    assert len(topic.records()) == 1


def test_no_consumer_is_left(dialect: Dialect) -> None:
    topic = filled(10, 2)
    client, port = opened(topic, dialect)
    everything(client, {0: 0, 1: 0})
    topic.truncate(0, 3)
    run(doubled(topic, dialect)[0].client(port).bounds([0, 1]))
    server = port.server
    assert not getattr(server, "consumers", {})
    if isinstance(server, ConfluentServer):
        assert any(each.startswith("DELETE") for each in server.requests)
