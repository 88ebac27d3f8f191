"""Messages over QStash: one by one or in batches, each under its id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ..._io.port import HttpRequest, HttpResponse, Port
from ...domain.events import FREE, Receipt
from ...domain.sending import METHODS, check_destination, check_headers, check_id, check_retries
from ...domain.telling import without_user_and_query
from ...errors import Misuse, OutcomeUnknown, Refused, TooLarge, Unavailable
from ...ports import ID_HEADER, MAX_MESSAGE_BYTES, Buried, Message, Schedule
from .answers import decoded, exchange, printable
from .notices import taken
from .settings import is_whole, refuse, url_problems

if TYPE_CHECKING:
    from .transport import QStash

MAX_BATCH: Final = 100
"""Most messages of one request."""

MAX_BATCH_BYTES: Final = MAX_MESSAGE_BYTES
"""Most bytes of the bodies in one request of several: no more than of one that has a single large one."""


class _Taken(msgspec.Struct):
    id: str | None = msgspec.field(name="messageId", default=None)
    error: str | None = None


_batch: Final[msgspec.json.Decoder[list[_Taken | list[_Taken]]]] = msgspec.json.Decoder(list[_Taken | list[_Taken]])


class _Item(msgspec.Struct, frozen=True):
    destination: str
    headers: dict[str, str]
    body: str


class Publisher:
    """Publishes messages over the port. Made by `QStash.messages`.

    A message has no flow control: the limit that keeps notifications from piling up is theirs alone.

    Args:
        port: Where to send.
        transport: Where QStash is, and where the app's jobs are.
    """

    def __init__(self, port: Port, transport: QStash) -> None:
        self._port = port
        self._transport = transport

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        """See `Messages.publish`.

        Raises:
            Misuse: A message cannot be one: its destination, id, headers.

        Cost: one request for a hundred messages, or a mebibyte of them; one for each whose body is no UTF-8.
        """
        urls = [check_message(message, self._transport) for message in messages]
        receipt = FREE
        try:
            for chunk in _chunks(list(zip(messages, urls, strict=True))):
                receipt += await self._send(chunk)
        except Unavailable as error:
            if not receipt.requests:
                raise
            raise OutcomeUnknown(
                "QStash took some of the messages and is not available now. Publishing all of them again is "
                "harmless: it remembers for ten minutes which it took"
            ) from error
        return receipt

    async def buried(self, limit: int) -> list[Buried]:
        """See `DeadLetters.buried`: those of this app, by their label."""
        from .dead_letters import Graveyard

        return await Graveyard(self._port, self._transport).buried(limit)

    async def revive(self, id: str) -> bool:
        """See `DeadLetters.revive`. QStash takes it for a new message, of the same id in its header."""
        from .dead_letters import Graveyard

        check_id(id)
        return await Graveyard(self._port, self._transport).revive(id)

    async def _send(self, chunk: Sequence[tuple[Message, str]]) -> Receipt:
        transport = self._transport
        if transport.client is not None:
            from .official import publish_messages

            return await publish_messages(self._port, transport.client, transport.namespace, chunk)
        token, timeout, namespace = transport.token, transport.timeout, transport.namespace
        # No header with the token is a variable here: services that collect errors take along what a frame has.
        if len(chunk) == 1:
            ((message, destination),) = chunk
            url = f"{transport.url}/v2/publish/{destination}"  # as it is: QStash wants no percent-encoding
            request = HttpRequest(
                "POST",
                url,
                {"authorization": f"Bearer {token}", **headers_of(message, namespace)},
                message.body,
                timeout,
            )
            response, receipt = await exchange(self._port, request, token)
            taken(response, without_user_and_query(destination))
            return receipt
        items = [_Item(url, headers_of(message, namespace), message.body.decode()) for message, url in chunk]
        request = HttpRequest(
            "POST",
            f"{transport.url}/v2/batch",
            {"authorization": f"Bearer {token}", "content-type": "application/json"},
            msgspec.json.encode(items),
            timeout,
        )
        response, receipt = await exchange(self._port, request, token)
        if response.status == 404:
            raise Refused("QStash knows no batches (404). Is QSTASH_URL right?")
        _all_taken(response, [message for message, _ in chunk], token)
        return receipt


def headers_of(message: Message, namespace: str) -> dict[str, str]:
    """The headers that tell QStash how to deliver a message, and what goes with it."""
    headers = {
        "upstash-method": message.method,
        "upstash-deduplication-id": f"{namespace}-{message.id}",
        "upstash-label": namespace,
        f"upstash-forward-{ID_HEADER}": message.id,
    }
    if message.not_before_us:
        headers["upstash-not-before"] = str(not_before(message))
    headers |= option_headers(message.headers, message.retries)
    return headers


def option_headers(given: Mapping[str, str], retries: int | None) -> dict[str, str]:
    """The headers for what goes with a message or a schedule."""
    headers = {
        name if name == "content-type" else f"upstash-forward-{name}": value
        for name, value in ((name.lower(), value) for name, value in given.items())
    }
    if retries is not None:
        headers["upstash-retries"] = str(retries)
    return headers


def not_before(message: Message) -> int:
    """When it is due, in whole seconds since 1970, as QStash wants them: never before its time."""
    return -(-message.not_before_us // 1_000_000)


def check_message(message: Message, transport: QStash) -> str:
    """Refuse what QStash would not take, before any of several is sent; answer the URL that it goes to.

    Raises:
        Misuse: The message cannot be one.
        TooLarge: Its body is too large for every plan.
    """
    check_id(message.id)
    if not is_whole(message.not_before_us, 0):
        raise Misuse(f"not_before_us={message.not_before_us!r}: it is a whole number from 0")
    check_options(message, f"message {message.id!r}")
    return url_of(message.destination, transport)


def check_options(given: Message | Schedule, what: str) -> None:
    """Refuse headers, retries, a method or a body that cannot be any. Raises `Misuse`, `TooLarge`."""
    check_headers(given.headers, body=given.body)
    check_retries(given.retries)
    if given.method not in METHODS:
        raise Misuse(f"{what}: method={given.method!r}: it is one of {', '.join(METHODS)}")
    if len(given.body) > MAX_MESSAGE_BYTES:
        raise TooLarge(what=f"the body of {what}", size=len(given.body), limit=MAX_MESSAGE_BYTES)


def url_of(destination: str, transport: QStash) -> str:
    """The URL that a destination stands for. Raises `Misuse` where it is none, or a path and nobody knows of where."""
    check_destination(destination)
    if destination.startswith("/"):
        return transport.job_url(destination)
    refuse(url_problems("the destination", destination))
    return destination


def _chunks(messages: Sequence[tuple[Message, str]]) -> Iterator[Sequence[tuple[Message, str]]]:
    """What goes in one request each: bodies that are no text alone, since a batch is written as JSON."""
    chunk: list[tuple[Message, str]] = []
    size = 0
    for each in messages:
        body = each[0].body
        if not _is_text(body):
            yield [each]
            continue
        if len(chunk) == MAX_BATCH or (chunk and size + len(body) > MAX_BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(each)
        size += len(body)
    if chunk:
        yield chunk


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _all_taken(answer: HttpResponse, messages: Sequence[Message], token: str) -> None:
    """See that each message of a batch was taken. Raises `Refused` that names those that were not."""
    answers = decoded(_batch, answer)
    if len(answers) != len(messages):
        raise Refused(f"QStash answered for {len(answers)} messages of {len(messages)}. Is QSTASH_URL right?")
    refused: list[str] = []
    for message, each in zip(messages, answers, strict=True):
        parts = each if isinstance(each, list) else [each]
        if not any(part.id for part in parts):
            why = next((f" ({printable(part.error, token)})" for part in parts if part.error), "")
            refused.append(f"{message.id} to {without_user_and_query(message.destination)}{why}")
    if refused:
        raise Refused(
            f"QStash took {len(messages) - len(refused)} of {len(messages)} messages, and refused {'; '.join(refused)}"
        )
