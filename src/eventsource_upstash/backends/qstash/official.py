"""The official package `qstash`: a client of it that was handed in."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar, cast

from ..._io.port import Port
from ...domain.events import Receipt
from ...errors import EventSourceError, OutcomeUnknown, Refused, Unavailable
from ...ports import ID_HEADER, Message
from .messages import not_before
from .notices import message
from .settings import Delivery, OfficialClient, is_url

if TYPE_CHECKING:
    import qstash
    from qstash.http import HttpMethod
    from qstash.message import BatchRequest, FlowControl

T = TypeVar("T")

_log: Final = logging.getLogger("eventsource_upstash.notifier")

_STATUS: Final = re.compile(r"failed with status: (\d{3})")

# Failures before anything was sent, by the names that httpx gives them: it is imported by whoever handed the client in.
_NOT_SENT: Final = {"ConnectError", "ConnectTimeout", "PoolTimeout"}


def is_async(client: object) -> bool:
    """Whether a client of the official package is the one for event loops."""
    from inspect import iscoroutinefunction

    return iscoroutinefunction(getattr(getattr(client, "message", None), "publish", None))


def client_problems(client: object) -> list[str]:
    """What is wrong with a client."""
    if callable(getattr(getattr(client, "message", None), "publish", None)) and hasattr(client, "schedule"):
        return []
    return [f"client is {type(client).__name__}: it is a qstash.QStash or qstash.AsyncQStash"]


class Missing(Refused):
    """There is nothing by that name."""


async def ask(port: Port, client: OfficialClient, work: Callable[[qstash.QStash], T]) -> T:
    """Have a client do something, whichever kind it is, and say what its failures mean.

    Raises:
        Unavailable: QStash cannot be reached, or has no time.
        OutcomeUnknown: It did not say whether it did what was asked.
        Refused: Token, quota, destination.
    """
    # Both kinds have the same methods; those of the one answer what those of the other answer when awaited.
    same = cast("qstash.QStash", client)
    try:
        if is_async(client):
            return await cast("Awaitable[T]", work(same))
        return await port.call(lambda: work(same))
    except EventSourceError:
        raise
    except Exception as error:
        failure = error
    # Neither its cause nor its context: the text of the package's error repeats what the service says, which may hold
    # what was sent. A KeyError names a field.
    raise _meaning(failure) from (failure if type(failure) is KeyError else None)


def _meaning(error: Exception) -> Exception:
    name = type(error).__name__
    # Texts of the package are left out: they repeat what the service says, which may hold what was sent.
    if name == "DailyMessageLimitExceededError":
        return Refused("QStash's messages for today are used up. Raise the plan, or read views with at_least=")
    if name == "RateLimitExceededError":
        return Unavailable("QStash takes no more requests this second. Try again in a second")
    if isinstance(error, (TypeError, AttributeError)):
        return error  # of our own making, not of the service
    if name in _NOT_SENT:
        return Unavailable(f"QStash could not be reached ({name}); nothing was sent. Try again later")
    match = _STATUS.search(str(error))
    if match is None:
        return OutcomeUnknown(f"QStash did not answer ({name}); whether it did what was asked is not known")
    status = int(match[1])
    if status in {401, 403}:
        return Refused(f"QStash refused the token ({status}). Is it of the region that the client's URL names?")
    if status == 404:
        return Missing("QStash knows nothing by that name (404)")
    if status >= 500:
        return OutcomeUnknown(f"QStash failed ({status}); whether it did what was asked is not known")
    return Refused(f"QStash refused the request ({status}). Its own words are in the cause of this error")


class OfficialPublishing:
    """Publishes with a client of the official package. Made by `QStash.notices`."""

    def __init__(
        self, port: Port, client: OfficialClient, destination: str, namespace: str, delivery: Delivery
    ) -> None:
        self._port = port
        self._client = client
        self._destination = destination
        self._namespace = namespace
        self._delivery = delivery

    async def send(self, position: int, raised_us: int) -> Receipt:
        """See `Notices.send`. What the client sends again by itself is not counted."""
        given = self._delivery
        flow_control: FlowControl | None = None
        if given.parallelism is not None:
            flow_control = {"key": self._namespace, "parallelism": given.parallelism}
        url, group = (self._destination, None) if is_url(self._destination) else (None, self._destination)
        body = message(position)
        await ask(
            self._port,
            self._client,
            lambda client: client.message.publish(
                url=url,
                url_group=group,
                body=body,
                content_type="application/json",
                retries=given.retries,
                retry_delay=given.retry_delay,
                timeout=given.timeout,
                label=given.label or self._namespace,
                flow_control=flow_control,
                deduplication_id=f"{self._namespace}-{int(position)}-{raised_us}",
            ),
        )
        _log.info("notified: the log reached position %s", position)
        return Receipt(1, 0, len(body))


async def publish_messages(
    port: Port, client: OfficialClient, namespace: str, chunk: Sequence[tuple[Message, str]]
) -> Receipt:
    """Publish checked messages, each to its URL, by one request. See `Messages.publish`."""
    size = sum(len(given.body) for given, _ in chunk)
    if len(chunk) == 1:
        ((one, destination),) = chunk
        await ask(
            port,
            client,
            lambda client: client.message.publish(
                url=destination,
                body=one.body,  # as it is: only a batch is written as JSON
                content_type=one.headers.get("content-type"),
                method=cast("HttpMethod", one.method),
                headers=_forwarded(one),
                retries=one.retries,
                not_before=not_before(one) or None,
                deduplication_id=f"{namespace}-{one.id}",
                label=namespace,
            ),
        )
        return Receipt(1, 0, size)
    requests = [_request(given, url, namespace) for given, url in chunk]
    try:
        await ask(port, client, lambda client: client.message.batch(requests))
    except OutcomeUnknown as error:
        if isinstance(error.__cause__, KeyError):  # it read the answer to a message that was given no id
            raise Refused("QStash refused some of the messages: see the console's log for which") from error
        raise
    return Receipt(1, 0, size)


def _request(given: Message, url: str, namespace: str) -> BatchRequest:
    request: BatchRequest = {
        "url": url,
        "body": given.body.decode(),
        "method": cast("HttpMethod", given.method),
        "headers": _forwarded(given),
        "deduplication_id": f"{namespace}-{given.id}",
        "label": namespace,
    }
    if "content-type" in given.headers:
        request["content_type"] = given.headers["content-type"]
    if given.not_before_us:
        request["not_before"] = not_before(given)
    if given.retries is not None:
        request["retries"] = given.retries
    return request


def _forwarded(given: Message) -> dict[str, str]:
    """The headers that go with a message, its id among them."""
    others = {name: value for name, value in given.headers.items() if name not in {"content-type", ID_HEADER}}
    return {**others, ID_HEADER: given.id}
