"""What a to-do list is: its events, the document that people see, the commands, and the rules.

Everything here is pure: no storage, no web, no waiting. The event types are the whole history of a task:

    create-task   the task is there (again: undoing a deletion creates the task anew, under its old id)
    update-task   its text or its tick changed
    delete-task   it is gone
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import unicodedata
from dataclasses import dataclass, replace

from eventsource_upstash import Registry

MAX_TEXT = 1000
"""Longest text of a task, in characters."""

registry = Registry()


# -- Events: immutable facts, named in the past tense; the type name is what stands in the log --


@registry.event("create-task")
@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


@registry.event("update-task")
@dataclass(frozen=True)
class TaskUpdated:
    id: str
    text: str
    done: bool


@registry.event("delete-task")
@dataclass(frozen=True)
class TaskDeleted:
    id: str


TaskEvent = TaskCreated | TaskUpdated | TaskDeleted


# -- The view: one document per task, folded from the whole log; this is what queries read --


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


tasks = registry.projection("tasks", Task, changes=True)


@tasks.on(TaskCreated, key="id")
def created(task: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


@tasks.on(TaskUpdated, key="id")
def updated(task: Task | None, event: TaskUpdated) -> Task | None:
    return task and replace(task, text=event.text, done=event.done)


@tasks.on(TaskDeleted, key="id")
def deleted(task: Task | None, event: TaskDeleted) -> Task | None:
    return None


# -- Errors: each message is written for the person in front of the page --


class TaskError(Exception):
    """A command that was refused. Nothing was appended."""


class UnknownTask(TaskError):
    def __init__(self) -> None:
        super().__init__("There is no such task. It may have been deleted in the meantime.")


class TaskExists(TaskError):
    def __init__(self) -> None:
        super().__init__("There is a task under this id already.")


class InvalidText(TaskError):
    pass


def checked(text: str) -> str:
    """The text as it came, if it can be the text of a task. Raises `InvalidText`."""
    if len(text) > MAX_TEXT:
        raise InvalidText(f"The text is too long: {len(text):,} characters, at most {MAX_TEXT:,} are possible.")
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise InvalidText("The text contains half of a character (a lone surrogate), which cannot be stored.")
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n" for character in text):
        raise InvalidText("The text contains control characters, which cannot be shown.")
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise InvalidText("The text is empty. Write what there is to do.")
    return text


# -- Commands, and the aggregate that decides on them --


@dataclass(frozen=True)
class CreateTask:
    id: str
    text: str


@dataclass(frozen=True)
class UpdateTask:
    """Change the text, the tick or both; None leaves as it is, so that two windows do not undo each other."""

    id: str
    text: str | None = None
    done: bool | None = None


@dataclass(frozen=True)
class DeleteTask:
    id: str


@dataclass(frozen=True)
class RestoreTask:
    """Undo a deletion. It needs no more than the id: the log still knows what the task was."""

    id: str


TaskCommand = CreateTask | UpdateTask | DeleteTask | RestoreTask


@dataclass(frozen=True)
class History:
    """What the write side knows of one task. It outlives a deletion, so that the deletion can be undone."""

    task: Task
    deleted: bool = False


history = registry.aggregate("task", History)


@history.on(TaskCreated)
def was_created(state: History | None, event: TaskCreated) -> History:
    return History(Task(event.id, event.text))


@history.on(TaskUpdated)
def was_updated(state: History | None, event: TaskUpdated) -> History:
    return History(Task(event.id, event.text, event.done))


@history.on(TaskDeleted)
def was_deleted(state: History | None, event: TaskDeleted) -> History | None:
    return state and replace(state, deleted=True)


@history.decide(CreateTask)
def create(state: History | None, command: CreateTask) -> TaskCreated:
    if state is not None:
        raise TaskExists
    return TaskCreated(command.id, checked(command.text))


@history.decide(UpdateTask)
def update(state: History | None, command: UpdateTask) -> TaskUpdated | None:
    task = living(state)
    text = task.text if command.text is None else checked(command.text)
    done = task.done if command.done is None else command.done
    if (text, done) == (task.text, task.done):
        return None  # nothing changes, so nothing happened
    return TaskUpdated(task.id, text, done)


@history.decide(DeleteTask)
def delete(state: History | None, command: DeleteTask) -> TaskDeleted:
    return TaskDeleted(living(state).id)


@history.decide(RestoreTask)
def restore(state: History | None, command: RestoreTask) -> list[TaskEvent]:
    if state is None:
        raise UnknownTask
    if not state.deleted:
        return []  # somebody was faster, or clicked twice: the wish is fulfilled
    task = state.task
    events: list[TaskEvent] = [TaskCreated(task.id, task.text)]
    if task.done:
        events.append(TaskUpdated(task.id, task.text, done=True))
    return events


def living(state: History | None) -> Task:
    """The task, if there is one. Raises `UnknownTask`."""
    if state is None or state.deleted:
        raise UnknownTask
    return state.task


# -- Names --

_ID = re.compile(r"[0-9a-f]{24}")


def new_id(key: str | None = None) -> str:
    """An id that sorts by the time of creation, so that the view, which is ordered by id, is ordered by age.

    A request that is sent again under its idempotency key must mean the same task, so with a key the id follows from
    it: it is the key, if that looks like an id (the page makes such keys), and otherwise a digest of it.
    """
    if key is None:
        return f"{time.time_ns():016x}{secrets.token_hex(4)}"
    return key if _ID.fullmatch(key) else hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def check_id(id: str) -> str:
    """The id, if a task can have it. Raises `UnknownTask`."""
    if not _ID.fullmatch(id):
        raise UnknownTask
    return id


def stream_of(command: TaskCommand) -> str:
    """The stream of the task that a command is about. Raises `UnknownTask` for an id that no task can have."""
    return f"task-{check_id(command.id)}"
