"""A database of several regions: what only reads is answered by a replica, unless the caller has shown a sync token."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from concurrent.futures import Future

import aiohttp
from aiohttp import web

_READS = {"GET", "MGET", "EXISTS", "STRLEN", "XRANGE", "XREVRANGE", "XLEN", "HGET", "HMGET", "HGETALL", "ZRANGE"}


class Router:
    """Passes each request on to the primary or to the replica, as Upstash does: scripts go to the primary.

    Args:
        primary: Its URL.
        replica: Its URL.
        deaf: Whether sync tokens are not listened to.
    """

    def __init__(self, primary: str, replica: str, *, deaf: bool = False) -> None:
        self.primary, self.replica, self.deaf = primary, replica, deaf
        self.sent: Counter[str] = Counter()
        self.url = ""

    def __enter__(self) -> Router:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with aiohttp.ClientSession() as self._session:
            runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1.0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            started.set_result(None)
            await self._stopping.wait()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        command = json.loads(body)
        shown = "upstash-sync-token" in request.headers and not self.deaf
        reads = request.path == "/" and command[0].upper() in _READS
        where = "replica" if reads and not shown else "primary"
        self.sent[where] += 1
        url = (self.replica if where == "replica" else self.primary) + request.path
        async with self._session.post(url, data=body, headers=_about_the_request(request)) as answer:
            kept = {
                name: answer.headers[name] for name in ("Content-Type", "Upstash-Sync-Token") if name in answer.headers
            }
            return web.Response(body=await answer.read(), status=answer.status, headers=kept)


def _about_the_request(request: web.BaseRequest) -> dict[str, str]:
    return {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
