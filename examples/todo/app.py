"""The wiring: the to-do list over an event store, a projector and a view, for blocking and for async frameworks.

`Todo` and `AsyncTodo` say the same thing twice, once with `await`: a command is executed on its stream, a query reads
the view. Every query asks for a view that has reached this process's own last command, so that a person always sees
what they have just done, however far behind whoever folds is: the reader then brings the view up to date itself.

Who folds depends on where the events are. In this process or in a file, a worker does, which looks at the log all the
time. On Upstash every look costs money, so no worker runs: QStash delivers a notification, which folds. A function
(AWS Lambda) over a file has neither, so its queries ask for the head of the log.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from eventsource_upstash import Executed, ProjectionStatus, Recorded, connect, connect_async, web

from .domain import History, Task, TaskCommand, UnknownTask, check_id, history, registry, stream_of, tasks

PATIENCE = 2.0
"""Seconds that a query waits for a view to get as far as it asks for."""

DEFAULT_BACKEND = "sqlite:todo.db"


def backend_url() -> str:
    """Where the events are kept: TODO_BACKEND, `memory:`, `sqlite:todo.db` or `upstash:`."""
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
    billed: bool
    """Whether each look costs money: then whoever asks for the log does so rarely."""
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
        self.billed = self.app.backend.public
        self._view = self.app.projection_store.view(tasks)
        self.feed = web.ViewEndpoint(self.app, tasks)
        self._endpoint = web.Endpoint(self.app)
        self._worker = self.app.worker()
        self._folds = self.billed  # whether somebody folds without being asked: QStash, or our worker once it runs
        self._own: int | None = None  # up to where every query of this process has to see, once that is known
        self._lock = threading.Lock()

    def start(self) -> Todo:
        """Have what is appended folded from now on."""
        if not self.billed:
            self._worker.start()
        self._folds = True
        return self

    def perform(self, command: TaskCommand, key: str | None = None) -> Done:
        """Execute a command. Raises `TaskError` when it is refused."""
        executed = self.app.event_store.execute(history, stream_of(command), command, idempotency_key=key)
        done = _done(executed)
        self._saw(done.position)
        return done

    def notified(self, request: web.Request) -> web.Response:
        """Fold because a notification came, and have the feeds look."""
        response = self._endpoint.handle(request)
        if response.status == 200:  # whoever is refused wakes nobody: looking costs money
            self.feed.wake()
        return response

    def tasks(self, at_least: int = 0) -> list[Task]:
        """All tasks, oldest first."""
        return [task for _, task in self._view.items(at_least=self._fresh(at_least), timeout=PATIENCE)]

    def task(self, id: str, at_least: int = 0) -> Task:
        """One task. Raises `UnknownTask`."""
        return _found(self._view.get(check_id(id), at_least=self._fresh(at_least), timeout=PATIENCE))

    def follow(self, request: web.Request) -> web.Response | web.Streaming:
        """The change feed of the list; it begins where every query does."""
        self._view.version(at_least=self._fresh(0), timeout=PATIENCE)
        return self.feed.feed(request)

    def log(self, after: int | None, limit: int) -> LogPage:
        """The log after a position, or its end."""
        status = _tasks(self.app.projection_store.status())
        start = _start(after, status.head, limit)
        events = list(self.app.event_store.read(after=start, limit=limit)) if status.head > start else []
        return LogPage(events, status, self.billed, rewound=after is not None and start != after)

    def close(self) -> None:
        """Let the readers of the feed go, stop folding, and release the backend."""
        self.feed.close()
        self._worker.stop()
        self.app.close()

    def _fresh(self, at_least: int) -> int:
        # The process before this one may have been killed between an append and its fold: what it acknowledged is to
        # be seen from the first query on.
        if self._own is None or not self._folds:
            self._saw(self.app.event_store.head())
        return max(at_least, self._own or 0)

    def _saw(self, position: int) -> None:
        if position:  # else the command changed nothing
            with self._lock:
                self._own = max(self._own or 0, position)


class AsyncTodo:
    """The to-do list for async callers: Starlette, FastAPI."""

    def __init__(self, url: str | None = None) -> None:
        self.app = connect_async(url or backend_url(), registry)
        self.billed = self.app.backend.public
        self._view = self.app.projection_store.view(tasks)
        self.feed = web.AsyncViewEndpoint(self.app, tasks)
        self._endpoint = web.AsyncEndpoint(self.app)
        self._worker = self.app.worker()
        self._folds = self.billed
        self._own: int | None = None

    async def start(self) -> AsyncTodo:
        """Have what is appended folded from now on."""
        if not self.billed:
            await self._worker.start()
        self._folds = True
        return self

    async def perform(self, command: TaskCommand, key: str | None = None) -> Done:
        """Execute a command. Raises `TaskError` when it is refused."""
        executed = await self.app.event_store.execute(history, stream_of(command), command, idempotency_key=key)
        done = _done(executed)
        self._saw(done.position)
        return done

    async def notified(self, request: web.Request) -> web.Response:
        """Fold because a notification came, and have the feeds look."""
        response = await self._endpoint.handle(request)
        if response.status == 200:
            self.feed.wake()
        return response

    async def tasks(self, at_least: int = 0) -> list[Task]:
        """All tasks, oldest first."""
        at_least = await self._fresh(at_least)
        return [task async for _, task in self._view.items(at_least=at_least, timeout=PATIENCE)]

    async def task(self, id: str, at_least: int = 0) -> Task:
        """One task. Raises `UnknownTask`."""
        return _found(await self._view.get(check_id(id), at_least=await self._fresh(at_least), timeout=PATIENCE))

    async def follow(self, request: web.Request) -> web.Response | web.AsyncStreaming:
        """The change feed of the list; it begins where every query does."""
        await self._view.version(at_least=await self._fresh(0), timeout=PATIENCE)
        return await self.feed.feed(request)

    async def log(self, after: int | None, limit: int) -> LogPage:
        """The log after a position, or its end."""
        status = _tasks(await self.app.projection_store.status())
        start = _start(after, status.head, limit)
        reading = self.app.event_store.read(after=start, limit=limit)
        events = [recorded async for recorded in reading] if status.head > start else []
        return LogPage(events, status, self.billed, rewound=after is not None and start != after)

    async def close(self) -> None:
        """Let the readers of the feed go, stop folding, and release the backend."""
        self.feed.close()
        await self._worker.stop()
        await self.app.close()

    async def __aenter__(self) -> AsyncTodo:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _fresh(self, at_least: int) -> int:
        if self._own is None or not self._folds:
            self._saw(await self.app.event_store.head())
        return max(at_least, self._own or 0)

    def _saw(self, position: int) -> None:
        if position:
            self._own = max(self._own or 0, position)


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
