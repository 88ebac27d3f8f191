"""Subscriptions and MONITOR as server-sent events, each on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from .execution import Execution
from .wire import Connection, EngineError, EngineGone, Reply, Status

__all__ = ["Streams"]


class _End:
    """No event comes any more."""


_MOST_BEHIND: Final = 100_000
"""Events that a slow reader may be behind before it is cut off."""


class _Subscription:
    """What has come for one reader."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self._events: asyncio.Queue[Reply | _End] = asyncio.Queue()

    def put(self, event: Reply) -> None:
        self._events.put_nowait(event)
        if self._events.qsize() > _MOST_BEHIND and self.connection is not None:
            self.connection.close()

    def end(self, _: object = None) -> None:
        self._events.put_nowait(_End())

    async def next(self) -> Reply | _End:
        return await self._events.get()


class Streams:
    """The streams that are open."""

    def __init__(self, execution: Execution) -> None:
        """None yet.

        Args:
            execution: Tells where the engine is.
        """
        self._execution = execution
        self._open: set[_Subscription] = set()

    async def close(self) -> None:
        """End all of them."""
        for subscription in self._open:
            subscription.end()

    async def serve(
        self, request: web.Request, kind: str, channels: Sequence[bytes], read_only: bool
    ) -> web.StreamResponse:
        """Answer with events until the reader goes away.

        Args:
            request: The request.
            kind: `subscribe`, `psubscribe` or `monitor`.
            channels: Names or patterns.
            read_only: Whether it came with the read-only token, which may not monitor.
        """
        if kind == "monitor" and read_only:
            return _error("NOPERM this user has no permissions to run the 'monitor' command or its subcommand")
        if kind != "monitor" and not channels:
            return _error(f"ERR wrong number of arguments for '{kind}' command")
        subscription = _Subscription()
        try:
            connection = await Connection.open(self._execution.address, subscription.put)
        except EngineGone as error:
            return _error(f"ERR the local engine does not answer: {error}")
        subscription.connection = connection
        connection.closed.add_done_callback(subscription.end)
        self._open.add(subscription)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        try:
            await answer.prepare(request)
            event: Reply | _End = await connection.call((kind.upper().encode(), *channels))
            while not isinstance(event, _End):
                await answer.write(_event(event))
                event = await subscription.next()
        except ConnectionError:
            pass  # the reader has gone, or the engine has
        finally:
            self._open.discard(subscription)
            connection.close()
        return answer


def _event(reply: Reply) -> bytes:
    """`data: message,channel,text`, and for MONITOR `data: "OK"` and then its lines."""
    if isinstance(reply, EngineError):
        return b"data: error," + reply.text.encode() + b"\n\n"
    if isinstance(reply, list):
        parts = [str(part).encode() if isinstance(part, int) else part for part in reply]
        text = b",".join(part if isinstance(part, bytes) else b"null" for part in parts)
    elif isinstance(reply, Status):
        text = b'"OK"' if reply == b"OK" else bytes(reply)
    else:
        text = repr(reply).encode()
    return b"".join(b"data: " + line + b"\n" for line in text.split(b"\n")) + b"\n"


def _error(text: str) -> web.Response:
    return web.json_response({"error": text}, status=400)
