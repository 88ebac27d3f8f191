"""Requests to QStash: sent again where that is safe, and what its answers mean in terms of what to do next."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from ..._io.port import HttpRequest, HttpResponse, Port
from ..._io.retrying import Budget, retry_after
from ...domain.events import Receipt
from ...errors import EventSourceError, OutcomeUnknown, Refused, Unavailable

T = TypeVar("T")

_log: Final = logging.getLogger("eventsource_upstash.qstash")

ATTEMPTS: Final = 3
SHARE: Final = 0.5
"""How much of the whole time one attempt may take: a server that is silent shall not use up what a second one needs."""

BURST_PAUSE: Final = 1.0
"""Seconds until QStash's limit of requests per second starts anew."""


class _Created(msgspec.Struct, rename="camel"):
    schedule_id: str


created: Final = msgspec.json.Decoder(_Created)
"""Reads what a schedule that was created or replaced is answered with."""


async def exchange(port: Port, request: HttpRequest, secret: str) -> tuple[HttpResponse, Receipt]:
    """Send a request that may be sent again, up to three times, and answer what came back with what it cost.

    Args:
        port: Where to send and to wait.
        request: Such that twice is as good as once. Its timeout is for all attempts together.
        secret: The token, which is blotted out wherever the service repeats it.

    Raises:
        Unavailable: QStash cannot be reached, or has no time; nothing was taken.
        OutcomeUnknown: It did not say whether it took the message.
        Refused: Token, quota, destination: what to change is in the message.
    """
    budget = Budget(port, request.timeout, ATTEMPTS)
    received = 0
    unknown = False
    while True:
        budget.tried = sent = budget.tried + 1
        asked_for = 0.0
        error: EventSourceError
        try:
            response = await port.send(
                msgspec.structs.replace(request, timeout=min(budget.left, request.timeout * SHARE))
            )
        except (Unavailable, OutcomeUnknown) as failure:
            error = failure
        else:
            received += len(response.body)
            if 200 <= response.status < 300 or response.status == 404:
                return response, Receipt(sent, 0, sent * len(request.body), received, sent - 1)
            error = meaning(response, secret)
            if isinstance(error, Refused):
                raise error
            asked_for = BURST_PAUSE if response.status == 429 else retry_after(response.headers)
        unknown = unknown or isinstance(error, OutcomeUnknown)
        if not await budget.pause(asked_for):
            break
        _log.info("QStash: attempt %d failed (%s); trying again", sent, type(error).__name__)
    if unknown:
        raise OutcomeUnknown(
            f"QStash did not say whether it took the request ({sent} attempts). Sending it again is harmless"
        ) from error
    raise error


def meaning(response: HttpResponse, secret: str) -> EventSourceError:
    """The error that an answer of QStash stands for, with the remedy."""
    status, said = response.status, _said(response.body, secret)
    headers = response.headers
    if status in {401, 403}:
        return Refused(
            f"QStash refused the token ({status}{said}). Copy QSTASH_TOKEN from the Upstash console, and QSTASH_URL "
            "with it: each region has a token and a URL of its own"
        )
    if status == 429 and "ratelimit-limit" in headers:
        return Refused(
            f"QStash's messages for today are used up (limit {_number(headers, 'ratelimit-limit')}"
            f"{_when(headers, 'ratelimit-reset')}). Until then the sweep does not run either: raise the plan, or read "
            "views with at_least="
        )
    if status == 429:
        return Unavailable(
            f"QStash takes no more requests this second (429{said}); nothing was sent. Try again in a second"
        )
    if status == 400 and ("loopback" in said or "private" in said):
        return Refused(
            f"QStash does not deliver to this machine or a private network ({status}{said}). Give it a public URL, or "
            "develop against the local Upstash: eventsource-upstash dev"
        )
    if status == 503:
        return Unavailable(f"QStash is not available ({status}{said}); nothing was sent. Try again later")
    if status in {408, 425} or status >= 500:
        return OutcomeUnknown(f"QStash failed ({status}{said}); whether it took the message is not known")
    if 300 <= status < 400:
        return Refused(f"QStash's URL answers with a redirection ({status}). Is QSTASH_URL right?")
    return Refused(f"QStash refused the request ({status}{said}). Check destination, plan and quota in the console")


def decoded(decoder: msgspec.json.Decoder[T], answer: HttpResponse) -> T:
    """What QStash answered. Raises `Refused` where something else answers."""
    try:
        return decoder.decode(answer.body)
    except (ValueError, RecursionError):
        raise not_qstash() from None


def body_of(text: str, encoded: str) -> bytes:
    """A body as QStash tells it: as a text, or in base64. Raises `Refused` where something else answers."""
    try:
        return base64.b64decode(encoded) if encoded else text.encode()
    except binascii.Error:
        raise not_qstash() from None


def not_qstash() -> Refused:
    """The error where something else answers."""
    return Refused("what answers at QSTASH_URL is not QStash. Check the URL")


def _said(body: bytes, secret: str) -> str:
    try:
        text = msgspec.json.decode(body, type=dict[str, object]).get("error")
    except (msgspec.DecodeError, ValueError, RecursionError):
        text = None
    return f": {printable(text, secret)}" if isinstance(text, str) and text else ""


def printable(text: str, secret: str) -> str:
    """What the service said, as it may be shown: no secret, no control characters, not much of it."""
    if secret:
        text = text.replace(secret, "***")
    return "".join(character if character.isprintable() else " " for character in text[:200])


def _number(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    return value if value.isascii() and value.isdigit() and len(value) < 20 else "unknown"


def _when(headers: Mapping[str, str], name: str) -> str:
    value = _number(headers, name)
    if value == "unknown" or not 10 <= len(value) <= 11:
        return ""  # no Unix time of these days: rather no date than one in 1970
    return f", anew at {time.strftime('%Y-%m-%d %H:%M', time.gmtime(int(value)))} UTC"
