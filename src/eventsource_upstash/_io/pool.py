"""HTTP clients, pooled: one for the threads of a process, and one for each event loop.

A client belongs to the process and to the loop that it was made in, and to no other: its sockets would be read by two
processes after a fork, and fail on a loop that is not theirs. So a child process forgets what its parent opened,
without closing it, and a loop's client is closed with the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from http.cookiejar import CookieJar

    import httpx

KEEP_ALIVE: Final = 60.0
"""Seconds that an idle connection is kept: below the 350 seconds after which the usual NAT forgets it in silence."""

_leaked: Final[list[object]] = []
"""Clients that a parent process opened: closing them here would tamper with the parent's event loop."""


class Client:
    """A blocking client and how many threads use it at the moment."""

    __slots__ = ("http", "retired", "used_at", "users")

    def __init__(self) -> None:
        import httpx

        from .deadlines import keep_deadlines

        self.http: httpx.Client = httpx.Client(
            http2=False, verify=_ssl_context(), limits=_limits(), cookies=_no_cookies()
        )
        keep_deadlines(self.http)
        self.users = 0
        self.used_at = time.time()
        self.retired = False


class AsyncClient:
    """One loop's client, and how many of its tasks use it at the moment."""

    __slots__ = ("http", "keeper", "retired", "used_at", "users")

    def __init__(self) -> None:
        import httpx

        self.http: httpx.AsyncClient = httpx.AsyncClient(
            http2=False, verify=_ssl_context(), limits=_limits(), cookies=_no_cookies()
        )
        self.keeper: AsyncGenerator[None, None] | None = None
        self.users = 0
        self.used_at = time.time()
        self.retired = False


class Pools:
    """The clients of this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a handler of the operating system's signals may interrupt its own thread here
        self._client: Client | None = None
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = weakref.WeakKeyDictionary()

    def take(self) -> Client:
        """The blocking client, to be given back."""
        with self._lock:
            client = self._client
            if client is not None and not client.users and _stale(client):
                client.http.close()
                client = None
            if client is None:
                client = self._client = Client()
            client.users += 1
            return client

    def give_back(self, client: Client) -> None:
        """Say that a thread is done with a client. The last one closes it, if it was retired meanwhile."""
        with self._lock:
            client.users -= 1
            client.used_at = time.time()
            last = client.retired and not client.users
        if last:
            client.http.close()

    def close(self) -> None:
        """Close the blocking client; as soon as nobody uses it. The next request opens another."""
        with self._lock:
            client, self._client = self._client, None
            if client is None:
                return
            client.retired = True
            idle = not client.users
        if idle:
            client.http.close()

    async def take_async(self) -> AsyncClient:
        """The client of the running loop, to be given back."""
        loop = asyncio.get_running_loop()
        client = self._loops.get(loop)
        if client is not None and _stale(client) and not client.users:
            await self.close_async()
            client = self._loops.get(loop)
        if client is None:
            client = await self._open(loop)
        client.users += 1
        return client

    async def give_back_async(self, client: AsyncClient) -> None:
        """Say that a task is done with a client. The last one closes it, if it was retired meanwhile."""
        client.users -= 1
        client.used_at = time.time()
        if client.retired and not client.users:
            await _dismiss(client)

    async def close_async(self) -> None:
        """Close the running loop's client; as soon as nobody uses it. The next request opens another."""
        with self._lock:
            client = self._loops.pop(asyncio.get_running_loop(), None)
        if client is None:
            return
        client.retired = True
        if not client.users:
            await _dismiss(client)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> AsyncClient:
        client = AsyncClient()
        with self._lock:
            for each in list(self._loops):
                if each.is_closed():  # without `shutdown_asyncgens`, which `asyncio.run` calls: nothing to wait on
                    del self._loops[each]
            self._loops[loop] = client
        # A loop that ends closes the asynchronous generators that were begun on it: the one place where a loop says
        # that it ends, while things can still be awaited there.
        client.keeper = self._keep(loop, client.http)
        await client.keeper.__anext__()
        return client

    async def _keep(self, loop: asyncio.AbstractEventLoop, http: httpx.AsyncClient) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                kept = self._loops.get(loop)
                if kept is not None and kept.http is http:
                    del self._loops[loop]
            await http.aclose()

    def after_fork(self) -> None:
        """Let go of what the parent process opened, and of the lock that one of its threads may hold."""
        _leaked.extend((self._client, self._loops))
        self._lock = threading.RLock()
        self._client = None
        self._loops = weakref.WeakKeyDictionary()


async def _dismiss(client: AsyncClient) -> None:
    assert client.keeper is not None
    await client.keeper.aclose()


def _stale(client: Client | AsyncClient) -> bool:
    # By the clock on the wall, which goes on while a function instance is frozen; it may also be set back.
    return abs(time.time() - client.used_at) > KEEP_ALIVE


def _limits() -> httpx.Limits:
    import httpx

    return httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE)


def _no_cookies() -> CookieJar:
    """A jar that takes none: nothing here sends them back, and what a server sets would be kept for good."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


_context: ssl.SSLContext | None = None


def _ssl_context() -> ssl.SSLContext:
    """What certificates are trusted, read once: it takes longer than everything else here."""
    import httpx

    global _context  # noqa: PLW0603  a cache
    if _context is None:
        _context = httpx.create_ssl_context()
    return _context


POOLS: Final = Pools()

atexit.register(POOLS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOLS.after_fork)
