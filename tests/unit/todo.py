"""A small to-do domain, for tests that are not about the domain. Each call of `todo()` is a registry of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from eventsource_upstash import Aggregate, Projection, Registry


@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class TaskDeleted:
    id: str


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


@dataclass(frozen=True)
class CreateTask:
    id: str
    text: str


@dataclass(frozen=True)
class CompleteTask:
    """Completes a task; nothing happens when it is done already."""


class Refusal(Exception):
    """What the domain says to a command that it does not allow."""


class Todo(NamedTuple):
    registry: Registry
    tasks: Projection[Task]
    task: Aggregate[Task]


def todo() -> Todo:
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    registry.event("task-completed")(TaskCompleted)
    registry.event("task-deleted")(TaskDeleted)
    tasks = registry.projection("tasks", Task)
    task = registry.aggregate("task", Task)

    @task.on(TaskCreated)
    @tasks.on(TaskCreated, key="id")
    def created(task: Task | None, event: TaskCreated) -> Task | None:
        return Task(event.id, event.text)

    @task.on(TaskCompleted)
    @tasks.on(TaskCompleted, key="id")
    def completed(task: Task | None, event: TaskCompleted) -> Task | None:
        return task and replace(task, done=True)

    @task.on(TaskDeleted)
    @tasks.on(TaskDeleted, key="id")
    def deleted(task: Task | None, event: TaskDeleted) -> Task | None:
        return None

    @task.decide(CreateTask)
    def create(task: Task | None, command: CreateTask) -> TaskCreated:
        if not command.text:
            raise Refusal("a task needs a text")
        if task is not None:
            raise Refusal("there is such a task already")
        return TaskCreated(command.id, command.text)

    @task.decide(CompleteTask)
    def complete(task: Task | None, command: CompleteTask) -> TaskCompleted | None:
        if task is None:
            raise Refusal("there is no such task")
        return None if task.done else TaskCompleted(task.id)

    return Todo(registry, tasks, task)
