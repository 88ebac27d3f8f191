"""Subscriptions and MONITOR as server-sent events, each on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

from aiohttp import web

from .execution import Execution
from .wire import Connection, EngineError, EngineGone, Reply, Status

__all__ = ["Streams"]

_MOST_BEHIND: Final = 100_000
"""Events that a slow reader may be behind before it is cut off."""


class Streams:
    """The streams that are open."""

    def __init__(self, execution: Execution) -> None:
        """None yet.

        Args:
            execution: Tells where the engine is.
        """
        self._execution = execution
        self._closing = asyncio.Event()

    async def close(self) -> None:
        """End all of them."""
        self._closing.set()

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
        events: asyncio.Queue[Reply] = asyncio.Queue(_MOST_BEHIND)
        try:
            connection = await Connection.open(self._execution.address, lambda event: _put(events, event, connection))
        except EngineGone as error:
            return _error(f"ERR the local engine does not answer: {error}")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        try:
            await answer.prepare(request)
            first = await connection.call((kind.upper().encode(), *channels))
            await answer.write(_event(first))
            await self._relay(answer, events, connection)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the reader has gone, or the engine has
        finally:
            connection.close()
        return answer

    async def _relay(self, answer: web.StreamResponse, events: asyncio.Queue[Reply], connection: Connection) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        ending: tuple[asyncio.Future[Literal[True]], asyncio.Future[None]] = (closing, connection.closed)
        try:
            while not any(future.done() for future in ending):
                following = asyncio.ensure_future(events.get())
                await asyncio.wait([following, *ending], return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    return
                await answer.write(_event(following.result()))
        finally:
            closing.cancel()


def _put(events: asyncio.Queue[Reply], event: Reply, connection: Connection) -> None:
    try:
        events.put_nowait(event)
    except asyncio.QueueFull:
        connection.close()


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
