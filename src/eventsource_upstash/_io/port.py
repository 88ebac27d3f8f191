"""The port: everything that can make a caller wait, in three methods.

The logic of this library is written once, as coroutines over this port. The event-loop side awaits them; the blocking
side gives them a port that never suspends and steps each coroutine to its end. A test gives them a port that stops at
every wait, and so tries every order in which two callers can get in each other's way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class HttpRequest(NamedTuple):
    """A request on its way out. `timeout` is in seconds, for the whole exchange."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float


class HttpResponse(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Signal:
    """A flag that wakes a sleeper of either colour: set from any thread, waited for through `Port.sleep`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raised = False
        self._wakers: list[Callable[[], None]] = []

    def set(self) -> None:
        """Raise the flag and wake whoever sleeps on it."""
        if self._raised:
            return
        with self._lock:
            self._raised = True
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    @property
    def raised(self) -> bool:
        """Whether the flag is up."""
        return self._raised

    def clear(self) -> None:
        """Lower the flag."""
        with self._lock:
            self._raised = False

    def listen(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called when the flag is raised. False, and never called, when it is raised already."""
        with self._lock:
            if self._raised:
                return False
            self._wakers.append(wake)
            return True

    def forget(self, wake: Callable[[], None]) -> None:
        """Take a listener back."""
        with self._lock:
            if wake in self._wakers:
                self._wakers.remove(wake)


class Port(Protocol):
    """All that can make a caller wait."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send an HTTP request and wait for the answer, whatever its status.

        Raises:
            Unavailable: The server could not be reached; nothing was sent.
            OutcomeUnknown: The request may have arrived, the answer did not.
            Misuse: The URL cannot be asked over HTTP.
        """
        ...

    async def call(self, work: Callable[[], T]) -> T:
        """Do work that blocks: a disk, a lock, somebody else's library. Answers, and raises, what it does."""
        ...

    async def sleep(self, seconds: float, wake: Signal | None = None) -> None:
        """Wait so long, or until the signal is raised."""
        ...
