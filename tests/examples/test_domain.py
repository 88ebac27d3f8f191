"""The rules of the to-do list: which events a command leads to, given what happened before."""

from __future__ import annotations

import pytest

from eventsource_upstash import connect
from examples.todo.domain import (
    MAX_TEXT,
    CreateTask,
    DeleteTask,
    InvalidText,
    RestoreTask,
    Task,
    TaskCommand,
    TaskCreated,
    TaskDeleted,
    TaskError,
    TaskEvent,
    TaskExists,
    TaskUpdated,
    UnknownTask,
    UpdateTask,
    history,
    new_id,
    registry,
    stream_of,
    tasks,
)

ID = "0" * 24
CREATED = TaskCreated(ID, "Dishes")
TICKED = TaskUpdated(ID, "Dishes", done=True)
DELETED = TaskDeleted(ID)


def decided(given: list[TaskEvent], command: TaskCommand) -> tuple[object, ...]:
    with connect("memory:", registry) as app:
        if given:
            app.event_store.append(stream_of(command), *given)
        return app.event_store.execute(history, stream_of(command), command).events


@pytest.mark.parametrize(
    ("given", "command", "expected"),
    [
        ([], CreateTask(ID, "Dishes"), [CREATED]),
        ([CREATED], UpdateTask(ID, done=True), [TICKED]),
        ([CREATED], UpdateTask(ID, text="Pots"), [TaskUpdated(ID, "Pots", done=False)]),
        ([CREATED, TICKED], UpdateTask(ID, text="Pots"), [TaskUpdated(ID, "Pots", done=True)]),
        ([CREATED, TICKED], UpdateTask(ID, "Dishes", done=True), []),
        ([CREATED], UpdateTask(ID), []),
        ([CREATED, TICKED], DeleteTask(ID), [DELETED]),
        ([CREATED, DELETED], RestoreTask(ID), [CREATED]),
        ([CREATED, TICKED, DELETED], RestoreTask(ID), [CREATED, TICKED]),
        ([CREATED, TICKED, DELETED, CREATED], RestoreTask(ID), []),
        ([CREATED], RestoreTask(ID), []),
    ],
)
def test_what_a_command_leads_to(given: list[TaskEvent], command: TaskCommand, expected: list[TaskEvent]) -> None:
    assert decided(given, command) == tuple(expected)


@pytest.mark.parametrize(
    ("given", "command", "error"),
    [
        ([CREATED], CreateTask(ID, "Again"), TaskExists),
        ([CREATED, DELETED], CreateTask(ID, "Again"), TaskExists),
        ([], UpdateTask(ID, done=True), UnknownTask),
        ([CREATED, DELETED], UpdateTask(ID, done=True), UnknownTask),
        ([], DeleteTask(ID), UnknownTask),
        ([CREATED, DELETED], DeleteTask(ID), UnknownTask),
        ([], RestoreTask(ID), UnknownTask),
        ([], CreateTask(ID, ""), InvalidText),
        ([], CreateTask(ID, "\ud800"), InvalidText),
        ([CREATED], UpdateTask(ID, text="x" * (MAX_TEXT + 1)), InvalidText),
        ([], DeleteTask("tasks"), UnknownTask),
    ],
)
def test_what_is_refused(given: list[TaskEvent], command: TaskCommand, error: type[TaskError]) -> None:
    with pytest.raises(error, match=r"\w\.$"):  # a sentence
        decided(given, command)


def test_what_the_view_shows() -> None:
    with connect("memory:", registry) as app:
        view = app.projection_store.view(tasks)
        position = app.event_store.append(f"task-{ID}", CREATED, TICKED).position
        assert view.get(ID, at_least=position) == Task(ID, "Dishes", done=True)
        position = app.event_store.append(f"task-{ID}", DELETED, TICKED).position
        assert view.get(ID, at_least=position) is None  # no event brings back a task that is deleted, but its creation


def test_ids_sort_by_age_and_follow_from_a_key() -> None:
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100
    assert new_id("retry") == new_id("retry") != new_id("another")
    assert new_id(ID) == ID
