"""What stands in the log that this code does not know, or cannot read: nothing is skipped, nothing is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import (
    ConcurrencyError,
    CorruptLog,
    Memory,
    ProjectionStopped,
    Registry,
    SQLite,
    UndecodableDocument,
    UndecodableEvent,
    UnknownEventType,
)
from tests.faults.driving import Colour, Driver
from tests.unit.todo import Task, TaskCreated, Todo, todo

Backend = Memory | SQLite


@dataclass(frozen=True)
class TaskMoved:
    id: str
    where: str


@dataclass(frozen=True)
class TaskCreatedDifferently:
    name: str


@dataclass(frozen=True)
class Count:
    count: int = 0


def elsewhere(backend: Backend, *, moved: bool = False, version: int = 1, cls: type = TaskCreated) -> Driver:
    """An app of other code over the same log: what another deployment has written."""
    registry = Registry()
    for step in range(1, version):
        registry.upcast("task-created", from_version=step)(lambda data: data)
    registry.event("task-created", version=version)(cls)
    if moved:
        registry.event("task-moved")(TaskMoved)
    return Driver(backend, registry, "blocking")


def counting(the: Todo) -> Any:
    """A second projection, which handles nothing but one type."""
    counts = the.registry.projection("counts", Count)

    @counts.on(TaskCreated, key=lambda event: "all")
    def created(count: Count | None, event: TaskCreated) -> Count:
        return Count((count.count if count else 0) + 1)

    return counts


def of_today(backend: Backend, colour: Colour) -> tuple[Driver, Todo, Any]:
    the = todo()
    counts = counting(the)
    return Driver(backend, the.registry, colour), the, counts


DISHES, REST = TaskCreated("1", "Do the dishes!"), TaskCreated("2", "Rest")


def test_a_type_that_nobody_registered(backend: Backend, colour: Colour) -> None:
    app, the, counts = of_today(backend, colour)
    app.append("task-1", DISHES)
    elsewhere(backend, moved=True).append("task-1", TaskMoved("1", "kitchen"))
    app.append("task-2", REST)

    for _ in range(2):
        with pytest.raises(ProjectionStopped, match="event type 'task-moved' at position 2") as caught:
            app.catch_up()
        assert (caught.value.projection, caught.value.position, caught.value.others) == ("tasks", 2, ("counts",))
        cause = caught.value.__cause__
        assert isinstance(cause, UnknownEventType)
        assert (cause.type, cause.version, cause.stream, cause.position) == ("task-moved", 1, "task-1", 2)
        assert "registry.ignore('task-moved')" in str(caught.value)
    assert app.items(the.tasks) == {"1": Task("1", "Do the dishes!")}
    assert app.status()["tasks"].checkpoint == 1

    with pytest.raises(UnknownEventType, match="it is not registered"):
        app.load(the.task, "task-1")
    assert app.load(the.task, "task-2").state == Task("2", "Rest")
    with pytest.raises(UnknownEventType):
        app.execute(the.task, "task-1", object())
    app.append("task-1", DISHES)  # who appends without looking is not held up

    reading = iter(Driver(backend, the.registry, "blocking").blocking.event_store.read())
    assert next(reading).event == DISHES, "the events before it are handed out first"
    with pytest.raises(UnknownEventType):
        next(reading)
    assert [each.event for each in app.read(after=2)] == [REST, DISHES]
    with pytest.raises(UnknownEventType):
        app.read_stream("task-1")

    # The code that knows it is deployed.
    app, the, counts = of_today(backend, colour)
    the.registry.event("task-moved")(TaskMoved)
    app.catch_up()
    assert app.items(the.tasks) == {"1": Task("1", "Do the dishes!"), "2": Task("2", "Rest")}
    assert app.get(counts, "all") == Count(3)
    assert app.load(the.task, "task-1").revision == 3


def test_a_type_that_is_ignored(backend: Backend, colour: Colour) -> None:
    app, the, counts = of_today(backend, colour)
    the.registry.ignore("task-moved")
    app.append("task-1", DISHES)
    elsewhere(backend, moved=True).append("task-1", TaskMoved("1", "kitchen"), TaskMoved("1", "garden"))
    app.append("task-2", REST)
    caught_up = app.catch_up()
    assert (caught_up.position, caught_up.complete) == (4, True)
    assert app.get(counts, "all") == Count(2)
    loaded = app.load(the.task, "task-1")
    assert (loaded.state, loaded.revision) == (Task("1", "Do the dishes!"), 3)
    assert [each.position for each in app.read()] == [1, 4]
    assert [each.position for each in app.read(after=1, limit=1)] == [4], "a limit counts what is handed out"
    assert [each.revision for each in app.read_stream("task-1")] == [1]


def test_nothing_but_ignored_types(backend: Backend, colour: Colour) -> None:
    app, the, _ = of_today(backend, colour)
    the.registry.ignore("task-moved")
    elsewhere(backend, moved=True).append("task-1", *[TaskMoved("1", str(number)) for number in range(2500)])
    assert app.read() == []
    assert app.catch_up().position == 2500
    loaded = app.load(the.task, "task-1")
    assert (loaded.state, loaded.revision) == (None, 2500)


def test_a_version_of_tomorrow(backend: Backend, colour: Colour) -> None:
    app, the, counts = of_today(backend, colour)
    app.append("task-1", DISHES)
    elsewhere(backend, version=3).append("task-2", REST)
    with pytest.raises(ProjectionStopped, match="version 3 is newer than the registered version 1") as caught:
        app.catch_up()
    cause = caught.value.__cause__
    assert isinstance(cause, UnknownEventType)
    assert (cause.type, cause.version, cause.position) == ("task-created", 3, 2)
    assert app.items(the.tasks) == {"1": Task("1", "Do the dishes!")}
    assert app.get(counts, "all") == Count(1)
    with pytest.raises(UnknownEventType, match="version 3 is newer"):
        app.load(the.task, "task-2")


def test_a_version_of_tomorrow_that_a_projection_does_not_handle(backend: Backend, colour: Colour) -> None:
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    registry.event("task-moved")(TaskMoved)
    moves = registry.projection("moves", Count)

    @moves.on(TaskMoved)
    def moved(count: Count | None, event: TaskMoved) -> Count:
        return Count((count.count if count else 0) + 1)

    elsewhere(backend, version=2).append("task-1", DISHES)
    app = Driver(backend, registry, colour)
    app.append("task-1", TaskMoved("1", "kitchen"))
    assert app.catch_up().complete
    assert app.items(moves) == {"task-1": Count(1)}


def test_an_event_that_does_not_fit_its_class_any_more(backend: Backend, colour: Colour) -> None:
    app, the, counts = of_today(backend, colour)
    app.append("task-1", DISHES)
    elsewhere(backend, cls=TaskCreatedDifferently).append("task-2", TaskCreatedDifferently("secret plan"))
    app.append("task-3", REST)
    with pytest.raises(ProjectionStopped, match="stopped at position 2: event 'task-created' at position 2") as caught:
        app.catch_up()
    cause = caught.value.__cause__
    while cause is not None and not isinstance(cause, UndecodableEvent):
        cause = cause.__cause__ or cause.__context__
    assert "missing required field `id`" in str(caught.value)
    assert "give it a new version and an upcaster" in str(caught.value)
    assert "secret plan" not in str(caught.value)
    assert app.items(the.tasks) == {"1": Task("1", "Do the dishes!")}
    assert app.get(counts, "all") == Count(1)

    with pytest.raises(UndecodableEvent) as undecodable:
        app.load(the.task, "task-2")
    assert isinstance(undecodable.value, CorruptLog)
    assert (undecodable.value.type, undecodable.value.stream, undecodable.value.position) == (
        *("task-created", "task-2", 2),
    )
    with pytest.raises(UndecodableEvent):
        app.read()
    assert app.head() == 3, "it is all still there"


def test_a_conflict_whose_events_are_not_known(backend: Backend, colour: Colour) -> None:
    app, *_ = of_today(backend, colour)
    app.append("task-1", DISHES)
    elsewhere(backend, moved=True).append("task-1", TaskMoved("1", "kitchen"))
    with pytest.raises(ConcurrencyError) as caught:
        app.append("task-1", DISHES, expected_revision=0)
    assert [each.event for each in caught.value.events] == [DISHES]
    assert (caught.value.actual, caught.value.complete) == (2, False)


# --- columns that hold what nobody wrote


def sabotage(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b'{"id": 1}', b"[" * 100_000, b'{"id":"']
)
def test_a_payload_of_garbage(tmp_path: Path, colour: Colour, payload: bytes) -> None:
    backend = SQLite(tmp_path / "log.db")
    app, the, _ = of_today(backend, colour)
    app.append("task-1", DISHES, REST)
    sabotage(tmp_path / "log.db", "UPDATE events SET payload = ? WHERE position = 2", payload)
    with pytest.raises(ProjectionStopped, match="'task-created' at position 2 in stream 'task-1' does not decode"):
        app.catch_up()
    assert app.items(the.tasks) == {"1": Task("1", "Do the dishes!")}
    with pytest.raises(UndecodableEvent, match="position 2 in stream 'task-1'"):
        app.load(the.task, "task-1")
    with pytest.raises(UndecodableEvent, match="position 2 in stream 'task-1'"):
        app.read()
    backend.close()


CORRUPTIONS: list[tuple[str, Any]] = [
    ("metadata", b"{"),
    ("metadata", b"[]"),
    ("metadata", b"\xff"),
    ("tags", b"{"),
    ("tags", b"[1]"),
    ("version", 0),
    ("version", -1),
    ("payload", "text, where bytes belong"),
]


@pytest.mark.parametrize(("column", "value"), CORRUPTIONS)
def test_any_column_of_garbage_is_a_corrupt_log(tmp_path: Path, colour: Colour, column: str, value: object) -> None:
    backend = SQLite(tmp_path / "log.db")
    app, *_ = of_today(backend, colour)
    app.append("task-1", DISHES)
    app.append("task-1", REST, metadata={"user": "ada"}, tags=["a"])
    sabotage(tmp_path / "log.db", f"UPDATE events SET {column} = ? WHERE position = 2", value)
    with pytest.raises(CorruptLog, match="position 2 in stream 'task-1'"):
        app.read()
    with pytest.raises(CorruptLog, match="position 2 in stream 'task-1'"):
        app.read_stream("task-1")
    backend.close()


@pytest.mark.parametrize("column", ["stream", "type"])
def test_a_name_that_is_no_text(tmp_path: Path, colour: Colour, column: str) -> None:
    backend = SQLite(tmp_path / "log.db")
    app, *_ = of_today(backend, colour)
    app.append("task-1", DISHES, REST)
    sabotage(tmp_path / "log.db", f"UPDATE events SET {column} = CAST(x'ff00ff' AS TEXT) WHERE position = 2")
    acts: list[Callable[[], object]] = [app.read, app.catch_up]
    for act in acts:
        with pytest.raises(CorruptLog, match=r"log\.db"):
            act()
    backend.close()


@pytest.mark.parametrize("document", [b"", b"{", b"null", b"\xff", b'{"id": 1}', "text"])
def test_a_document_of_garbage(tmp_path: Path, colour: Colour, document: object) -> None:
    backend = SQLite(tmp_path / "log.db")
    app, the, counts = of_today(backend, colour)
    app.append("task-1", DISHES)
    app.catch_up()
    sabotage(tmp_path / "log.db", "UPDATE documents SET document = ? WHERE key = '1'", document)
    told = "projection 'tasks': document '1' does not decode"
    with pytest.raises(UndecodableDocument, match=told):
        app.get(the.tasks, "1")
    with pytest.raises(UndecodableDocument, match=told):
        app.items(the.tasks)
    app.append("task-1", DISHES)
    with pytest.raises(ProjectionStopped, match=f"'tasks' stopped at position 2: .*{told}"):
        app.catch_up()
    assert app.get(counts, "all") == Count(2)
    backend.close()
