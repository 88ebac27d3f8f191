"""The event-loop side: a port that suspends, and keeps nothing that belongs to one loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TypeVar

from .port import HttpRequest, HttpResponse, Signal

T = TypeVar("T")


async def iterate(pages: AsyncGenerator[Sequence[T], None]) -> AsyncIterator[T]:
    """Hand the items of an asynchronous generator of pages out one by one."""
    try:
        async for page in pages:
            for item in page:
                yield item
    finally:
        await pages.aclose()


async def apart(work: Awaitable[T]) -> T:
    """Await somebody else's work in a task of its own, so that what is cancelled within it is not taken for the caller.

    Raises:
        RuntimeError: It was cancelled from within, or raised what is no Exception and would end its caller.
        CancelledError: The caller was cancelled; the work was too, and has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told that it was not
        raise
    if task.cancelled():
        raise RuntimeError("it was cancelled from within")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise RuntimeError(f"it raised {error!r}") from error
    return task.result()


class EventLoopPort:
    """Waits by suspending the calling task. The loop is looked up at each wait, so one port serves many loops."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send it and suspend until the answer is there."""
        from .http import send_async

        return await send_async(request)

    async def call(self, work: Callable[[], T]) -> T:
        """Do the work in one of the loop's threads.

        When the task is cancelled meanwhile, the work goes on to its end in its thread: it owns what it opened.
        """

        def guarded() -> T:
            try:
                return work()
            except StopIteration as error:  # no future can hold one: whoever awaits it would wait for ever
                raise RuntimeError("what was called raised StopIteration") from error

        return await asyncio.get_running_loop().run_in_executor(None, guarded)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        """Suspend for so long, or until the signal is set, from whatever thread."""
        if wake is None:
            await asyncio.sleep(seconds)
            return
        loop = asyncio.get_running_loop()
        raised: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not raised.done():
                raised.set_result(None)

        def set_raised() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody sleeps there any more
                loop.call_soon_threadsafe(settle)

        if not wake.listen(set_raised, since):
            return
        timer = loop.call_later(seconds, settle)
        try:
            await raised
        finally:
            timer.cancel()
            wake.forget(set_raised)

    async def together(self, doing: Sequence[Coroutine[object, object, T]]) -> list[T]:
        """Do several things at once, in tasks of their own; their answers in order. See `port.Together`."""
        tasks = [asyncio.ensure_future(each) for each in doing]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def close(self) -> None:
        """Close the connections that are kept for the next request, of this loop; it opens others when it comes."""
        if "eventsource_upstash._io.pool" in sys.modules:  # else nothing was ever sent
            from .pool import POOLS

            await POOLS.close_async()


PORT: EventLoopPort = EventLoopPort()
