"""Log -> notification, over QStash: one small message for each notification that is owed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from ..._io.port import HttpRequest, HttpResponse, Port
from ...domain.events import Receipt
from ...domain.positions import plain
from ...domain.telling import without_user_and_query
from ...errors import Refused
from .answers import decoded, exchange
from .settings import is_url

_log: Final = logging.getLogger("eventsource_upstash.notifier")


class _Message(msgspec.Struct):
    id: str | None = msgspec.field(name="messageId", default=None)
    messages: list[_Message] | None = None


_answer: Final[msgspec.json.Decoder[_Message | list[_Message]]] = msgspec.json.Decoder(_Message | list[_Message])


def message(position: int) -> bytes:
    """What is posted to the endpoint: a hint that the log reached a position. 0 means whatever there is."""
    return msgspec.json.encode({"position": plain(position)})


class Publishing:
    """Publishes over the port. Made by `QStash.notices`.

    Args:
        port: Where to send.
        url: The service's.
        token: The service's.
        destination: A URL, or the name of a URL group.
        namespace: The first part of each deduplication id.
        headers: What else says how to deliver.
        timeout: Seconds for a notification, with all attempts.
    """

    def __init__(
        self,
        port: Port,
        url: str,
        token: str,
        destination: str,
        namespace: str,
        headers: Mapping[str, str],
        timeout: float,
    ) -> None:
        self._port = port
        self._url = f"{url}/v2/publish/{destination}"  # as it is: QStash wants no percent-encoding
        self._token = token
        self._destination = destination
        self._namespace = namespace
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json", **headers}
        self._timeout = timeout

    async def send(self, position: int, raised_us: int) -> Receipt:
        """See `Notices.send`.

        Raises:
            Unavailable: QStash cannot be reached; nothing was sent.
            OutcomeUnknown: It did not say whether it took the message. Sending it again is harmless.
            Refused: Token, quota, destination.

        Cost: one request, and one message to each endpoint.
        """
        # Position and moment name this notification, so that QStash drops a re-send of it and nothing else. The
        # namespace has no part in that beyond keeping apps apart; digits and the last two hyphens end it.
        name = f"{self._namespace}-{int(position)}-{raised_us}"  # the text of a vector cannot stand in an id
        # No header with the token is a variable here: services that collect errors take along what a frame has.
        request = HttpRequest(
            "POST",
            self._url,
            {**self._headers, "upstash-deduplication-id": name},
            message(position),
            self._timeout,
        )
        response, receipt = await exchange(self._port, request, self._token)
        taken(response, without_user_and_query(self._destination))
        _log.info("notified: the log reached position %s", position)
        return receipt


def taken(response: HttpResponse, destination: str) -> None:
    """See that the message was taken, for a destination as it is shown. Raises `Refused` where it was not."""
    if response.status == 404:
        raise Refused(
            f"QStash knows no destination {destination!r} (404). "
            + (
                "Is QSTASH_URL right?"
                if is_url(destination)
                else "Create the URL group in the console, in the region that QSTASH_URL names"
            )
        )
    answer = decoded(_answer, response)
    # A URL group is answered by a list; the vendor's description of the API has it within an object.
    within = [answer] if isinstance(answer, _Message) and answer.messages is None else answer
    messages: list[_Message] = (within.messages or []) if isinstance(within, _Message) else within
    if not messages:
        raise Refused(f"the URL group {destination!r} has no endpoint. Add one in the console")
    if not any(one.id for one in messages):
        raise Refused(f"QStash took no message for {destination!r}. Is QSTASH_URL right?")
