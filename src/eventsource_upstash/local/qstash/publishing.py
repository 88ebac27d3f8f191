"""What comes in: a destination, a body and options become messages, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ..metering import ANONYMOUS, Meter
from .clock import Clock
from .delivering import loopback, mapped
from .errors import ApiError
from .flow_control import FlowControlling
from .logbook import Logbook
from .options import check_name, check_url
from .queueing import Queueing
from .records import Deduplication, Message, Options, UrlGroup
from .settings import Settings
from .store import Store

__all__ = ["Draft", "Published", "Publishing"]

WINDOW: Final = 10 * 60 * 1000
"""Milliseconds that a deduplication id counts, whether its message is delivered by then or not."""


@dataclass(frozen=True)
class Draft:
    """A message to be published.

    Attributes:
        destination: A URL, or the name of a URL group.
        caller: The address of whoever publishes it; `agent`: the name under which its cost is counted.
    """

    destination: str
    body: bytes
    options: Options
    queue: str | None = None
    schedule: str | None = None
    caller: str = ""
    agent: str = ANONYMOUS


@dataclass(frozen=True)
class Published:
    """What became of a draft: one message, or one for each endpoint of the group."""

    messages: list[tuple[str, str, bool]]
    """Id, URL, and whether it is a duplicate of a message that was published before."""
    group: bool

    @property
    def deduplicated(self) -> bool:
        """Whether nothing new was published."""
        return all(duplicate for _, _, duplicate in self.messages)

    def view(self) -> object:
        """As the API answers it."""
        views = [
            {
                "messageId": message,
                **({"url": url} if self.group else {}),
                **({"deduplicated": True} if duplicate else {}),
            }
            for message, url, duplicate in self.messages
        ]
        return views if self.group else views[0]


class Publishing:
    """Accepts messages.

    Args:
        route: Takes a new message to where it waits for its time.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        meter: Meter,
        queues: Queueing,
        flow: FlowControlling,
        logbook: Logbook,
        route: Callable[[Message], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._queues = queues
        self._flow = flow
        self._logbook = logbook
        self._route = route

    def check(self, draft: Draft) -> None:
        """Refuse what cannot be published, before anything of a batch is.

        Raises:
            ApiError: 400 or 404, or 413 for a body that is too large.
        """
        if len(draft.body) > self._settings.max_message_size:
            raise ApiError(
                413,
                f"maximum message size of {self._settings.max_message_size} bytes exceeded: it has {len(draft.body)}",
            )
        if draft.queue is not None:
            check_name("queue name", draft.queue)
        self._group(draft.destination)

    def publish(self, draft: Draft) -> Published:
        """Accept it. It is safe once the store is flushed. It does not wait.

        Raises:
            ApiError: See `check`.
        """
        self.check(draft)
        group = self._group(draft.destination)
        if draft.queue is not None:
            self._queues.upsert(draft.queue, self._clock.now())
        if group is None:
            message, duplicate = self._one(draft, draft.destination, self._deduplication(draft))
            return Published([(message, draft.destination, duplicate)], group=False)
        messages: list[tuple[str, str, bool]] = []
        for endpoint in group.endpoints:
            deduplication = self._deduplication(draft)
            # Each endpoint gets its own message of one publish, so each remembers it for itself.
            key = None if deduplication is None else f"{deduplication} {endpoint.url}"
            message, duplicate = self._one(draft, endpoint.url, key, group.name, endpoint.name)
            messages.append((message, endpoint.url, duplicate))
        return Published(messages, group=True)

    def accept(self, message: Message) -> None:
        """Keep a message that is complete, and have it sent when it is due."""
        self._store.messages.put(message.id, message)
        self._meter.add(message.agent, {"published": 1})
        if message.options.flow is not None:
            self._flow.configure(message.options.flow)
        self._logbook.log(message, "CREATED")
        self._route(message)

    def _one(
        self, draft: Draft, url: str, deduplication: str | None, topic: str | None = None, endpoint: str | None = None
    ) -> tuple[str, bool]:
        now = self._clock.now()
        if deduplication is not None:
            self._expire(now)
            known = self._store.deduplications.get(deduplication)
            if known is not None:
                self._meter.add(draft.agent, {"deduplicated": 1})
                return known.message, True
        options = msgspec.msgpack.decode(msgspec.msgpack.encode(draft.options), type=Options)  # its own
        message = Message(
            id=self._logbook.new_id(),
            number=self._store.number("messages"),
            url=url,
            body=draft.body,
            options=options,
            created_at=now,
            due=max(now, options.not_before) if options.not_before is not None else now + options.delay,
            topic=topic,
            endpoint=endpoint,
            queue=draft.queue,
            schedule=draft.schedule,
            caller=draft.caller,
            agent=draft.agent,
        )
        if deduplication is not None:
            self._store.deduplications.put(deduplication, Deduplication(message.id, now + WINDOW))
        self.accept(message)
        return message.id, False

    def _group(self, destination: str) -> UrlGroup | None:
        """The URL group of this name, or None for a URL."""
        if "/" in destination or ":" in destination:
            check_url(destination)
            local = loopback(destination) and mapped(destination, self._settings.mapping) == destination
            if self._settings.strict and local:
                raise ApiError(400, "invalid destination url: endpoint resolves to a loopback address")
            return None
        group = self._store.groups.get(check_name("destination: a URL, or the name of a URL group", destination))
        if group is None:
            raise ApiError(404, f"url group {destination} not found; a URL begins with http:// or https://")
        return group

    def _deduplication(self, draft: Draft) -> str | None:
        options = draft.options
        if options.deduplication_id is not None:
            return f"id {options.deduplication_id}"
        if not options.content_based:
            return None
        # Destination, body, content type and forwarded headers (documentation, page Deduplication).
        content = (draft.destination, sorted(options.headers), draft.body)
        return f"content {hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()}"

    def _expire(self, now: int) -> None:
        # All count equally long: the oldest is the first to end.
        while (first := self._store.deduplications.first()) is not None and first[1].until <= now:
            self._store.deduplications.drop(first[0])
