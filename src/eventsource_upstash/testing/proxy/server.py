"""The proxy as one object, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Coroutine, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Final, TypeVar

import h11
import httpx

from .faults import Faults, Strike
from .passing import Asked, Client, Gone, Upstream
from .striking import STRIKES, pass_on

__all__ = ["FaultyProxy"]

_T = TypeVar("_T")

_KEPT: Final = 2.0
"""Seconds that a connection to the server is kept: not so long that the server closes it first."""


_LOOKS: Final = 0.02
"""Seconds after which `settle` looks again whether something is held back that was not yet when it looked before."""


class _Held:
    """A request that is held back."""

    def __init__(self, go: asyncio.Event, until_overtaken: bool) -> None:
        self.go = go
        self.until_overtaken = until_overtaken
        self.overtaken = False


class FaultyProxy:
    """Stands between an app and a server it speaks HTTP to, and spoils what goes over the wire.

        with FaultyProxy(os.environ["UPSTASH_REDIS_REST_URL"], faults=Seeded(7)) as proxy:
            backend = UpstashRedis(proxy.url, os.environ["UPSTASH_REDIS_REST_TOKEN"])

    It listens on 127.0.0.1 only, speaks HTTP/1.1, and hands on whatever is asked and answered: it needs no token of its
    own. For tests: on what it strikes a client may wait, be told lies, or do things twice.

    Args:
        upstream: The base URL of the server, `https://` or `http://`.
        faults: What strikes which request: `Seeded`, `Listed`, or anything with their one method; None for nothing. It
            can be changed at any time, as the attribute `faults`.
        port: Where to listen; 0 picks a free one.
        verify: What certificates of the server are trusted; None for those that the system trusts.

    Attributes:
        faults: What strikes which request, from the next one on.
    """

    def __init__(
        self, upstream: str, *, faults: Faults | None = None, port: int = 0, verify: ssl.SSLContext | None = None
    ) -> None:
        self._target: Final = httpx.URL(upstream)
        if self._target.scheme not in ("http", "https") or not self._target.host:
            raise ValueError("upstream is the URL of a server: https://...")
        self.faults: Faults | None = faults
        self._port = port
        self._verify = verify
        self._upstream: Upstream | None = None
        self._requests = 0
        self._struck: list[tuple[int, Strike]] = []
        self._held: dict[int, _Held] = {}
        self._under_way: set[asyncio.Future[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> FaultyProxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and return when it listens.

        Raises:
            OSError: The port is taken.
        """
        assert self._thread is None, "it runs already"
        listener = socket.create_server(("127.0.0.1", self._port), backlog=1024)
        self._port = int(listener.getsockname()[1])
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, started)), name="faulty-proxy", daemon=True
        )
        self._thread.start()
        started.result()

    def stop(self) -> None:
        """Stop it, and return when it has. What it was holding back is never passed on: see `settle`."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()

    def settle(self) -> None:
        """Pass on now what is held back, and wait until everything that was taken has been passed on and answered."""
        self._run(self._settle())

    def hang_up(self) -> None:
        """Close all connections of clients, whatever goes on there."""
        self._run(self._hang_up())

    @property
    def url(self) -> str:
        """Where it listens: instead of the server's own URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> int:
        """How many requests have come."""
        return self._requests

    @property
    def passed_on(self) -> int:
        """How many requests the server was sent."""
        return 0 if self._upstream is None else self._upstream.sent

    @property
    def struck(self) -> Mapping[str, int]:
        """How often each kind of fault has come to pass."""
        return Counter(strike.kind for _, strike in list(self._struck))

    @property
    def strikes(self) -> list[tuple[int, Strike]]:
        """What has come to pass, and to which request, in the order of their numbers, from 1."""
        return sorted(self._struck)

    def _run(self, work: Coroutine[object, object, _T]) -> _T:
        assert self._loop is not None, "start it first"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, listener: socket.socket, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            # No time-outs but that of a connection: how long to wait is the client's decision.
            client = httpx.AsyncClient(
                verify=self._verify if self._verify is not None else self._target.scheme == "https",
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEPT),
                timeout=httpx.Timeout(None, connect=10.0),
                trust_env=False,
            )
            await stack.enter_async_context(client)
            self._upstream = Upstream(self._target, client)
            server = await asyncio.start_server(self._connected, sock=listener)
            started.set_result(None)
            await self._stopping.wait()
            server.close()
            await self._give_up([*self._connections, *self._under_way])

    async def _give_up(self, tasks: list[asyncio.Future[None] | asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        client = Client(reader, writer)
        try:
            while client.open and (head := await client.head()) is not None:
                await self._handle(client, head)
        except (Gone, OSError, asyncio.CancelledError):
            pass  # either side is gone, or the proxy is stopped: the connection says so
        finally:
            self._connections.discard(task)
            client.close()

    async def _handle(self, client: Client, head: h11.Request) -> None:
        self._requests += 1
        number = self._requests
        strike = None if self.faults is None else self.faults.strike(number)
        if strike is not None and strike.kind == "reset-request":
            await client.half_a_body(head)
            client.reset()
            self._struck.append((number, strike))
            return
        exchange = _Exchange(self, number, await client.body(head), client)
        # Done to the end, even if the client goes: as at a server, which does what it was asked.
        await asyncio.shield(self.take(self._do(exchange, strike)))

    async def _do(self, exchange: _Exchange, strike: Strike | None) -> None:
        try:
            await (pass_on(exchange) if strike is None else STRIKES[strike.kind](exchange, strike))
        finally:
            if strike is not None and exchange.struck:
                self._struck.append((exchange.number, strike))
            for number, held in self._held.items():
                if number < exchange.number and held.until_overtaken:
                    held.overtaken = True
                    held.go.set()

    def take(self, work: Awaitable[None]) -> asyncio.Future[None]:
        """Have something done that `settle` waits for."""
        future = asyncio.ensure_future(work)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        future.add_done_callback(_seen)
        return future

    async def wait(self, number: int, seconds: float, *, until_overtaken: bool = False) -> bool:
        """Hold a request back for so many seconds, or until `settle` is called.

        Args:
            number: The request's.
            seconds: How long, at most.
            until_overtaken: Whether it is enough that a request behind it was answered.

        Returns:
            Whether one was.
        """
        held = self._held[number] = _Held(asyncio.Event(), until_overtaken)
        try:
            await asyncio.wait_for(held.go.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        finally:
            del self._held[number]
        return held.overtaken

    async def _settle(self) -> None:
        while self._under_way:
            for held in self._held.values():
                held.go.set()
            await asyncio.wait(self._under_way, timeout=_LOOKS, return_when=asyncio.FIRST_COMPLETED)

    async def _hang_up(self) -> None:
        await self._give_up(list(self._connections))

    @property
    def upstream(self) -> Upstream:
        """The server."""
        assert self._upstream is not None, "start it first"
        return self._upstream


class _Exchange:
    def __init__(self, proxy: FaultyProxy, number: int, asked: Asked, client: Client) -> None:
        self._proxy = proxy
        self.number = number
        self.asked = asked
        self.client = client
        self.upstream = proxy.upstream
        self.struck = True

    def later(self, work: Awaitable[None]) -> None:
        _ = self._proxy.take(work)

    async def wait(self, seconds: float) -> None:
        await self._proxy.wait(self.number, seconds)

    async def overtaken(self, seconds: float) -> bool:
        return await self._proxy.wait(self.number, seconds, until_overtaken=True)


def _seen(future: asyncio.Future[None]) -> None:
    """That a client or the server is gone is no news where nobody waits for it."""
    if not future.cancelled():
        future.exception()
