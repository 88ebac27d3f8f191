"""Recorded events, what an append answers, and receipts: values that cannot be changed and can be carried anywhere."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from eventsource_upstash import Appended, CatchUp, Executed, Loaded, Receipt, Recorded, Registry, connect
from eventsource_upstash.domain.events import FREE

registry = Registry()


@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    id: str


@dataclass(frozen=True)
class Task:
    id: str


aggregate = registry.aggregate("task", Task)


@aggregate.on(TaskCreated)
def created(task: Task | None, event: TaskCreated) -> Task:
    return Task(event.id)


@dataclass(frozen=True)
class CreateTask:
    id: str


@aggregate.decide(CreateTask)
def create(task: Task | None, command: CreateTask) -> TaskCreated:
    return TaskCreated(command.id)


def test_a_recorded_event_is_the_event_in_its_envelope() -> None:
    before = datetime.now(timezone.utc)
    with connect("memory:", registry) as app:
        app.event_store.append("task-1", TaskCreated("1"))
        app.event_store.append("task-2", TaskCreated("2"), TaskCreated("2b"), metadata={"user": "ada"}, tags=["a", "b"])
        first, second, third = app.event_store.read()
    after = datetime.now(timezone.utc)
    assert (first.position, first.stream, first.revision, first.type, first.version, first.event) == (
        *(1, "task-1", 1, "task-created", 1),
        TaskCreated("1"),
    )
    assert (first.metadata, first.tags) == ({}, ())
    assert (second.position, second.stream, second.revision, second.version) == (2, "task-2", 1, 1)
    assert (third.position, third.stream, third.revision) == (3, "task-2", 2)
    assert second.metadata == third.metadata == {"user": "ada"}
    assert second.tags == third.tags == ("a", "b")
    slack = timedelta(milliseconds=1)  # the time is cut to microseconds
    assert before - slack <= first.recorded_at <= second.recorded_at == third.recorded_at <= after


VALUES: list[Any] = [
    Receipt(requests=1, commands=2, bytes_sent=3, bytes_received=4, retries=5),
    Appended(7, 3),
    Appended(7, 3, Receipt(requests=1), repeated=True),
    Recorded(1, "task-1", 1, "task-created", 1, TaskCreated("1")),
    Recorded(1, "task-1", 1, "task-created", 1, TaskCreated("1"), {"user": "ada"}, ("a",), 5, 6),
    Loaded(Task("1"), 1),
    Executed(Task("1"), 1, 1, (TaskCreated("1"),)),
    CatchUp(applied=1, position=1, head=1, complete=True),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_the_library_answers_can_be_carried_to_another_process(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_the_library_answers_cannot_be_changed(value: Any) -> None:
    for name in value.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    assert value == copy.copy(value)


def test_metadata_that_nobody_gave_cannot_be_filled_in_for_everybody() -> None:
    with connect("memory:", registry) as app:
        app.event_store.append("task-1", TaskCreated("1"))
        app.event_store.append("task-1", TaskCreated("2"))
        first, second = app.event_store.read()
        with pytest.raises(TypeError):
            first.metadata["user"] = "ada"  # type: ignore[index]
        assert second.metadata == {}


def test_receipts_add_up() -> None:
    one = Receipt(requests=1, commands=2, bytes_sent=3, bytes_received=4, retries=5)
    assert one + one == Receipt(requests=2, commands=4, bytes_sent=6, bytes_received=8, retries=10)
    assert one + FREE == FREE + one == one
    assert Receipt() == FREE + FREE


def test_embedded_backends_cost_nothing() -> None:
    with connect("memory:", registry) as app:
        assert app.event_store.append("task-1", TaskCreated("1")).receipt == FREE
        assert app.event_store.load(aggregate, "task-1").receipt == FREE
        assert app.event_store.execute(aggregate, "task-1", CreateTask("1")).receipt == FREE
        assert app.projector.catch_up().receipt == FREE
