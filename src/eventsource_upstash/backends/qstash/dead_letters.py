"""The dead letters of QStash: the messages of one app that it gave up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import msgspec

from ..._io.port import HttpRequest, HttpResponse, Port
from ...domain.jobs import NON_RETRYABLE
from ...errors import Misuse
from ...ports import ID_HEADER, Buried, Message
from .answers import body_of, decoded, exchange, not_qstash, printable

if TYPE_CHECKING:
    from .transport import QStash

PAGE: Final = 100

MAX_PAGES: Final = 10_000

_MOMENT: Final = re.compile(r"(\d{13})-")


class _Letter(msgspec.Struct, rename="camel"):
    dlq_id: str
    message_id: str
    url: str = ""
    body: str = ""
    body_base64: str = ""
    header: dict[str, list[str]] = {}
    max_retries: int = 3
    method: str = "POST"
    created_at: int = 0
    response_status: int = 0
    response_body: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): values[0] for name, values in self.header.items() if values}

    @property
    def id(self) -> str:
        """The message's own id, else QStash's."""
        return self.headers.get(ID_HEADER) or self.message_id


class _Page(msgspec.Struct):
    messages: list[_Letter]
    cursor: str | None = None


_page: Final = msgspec.json.Decoder(_Page)


class Graveyard:
    """The dead letters of one app, over the port: those with its namespace as their label.

    Args:
        port: Where to send and to wait.
        transport: Where QStash is.
    """

    def __init__(self, port: Port, transport: QStash) -> None:
        self._port = port
        self._transport = transport

    async def buried(self, limit: int) -> list[Buried]:
        """See `DeadLetters.buried`. Cost: 1 request for a hundred."""
        found: list[Buried] = []
        async for letter in self._letters(min(limit, PAGE)):
            found.append(_buried(letter, self._transport.token))
            if len(found) == limit:
                break
        return found

    async def revive(self, id: str) -> bool:
        """See `DeadLetters.revive`. Cost: 1 request, and 1 for each hundred that are looked through."""
        async for letter in self._letters(PAGE):
            if letter.id == id:
                # It becomes a part of a path, so nothing but what can be one.
                if not re.fullmatch(r"[A-Za-z0-9._-]+", letter.dlq_id):
                    raise not_qstash()
                return (await self._ask("POST", f"/retry/{letter.dlq_id}")).status != 404
        return False

    async def _letters(self, page: int) -> AsyncIterator[_Letter]:
        cursor: str | None = None
        seen: set[str] = set()
        while len(seen) < MAX_PAGES:
            more = "" if cursor is None else f"&cursor={_encoded(cursor)}"
            answer = await self._ask("GET", f"?label={self._transport.namespace}&count={page}{more}")
            found = decoded(_page, answer)
            for letter in found.messages:
                yield letter
            if not found.cursor or found.cursor in seen:
                return
            cursor = found.cursor
            seen.add(cursor)
        raise not_qstash()  # more than a million letters: whoever makes up cursors could go on for ever

    async def _ask(self, method: str, path: str) -> HttpResponse:
        transport = self._transport
        if transport.client is not None:
            raise Misuse("dead letters: with a client of the official package, ask that: client.dlq")
        request = HttpRequest(
            method,
            f"{transport.url}/v2/dlq{path}",
            {"authorization": f"Bearer {transport.token}"},
            b"",
            transport.timeout,
        )
        return (await exchange(self._port, request, transport.token))[0]


def _encoded(text: str) -> str:
    """A text as a part of a query."""
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in text.encode())


def _buried(letter: _Letter, token: str) -> Buried:
    body = body_of(letter.body, letter.body_base64)
    headers = letter.headers
    headers.pop(ID_HEADER, None)
    status = letter.response_status
    moment = _MOMENT.match(letter.dlq_id)
    return Buried(
        Message(letter.id, letter.url, body, headers, 0, letter.max_retries, letter.method),
        0 if status == NON_RETRYABLE else letter.max_retries + 1,
        f"answered {status}" if status else printable(letter.response_body, token),
        (int(moment[1]) if moment else letter.created_at) * 1000,
    )
