"""This library over Kafka's own protocol, through its public face; the broker is in another process."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import todo
from benchmarks.floors import TYPES, encode
from benchmarks.kafka_broker import running
from benchmarks.measuring import Contestant, clock
from benchmarks.ours import prepared, registry, tasks
from eventsource_upstash import Kafka, Memory, NativeTopic, SQLite, connect
from eventsource_upstash.backends.kafka.records import encode as records_of
from eventsource_upstash.domain.events import ANY
from eventsource_upstash.ports import Append

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measuring import Job


def append(timer: Callable[[], float], job: Job) -> float:
    with running() as broker:
        topic = NativeTopic(broker.address, broker.topic(1))
        with connect(Kafka(topic, views=Memory()), registry) as app:
            store = app.event_store
            appends = prepared(todo.lines(job.size + todo.WARM_UP))
            for stream, event, _ in appends[: todo.WARM_UP]:
                store.append(stream, event)
            with clock(timer) as spent:
                for stream, event, _ in appends[todo.WARM_UP :]:
                    store.append(stream, event)
            return spent.us(job.size)


def produce(timer: Callable[[], float], job: Job) -> float:
    with running() as broker:
        topic = NativeTopic(broker.address, broker.topic(1))
        with connect(Kafka(topic, views=Memory()), registry) as app:
            store = app.event_store
            appends = [(f"task-{task}", [todo.event(line) for line in lines]) for task, lines in todo.batches(job.size)]
            store.append("task-0", *appends[0][1])  # opens the producer
            with clock(timer) as spent:
                for stream, events in appends:
                    store.append(stream, *events)
            return spent.us(job.size)


def records(size: int) -> Iterator[tuple[bytes, bytes]]:
    """What this library would have written."""
    for number, (stream, event, _) in enumerate(prepared(todo.lines(size))):
        append = Append(stream, ANY, [(TYPES[type(event)], 1, encode(event))], time.time_ns() // 1000, number << 20)
        for record in records_of(append):
            yield record.key, record.value


def project(partitions: int, timer: Callable[[], float], job: Job) -> float:
    with running() as broker:
        name = broker.topic(partitions)
        broker.fill(name, partitions, records(job.size))
        backend = Kafka(NativeTopic(broker.address, name), views=SQLite(job.folder / "ours.db"))
        with connect(backend, registry) as app:
            app.projection_store.view(tasks).count()  # opens the file
            with clock(timer) as spent:
                caught_up = app.projector.catch_up()
            assert caught_up.complete
            assert app.projection_store.view(tasks).count() == todo.tasks_left(job.size)
            return spent.us(job.size)


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
