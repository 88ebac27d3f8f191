"""What the type checkers reject. Checked by mypy and pyright, both strict; never run.

Each line that is marked has to be an error: both checkers report a comment that silences nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from eventsource_upstash import AsyncApp, Memory, Recorded, Registry, SQLite, connect, connect_async
from eventsource_upstash.sql import sql_projection
from eventsource_upstash.web import Endpoint, asgi_app

registry = Registry()


@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    id: str


@registry.event("task-completed")
@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class Task:
    id: str


@dataclass(frozen=True)
class Count:
    count: int


@dataclass(frozen=True)
class CreateTask:
    id: str


tasks = registry.projection("tasks", Task)
task_aggregate = registry.aggregate("task", Task)


# --- fold handlers


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def another_event(task: Task | None, event: TaskCompleted) -> Task | None:
    return task


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def another_document(count: Count | None, event: TaskCreated) -> Count | None:
    return count


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def another_answer(task: Task | None, event: TaskCreated) -> str:
    return event.id


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def never_without_a_document(task: Task, event: TaskCreated) -> Task:
    return task


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def one_parameter(event: TaskCreated) -> Task:
    return Task(event.id)


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
async def waits(task: Task | None, event: TaskCreated) -> Task | None:
    return task


@tasks.on_recorded(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def not_recorded(task: Task | None, event: TaskCreated) -> Task | None:
    return task


@tasks.on_recorded(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def another_recorded(task: Task | None, recorded: Recorded[TaskCompleted]) -> Task | None:
    return task


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def another_third(task: Task | None, event: TaskCreated, when: str) -> Task | None:
    return task


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def another_key(task: Task | None, event: TaskCreated, key: int) -> Task | None:
    return task


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def key_alone(task: Task | None, event: TaskCreated, *, key: str) -> Task | None:
    return task


@tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
def a_fourth(task: Task | None, event: TaskCreated, key: str, more: int) -> Task | None:
    return task


@tasks.on(TaskCreated, key=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def no_key(task: Task | None, event: TaskCreated) -> Task | None:
    return task


@tasks.on(TaskCreated, key=lambda event: 1.5)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
def no_key_either(task: Task | None, event: TaskCreated) -> Task | None:
    return task


@task_aggregate.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def another_state(count: Count | None, event: TaskCreated) -> Count:
    return Count(1)


# --- decide handlers


@task_aggregate.decide(CreateTask)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def another_command(task: Task | None, command: TaskCreated) -> TaskCreated:
    return command


@task_aggregate.decide(CreateTask)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def of_another_state(count: Count | None, command: CreateTask) -> None: ...


@registry.upcast("task-created", from_version=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def no_upcaster(data: list[object]) -> list[object]:
    return data


# --- calls


def calls() -> None:
    app = connect("memory:", registry)
    app.event_store.append(5, TaskCreated("1"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.event_store.append(
        "task-1",
        TaskCreated("1"),
        expected_revision="1",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )
    app.event_store.append(
        "task-1",
        TaskCreated("1"),
        metadata="user",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )
    app.event_store.load(tasks, "task-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    view = app.projection_store.view(tasks)
    view.get("1").id  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]  # noqa: B018
    count: Count | None = view.get("1")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del count
    app.projection_store.view(task_aggregate)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    app.projection_store.view("tasks")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    connect("memory:")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SQLite("todo.db", synchronous="OFF")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def colours(coloured: AsyncApp) -> None:
    app = connect("memory:", registry)
    asgi_app(app)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Endpoint(coloured)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    AsyncApp(Memory(), registry, "qstash")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def forgotten() -> None:
    app = connect_async("memory:", registry)
    app.event_store.append("task-1", TaskCreated("1"))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await app  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    list(app.event_store.read())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


sql_tasks = sql_projection("tasks", registry)


@sql_tasks.on(TaskCreated)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def another_sql_event(connection: sa.Connection, event: TaskCompleted) -> None: ...
