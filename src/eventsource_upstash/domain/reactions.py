"""Reactions: what the handlers of a reactor answer. An append, a command for an aggregate, or a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

from .aggregates import Aggregate
from .events import ANY, NO_METADATA, Expectation

S = TypeVar("S")


class Append:
    """Append events to a stream.

    Done once: it is appended under an idempotency key that is derived from the reactor and its event.

    Args:
        stream: The stream's name.
        *events: The events, all or none; at least one. None that holds personal data.
        expected_revision: As for `EventStore.append`.
        metadata: As for `EventStore.append`.
        tags: As for `EventStore.append`.
    """

    __slots__ = ("events", "expected_revision", "metadata", "stream", "tags")

    def __init__(
        self,
        stream: str,
        *events: object,
        expected_revision: int | Expectation = ANY,
        metadata: Mapping[str, object] = NO_METADATA,
        tags: Sequence[str] = (),
    ) -> None:
        self.stream: str = stream
        self.events: tuple[object, ...] = events
        self.expected_revision: int | Expectation = expected_revision
        self.metadata: Mapping[str, object] = metadata
        self.tags: Sequence[str] = tags


@dataclass(frozen=True)
class Execute(Generic[S]):
    """Execute a command on an aggregate.

    Done once: it is executed under an idempotency key that is derived from the reactor and its event. The command is
    kept until then: its class is one that could be stored, and has a decide handler.

    Attributes:
        aggregate: The aggregate.
        stream: Its stream.
        command: The command. None whose class has personal data: it is kept in clear until it is executed.
        metadata: As for `EventStore.execute`.
        tags: As for `EventStore.execute`.
    """

    aggregate: Aggregate[S]
    stream: str
    command: object
    metadata: Mapping[str, object] = field(default_factory=lambda: NO_METADATA)
    tags: Sequence[str] = ()


@dataclass(frozen=True)
class Send:
    """Send a message: an HTTP request to a URL, or to a job of the app.

    At least once, with an id that is derived from the reactor and its event: whoever carries it drops repeats as long
    as it remembers the id (QStash for ten minutes), and the id travels in the header `Eventsource-Message-Id`, so that
    a receiver can drop the others.

    Attributes:
        url: A whole URL, or the path of a job of the app: `/workers/report`.
        body: Bytes, a text, or anything that can be written as JSON: dict, list, dataclass, msgspec.Struct. None whose
            class has personal data: it is kept in clear until it is sent.
        delay: How long it waits before it is sent: seconds, or a timedelta. Counted from when the event was recorded,
            so that it is the same whoever decides it, and when.
        not_before: Not before when: a datetime with a time zone, or seconds since 1970. Not with `delay`.
        headers: What goes with it.
        retries: How often a delivery that failed is tried again; None for the carrier's own measure, which is 3.
    """

    url: str
    body: object = b""
    delay: float | timedelta | None = None
    not_before: datetime | float | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    retries: int | None = None


# Any: whatever the state of the aggregate is, no handler of a reactor is given it.
Reaction: TypeAlias = "Append | Execute[Any] | Send"
"""What a reactor's handler may answer, alone or several."""
