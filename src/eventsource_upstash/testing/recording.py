"""Events as a log would hold them, for scenarios: encoded, numbered, and decoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

from ..domain.codec import encode_metadata, encode_tags
from ..domain.event_types import EventTypes
from ..domain.events import StoredEvent
from ..domain.names import check_stream, check_tags
from .telling import difference, same

STREAM: Final = "scenario"
"""The stream of events of which no other is said."""

BEGIN: Final = datetime(2024, 1, 1, tzinfo=timezone.utc)
"""A second before the first event, unless another time is said; each following event comes a second later."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class InStream(NamedTuple):
    """Events of one stream, and what is recorded with them. Made by `in_stream`."""

    stream: str
    events: tuple[object, ...]
    metadata: Mapping[str, object]
    tags: tuple[str, ...]
    recorded_at: datetime | None


def in_stream(
    stream: str,
    *events: object,
    metadata: Mapping[str, object] | None = None,
    tags: Sequence[str] = (),
    recorded_at: datetime | None = None,
) -> InStream:
    """Say which stream events of a scenario are in, and what is recorded with them.

    Args:
        stream: The stream's name.
        *events: The events.
        metadata: Their metadata.
        tags: Their tags.
        recorded_at: When they were recorded, with a time zone. Without it, a second after the event before.
    """
    check_stream(stream)
    check_tags(tuple(tags))
    if recorded_at is not None and recorded_at.tzinfo is None:
        raise ValueError(
            f"recorded_at={recorded_at!r} has no time zone; say recorded_at=datetime(..., tzinfo=timezone.utc)"
        )
    return InStream(stream, events, metadata or {}, tuple(tags), recorded_at)


class History:
    """The events of a scenario, in the order in which they came.

    Attributes:
        all: Their rows.
    """

    def __init__(self, types: EventTypes) -> None:
        self._types = types
        self.all: list[StoredEvent] = []

    def add(self, events: Sequence[object]) -> list[StoredEvent]:
        """Record events. Answers their rows."""
        rows = self.rows(events)
        self.all += rows
        return rows

    def rows(self, events: Sequence[object]) -> list[StoredEvent]:
        """The rows that events would have, were they recorded next."""
        rows: list[StoredEvent] = []
        for each in events:
            group = each if isinstance(each, InStream) else InStream(STREAM, (each,), {}, (), None)
            for event in group.events:
                rows.append(self._row(group, event, rows))
        return rows

    def _row(self, group: InStream, event: object, before: Sequence[StoredEvent]) -> StoredEvent:
        earlier = [*self.all, *before]
        position = len(earlier) + 1
        revision = sum(row[1] == group.stream for row in earlier) + 1
        recorded_at = group.recorded_at or BEGIN + timedelta(seconds=position)
        known = self._types.of(event)
        row: StoredEvent = (
            position,
            group.stream,
            revision,
            (recorded_at - _EPOCH) // timedelta(microseconds=1),
            position,
            known.name,
            known.version,
            encode_metadata(group.metadata) if group.metadata else None,
            encode_tags(known.tags_of(event, group.tags)),
            known.encode(event),
        )
        decoded = self._types.decode(row)
        if not same(event, decoded):
            raise AssertionError(
                f"a {type(event).__name__} does not read back as it is stored:\n{difference(event, decoded)}"
            )
        return row

    def decoded(self, rows: Sequence[StoredEvent]) -> list[object]:
        """The events in rows."""
        return [self._types.decode(row) for row in rows]

    def name(self, index: int) -> str:
        """How to call an event in a message, by its place from 0."""
        row = self.all[index]
        return f"{row[5]!r} in stream {row[1]!r}"
