"""One time for a whole exchange of the blocking side, which httpx has for each single read only.

A server that sends a byte now and then meets every timeout of a read, and could hold a thread for days: amid its
headers, where nobody but the connection itself can look at the clock. So the connection does. The event loop's side
needs none of this: there the whole exchange is cancelled.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

_PIECE: Final = 64 * 1024
"""Bytes that are written between two looks at the clock."""


class _Deadline(threading.local):
    at = math.inf


_deadline: Final = _Deadline()


@contextmanager
def until(moment: float) -> Generator[None, None, None]:
    """Let no exchange of this thread last beyond a moment, as `time.monotonic` tells it."""
    before, _deadline.at = _deadline.at, moment
    try:
        yield
    finally:
        _deadline.at = before


def keep_deadlines(http: httpx.Client) -> None:
    """Have the connections of a client look at the clock."""
    # httpx hands nothing through to what opens its connections, neither for itself nor for the proxies that the
    # environment names: so it is put there. The tests tell if it is not there any more.
    mounted = http._mounts.values()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    for transport in (http._transport, *mounted):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, httpcore.NetworkBackend) and not isinstance(backend, _Backend):
            setattr(pool, "_network_backend", _Backend(backend))  # noqa: B010  no attribute that it declares


def _left(timeout: float | None) -> float | None:
    left = _deadline.at - time.monotonic()
    if left == math.inf:
        return timeout
    return left if timeout is None else min(timeout, left)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        # As httpcore declares it.
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _left(timeout)
        if timeout is not None and timeout <= 0:
            raise httpcore.ConnectTimeout
        return _Stream(self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        timeout = _left(timeout)
        if timeout is not None and timeout <= 0:
            raise httpcore.ReadTimeout
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _PIECE):
            wait = _left(timeout)
            if wait is not None and wait <= 0:
                raise httpcore.WriteTimeout
            self._inner.write(buffer[at : at + _PIECE], wait)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = _left(timeout)
        if timeout is not None and timeout <= 0:
            raise httpcore.ConnectTimeout
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    # As httpcore declares it.
    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
