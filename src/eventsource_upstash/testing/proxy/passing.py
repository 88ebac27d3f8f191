"""One client's connection: its requests read, passed on, and answered. HTTP is h11's work, and httpx's upstream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import Final, NamedTuple

import h11
import httpx

__all__ = ["Answer", "Asked", "Client", "Gone", "Upstream"]

_PIECES: Final = 5
_AT_ONCE: Final = 65536

_OF_ONE_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
"""Headers that are about a connection, and so not passed on."""

Headers = Sequence[tuple[bytes, bytes]]


class Gone(Exception):
    """The other side has closed the connection, or does not speak HTTP."""


class Asked(NamedTuple):
    """A request, whole."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes


class Answer(NamedTuple):
    """The beginning of an answer; what follows comes in chunks."""

    status: int
    headers: Headers
    reason: bytes = b""


def pieces(content: bytes) -> Iterable[bytes]:
    """A content in a few pieces, at least two of them where that is possible."""
    step = max(1, -(-len(content) // _PIECES))
    return (content[start : start + step] for start in range(0, len(content), step))


class Upstream:
    """The server behind the proxy.

    Args:
        url: Its base URL.
        client: What asks it.
    """

    def __init__(self, url: httpx.URL, client: httpx.AsyncClient) -> None:
        self._url = url
        self._client = client
        self.sent: int = 0
        """Requests that were passed on."""

    @contextlib.asynccontextmanager
    async def ask(
        self, asked: Asked, *, slowly: float | None = None
    ) -> AsyncGenerator[tuple[Answer, AsyncIterator[bytes]], None]:
        """Pass a request on. Gives the answer's beginning and its chunks.

        Args:
            asked: The request.
            slowly: Seconds between the pieces that its body is sent in; None to send it at once.

        Raises:
            Gone: The server cannot be reached, or was lost.
        """
        path = self._url.raw_path.rstrip(b"/") + asked.target
        request = httpx.Request(
            asked.method.decode("ascii"),
            self._url.copy_with(raw_path=path),
            headers=[
                *(
                    (name, value)
                    for name, value in _passed_on(asked.headers)
                    if name not in (b"host", b"content-length")
                ),
                *([(b"content-length", b"%d" % len(asked.body))] if asked.body or asked.method != b"GET" else []),
            ],
            content=_slowly(asked.body, slowly) if slowly is not None else asked.body,
        )
        self.sent += 1
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise Gone from error
        try:
            answer = Answer(
                response.status_code,
                list(_passed_on((name.lower(), value) for name, value in response.headers.raw)),
                response.reason_phrase.encode("latin-1", "replace"),
            )
            yield answer, _chunks(response)
        finally:
            await response.aclose()


async def _slowly(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    for index, piece in enumerate(pieces(content)):
        if index:
            await asyncio.sleep(seconds)
        yield piece


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():  # as it came: what is compressed stays so
            yield chunk
    except httpx.HTTPError as error:
        raise Gone from error


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    return ((name, value) for name, value in headers if name not in _OF_ONE_HOP)


class Client:
    """The client's side of the proxy, on one connection.

    Attributes:
        open: Whether another request can come here.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)
        self.open: bool = True

    async def head(self) -> h11.Request | None:
        """The next request's beginning; None when the client has closed the connection."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        event = await self._next()
        if isinstance(event, h11.Request):
            return event
        return None

    async def body(self, head: h11.Request) -> Asked:
        """The rest of a request."""
        parts: list[bytes] = []
        while isinstance(event := await self._next(), h11.Data):
            parts.append(bytes(event.data))
        if not isinstance(event, h11.EndOfMessage):
            raise Gone
        return Asked(head.method, head.target, list(head.headers), b"".join(parts))

    async def half_a_body(self, head: h11.Request) -> None:
        """Read half of what is announced, or the first of it where nothing is."""
        length = next((int(value) for name, value in head.headers if name == b"content-length"), 1)
        had = 0
        while had < length / 2 and isinstance(event := await self._next(most=max(1, length // 2)), h11.Data):
            had += len(event.data)

    async def _next(self, most: int = _AT_ONCE) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(most))
        except (h11.RemoteProtocolError, OSError) as error:
            raise Gone from error
        return event

    async def begin(self, answer: Answer) -> None:
        """Send an answer's beginning."""
        self._write(h11.Response(status_code=answer.status, headers=list(answer.headers), reason=answer.reason))
        await self._drain()

    async def chunk(self, content: bytes) -> None:
        """Send a part of an answer's body."""
        self._write(h11.Data(data=content))
        await self._drain()

    async def end(self) -> None:
        """Say that the answer is whole."""
        self._write(h11.EndOfMessage())
        await self._drain()
        self.open = self._http.our_state is h11.DONE  # else it was agreed to close the connection

    async def page(self, answer: Answer, body: bytes) -> None:
        """Send an answer that is there as a whole."""
        length = (b"content-length", b"%d" % len(body))
        await self.begin(answer._replace(headers=[*answer.headers, length]))
        if body:
            await self.chunk(body)
        await self.end()

    async def raw(self, content: bytes) -> None:
        """Send what need not be HTTP."""
        self._writer.write(content)
        await self._drain()

    def _write(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        """Close the connection; what was written is still sent."""
        self.open = False
        self._writer.close()

    def reset(self) -> None:
        """Close it in the rough way, as a machine does that is switched off and on again."""
        self.open = False
        transport = self._writer.transport
        found: socket.socket | None = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    async def half_close(self, seconds: float) -> None:
        """Say that nothing more will be sent, read for so many seconds what comes, and close."""
        self.open = False
        with contextlib.suppress(asyncio.TimeoutError, OSError):
            self._writer.write_eof()
            await asyncio.wait_for(self._drop_all(), seconds)
        self._writer.close()

    async def _drop_all(self) -> None:
        while await self._reader.read(_AT_ONCE):
            pass
