"""Kafka as the event log, and what is done instead of what Kafka cannot do."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from docs.snippets.todo import Task, TaskCreated, registry, tasks
from eventsource_upstash import (
    NO_STREAM,
    App,
    InProcess,
    Kafka,
    Memory,
    Misuse,
    NativeTopic,
    ProjectionStopped,
    Registry,
    connect,
    join,
)
from eventsource_upstash.backends.kafka import Record
from eventsource_upstash.local import KafkaSettings, LocalUpstash

# --8<-- [start:aggregate]
accounts_registry = Registry()


@accounts_registry.event("paid")
@dataclass(frozen=True)
class Paid:
    amount: int


@dataclass(frozen=True)
class Account:
    total: int = 0


@dataclass(frozen=True)
class Withdraw:
    amount: int


account = accounts_registry.aggregate("account", Account)


@account.on(Paid)
def paid(state: Account | None, event: Paid) -> Account:
    return Account((state or Account()).total + event.amount)


@account.decide(Withdraw)
def withdraw(state: Account | None, command: Withdraw) -> Paid:
    if state is None or state.total < command.amount:
        raise ValueError("there is not so much in it")
    return Paid(-command.amount)


accounts = accounts_registry.projection("accounts", Account)
accounts.fold_as(account)  # the document of each stream is the state of its aggregate
# --8<-- [end:aggregate]


@contextmanager
def a_cluster(partitions: int = 3) -> Generator[str]:
    """A broker in memory, with a topic "todo"."""
    with LocalUpstash(kafka=KafkaSettings(topics={"todo": partitions})) as upstash:
        yield upstash.kafka.bootstrap_servers


def test_an_app(in_empty_folder: None) -> None:
    with a_cluster() as servers:
        # --8<-- [start:app]
        app = connect(f"kafka://{servers}/todo?views=sqlite:views.db", registry)

        appended = app.event_store.append("task-1", TaskCreated("Do the dishes"))
        view = app.projection_store.view(tasks)
        assert view.get("task-1", at_least=appended.position) == Task("Do the dishes")
        # --8<-- [end:app]
        # --8<-- [start:positions]
        first = app.event_store.append("task-2", TaskCreated("Do the shopping"))
        second = app.event_store.append("task-3", TaskCreated("Pay the bills"))

        both = join(first.position, second.position)
        assert view.get_many(["task-2", "task-3"], at_least=both).keys() == {"task-2", "task-3"}

        [status] = app.projection_store.status()
        assert (status.lag, int(status.checkpoint)) == (
            0,
            3,
        )  # three places lie behind, in all partitions together
        # --8<-- [end:positions]
        # --8<-- [start:key]
        appended = app.event_store.append(
            "task-4", TaskCreated("Call home"), idempotency_key="request-17"
        )
        again = app.event_store.append(
            "task-4", TaskCreated("Call home"), idempotency_key="request-17"
        )
        assert again.repeated
        assert again.position == appended.position
        # --8<-- [end:key]
        # --8<-- [start:cannot]
        with pytest.raises(Misuse, match="Leave it out; decide on a view"):
            app.event_store.append(
                "task-5", TaskCreated("Water the plants"), expected_revision=NO_STREAM
            )
        # --8<-- [end:cannot]
        app.close()
        # --8<-- [start:check]
        from eventsource_upstash import SQLite

        topic = NativeTopic(servers, "todo")
        app = App(Kafka(topic, views=SQLite("views.db")), registry, InProcess())
        # The topic is there and can be read, and nothing of it has been deleted.
        doubts = app.check()
        # --8<-- [end:check]
        assert doubts == ()
        app.close()


def test_an_aggregate_is_loaded_through_a_view() -> None:
    with a_cluster() as servers:
        app = App(
            Kafka(NativeTopic(servers, "todo"), views=Memory()), accounts_registry, InProcess()
        )
        # --8<-- [start:load]
        appended = app.event_store.append("account-1", Paid(10))

        view = app.projection_store.view(accounts)
        state = view.get("account-1", at_least=appended.position)  # what load() answers elsewhere
        events = account.decide_on(state, Withdraw(4))
        appended = app.event_store.append("account-1", *events, idempotency_key="withdrawal-9")

        assert view.get("account-1", at_least=appended.position) == Account(6)
        # --8<-- [end:load]
        app.close()


def test_messages_of_others() -> None:
    own = Registry()
    own.event("task-created")(TaskCreated)
    listed = own.projection("tasks", Task)

    @listed.on(TaskCreated)
    def created(task: Task | None, event: TaskCreated) -> Task:
        return Task(event.text)

    assert all((created,))
    with a_cluster(partitions=1) as servers:
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": servers})
        producer.produce("todo", json.dumps({"text": "Do the dishes"}), key="task-1")
        producer.flush()
        topic = NativeTopic(servers, "todo")
        app = App(Kafka(topic, views=Memory()), own, InProcess())
        with pytest.raises(ProjectionStopped, match="kafka:foreign"):
            app.projector.catch_up()
        app.close()

        # --8<-- [start:foreign]
        def as_it_was(record: Record) -> tuple[str, int, bytes] | None:
            """A message as the app wrote them before: JSON of a task."""
            if record.value is None or b'"text"' not in record.value:
                return None
            return ("task-created", 1, record.value)

        backend = Kafka(topic, views=Memory(), foreign=as_it_was)
        own.ignore("kafka:foreign")  # whatever else is in there does not matter
        # --8<-- [end:foreign]
        app = App(backend, own, InProcess())
        app.projector.catch_up()
        assert app.projection_store.view(listed).get("task-1") == Task("Do the dishes")
        app.close()
