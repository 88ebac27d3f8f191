"""Message -> whoever carries it: what is given is made a message, and handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ..domain.events import FREE, Receipt
from ..domain.sending import check_destination, check_headers, check_id, check_retries, due_us, encode_body, new_id
from ..errors import Misuse, TooLarge
from ..ports import MAX_MESSAGE_BYTES, Message, Messages


class Sent(NamedTuple):
    """A message that is on its way.

    Attributes:
        id: What tells it from any other; it travels in the header `Eventsource-Message-Id`.
        receipt: What it cost.
    """

    id: str
    receipt: Receipt = FREE


def prepare(
    id: str | None,
    url: str,
    body: object,
    delay: float | timedelta | None,
    not_before: datetime | float | None,
    headers: Mapping[str, str] | None,
    retries: int | None,
    now_us: int,
) -> Message:
    """A message of what `Messages.send` takes.

    Args:
        id: Its id; a new one without it.
        url: A whole URL, or the path of a job of the app.
        body: Bytes, a text, or anything that can be written as JSON.
        delay: Seconds from now, or a timedelta.
        not_before: A datetime with a time zone, or seconds since 1970.
        headers: What goes with it.
        retries: How often a delivery that failed is tried again.
        now_us: Now, in microseconds since 1970.

    Raises:
        Misuse: One of them cannot be what it is to be.
        TooLarge: The body is.
    """
    if id is None:
        id = new_id()  # noqa: A001  as the parameter
    else:
        check_id(id)
    check_destination(url)
    check_retries(retries)
    content = encode_body(body)
    if len(content) > MAX_MESSAGE_BYTES:
        raise TooLarge(what="the body of a message", size=len(content), limit=MAX_MESSAGE_BYTES)
    return Message(
        id,
        url,
        content,
        check_headers(headers, body=body),
        due_us(delay, not_before, now_us),
        retries,
    )


class Sending:
    """Hands messages to whoever carries them.

    Args:
        carrier: Who; None where there is nobody.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, carrier: Messages | None, clock: Callable[[], int]) -> None:
        self.carrier = carrier
        self.clock = clock

    @property
    def now_us(self) -> int:
        """Now, in microseconds since 1970."""
        return self.clock() // 1000

    async def send(
        self,
        url: str,
        body: object,
        delay: float | timedelta | None,
        not_before: datetime | float | None,
        headers: Mapping[str, str] | None,
        retries: int | None,
        id: str | None,
    ) -> Sent:
        """See `Messages.send` of the faces."""
        message = prepare(id, url, body, delay, not_before, headers, retries, self.now_us)
        return Sent(message.id, await self.publish([message]))

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        """Hand messages over. Raises what the carrier raises, and `Misuse` where there is none."""
        if self.carrier is None:
            raise Misuse(
                "nobody carries messages here: notifications need QStash, or the backend a mailbox, as Memory() and "
                "SQLite(...) have"
            )
        return await self.carrier.publish(messages)
