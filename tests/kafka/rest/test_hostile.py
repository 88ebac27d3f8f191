"""Hostile records over a real broker, read over REST in each dialect: as in memory, they stop nobody for good."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from eventsource_upstash import App, InProcess, Kafka, Memory, RestTopic
from eventsource_upstash.backends.kafka import FOREIGN
from eventsource_upstash.backends.kafka.rest import Dialect
from eventsource_upstash.local import LocalUpstash
from tests.kafka.hostile import HEADERS, RAW, VALUES
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.rest.double import DIALECTS
from tests.kafka.test_records import Ordered, an_app, seen

Header = tuple[str, "bytes | None"]


def written(rest_server: LocalUpstash, topic: str) -> None:
    """Everything hostile, by Kafka's own protocol, which refuses nothing of it."""
    producer = Producer({"bootstrap.servers": rest_server.kafka.bootstrap_servers})

    def put(value: bytes | None, key: bytes | None, headers: Sequence[Header] = ()) -> None:
        # librdkafka takes no header without a name.
        producer.produce(topic, value, key, headers=[each for each in headers if each[0]])

    for value in VALUES.values():
        put(value, b"order-1")
    for key in (None, b"", b"\xff", b"\0", b"k" * 70_000):
        put(b"hello", key)
        put(None, key)
    for headers in HEADERS.values():
        put(RAW, b"order-1", headers)
    assert producer.flush(60) == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_record_stops_a_reader_for_good(dialect: Dialect, rest_server: LocalUpstash) -> None:
    half = rest_server.kafka
    name = f"hostile-{dialect}-{secrets.token_hex(8)}"
    assert half.create_topic(name, 1)
    url = half.url if dialect == "upstash" else half.confluent_url
    topic = RestTopic(url, name, dialect=dialect, username=half.username, password=half.password)
    _, registry = an_app(MemoryTopic())
    app = App(Kafka(topic, views=Memory()), registry, InProcess())
    app.event_store.append("order-1", Ordered("a"))
    written(rest_server, name)
    app.event_store.append("order-1", Ordered("b"))
    registry.ignore(FOREIGN)
    assert app.projector.catch_up().complete
    found = seen(app)
    assert (found[0], found[-1]) == ("order-1:a", "order-1:b")
    assert [each for each in found if each.partition(":")[2] not in "abx"] == []
    assert len([*app.event_store.read()]) == len(found)
