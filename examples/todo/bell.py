"""Waking whoever shows the live log, as soon as something was appended in this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Bell:
    """For threads. Read `rings` before looking at the log, so that a ring in between is not missed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.rings = 0
        self.closed = False

    def ring(self) -> None:
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def wait(self, rings: int, timeout: float) -> None:
        """Wait for a ring beyond those counted, or until the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self.rings != rings or self.closed, timeout)

    def close(self) -> None:
        """Let everybody go: no more waiting."""
        self.closed = True
        self.ring()


class AsyncBell:
    """For tasks of one event loop."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.rings = 0
        self.closed = False

    def ring(self) -> None:
        self.rings += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, rings: int, timeout: float) -> None:
        """Wait for a ring beyond those counted, or until the time is over."""
        if self.rings != rings or self.closed:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._next.wait(), timeout)

    def close(self) -> None:
        """Let everybody go: no more waiting."""
        self.closed = True
        self.ring()
