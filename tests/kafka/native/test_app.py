"""The whole flow over a real broker: others' records, what cannot be folded, a cluster that comes back empty."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from eventsource_upstash import (
    Kafka,
    LogRewound,
    Memory,
    Misuse,
    NativeTopic,
    ProjectionStopped,
    SQLite,
    connect,
)
from eventsource_upstash.backends.kafka.native.librdkafka import Log
from eventsource_upstash.backends.kafka.partitioner import partition_for
from eventsource_upstash.testing.colours import Colour, Face
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker
from tests.unit.todo import Task, TaskCreated, todo

Opened = Callable[..., NativeTopic]

colours = pytest.mark.parametrize("colour", list(Colour), ids=lambda colour: colour.name.lower())


def written_by_hand(broker: Broker, topic: str, records: list[tuple[str | None, bytes]]) -> list[tuple[int, int]]:
    """Records of a plain producer that chooses partitions as Java's does; where they are."""
    from confluent_kafka import KafkaError, Message, Producer

    places: list[tuple[int, int]] = []

    def answered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        places.append((partition, offset))

    producer = Producer({"bootstrap.servers": broker.address, "partitioner": "murmur2_random", **ONE_RECORD_A_BATCH})
    for key, value in records:
        producer.produce(topic, value, key, on_delivery=answered)
        assert producer.flush(30) == 0
    return places


def cloud_event(number: int, **data: object) -> bytes:
    event = {"specversion": "1.0", "id": f"them-{number}", "source": "them", "type": "task-created", "data": data}
    return json.dumps(event).encode()


@colours
def test_other_producers_agree_on_the_partition_and_their_events_are_read(
    colour: Colour, opened: Opened, broker: Broker
) -> None:
    topic = opened(partitions=4)
    the = todo()
    names = [f"t\u00e4sk-{number}" for number in range(12)]
    places = written_by_hand(
        broker, topic.name, [(name, cloud_event(number, id=name, text="theirs")) for number, name in enumerate(names)]
    )
    assert [partition for partition, _ in places] == [partition_for(name, 4) for name in names]
    assert len({partition for partition, _ in places}) > 1

    async def work() -> None:
        app = Face(colour, Kafka(topic, views=Memory()), the.registry)
        for name in names:
            appended = await app.append(name, TaskCreated(f"{name}!", "ours"))
            assert appended.position >> 40 == partition_for(name, 4)
        assert (await app.catch_up()).complete
        assert await app.get(the.tasks, names[3]) == Task(names[3], "theirs")
        assert await app.get(the.tasks, f"{names[3]}!") == Task(f"{names[3]}!", "ours")
        assert await app.count(the.tasks) == 24

    colour.run(work())


def test_a_foreign_message_stops_a_projection_until_it_is_declared(opened: Opened, broker: Broker) -> None:
    topic, views, the = opened(), Memory(), todo()
    with connect(Kafka(topic, views=views), the.registry) as app:
        app.event_store.append("task-1", TaskCreated("1", "x"))
        written_by_hand(broker, topic.name, [(None, b"\xff not ours")])
        app.event_store.append("task-2", TaskCreated("2", "x"))
        with pytest.raises(ProjectionStopped, match="kafka:foreign") as raised:
            app.projector.catch_up()
        assert raised.value.position == 2
        the.registry.ignore("kafka:foreign")
        assert app.projector.catch_up().complete
        assert app.projection_store.view(the.tasks).count() == 2


def test_a_poison_payload_stops_there_and_names_the_place(opened: Opened, broker: Broker) -> None:
    topic, the = opened(), todo()
    with connect(Kafka(topic, views=Memory()), the.registry) as app:
        app.event_store.append("task-1", TaskCreated("1", "x"))
        written_by_hand(broker, topic.name, [("task-2", cloud_event(1, id=7, text=["no", "text"]))])
        with pytest.raises(ProjectionStopped) as raised:
            app.projector.catch_up()
        assert raised.value.position == 2
        assert "task-created" in str(raised.value)
        assert app.projection_store.view(the.tasks).get("1") == Task("1", "x")


def test_a_cluster_that_came_back_empty_is_noticed(tmp_path: Path) -> None:
    the = todo()
    with Broker() as broker:
        name = broker.topic(2)

        def backend() -> Kafka:
            topic = NativeTopic(broker.address, name, timeout=10, options=ONE_RECORD_A_BATCH)
            return Kafka(topic, views=SQLite(tmp_path / "views.db"))

        with connect(backend(), the.registry) as app:
            for number in range(6):
                app.event_store.append(f"task-{number}", TaskCreated(str(number), "x"))
            assert app.projector.catch_up().complete
            broker.kill()
            broker.start()
            broker.topic(2, name=name)
            with pytest.raises(LogRewound, match="the log is older than the view"):
                app.projector.catch_up()
            assert app.projection_store.view(the.tasks).count() == 6
        with connect(backend(), the.registry) as app, pytest.raises(LogRewound):
            app.projector.catch_up()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "eventsource_upstash.backends.kafka.native.librdkafka.find_spec",
        lambda name: None if name == "confluent_kafka" else found(name),
    )
    with pytest.raises(Misuse, match=r"pip install 'eventsource-upstash\[kafka\]'"):
        NativeTopic("127.0.0.1:9092", "todo")


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (("localhost", "todo"), {}, "HOST:PORT"),
        (("kafka://me:s3cret@localhost:9092", "todo"), {}, "HOST:PORT"),
        (("localhost:9092,", "todo"), {}, "HOST:PORT"),
        (("localhost:9092", "to do"), {}, "is no name of a topic"),
        (("localhost:9092", ".."), {}, "is no name of a topic"),
        (("localhost:9092", "todo"), {"username": "me"}, "go together"),
        (("localhost:9092", "todo"), {"mechanism": "s3cret"}, "mechanism is one of"),
        (("localhost:9092", "todo"), {"ca": "ca.pem"}, "say tls=True too"),
        (("localhost:9092", "todo"), {"timeout": 0}, "from 0.1 to 600"),
        (("localhost:9092", "todo"), {"options": {"acks": 1, "sasl.password": "s3cret"}}, "acks, sasl.password cannot"),
    ],
)
def test_settings_are_checked_at_once(arguments: tuple[str, str], settings: dict[str, object], said: str) -> None:
    with pytest.raises(Misuse, match=said) as raised:
        NativeTopic(*arguments, **settings)  # type: ignore[arg-type]
    assert "s3cret" not in str(raised.value) or "mechanism" in settings


def test_a_description_shows_no_secret() -> None:
    topic = NativeTopic("h:1, [::1]:2", "todo", username="me", password="s3cret", tls=True)
    assert repr(topic) == "NativeTopic('h:1,[::1]:2', 'todo', username='me')"
    assert "s3cret" not in repr(vars(topic)) + repr(Kafka(topic, views=Memory()))


def test_clients_that_say_the_same_say_it_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eventsource_upstash.kafka")
    where = uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))  # numbers are left out of account
    for number in (1, 2):
        Log([]).log(logging.ERROR, f"[client#consumer-{number}] {where} is away")
    assert [record.getMessage() for record in caplog.records] == [f"[client#consumer-1] {where} is away"]
