"""The wiring: the to-do list over an event store, a projector and a view, for blocking and for async frameworks.

`Todo` and `AsyncTodo` say the same thing twice, once with `await`: a command is executed on its stream, a query reads
the view. Every query asks for a view that has reached this process's own last command, so that a person always sees
what they have just done, however far behind the projector is. Where no worker folds (AWS Lambda), it asks for a view
that has reached the head of the log: the reader brings it up to date.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from eventsource_upstash import Executed, ProjectionStatus, Recorded, connect, connect_async

from .bell import AsyncBell, Bell
from .domain import History, Task, TaskCommand, UnknownTask, check_id, history, registry, stream_of, tasks

PATIENCE = 2.0
"""Seconds that a query waits for a view to get as far as it asks for."""

DEFAULT_BACKEND = "sqlite:todo.db"


def backend_url() -> str:
    """Where the events are kept: TODO_BACKEND, such as `memory:` or `sqlite:todo.db`."""
    return os.environ.get("TODO_BACKEND") or DEFAULT_BACKEND


@dataclass(frozen=True)
class Done:
    """What came of a command: the task after it, and the position from which on views know of it.

    The position is 0 when nothing had to happen.
    """

    task: Task
    position: int


@dataclass(frozen=True)
class LogPage:
    """A part of the log, and how far the view has come."""

    events: Sequence[Recorded[object]]
    status: ProjectionStatus
    rewound: bool = False
    """Whether the log ends before the position asked from: it is not the log that the reader knew."""

    @property
    def head(self) -> int:
        """The last position known of: the events may be younger than the status."""
        return max(self.status.head, self.events[-1].position) if self.events else self.status.head

    @property
    def lag(self) -> int:
        """How far the view is behind."""
        return max(0, self.head - self.status.checkpoint)


class Todo:
    """The to-do list for blocking callers: Flask, Django, AWS Lambda, scripts."""

    def __init__(self, url: str | None = None) -> None:
        self.app = connect(url or backend_url(), registry)
        self.bell = Bell()
        self._view = self.app.projection_store.view(tasks)
        self._worker = self.app.worker()
        self._works = False
        self._own = 0

    def start(self) -> Todo:
        """Fold in the background from now on, after each append."""
        # The process before this one may have been killed between an append and its fold: what it acknowledged is to
        # be seen from the first query on.
        self._own = self.app.event_store.head()
        self._worker.start()
        self._works = True
        return self

    def perform(self, command: TaskCommand, key: str | None = None) -> Done:
        """Execute a command. Raises `TaskError` when it is refused."""
        executed = self.app.event_store.execute(history, stream_of(command), command, idempotency_key=key)
        done = _done(executed)
        self._own = max(self._own, done.position)
        self.bell.ring()
        return done

    def tasks(self, at_least: int = 0) -> list[Task]:
        """All tasks, oldest first."""
        return [task for _, task in self._view.items(at_least=self._fresh(at_least), timeout=PATIENCE)]

    def task(self, id: str, at_least: int = 0) -> Task:
        """One task. Raises `UnknownTask`."""
        return _found(self._view.get(check_id(id), at_least=self._fresh(at_least), timeout=PATIENCE))

    def log(self, after: int | None, limit: int) -> LogPage:
        """The log after a position, or its end."""
        status = _tasks(self.app.projection_store.status())
        start = _start(after, status.head, limit)
        events = list(self.app.event_store.read(after=start, limit=limit))
        return LogPage(events, status, rewound=after is not None and start != after)

    def close(self) -> None:
        """Let the readers of the live log go, stop folding, and release the backend."""
        self.bell.close()
        self._worker.stop()
        self.app.close()

    def _fresh(self, at_least: int) -> int:
        return max(at_least, self._own if self._works else self.app.event_store.head())


class AsyncTodo:
    """The to-do list for async callers: Starlette, FastAPI."""

    def __init__(self, url: str | None = None) -> None:
        self.app = connect_async(url or backend_url(), registry)
        self.bell = AsyncBell()
        self._view = self.app.projection_store.view(tasks)
        self._worker = self.app.worker()
        self._works = False
        self._own = 0

    async def start(self) -> AsyncTodo:
        """Fold in the background from now on, after each append."""
        # The process before this one may have been killed between an append and its fold: what it acknowledged is to
        # be seen from the first query on.
        self._own = await self.app.event_store.head()
        await self._worker.start()
        self._works = True
        return self

    async def perform(self, command: TaskCommand, key: str | None = None) -> Done:
        """Execute a command. Raises `TaskError` when it is refused."""
        executed = await self.app.event_store.execute(history, stream_of(command), command, idempotency_key=key)
        done = _done(executed)
        self._own = max(self._own, done.position)
        self.bell.ring()
        return done

    async def tasks(self, at_least: int = 0) -> list[Task]:
        """All tasks, oldest first."""
        at_least = await self._fresh(at_least)
        return [task async for _, task in self._view.items(at_least=at_least, timeout=PATIENCE)]

    async def task(self, id: str, at_least: int = 0) -> Task:
        """One task. Raises `UnknownTask`."""
        return _found(await self._view.get(check_id(id), at_least=await self._fresh(at_least), timeout=PATIENCE))

    async def log(self, after: int | None, limit: int) -> LogPage:
        """The log after a position, or its end."""
        status = _tasks(await self.app.projection_store.status())
        start = _start(after, status.head, limit)
        events = [recorded async for recorded in self.app.event_store.read(after=start, limit=limit)]
        return LogPage(events, status, rewound=after is not None and start != after)

    async def close(self) -> None:
        """Let the readers of the live log go, stop folding, and release the backend."""
        self.bell.close()
        await self._worker.stop()
        await self.app.close()

    async def __aenter__(self) -> AsyncTodo:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _fresh(self, at_least: int) -> int:
        return max(at_least, self._own if self._works else await self.app.event_store.head())


def _done(executed: Executed[History]) -> Done:
    assert executed.state is not None  # every command that is not refused leaves a task, if only a deleted one
    return Done(executed.state.task, executed.position or 0)


def _found(task: Task | None) -> Task:
    if task is None:
        raise UnknownTask
    return task


def _start(after: int | None, head: int, limit: int) -> int:
    if after is None:
        return max(0, head - limit)
    return after if after <= head else 0


def _tasks(statuses: Sequence[ProjectionStatus]) -> ProjectionStatus:
    return next(status for status in statuses if status.name == tasks.name)
