"""The blocking side: a port that never suspends, and the stepping of a coroutine to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from .port import HttpRequest, HttpResponse, Signal

T = TypeVar("T")


def run(coroutine: Coroutine[object, None, T]) -> T:
    """Step a coroutine over the blocking port to its end. No event loop, no thread.

    Raises whatever the coroutine raises.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError(_SUSPENDED)


def iterate(pages: AsyncGenerator[Sequence[T], None]) -> Iterator[T]:
    """Step an asynchronous generator of pages, and hand their items out one by one."""
    try:
        while True:
            try:
                pages.__anext__().send(None)
            except StopIteration as stop:
                page: Sequence[T] = stop.value
            except StopAsyncIteration:
                return
            else:
                raise RuntimeError(_SUSPENDED)
            yield from page
    finally:
        with suppress(StopIteration):
            pages.aclose().send(None)


_SUSPENDED = (
    "a coroutine of the library suspended outside an event loop; the backend awaits something other than its port"
)


class BlockingPort:
    """Waits by blocking the calling thread."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send it and block for the answer."""
        from .http import send

        return send(request)

    async def call(self, work: Callable[[], T]) -> T:
        """Do the work here and now."""
        return work()

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        """Block for so long, or until the signal is set."""
        if wake is None:
            time.sleep(seconds)  # blocking is what this port is for
            return
        # Not an event of `threading`: it has a lock, and a handler of the operating system's signals that sets it may
        # have interrupted this very thread while it holds that. This queue may be put to at any moment.
        raised: SimpleQueue[None] = SimpleQueue()

        def raise_it() -> None:
            raised.put(None)

        if not wake.listen(raise_it, since):
            return
        try:
            with suppress(Empty):
                raised.get(timeout=max(0.0, seconds))
        finally:
            wake.forget(raise_it)

    def close(self) -> None:
        """Close the connections that are kept for the next request, of this process; it opens others when it comes."""
        if "eventsource_upstash._io.pool" in sys.modules:  # else nothing was ever sent
            from .pool import POOLS

            POOLS.close()


PORT: BlockingPort = BlockingPort()
