"""A topic over Kafka's own protocol does what the contract of a topic says, in both colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from eventsource_upstash import NativeTopic, Refused
from eventsource_upstash.backends.kafka.topic import Bounds, Fetched, NewRecord, OutOfRange, Record, TopicClient
from eventsource_upstash.testing.colours import Colour
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker

Opened = Callable[..., NativeTopic]
MEGABYTE = 1024 * 1024

pytestmark = pytest.mark.parametrize("colour", list(Colour), ids=lambda colour: colour.name.lower())


def new(value: str, key: str = "task-1", **fields: object) -> NewRecord:
    return NewRecord(key.encode(), value.encode(), 1_700_000_000_000, (("content-type", b"text/plain"),))


def values(records: Sequence[Record]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


async def everything(
    client: TopicClient, offsets: Mapping[int, int], limit: int = 1_000, max_bytes: int = MEGABYTE
) -> tuple[list[Record], list[Fetched]]:
    """What there is from offsets on, and the pages that it came in."""
    records: list[Record] = []
    pages: list[Fetched] = []
    while not pages or len(pages[-1].ended) < len(offsets):
        page = await client.fetch(offsets, limit, max_bytes)
        assert page.records or page.ended
        pages.append(page)
        records += page.records
        offsets = page.reached
    return records, pages


def test_what_is_written_is_read(colour: Colour, opened: Opened) -> None:
    topic = opened(partitions=2)

    async def work() -> None:
        client = topic.client(colour.port)
        assert (await client.partitions())[0] == 2
        assert (await client.produce(1, [new("a")]))[0] == [0]
        assert (await client.produce(1, [new("b", key="k\u00fc")]))[0] == [1]
        assert (await client.bounds([0, 1]))[0] == {0: Bounds(0, 0), 1: Bounds(0, 2)}
        found = await client.fetch({0: 0, 1: 0}, 100, MEGABYTE)
        headers = (("content-type", b"text/plain"),)
        assert found.records == [
            Record(1, 0, 1_700_000_000_000, b"task-1", b"a", headers),
            Record(1, 1, 1_700_000_000_000, "k\u00fc".encode(), b"b", headers),
        ]
        assert found.reached == {0: 0, 1: 2}
        assert found.ended == {0, 1}
        assert found.receipt.bytes_received == 2

    colour.run(work())


def test_reading_goes_on_where_it_was_and_sees_what_came_meanwhile(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        for number in range(7):
            await client.produce(0, [new(str(number))])
        records, pages = await everything(client, {0: 0}, limit=3)
        assert values(records) == [str(number) for number in range(7)]
        assert [len(page.records) for page in pages] == [3, 3, 1]
        assert [bool(page.ended) for page in pages] == [False, False, True]
        for number in range(3):
            await client.produce(0, [new(f"later {number}")])
            found = await client.fetch({0: 7 + number}, 10, MEGABYTE)
            assert values(found.records) == [f"later {number}"]
            assert found.ended == {0}

    colour.run(work())


def test_reading_starts_anywhere(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        for number in range(10):
            await client.produce(0, [new(str(number))])
        for offset in (0, 7, 3, 4, 0, 10, 9):
            found = await client.fetch({0: offset}, 4, MEGABYTE)
            assert values(found.records) == [str(number) for number in range(10)][offset : offset + 4]
            assert found.reached == {0: min(offset + 4, 10)}

    colour.run(work())


def test_an_offset_that_is_not_there_is_told(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        await client.produce(0, [new("a")])
        with pytest.raises(OutOfRange) as raised:
            await client.fetch({0: 2}, 10, MEGABYTE)
        assert (raised.value.partition, raised.value.offset, raised.value.bounds) == (0, 2, Bounds(0, 1))
        assert values((await client.fetch({0: 0}, 10, MEGABYTE)).records) == ["a"]

    colour.run(work())


def test_several_records_are_written_all_or_none(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        first, _ = await client.produce(0, [new("a"), new("b"), new("c")])
        assert first == [0, 1, 2]
        second, _ = await client.produce(0, [new("d"), new("e")])
        assert second[0] > 3, "a transaction leaves a mark behind"
        last, _ = await client.produce(0, [new("f")])
        records, pages = await everything(client, {0: 0}, limit=2)
        assert values(records) == list("abcdef")
        assert [record.offset for record in records] == first + second + last
        assert pages[-1].reached == {0: last[-1] + 1}

    colour.run(work())


def test_more_records_than_the_producer_holds_at_once_are_written(colour: Colour, opened: Opened) -> None:
    topic = opened(options={**ONE_RECORD_A_BATCH, "queue.buffering.max.messages": 5})

    async def work() -> None:
        client = topic.client(colour.port)
        assert len((await client.produce(0, [new(str(number)) for number in range(30)]))[0]) == 30
        records, _ = await everything(client, {0: 0})
        assert values(records) == [str(number) for number in range(30)]

    colour.run(work())


def test_what_is_reached_lies_behind_the_mark_of_a_transaction(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        await client.produce(0, [new("a"), new("b")])
        (bounds, _) = await client.bounds([0])
        assert bounds == {0: Bounds(0, 3)}
        found = await client.fetch({0: 0}, 100, MEGABYTE)
        assert values(found.records) == ["a", "b"]
        assert found.reached == {0: 3}
        assert found.ended == {0}
        assert (await client.fetch({0: 3}, 100, MEGABYTE)).records == []
        assert (await client.fetch({0: 2}, 100, MEGABYTE)).reached == {0: 3}

    colour.run(work())


def test_no_partition_is_starved(colour: Colour, opened: Opened) -> None:
    topic = opened(partitions=3)

    async def work() -> None:
        client = topic.client(colour.port)
        for number in range(60):
            await client.produce(0, [new(f"0-{number}")])
        for number in range(5):
            await client.produce(1, [new(f"1-{number}")])
        found = await client.fetch({0: 0, 1: 0, 2: 0}, 30, MEGABYTE)
        assert found.reached == {0: 25, 1: 5, 2: 0}, "what one leaves is the others'"
        assert found.ended == {1, 2}
        for number in range(60):
            await client.produce(2, [new(f"2-{number}")])
        found = await client.fetch({0: 25, 1: 5, 2: 0}, 20, MEGABYTE)
        assert found.reached == {0: 35, 1: 5, 2: 10}

    colour.run(work())


def test_a_page_is_bounded_in_bytes(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        for number in range(6):
            await client.produce(0, [new(str(number) * 1_000)])
        records, pages = await everything(client, {0: 0}, max_bytes=2_000)
        assert [record.offset for record in records] == list(range(6))
        assert [len(page.records) for page in pages if page.records] == [2, 2, 2]
        pages = (await everything(client, {0: 0}, max_bytes=1))[1]
        assert [len(page.records) for page in pages if page.records] == [1] * 6

    colour.run(work())


def test_those_who_write_at_the_same_time_get_their_own_answers(colour: Colour, opened: Opened) -> None:
    topic = opened(partitions=2)

    async def work() -> None:
        client = topic.client(colour.port)
        answers: dict[str, tuple[int, int]] = {}

        async def write(name: str) -> None:
            for number in range(5):
                partition = number % 2
                (offset,), _ = await client.produce(partition, [new(f"{name}-{number}")])
                answers[f"{name}-{number}"] = (partition, offset)

        await colour.together([lambda name=name: write(name) for name in "abcdefgh"])
        records, _ = await everything(client, {0: 0, 1: 0})
        assert {(record.value or b"").decode(): (record.partition, record.offset) for record in records} == answers
        assert len(answers) == 40

    colour.run(work())


def test_transactions_at_the_same_time_are_whole(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        answers: list[list[int]] = []

        async def write(name: str) -> None:
            first = await client.produce(0, [new(name), new(name), new(name)])
            second = await client.produce(0, [new(name), new(name), new(name)])
            answers.extend((first[0], second[0]))

        await colour.together([lambda name=name: write(name) for name in "abcde"])
        records, _ = await everything(client, {0: 0})
        assert sorted(record.offset for record in records) == sorted(offset for each in answers for offset in each)
        assert sorted(values(records)) == sorted("abcde" * 6)

    colour.run(work())


def test_readers_at_the_same_time_do_not_disturb_each_other(colour: Colour, opened: Opened) -> None:
    topic = opened()

    async def work() -> None:
        client = topic.client(colour.port)
        for number in range(40):
            await client.produce(0, [new(str(number))])

        async def read(start: int) -> None:
            records, _ = await everything(topic.client(colour.port), {0: start}, limit=7)
            assert [record.offset for record in records] == list(range(start, 40))

        await colour.together([lambda start=start: read(start) for start in (0, 3, 10, 35)])

    colour.run(work())


def test_no_topic_is_ever_created(colour: Colour, opened: Opened, broker: Broker) -> None:
    topic = opened("never-created")

    async def work() -> None:
        client = topic.client(colour.port)
        for attempt in (
            client.partitions(),
            client.produce(0, [new("a")]),
            client.produce(0, [new("a"), new("b")]),
            client.bounds([0]),
            client.fetch({0: 0}, 10, MEGABYTE),
        ):
            with pytest.raises(Refused, match=r"topic 'never-created' at .* is not there; .*kafka-topics.sh --create"):
                await attempt

    colour.run(work())
    assert "never-created" not in broker.admin.list_topics(timeout=10).topics


def test_a_partition_that_is_not_there_is_refused(colour: Colour, opened: Opened) -> None:
    topic = opened(partitions=2)

    async def work() -> None:
        client = topic.client(colour.port)
        with pytest.raises(Refused, match="has 2 partitions, and no partition 7"):
            await client.produce(7, [new("a")])

    colour.run(work())
