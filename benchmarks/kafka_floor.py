"""The floor on Kafka: a loop by hand over confluent-kafka, msgspec and sqlite3, with the same durability.

What it does: an idempotent producer with acks=all that waits for the answer to each event, or commits a transaction for
each hundred; a consumer that is assigned its partitions and reads committed records, a thousand at a time, folds them,
and writes documents and offsets to SQLite in one transaction.

What it leaves out, and a library cannot: looking for what an answer was lost of; repeats; one order over several
partitions; where a partition begins and ends; a topic that is not there, was made anew or has grown; several
projections; a budget of time; and errors that say what to do.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, cast

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import todo
from benchmarks.floors import FOLDS, TYPES, decode_task, encode, prepared
from benchmarks.kafka_broker import running
from benchmarks.measuring import Contestant, clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from confluent_kafka import Message

    from benchmarks.kafka_broker import Broker
    from benchmarks.measuring import Job

PAGE = 1_000
BATCH = 100


class Envelope(msgspec.Struct):
    """What a record holds: a CloudEvent, as this library writes them."""

    id: str
    type: str
    subject: str
    data: msgspec.Raw
    specversion: str = "1.0"
    source: str = "bench"


encode_envelope = msgspec.json.Encoder().encode
decode_envelope = msgspec.json.Decoder(Envelope).decode


def settings(broker: Broker, **more: Any) -> dict[str, Any]:
    return {"bootstrap.servers": broker.address, "enable.idempotence": True, "acks": "all", "linger.ms": 0, **more}


def value_of(stream: str, event: todo.TaskEvent) -> bytes:
    return encode_envelope(Envelope(str(uuid.uuid4()), TYPES[type(event)], stream, msgspec.Raw(encode(event))))


def write(producer: Producer, topic: str, stream: str, event: todo.TaskEvent) -> None:
    """One record, and its answer."""
    answers: list[int] = []

    def answered(error: object, message: Message) -> None:
        if error is not None:
            raise RuntimeError(str(error))
        answers.append(message.offset() or 0)

    producer.produce(topic, value_of(stream, event), stream, on_delivery=answered)
    while not answers:
        producer.poll(1)


def append(timer: Callable[[], float], job: Job) -> float:
    with running() as broker:
        producer, topic = Producer(settings(broker)), broker.topic(1)
        appends = prepared(todo.lines(job.size + todo.WARM_UP))
        for stream, event, _ in appends[: todo.WARM_UP]:
            write(producer, topic, stream, event)
        with clock(timer) as spent:
            for stream, event, _ in appends[todo.WARM_UP :]:
                write(producer, topic, stream, event)
        return spent.us(job.size)


def produce(timer: Callable[[], float], job: Job) -> float:
    with running() as broker:
        topic = broker.topic(1)
        producer = Producer(settings(broker, **{"transactional.id": "bench"}))
        producer.init_transactions(30)
        appends = [(f"task-{task}", [todo.event(line) for line in lines]) for task, lines in todo.batches(job.size)]
        with clock(timer) as spent:
            for stream, events in appends:
                offsets: list[int] = []

                def answered(error: object, message: Message, offsets: list[int] = offsets) -> None:
                    if error is not None:
                        raise RuntimeError(str(error))
                    offsets.append(message.offset() or 0)

                producer.begin_transaction()
                for event in events:
                    producer.produce(topic, value_of(stream, event), stream, on_delivery=answered)
                producer.commit_transaction(30)
                assert len(offsets) == BATCH
        return spent.us(job.size)


def project(partitions: int, timer: Callable[[], float], job: Job) -> float:
    with running() as broker:
        topic = broker.topic(partitions)
        appends = prepared(todo.lines(job.size))
        broker.fill(topic, partitions, [(stream.encode(), value_of(stream, event)) for stream, event, _ in appends])
        connection = sqlite3.connect(job.folder / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE tasks (key TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID")
        connection.execute("CREATE TABLE offsets (number INTEGER PRIMARY KEY, place INTEGER NOT NULL)")
        consumer = Consumer(
            {
                "bootstrap.servers": broker.address,
                "group.id": "bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        with clock(timer) as spent:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
            left = job.size
            while left:
                left -= fold_a_page(connection, consumer.consume(min(PAGE, left), timeout=1))
        consumer.close()
        (count,) = connection.execute("SELECT count(*) FROM tasks").fetchone()
        connection.close()
        assert count == todo.tasks_left(job.size)
        return spent.us(job.size)


def fold_a_page(connection: sqlite3.Connection, messages: list[Message]) -> int:
    """A thousand events, exactly once: documents and offsets change in one transaction."""
    execute, many = connection.execute, connection.executemany
    places: dict[int, int] = {}
    events: list[tuple[Any, Any]] = []
    for message in messages:
        if message.error() is not None:
            raise RuntimeError(str(message.error()))
        envelope = decode_envelope(cast("bytes", message.value()))
        decode, fold = FOLDS[envelope.type]
        events.append((fold, decode(bytes(envelope.data))))
        places[message.partition() or 0] = (message.offset() or 0) + 1
    execute("BEGIN IMMEDIATE")
    before = dict(execute("SELECT number, place FROM offsets").fetchall())
    assert all(before.get(number, 0) < place for number, place in places.items())
    keys = list({event.id for _, event in events})
    marks = ",".join("?" * len(keys))
    documents: dict[str, todo.Task | None] = {
        key: decode_task(document)
        for key, document in execute(f"SELECT key, document FROM tasks WHERE key IN ({marks})", keys)
    }
    for fold, event in events:
        documents[event.id] = fold(documents.get(event.id), event)
    many("DELETE FROM tasks WHERE key = ?", [(key,) for key, document in documents.items() if document is None])
    kept = [(key, encode(task)) for key, task in documents.items() if task is not None]
    many("INSERT OR REPLACE INTO tasks VALUES (?, ?)", kept)
    many("INSERT OR REPLACE INTO offsets VALUES (?, ?)", list(places.items()))
    execute("COMMIT")
    return len(messages)


def contestant(_: str) -> Contestant:
    measures = {"append": append, "produce": produce}
    measures |= {f"project-{number}": partial(project, number) for number in (1, 2, 4)}
    return Contestant(
        measures={
            f"{name}{suffix}": partial(measure, timer)
            for name, measure in measures.items()
            for suffix, timer in (("", time.perf_counter), ("-cpu", time.process_time))
        }
    )
