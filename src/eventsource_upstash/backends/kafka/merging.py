"""Partitions -> one order: by recorded time, and in each partition as it stands there."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate, repeat
from typing import TypeAlias

from ...domain.codec import decode_tags
from ...domain.events import StoredEvent
from ...domain.positions import PLACE_BITS
from ...domain.queries import Query
from ...errors import UndecodableEvent
from ...ports import MAX_PAGE_EVENTS
from ..rules import bounded
from .repeats import Window

_Waiting: TypeAlias = "tuple[int, int, StoredEvent]"
"""What it is sorted by: the time of the latest event up to there, the partition, and the event itself."""


class Strip:
    """What has been fetched of a partition, and not been handed out yet.

    Attributes:
        rows: The events.
        at: How many of them have been handed out.
        start: Offset that they follow.
        end: Offset up to which everything has been fetched, exclusive.
        ended: Whether nothing stood in the partition beyond that when this read began or later.
        window: What stands before `end`.
        error: Why the record at `end` is no event, where that was found.
    """

    __slots__ = ("at", "end", "ended", "error", "rows", "start", "window")

    def __init__(self, offset: int) -> None:
        self.rows: list[StoredEvent] = []
        self.at: int = 0
        self.start: int = offset
        self.end: int = offset
        self.ended: bool = False
        self.window: Window = Window(offset)
        self.error: UndecodableEvent | None = None

    @property
    def dry(self) -> bool:
        """Whether everything has been handed out."""
        return self.at == len(self.rows)

    @property
    def offset(self) -> int:
        """The next offset, when what has been handed out lies behind."""
        if self.at == len(self.rows):
            return self.end
        return self.rows[self.at - 1][2] if self.at else self.start

    def low(self, rows: int, size: int) -> bool:
        """Whether so many rows are left at most, and bytes of payload, and more can be fetched."""
        if self.ended or self.error is not None or len(self.rows) - self.at > rows:
            return False
        return sum([len(row[9]) for row in self.rows[self.at :]]) <= size

    def fill(self, rows: list[StoredEvent], end: int, *, ended: bool) -> None:
        """Go on with what was fetched."""
        self.start, self.end = self.offset, end
        self.rows, self.at, self.ended = self.rows[self.at :] + rows, 0, ended


class Page:
    """A page as it is put together: of events that a query means, if there is one; it looks at so many at most.

    Attributes:
        rows: Its events.
    """

    def __init__(self, limit: int, max_bytes: int, query: Query | None = None) -> None:
        self.rows: list[StoredEvent] = []
        self._room = limit
        self._bytes = max_bytes
        self._query = query
        self._looked = 0

    @property
    def full(self) -> bool:
        """Whether no more go into it; a query has looked at enough then."""
        return self._room <= 0 or self._bytes <= 0 or self._looked >= MAX_PAGE_EVENTS

    def take(self, strips: Mapping[int, Strip]) -> None:
        """Take events from the strips, the oldest first; of the same age those of the lower partition.

        Of each strip always its first, so that one which was recorded before those that stand before it comes right
        behind them. Ends where the page is full, or a strip is dry that has not ended: what comes next there may be
        older than what the others have.
        """
        if len(strips) == 1:
            for strip in strips.values():
                strip.at += self._accept(strip.rows[strip.at : strip.at + MAX_PAGE_EVENTS])
            return
        if any(strip.dry and not strip.ended for strip in strips.values()):
            return
        waiting: list[_Waiting] = []
        ends: list[_Waiting] = []
        for partition, strip in strips.items():
            if strip.dry:
                continue
            rows = strip.rows[strip.at :]
            # No two compare equal before the rows do, and those by their positions.
            waiting += zip(accumulate([row[3] for row in rows], max), repeat(partition), rows)
            if not strip.ended:
                ends.append(waiting[-1])
        waiting.sort()
        until = bisect_right(waiting, min(ends)) if ends else len(waiting)
        order = [row for _, _, row in waiting[:until]]
        taken = self._accept(order)
        for partition, count in Counter([row[0] >> PLACE_BITS for row in order[:taken]]).items():
            strips[partition].at += count

    def _accept(self, rows: list[StoredEvent]) -> int:
        """Take events in their order as far as there is room. Answers how many were looked at."""
        query = self._query
        if query is None:
            chosen = bounded(rows[: self._room], self._bytes)
            self.rows += chosen
            self._room -= len(chosen)
            self._bytes -= sum([len(row[9]) for row in chosen])
            return len(chosen)
        looked = 0
        for row in rows:
            if self.full:
                break
            looked += 1
            self._looked += 1
            if query.matches(row[5], decode_tags(row[8])):
                self.rows.append(row)
                self._room -= 1
                self._bytes -= len(row[9])
        return looked
