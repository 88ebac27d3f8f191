"""Events as records, and back; the partition of a stream; and what becomes of the records of others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import (
    App,
    InProcess,
    Kafka,
    Memory,
    ProjectionStopped,
    Recorded,
    Registry,
    UndecodableEvent,
)
from eventsource_upstash.backends.kafka import FOREIGN
from eventsource_upstash.backends.kafka.partitioner import murmur2, partition_for
from eventsource_upstash.backends.kafka.records import Records, Translate, encode
from eventsource_upstash.backends.kafka.topic import Record
from eventsource_upstash.domain.events import ANY, NewEvent, event_id, identity_of
from eventsource_upstash.domain.names import is_name
from eventsource_upstash.domain.positions import position_at
from eventsource_upstash.ports import Append
from tests.kafka.memory_topic import MemoryTopic

US = st.integers(0, 2**48 * 1000 - 1)
NUMBERS = st.integers(0, 2**61)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3)).map(
        msgspec.json.encode
    ),
)


@given(US, NUMBERS)
def test_an_id_leads_back_to_time_and_number(recorded_us: int, number: int) -> None:
    assert identity_of(event_id(recorded_us, number)) == (recorded_us, number)


@pytest.mark.parametrize(
    "id",
    ["", "1", "0190163d-8694-739b-aea5-966c26f8ad91 ", "0190163d-8694-439b-aea5-966c26f8ad91",
     "0190163D-8694-739B-AEA5-966C26F8AD91", "0190163d-8694-7001-aea5-966c26f8ad91",
     "0x90163d-8694-739b-aea5-966c26f8ad91", "0190163d08694-739b-aea5-966c26f8ad91"],
)  # fmt: skip
def test_an_id_of_others_leads_nowhere(id: str) -> None:
    assert identity_of(id) is None


NAMES = TEXTS.filter(is_name)
TYPES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,20}", fullmatch=True)
# As any JSON of an object, or what is no text: the log's contract looks into no metadata.
METADATA = st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2).map(msgspec.json.encode) | st.just(b"\xff\0")
APPENDS = st.builds(
    Append,
    NAMES,
    st.just(ANY),
    st.lists(st.tuples(TYPES, st.integers(1, 99), PAYLOADS), min_size=1, max_size=3),
    US,
    NUMBERS,
    st.none() | METADATA,
    st.none() | st.lists(TEXTS, min_size=1, max_size=3).map(msgspec.json.encode),
    st.none() | TEXTS,
    st.binary(max_size=16),
)


@given(APPENDS, st.integers(0, 8_191), st.integers(0, 2**39))
def test_an_event_is_read_as_it_was_written(append: Append, partition: int, offset: int) -> None:
    records = encode(append)
    written = [
        Record(partition, offset + at, each.timestamp_ms, each.key, each.value, each.headers)
        for at, each in enumerate(records)
    ]
    rows, keyed = Records("todo").look(written)
    for at, row in enumerate(rows):
        place = offset + at + 1
        position = position_at(partition, place)
        type_, version, payload = append.events[at]
        rest = (append.recorded_us, append.number + at, type_, version, append.metadata, append.tags, payload)
        assert row == (position, append.stream, place, *rest)
        own = keyed.get(position)
        assert (own and (own.key, own.ordinal)) == (append.key and (append.key, at))
        told = json.loads(written[at].value or b"")
        assert (told["specversion"], told["type"], told["subject"]) == ("1.0", type_, append.stream)
        assert all(name.isascii() and name.isalnum() and name.islower() for name in set(told) - {"data_base64"})
        assert written[at].key == append.stream.encode()


def test_the_partition_is_that_of_kafkas_own_producers() -> None:
    # From Kafka's UtilsTest.testMurmur2; Java's numbers have a sign.
    for key, hashed in (
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ):
        assert murmur2(key) == hashed & 0xFFFF_FFFF
        assert partition_for(key.decode(), 7) == (hashed & 0x7FFF_FFFF) % 7
    assert partition_for("anything", 1) == 0


# The records of others.


@dataclass(frozen=True)
class Ordered:
    sku: str


@dataclass(frozen=True)
class Seen:
    streams: tuple[str, ...] = ()


def an_app(topic: MemoryTopic, foreign: Translate | None = None, views: Memory | None = None) -> tuple[App, Registry]:
    registry = Registry()
    registry.event("ordered")(Ordered)
    orders = registry.projection("orders", Seen)

    @orders.on_recorded(Ordered, key=lambda _: "all")
    def ordered(seen: Seen | None, recorded: Recorded[Ordered]) -> Seen:
        return Seen((*(seen or Seen()).streams, f"{recorded.stream}:{recorded.event.sku}"))

    assert all((ordered,))
    return App(Kafka(topic, views=views or Memory(), foreign=foreign), registry, InProcess()), registry


def seen(app: App) -> tuple[str, ...]:
    projection = app.registry.subscriptions[0]
    found = app.projection_store.view(projection).get("all")
    return found.streams if isinstance(found, Seen) else ()


def test_a_foreign_record_stops_a_projection_until_it_is_ignored() -> None:
    topic = MemoryTopic()
    app, registry = an_app(topic)
    app.event_store.append("order-1", Ordered("a"))
    topic.put(b"hello", b"greeting")
    topic.put(None, b"order-1")
    topic.put(b"\xff\xfe", None)
    app.event_store.append("order-1", Ordered("b"))
    with pytest.raises(ProjectionStopped, match=r"'kafka:foreign' at position 2 in stream 'greeting'.*ignore"):
        app.projector.catch_up()
    assert seen(app) == ("order-1:a",)
    registry.ignore(FOREIGN)
    assert app.projector.catch_up().complete
    assert seen(app) == ("order-1:a", "order-1:b")
    assert [each.stream for each in app.event_store.read()] == ["order-1", "order-1"]


def test_a_foreign_record_can_be_an_event_like_any_other() -> None:
    @dataclass(frozen=True)
    class Foreign:
        key: str | None = None
        value: str | None = None
        key_base64: str | None = None
        value_base64: str | None = None

    topic = MemoryTopic()
    registry = Registry()
    registry.event(FOREIGN)(Foreign)
    app = App(Kafka(topic, views=Memory()), registry, InProcess())
    topic.put(b"hello", b"greeting", timestamp_ms=1_700_000_000_123)
    topic.put(None, b"gone")
    topic.put(b"\xff\xfe", b"\xff")
    read = list(app.event_store.read())
    assert [each.event for each in read] == [
        Foreign("greeting", "hello"),
        Foreign("gone"),
        Foreign(None, None, "/w==", "//4="),
    ]
    assert [each.stream for each in read] == ["greeting", "gone", FOREIGN]
    assert read[0].recorded_us == 1_700_000_000_123_000
    assert len({each.id for each in read}) == 3
    assert [each.id for each in app.event_store.read()] == [each.id for each in read]


def test_a_function_makes_events_of_the_messages_of_before() -> None:
    def translate(record: Record) -> NewEvent | None:
        if record.value is None or not record.value.startswith(b"order:"):
            return None
        return ("ordered", 1, json.dumps({"sku": record.value[6:].decode()}).encode())

    topic = MemoryTopic()
    app, registry = an_app(topic, translate)
    registry.ignore(FOREIGN)
    topic.put(b"order:a", b"order-7")
    topic.put(b"something else", b"x")
    app.event_store.append("order-8", Ordered("b"))
    assert app.projector.catch_up().complete
    assert seen(app) == ("order-7:a", "order-8:b")


def test_a_function_that_fails_says_where_and_not_what() -> None:
    def translate(record: Record) -> NewEvent | None:
        raise KeyError(record.value)

    topic = MemoryTopic()
    app, _ = an_app(topic, translate)
    topic.put(b"a secret", b"k")
    with pytest.raises(UndecodableEvent, match=r"raised KeyError .*topic 'todo', partition 0, offset 0") as failed:
        app.projector.catch_up()
    assert "secret" not in str(failed.value)


def test_what_comes_before_a_record_that_cannot_be_translated_is_folded() -> None:
    mended = False

    def foreign(record: Record) -> tuple[str, int, bytes]:
        if record.value == b"bad" and not mended:
            raise KeyError("sku")
        return ("ordered", 1, b'{"sku":"%s"}' % (record.value or b""))

    topic, views = MemoryTopic(partitions=2), Memory()
    app, _ = an_app(topic, foreign, views)
    for at, value in enumerate((b"a", b"bad", b"c")):
        topic.put(value, b"k", partition=0, timestamp_ms=10 + at)
    topic.put(b"x", b"l", partition=1, timestamp_ms=9)
    for _ in range(2):
        with pytest.raises(UndecodableEvent, match="position 2"):
            app.projector.catch_up()
        assert seen(app) == ("l:x", "k:a")
    # Nobody's append fails at it, nor who only looks for what comes twice.
    app.event_store.append("order-1", Ordered("b"), idempotency_key="b")
    assert app.event_store.append("order-1", Ordered("b"), idempotency_key="b").repeated
    mended = True
    assert app.projector.catch_up().complete
    assert sorted(seen(app)) == ["k:a", "k:bad", "k:c", "l:x", "order-1:b"]
    mended = False
    topic.put(b"d", b"k", partition=0)
    again, _ = an_app(topic, foreign, views)
    assert again.projector.catch_up().complete
    assert "k:d" in seen(again)


@pytest.mark.parametrize("answer", ["ordered", ("ordered", 1), ("ordered", 1, '{"sku":"a"}'), ("ordered", 1, b"", "")])
def test_what_a_function_answers_that_is_no_event_is_its_failure(answer: Any) -> None:
    topic = MemoryTopic()
    app, _ = an_app(topic, lambda _: answer)
    topic.put(b"hello", b"k")
    with pytest.raises(UndecodableEvent, match="position 1"):
        app.projector.catch_up()


def test_a_record_of_any_time_has_one_that_can_be_told() -> None:
    topic = MemoryTopic()
    app, _ = an_app(topic, lambda _: ("ordered", 1, b'{"sku":"a"}'))
    for at in (-1, 2**62):
        topic.put(b"a", b"k", timestamp_ms=at)
    assert [each.recorded_at.year for each in app.event_store.read()] == [1970, 9999]


def test_cloud_events_of_others_are_events() -> None:
    topic = MemoryTopic()
    app, _ = an_app(topic)
    theirs = {"specversion": "1.0", "source": "/shop", "type": "ordered", "data": {"sku": "x"}}
    for more in (
        {"id": "1", "subject": "order-1", "time": "2024-05-01T12:00:00.25Z", "tenant": {"own": "extension"}},
        {"id": "2", "time": "no time at all"},
        {"id": "1", "subject": "order-1", "time": "2024-05-01T12:00:00.25Z"},  # sent again
        {"id": event_id(7_000_000, 8), "subject": "order-3", "key": 5},
    ):
        topic.put(json.dumps(theirs | more).encode(), b"by-key", timestamp_ms=5)
    assert app.projector.catch_up().complete
    assert seen(app) == ("order-1:x", "by-key:x", "order-3:x")
    read = list(app.event_store.read())
    assert [each.recorded_us for each in read] == [1_714_564_800_250_000, 5_000, 7_000_000]
    assert read[2].id == event_id(7_000_000, 8)


@pytest.mark.parametrize(
    "value",
    [
        b"[]", b"{}", b'{"specversion":"0.3","id":"1","source":"s","type":"ordered"}', b'{"specversion":"1.0"',
        b'{"specversion":"1.0","id":"1","source":"s","type":""}',
        b'{"specversion":"1.0","id":"1","source":"s","type":"ordered","data_base64":"%%"}',
    ],
)  # fmt: skip
def test_what_is_no_cloud_event_is_foreign(value: bytes) -> None:
    [row], _ = Records("todo").look([Record(0, 0, 0, b"k", value)])
    assert row[5] == FOREIGN


def test_a_poison_payload_stops_the_projection_that_cares() -> None:
    topic = MemoryTopic()
    app, _ = an_app(topic)
    app.event_store.append("order-1", Ordered("a"))
    (record,) = topic.records()
    assert record.value is not None
    topic.put(record.value.replace(b'{"sku":"a"}', b'{"sku":7}').replace(b'"id":"', b'"id":"1'), record.key)
    with pytest.raises(ProjectionStopped, match="position 2"):
        app.projector.catch_up()
    assert seen(app) == ("order-1:a",)
