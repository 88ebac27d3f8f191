"""A log over the local REST, in every dialect: what was acknowledged is folded, once, whatever is lost on the way."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from eventsource_upstash import App, Kafka, Memory, OutcomeUnknown, Registry, RestTopic, SQLite, Unavailable, connect
from eventsource_upstash.backends.kafka.rest import Dialect
from tests.faults.processes import start
from tests.local.kafka.conftest import Kafka as Rest

COUNT = 4
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)


@dataclass(frozen=True)
class Done:
    number: int


@dataclass(frozen=True)
class Log:
    """What a view has been told, in its order: a number that was lost or doubled would show."""

    numbers: tuple[int, ...] = ()


registry = Registry()
registry.event("done")(Done)
logs = registry.projection("logs", Log)


@logs.on(Done)
def noted(log: Log | None, event: Done) -> Log:
    return Log((*(log or Log()).numbers, event.number))


def topic_of(kafka: Rest, dialect: Dialect, partitions: int) -> RestTopic:
    url = kafka.half.url if dialect == "upstash" else kafka.half.confluent_url
    username, password = kafka.login
    return RestTopic(url, kafka.topic(partitions), dialect=dialect, username=username, password=password)


def told(app: App) -> dict[str, tuple[int, ...]]:
    """What the view was told, by stream."""
    return {stream: log.numbers for stream, log in app.projection_store.view(logs).items()}


@pytest.mark.parametrize(("dialect", "streams"), [(each, 1 if each == "redpanda" else 4) for each in DIALECTS])
def test_a_burst_is_folded_once(kafka: Rest, dialect: Dialect, streams: int) -> None:
    partitions = 1 if dialect == "redpanda" else 3  # it learns where each ends by waiting in vain
    with App(Kafka(topic_of(kafka, dialect, partitions), views=Memory()), registry, None) as app:

        def write(stream: int) -> None:
            for number in range(COUNT):
                appended = app.event_store.append(f"task-{stream}", Done(number))
                found = app.projection_store.view(logs).get(f"task-{stream}", at_least=appended.position)
                assert found is not None
                assert found.numbers[-1] == number

        with ThreadPoolExecutor(4) as threads:
            for each in [threads.submit(write, stream) for stream in range(streams)]:
                each.result()
        assert app.projector.catch_up().complete
        assert told(app) == {f"task-{stream}": tuple(range(COUNT)) for stream in range(streams)}


@pytest.mark.parametrize("names", ["KAFKA_REST_", "UPSTASH_KAFKA_REST_", "UPSTASH_KAFKA_"])
def test_the_variables_that_are_printed_are_all_that_an_app_needs(
    kafka: Rest, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    for name, value in kafka.upstash.environment().items():
        monkeypatch.delenv(name, raising=False)
        if name.startswith("UPSTASH_REDIS_") or name.rpartition("_")[0] == names[:-1]:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAFKA_TOPIC", kafka.topic())
    monkeypatch.setenv("EVENTSOURCE_NAMESPACE", f"{kafka.caller}-{len(names)}")
    with connect("kafka:", registry) as app:  # the log in the topic, views in Redis
        appended = app.event_store.append("task", Done(1))
        assert app.projection_store.view(logs).get("task", at_least=appended.position) == Log((1,))
    assert kafka.upstash.metrics()["kafka"]["total"]["produced"] > 0


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if each != "redpanda"])
def test_lost_answers_neither_lose_nor_double(struck: Rest, dialect: Dialect) -> None:
    faults = struck.upstash.faults
    with App(Kafka(topic_of(struck, dialect, 2), views=Memory()), registry, None) as app:
        added = [
            faults.add(kind, half="kafka", command=command, probability=0.5, seed=number, count=3)
            for number, (kind, command) in enumerate(
                [("lose-answer", "produce"), ("lose-request", "produce"), ("cut-answer", "produce")]
            )
        ]
        for number in range(12):
            while True:  # as whoever is told that the outcome is unknown: the same again, under the same key
                with contextlib.suppress(OutcomeUnknown, Unavailable):
                    app.event_store.append("task", Done(number), idempotency_key=f"done-{number}")
                    break
        assert sum(fault.struck for fault in added) > 5
        faults.add("lose-answer", half="kafka", command="fetch")
        faults.add("cut-answer", half="kafka", command="offsets")
        while not app.projector.catch_up().complete:
            pass
        assert told(app) == {"task": tuple(range(12))}


WRITES_AND_FOLDS_UNTIL_KILLED = """
import sys
from eventsource_upstash import App, Kafka, RestTopic, SQLite
from tests.local.kafka.test_flow import Done, registry

_, url, topic, username, password, views, first = sys.argv
topic = RestTopic(url, topic, username=username, password=password)
app = App(Kafka(topic, views=SQLite(views)), registry, None)
with app.worker(poll_interval=0.001):
    for number in range(int(first), sys.maxsize):
        app.event_store.append(f"task-{number % 3}", Done(number))
        print(number, flush=True)
"""


def test_a_worker_that_is_killed_neither_loses_nor_doubles(kafka: Rest, tmp_path: Path) -> None:
    topic, views = topic_of(kafka, "upstash", 2), tmp_path / "views.db"
    begun, acknowledged = 0, set[int]()
    for _ in range(2):
        words = [kafka.half.url, topic.name, *kafka.login, str(views), str(begun)]
        with start(WRITES_AND_FOLDS_UNTIL_KILLED, *words) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(30)]
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
        acknowledged |= {int(line) for line in [*lines, *rest.splitlines()]}
        begun = max(acknowledged) + 2  # the one behind the last may be in the log as well
    with App(Kafka(topic, views=SQLite(str(views))), registry, None) as app:
        app.projector.catch_up()
        counted = Counter(number for numbers in told(app).values() for number in numbers)
        assert set(counted.values()) == {1}
        assert counted.keys() >= acknowledged
        assert len(counted) <= len(acknowledged) + 2
        assert all(list(numbers) == sorted(numbers) for numbers in told(app).values())
