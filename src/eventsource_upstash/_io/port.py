"""The port: everything that can make a caller wait, in three methods.

The logic of this library is written once, as coroutines over this port. The event-loop side awaits them; the blocking
side gives them a port that never suspends and steps each coroutine to its end. A test gives them a port that stops at
every wait, and so tries every order in which two callers can get in each other's way.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeVar

import msgspec

from .addresses import host_of

T = TypeVar("T")


MAX_ANSWER: Final = 32 * 1024 * 1024
"""Most bytes of an answer: several times what any service here gives, and what a process can hold."""


class HttpRequest(msgspec.Struct, frozen=True):
    """A request on its way out. Its `repr` tells nothing of headers, body and path, which may hold secrets.

    Attributes:
        method: "POST", in capitals.
        url: The whole URL.
        headers: Names in lower case.
        body: The raw bytes.
        timeout: Seconds for the whole exchange.
        connect_timeout: Seconds until the connection is there, of those; None for all of them.
        read_timeout: Seconds that the server may be silent, of those; None for all of them.
        max_answer: Most bytes of the answer's body, unpacked.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
    connect_timeout: float | None = None
    read_timeout: float | None = None
    max_answer: int = MAX_ANSWER

    def __repr__(self) -> str:  # whoever reports an error with the locals of its frames would send them along
        try:
            where = host_of(self.url)
        except ValueError:
            where = "a URL"
        return f"HttpRequest({self.method!r}, {where!r}, {len(self.body)} bytes)"


class HttpResponse(msgspec.Struct, frozen=True):
    """What came back. The headers' names are in lower case; its `repr` tells nothing of headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpResponse({self.status}, {len(self.body)} bytes)"


class Signal:
    """Wakes sleepers of either colour, as many as there are: set from any thread, waited for through `Port.sleep`.

    It counts how often it was set, so that each sleeper can tell what it has seen; nobody lowers it for another.

    Attributes:
        count: How often it was set (at least: two threads at once may count as one).
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._lock = threading.RLock()  # a handler of the operating system's signals may interrupt its own thread here
        self._wakers: list[Callable[[], None]] = []
        _signals.add(self)

    @property
    def raised(self) -> bool:
        """Whether it was ever set."""
        return self.count > 0

    def set(self) -> None:
        """Count on, and wake whoever sleeps on it."""
        # First the count, then the look at the sleepers; `listen` does it the other way round, so nobody is missed.
        self.count += 1
        if self._wakers:
            with self._lock:
                wakers, self._wakers = self._wakers, []
            for wake in wakers:
                wake()

    def listen(self, wake: Callable[[], None], since: int) -> bool:
        """Have `wake` called when it is set next.

        False when it has been set already since it had that count; `wake` may be called all the same.
        """
        with self._lock:
            self._wakers.append(wake)
        if self.count == since:
            return True
        self.forget(wake)
        return False

    def forget(self, wake: Callable[[], None]) -> None:
        """Take a listener back."""
        # Not looked for first: between look and step a handler may take it, whom this lock does not keep out.
        with self._lock, suppress(ValueError):
            self._wakers.remove(wake)

    def after_fork(self) -> None:
        """Let go of the sleepers, which are the parent process's threads, and of the lock that one may hold."""
        self._lock = threading.RLock()
        self._wakers = []


_signals: weakref.WeakSet[Signal] = weakref.WeakSet()


def _after_fork() -> None:
    for signal in list(_signals):
        signal.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Together(Protocol):
    """A port that can wait for several things at once. Nothing needs it: one after another they come to the same."""

    async def together(self, doing: Sequence[Coroutine[object, object, T]]) -> list[T]:
        """Do several things at once; their answers in order. Where one fails, the others end, and it is raised."""
        ...


class Port(Protocol):
    """All that can make a caller wait."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send an HTTP request and wait for the answer, whatever its status.

        Raises:
            Unavailable: The server could not be reached; nothing was sent.
            OutcomeUnknown: The request may have arrived, the answer did not, or is larger than was agreed.
            Misuse: The URL cannot be asked over HTTP.
        """
        ...

    async def call(self, work: Callable[[], T]) -> T:
        """Do work that blocks: a disk, a lock, somebody else's library. Answers, and raises, what it does."""
        ...

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        """Wait so long, or until the signal is set; not at all when it was set since it had that count."""
        ...
