"""Message -> job: the handlers of an app's own paths, and calling the one that a message is for."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar, cast

import msgspec

from .._io.port import Port
from ..domain.jobs import LEASE, Job, check_job_path, lease_seconds
from ..errors import Misuse, RegistrationError

JobHandler = Callable[[Job], object]
"""Takes the message; answers None, bytes, a text, or what can be written as JSON. In an event loop it may be async."""

H = TypeVar("H", bound=JobHandler)


class Jobs:
    """The jobs of an app, by their paths. Filled by `App.job`; whoever delivers a message calls `run`.

    Args:
        awaits: Awaits what an `async def` handler answers; None where there is no event loop, and so no such handler.
    """

    def __init__(self, *, awaits: Callable[[Awaitable[object]], Awaitable[object]] | None) -> None:
        self._awaits = awaits
        self._handlers: dict[str, JobHandler] = {}
        self._leases: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Jobs({', '.join(self._handlers)})"

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that there are jobs for."""
        return tuple(self._handlers)

    def __contains__(self, path: object) -> bool:
        return path in self._handlers

    @property
    def leases(self) -> Mapping[str, float]:
        """The paths that there are jobs for, each with how many seconds nobody else is handed a message for it."""
        return self._leases

    def at(self, path: str, lease: float | timedelta = LEASE) -> Callable[[H], H]:
        """What registers a handler for that path. Raises `RegistrationError` at once where that can be none."""
        check_job_path(path)
        lease_seconds(path, lease)
        return lambda handler: self.add(path, handler, lease)

    def add(self, path: str, handler: H, lease: float | timedelta = LEASE) -> H:
        """Register a handler for a path, and answer it.

        Raises:
            RegistrationError: The path cannot be one or has a handler; the handler or the lease cannot be one here.
        """
        check_job_path(path)
        if path in self._handlers:
            raise RegistrationError(f"job {path}: the path has a handler already; each job has a path of its own")
        if not callable(handler):
            raise RegistrationError(f"job {path}: {handler!r} is no function; a handler takes the Job")
        if _is_async(handler) and self._awaits is None:
            raise RegistrationError(
                f"job {path}: an async handler needs an event loop. Register it on the app that connect_async makes, "
                "or write it with a plain def"
            )
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise RegistrationError(f"job {path}: its handler yields, so that calling it does nothing; let it return")
        if not _takes_one(handler):
            raise RegistrationError(f"job {path}: its handler takes one argument, the Job")
        self._leases[path] = lease_seconds(path, lease)
        self._handlers[path] = handler
        return handler

    async def run(self, port: Port, job: Job) -> bytes | None:
        """Have the handler of the job's path do its work.

        Args:
            port: A plain handler is called through its `call`, so it blocks no event loop.
            job: The message.

        Returns:
            What the handler answered, as bytes: a text in UTF-8, anything else as JSON; None where it answered nothing.

        Raises:
            Misuse: No job has that path, or the handler's answer cannot be written as JSON.
            Exception: What the handler raises, as it is.
        """
        handler = self._handlers.get(job.path)
        if handler is None:
            raise Misuse(f"there is no job {job.path!r}; register its handler: @app.job({job.path!r})")
        answer = handler(job) if _is_async(handler) else await port.call(lambda: _called(handler, job))
        if inspect.isawaitable(answer):
            answer = await self._awaited(job.path, answer)
        return _encoded(job.path, answer)

    def goes_on(self, path: str) -> bool:
        """Whether the handler goes on to its end, in a thread, when whoever waits for it is cancelled."""
        handler = self._handlers.get(path)
        return self._awaits is not None and handler is not None and not _is_async(handler)

    async def _awaited(self, path: str, answer: Awaitable[object]) -> object:
        if self._awaits is not None:
            return await self._awaits(answer)
        if inspect.iscoroutine(answer):
            answer.close()  # it has done nothing yet, and would be found never awaited
        raise Misuse(f"job {path}: its handler answered something to await, and there is no event loop here")


def _is_async(handler: JobHandler) -> bool:
    call = cast("object", getattr(handler, "__call__", None))  # noqa: B004  # of an object whose class has an async one
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _called(handler: JobHandler, job: Job) -> object:
    try:
        return handler(job)
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)) and threading.current_thread() is threading.main_thread():
            raise  # a signal's handler raises it there to end the process
        # A thread would end by it, and nobody would deliver from then on.
        raise RuntimeError(f"the handler would have ended whoever called it: {error!r}") from error


def _takes_one(handler: JobHandler) -> bool:
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return True  # a built-in that does not tell
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True


def _encoded(path: str, answer: object) -> bytes | None:
    if answer is None or isinstance(answer, bytes):
        return answer
    if isinstance(answer, str):
        return answer.encode()
    try:
        return msgspec.json.encode(answer)
    except (TypeError, ValueError, RecursionError) as error:
        raise Misuse(
            f"job {path}: its handler answered a {type(answer).__name__}, which cannot be written as JSON: {error}"
        ) from error
