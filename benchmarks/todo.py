"""The work that everyone does: the events, the documents and the folds of a to-do list.

The floor and this library use these very classes and functions. A peer has event classes of its
own (they carry its envelope), made from the same lines, in the same order, with the same texts.

Events are frozen dataclasses, as most people write them. Documents and states are structs: a fold
that makes a frozen dataclass spends more time on that than all the rest of the floor together, and
so would hide what the ratios are there to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias


class Kind(Enum):
    CREATED = "task-created"
    UPDATED = "task-updated"
    COMPLETED = "task-completed"
    DELETED = "task-deleted"


class Line(NamedTuple):
    """One event in plain values. An append expects the revision before this one."""

    kind: Kind
    task: int
    revision: int
    text: str

    @property
    def stream(self) -> str:
        return f"task-{self.task}"


@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


@dataclass(frozen=True)
class TaskUpdated:
    id: str
    text: str


@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class TaskDeleted:
    id: str


TaskEvent: TypeAlias = "TaskCreated | TaskUpdated | TaskCompleted | TaskDeleted"


class Task(msgspec.Struct, frozen=True):
    id: str
    text: str
    done: bool = False


class TaskState(msgspec.Struct):
    """What the aggregate keeps to decide on."""

    text: str
    done: bool = False


def created(_: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


def updated(task: Task | None, event: TaskUpdated) -> Task | None:
    return task and Task(task.id, event.text, task.done)


def completed(task: Task | None, _: TaskCompleted) -> Task | None:
    return task and Task(task.id, task.text, True)


def deleted(_task: Task | None, _event: TaskDeleted) -> Task | None:
    return None


def state_created(_: TaskState | None, event: TaskCreated) -> TaskState:
    return TaskState(event.text)


def state_updated(state: TaskState | None, event: TaskUpdated) -> TaskState:
    return TaskState(event.text, state is not None and state.done)


MAKE: dict[Kind, Callable[[str, str], TaskEvent]] = {
    Kind.CREATED: TaskCreated,
    Kind.UPDATED: TaskUpdated,
    Kind.COMPLETED: lambda key, _: TaskCompleted(key),
    Kind.DELETED: lambda key, _: TaskDeleted(key),
}

TASKS_AT_ONCE = 50
WARM_UP = 200


def event(line: Line) -> TaskEvent:
    return MAKE[line.kind](str(line.task), line.text)


def lines(count: int, *, first_task: int = 0) -> Iterator[Line]:
    """The log: fifty tasks are created, then changed, then done, and one in five is deleted."""
    left = count
    while True:
        for line in _fifty_tasks(first_task):
            if not left:
                return
            left -= 1
            yield line
        first_task += TASKS_AT_ONCE


def _fifty_tasks(first: int) -> Iterator[Line]:
    tasks = range(first, first + TASKS_AT_ONCE)
    for task in tasks:
        yield Line(Kind.CREATED, task, 1, f"Do the dishes, number {task}!")
    for task in tasks:
        yield Line(Kind.UPDATED, task, 2, f"Do the dishes and the pans, number {task}!")
    for task in tasks:
        yield Line(Kind.COMPLETED, task, 3, "")
    for task in tasks[::5]:
        yield Line(Kind.DELETED, task, 4, "")


def one_task(count: int, task: int = 0) -> Iterator[Line]:
    """One stream of `count` events: a task is created, and then changed again and again."""
    yield Line(Kind.CREATED, task, 1, "Do the dishes!")
    for revision in range(2, count + 1):
        yield Line(Kind.UPDATED, task, revision, f"Do the dishes! {revision}")


def batches(count: int, size: int = 100) -> Iterator[tuple[int, list[Line]]]:
    """`count` events in streams of `size`, each to be appended at once."""
    for task in range(count // size):
        yield task, list(one_task(size, task))


def tasks_left(count: int) -> int:
    """How many documents a view of `count` lines holds; every contestant's is checked."""
    open_tasks: set[int] = set()
    for line in lines(count):
        if line.kind is Kind.DELETED:
            open_tasks.discard(line.task)
        else:
            open_tasks.add(line.task)
    return len(open_tasks)
