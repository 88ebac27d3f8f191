"""Checked by mypy and pyright, both strict, never run: what the public face infers, and what it rejects.

An expected error carries the checkers' own comment; where nothing is wrong, both report the comment as unused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

from typing_extensions import assert_type

from eventsource_upstash import (
    Aggregate,
    Appended,
    AsyncView,
    CatchUp,
    Executed,
    Loaded,
    Projection,
    Recorded,
    Registry,
    View,
    connect,
    connect_async,
)

registry = Registry()


@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


@registry.event("task-completed")
@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


@dataclass(frozen=True)
class Complete:
    id: str


assert_type(TaskCreated("1", "a"), TaskCreated)

tasks = registry.projection("tasks", Task)
assert_type(tasks, Projection[Task])


@tasks.on(TaskCreated, key="id")
def created(task: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


@tasks.on_recorded(TaskCompleted, key=lambda event: [event.id])
def completed(task: Task | None, recorded: Recorded[TaskCompleted]) -> Task | None:
    assert_type(recorded.event, TaskCompleted)
    return task and replace(task, done=True)


assert_type(created(None, TaskCreated("1", "a")), Task | None)


@tasks.on(TaskCreated, key="id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def of_another_event(task: Task | None, event: TaskCompleted) -> Task | None:
    return task


@tasks.on(TaskCreated, key="id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def of_another_document(task: str | None, event: TaskCreated) -> str | None:
    return task


@tasks.on(TaskCreated, key="id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def that_never_sees_none(task: Task, event: TaskCreated) -> Task | None:
    return task


@tasks.on(TaskCreated, key="id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
async def that_waits(task: Task | None, event: TaskCreated) -> Task | None:
    return task


task = registry.aggregate("task", Task)
assert_type(task, Aggregate[Task])


@task.on(TaskCreated)
def began(state: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


@task.decide(Complete)
def complete(state: Task | None, command: Complete) -> TaskCompleted | None:
    return TaskCompleted(command.id) if state and not state.done else None


@task.decide(Complete)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def of_another_command(state: Task | None, command: TaskCreated) -> None:
    return None


def blocking() -> None:
    app = connect("memory:", registry)
    view = app.projection_store.view(tasks)
    assert_type(view, View[Task])
    assert_type(view.get("1"), Task | None)
    assert_type(view.get_many(["1"]), dict[str, Task])
    assert_type(view.items(), Iterator[tuple[str, Task]])
    assert_type(view.count(), int)
    assert_type(app.event_store.append("task-1", TaskCreated("1", "a")), Appended)
    assert_type(app.event_store.read(), Iterator[Recorded[object]])
    assert_type(app.event_store.load(task, "task-1"), Loaded[Task])
    assert_type(app.event_store.execute(task, "task-1", Complete("1")), Executed[Task])
    assert_type(app.projector.catch_up(), CatchUp)


async def on_an_event_loop() -> None:
    app = connect_async("memory:", registry)
    view = app.projection_store.view(tasks)
    assert_type(view, AsyncView[Task])
    assert_type(await view.get("1"), Task | None)
    assert_type(view.items(), AsyncIterator[tuple[str, Task]])
    assert_type(await app.event_store.append("task-1", TaskCreated("1", "a")), Appended)
    assert_type(await app.event_store.load(task, "task-1"), Loaded[Task])
    assert_type(await app.event_store.execute(task, "task-1", Complete("1")), Executed[Task])
    assert_type(await app.projector.catch_up(), CatchUp)
