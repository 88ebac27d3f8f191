"""A small app for the tests of scenarios."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from eventsource_upstash import Recorded, Registry

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


@registry.event("task-deleted")
@dataclass(frozen=True)
class TaskDeleted:
    id: str


@registry.event("task-labelled")
@dataclass
class TaskLabelled:
    id: str
    labels: list[str]


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


@dataclass(frozen=True)
class Entry:
    user: str
    stream: str
    position: int
    revision: int
    at: datetime
    tags: tuple[str, ...] = ()


@dataclass
class Labels:
    names: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Create:
    id: str
    text: str


@dataclass(frozen=True)
class Complete:
    id: str


@dataclass
class Relabel:
    labels: list[str]


class UnknownTask(Exception):
    pass


task = registry.aggregate("task", Task)


@task.on(TaskCreated)
def task_created(state: Task | None, event: TaskCreated) -> Task:
    return Task(event.id, event.text)


@task.on(TaskCompleted)
def task_completed(state: Task | None, event: TaskCompleted) -> Task | None:
    return state and replace(state, done=True)


@task.on(TaskDeleted)
def task_deleted(state: Task | None, event: TaskDeleted) -> None:
    return None


@task.decide(Create)
def create(state: Task | None, command: Create) -> TaskCreated | list[object]:
    if command.text == "done already":
        return [TaskCreated(command.id, command.text), TaskCompleted(command.id)]
    return TaskCreated(command.id, command.text)


@task.decide(Complete)
def complete(state: Task | None, command: Complete) -> TaskCompleted | None:
    if state is None:
        raise UnknownTask(f"there is no task {command.id}")
    return None if state.done else TaskCompleted(command.id)


tasks = registry.projection("tasks", Task)


@tasks.on(TaskCreated, key="id")
def created(document: Task | None, event: TaskCreated) -> Task:
    return Task(event.id, event.text)


@tasks.on(TaskCompleted, key="id")
def completed(document: Task | None, event: TaskCompleted) -> Task:
    if document is None:
        raise LookupError(f"completed before it was created: {event.id}")
    return replace(document, done=True)


@tasks.on(TaskDeleted, key="id")
def deleted(document: Task | None, event: TaskDeleted) -> None:
    return None


audit = registry.projection("audit", Entry)


@audit.on_recorded(TaskCreated)
def audited(document: Entry | None, recorded: Recorded[TaskCreated]) -> Entry:
    return Entry(
        str(recorded.metadata.get("user", "nobody")),
        recorded.stream,
        recorded.position,
        recorded.revision,
        recorded.recorded_at,
        recorded.tags,
    )
