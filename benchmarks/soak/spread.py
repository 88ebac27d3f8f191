"""What stands before the apps: hands each connection to one of those that run, by lot."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from types import TracebackType

from benchmarks.soak.services import App

PIECE = 65536


class Spread:
    """Carries bytes both ways, as a simple load balancer does. It listens on 127.0.0.1, on a port of its own choice."""

    def __init__(self, apps: Sequence[App], dice: random.Random) -> None:
        self._apps = apps
        self._dice = dice
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "open it first"
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Spread:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=256)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            there = await self._connect()
            if there is None:
                writer.transport.abort()
                return
            answers, requests = there
            self._open.add(requests)
            try:
                ways = [
                    asyncio.ensure_future(_pump(reader, requests)),
                    asyncio.ensure_future(_pump(answers, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                requests.close()
                self._open.discard(requests)
        finally:
            writer.close()
            self._open.discard(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ports = [app.port for app in self._apps if app.port is not None]
        self._dice.shuffle(ports)
        for port in ports:
            with contextlib.suppress(OSError):  # killed a moment ago
                return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
