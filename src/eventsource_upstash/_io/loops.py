"""Somebody else's coroutines, from either side."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .event_loop import EventLoopPort
from .port import Port

T = TypeVar("T")


async def awaited(port: Port, work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Await what belongs to an event loop: on the running one, or from the blocking side on one that is kept for this.

    A loop of its own for each call would leave connections behind that belong to a loop that is gone.

    Args:
        port: Tells which side it is.
        work: Begins the work; called on the loop.
        seconds: How long it may take.

    Raises:
        asyncio.TimeoutError: It took longer, and was cancelled.
    """
    if isinstance(port, EventLoopPort):
        return await asyncio.wait_for(work(), seconds)
    return await port.call(lambda: _loop.run(work, seconds))


class LoopThread:
    """An event loop in a thread of its own, begun when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Run the work there, and block for what it answers."""

        async def limited() -> T:
            return await asyncio.wait_for(work(), seconds)

        return asyncio.run_coroutine_threadsafe(limited(), self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="eventsource-upstash-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """End the loop and its thread. Another one begins when it is needed."""
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def after_fork(self) -> None:
        """Let go of the parent process's thread, and of the lock that it may hold."""
        self._lock = threading.RLock()
        _left.append(self._loop)
        self._loop = self._thread = None


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


_left: list[asyncio.AbstractEventLoop | None] = []
"""Loops of a parent process: closing them here would tamper with what the parent waits on."""

_loop = LoopThread()
atexit.register(_loop.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loop.after_fork)
