"""The connection to the real Valkey or Redis: RESP2, nothing changed on the way.

A client library would do, were it not for what has to come out of this server byte for byte: the difference between a
status and a string (`OK` is not encoded in base64, "OK" is), and the engine's error texts. redis-py keeps neither.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

__all__ = ["Address", "Connection", "EngineError", "EngineGone", "Reply", "Status", "pack"]


class Status(bytes):
    """A simple string: `+OK`."""

    __slots__ = ()


class EngineError(Exception):
    """An error reply, word for word, with its code. Also met inside lists."""

    @property
    def text(self) -> str:
        """The whole text."""
        return str(self.args[0])


class EngineGone(ConnectionError):
    """The connection to the engine is lost, or cannot be made."""


Reply = bytes | int | None | EngineError | list["Reply"]
"""A parsed reply. Strings are `bytes`, statuses `Status`."""


class Address(NamedTuple):
    """Where the engine is, and how to get in."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    database: int = 0
    tls: bool = False
    socket: str | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Of `redis://[[user]:password@]host[:port][/db]`, `rediss://` for TLS, or `unix://[:password@]/path?db=n`.

        Raises:
            ValueError: It is none of these.
        """
        parts = urlsplit(url)
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if parts.scheme == "unix":
            database = parts.query.removeprefix("db=") or "0"
            return cls("", 0, username, password, _database(database), socket=unquote(parts.path))
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("a Redis URL looks like redis://127.0.0.1:6379/0 (or rediss://..., unix:///path)")
        database = parts.path.strip("/") or "0"
        host, port = parts.hostname, parts.port or 6379
        return cls(host, port, username, password, _database(database), tls=parts.scheme == "rediss")

    def __repr__(self) -> str:
        return f"Address({self.place})"

    @property
    def place(self) -> str:
        """Where it is, without a secret."""
        return self.socket or f"{self.host}:{self.port}/{self.database}"


def _database(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"the database of a Redis URL is a number, not {text!r}")
    return int(text)


def pack(command: Sequence[bytes]) -> bytes:
    """A command as the engine reads it."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)


class _Incomplete:
    pass


_INCOMPLETE: Final = _Incomplete()


class _Parser:
    """Takes bytes as they come, gives whole replies. Never goes back: a large reply is looked at once."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._open: list[tuple[list[Reply], int]] = []

    def feed(self, data: bytes) -> None:
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def next(self) -> Reply | _Incomplete:
        buffer = self._buffer
        while True:
            end = buffer.find(b"\r\n", self._at)
            if end < 0:
                return _INCOMPLETE
            kind = buffer[self._at]
            line = bytes(buffer[self._at + 1 : end])
            value: Reply
            if kind == 0x24:  # $
                size = int(line)
                if size < 0:
                    value = None
                else:
                    if len(buffer) < end + 4 + size:
                        return _INCOMPLETE
                    value = bytes(buffer[end + 2 : end + 2 + size])
                    end += 2 + size
            elif kind == 0x3A:  # :
                value = int(line)
            elif kind == 0x2B:  # +
                value = Status(line)
            elif kind == 0x2D:  # -
                value = EngineError(line.decode("utf-8", "replace"))
            elif kind == 0x2A:  # *
                size = int(line)
                if size > 0:
                    self._at = end + 2
                    self._open.append(([], size))
                    continue
                value = [] if size == 0 else None
            else:
                raise EngineGone("the engine does not speak RESP2")
            self._at = end + 2
            while self._open:
                items, size = self._open[-1]
                items.append(value)
                if len(items) < size:
                    break
                self._open.pop()
                value = items
            else:
                return value


class Connection(asyncio.Protocol):
    """One connection. Whatever is sent in one call goes out in one piece, and is answered in order.

    So many callers share one connection, and a transaction sent in one piece has nobody's commands inside it.
    """

    def __init__(self, on_push: Callable[[Reply], None] | None = None) -> None:
        """Use `open` instead.

        Args:
            on_push: Given every reply that nobody waits for, on a connection that subscribes or monitors.
        """
        self._parser = _Parser()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._transport: asyncio.Transport | None = None
        self._on_push = on_push
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, address: Address, on_push: Callable[[Reply], None] | None = None) -> Connection:
        """Connect, authenticate, choose the database.

        Raises:
            EngineGone: It is not there.
            EngineError: It does not let us in.
        """
        loop = asyncio.get_running_loop()
        try:
            if address.socket is not None:
                _, self = await loop.create_unix_connection(lambda: cls(on_push), address.socket)
            else:
                tls = ssl.create_default_context() if address.tls else None
                _, self = await loop.create_connection(lambda: cls(on_push), address.host, address.port, ssl=tls)
        except OSError as error:
            raise EngineGone(f"no Redis or Valkey answers at {address.place}: {error.strerror or error}") from error
        if address.password is not None:
            user = (address.username or "default").encode()
            await self._greet(b"AUTH", user, address.password.encode())
        if address.database:
            await self._greet(b"SELECT", str(address.database).encode())
        return self

    async def _greet(self, *command: bytes) -> None:
        reply = await self.call(command)
        if isinstance(reply, EngineError):
            self.close()
            raise reply

    async def call(self, command: Sequence[bytes]) -> Reply:
        """Send one command and give its reply; an error reply is given, not raised.

        Raises:
            EngineGone: The connection was lost; the command may have been carried out.
        """
        return (await self.call_all((command,)))[0]

    async def call_all(self, commands: Iterable[Sequence[bytes]]) -> list[Reply]:
        """Send commands in one piece, and give their replies. Raises as `call`."""
        if self._transport is None or self._transport.is_closing():
            raise EngineGone("the connection to the engine is lost")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Reply]] = []
        packed: list[bytes] = []
        for command in commands:
            packed.append(pack(command))
            futures.append(loop.create_future())
        self._waiting += futures
        self._transport.write(b"".join(packed))
        # A caller who is cancelled leaves its futures in the queue: their replies still come, and go nowhere.
        return [await future for future in futures]

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether it can still be written to."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._parser.feed(data)
        while not isinstance(reply := self._parser.next(), _Incomplete):
            if self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
            elif self._on_push is not None:
                self._on_push(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Called by asyncio."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(EngineGone("the connection to the engine was lost"))
                future.exception()  # seen: several futures of one call may fail, and only the first is awaited
        self._waiting.clear()
        if not self.closed.done():
            self.closed.set_result(None)
