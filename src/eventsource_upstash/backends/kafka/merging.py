"""Partitions -> one order: by recorded time, and in each partition as it stands there."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final

from ...domain.codec import decode_tags
from ...domain.events import StoredEvent
from ...domain.queries import Query
from ...ports import MAX_PAGE_EVENTS
from .repeats import Window


class Strip:
    """What has been fetched of a partition, and not been handed out yet.

    Attributes:
        rows: The events.
        at: How many of them have been handed out.
        start: Offset that they follow.
        end: Offset up to which everything has been fetched, exclusive.
        ended: Whether nothing stood in the partition beyond that when this read began or later.
        window: What stands before `end`.
    """

    __slots__ = ("at", "end", "ended", "rows", "start", "window")

    def __init__(self, offset: int) -> None:
        self.rows: list[StoredEvent] = []
        self.at: int = 0
        self.start: int = offset
        self.end: int = offset
        self.ended: bool = False
        self.window: Window = Window(offset)

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

    def fill(self, rows: list[StoredEvent], end: int, *, ended: bool) -> None:
        """Go on with what was fetched, when everything before has been handed out."""
        self.start, self.end = self.end, end
        self.rows, self.at, self.ended = rows, 0, ended


class Page:
    """A page as it is put together: of events that a query means, if there is one; it looks at so many at most.

    Attributes:
        rows: Its events.
    """

    def __init__(self, limit: int, max_bytes: int, query: Query | None = None) -> None:
        self.rows: Final[list[StoredEvent]] = []
        self._room = limit
        self._bytes = max_bytes
        self._query = query
        self._looked = 0

    @property
    def full(self) -> bool:
        """Whether no more go into it."""
        return self._room <= 0 or self._bytes <= 0 or self._looked >= MAX_PAGE_EVENTS

    def take(self, strips: Mapping[int, Strip]) -> None:
        """Take events from the strips, the oldest first; of the same age those of the lower partition.

        Ends where the page is full, or a strip is dry that has not ended: what comes next there may be older than what
        the others have.
        """
        if len(strips) == 1:
            for strip in strips.values():
                self._take_all(strip)
            return
        if any(strip.dry and not strip.ended for strip in strips.values()):
            return
        waiting = [(strip.rows[strip.at][3], partition) for partition, strip in strips.items() if not strip.dry]
        heapq.heapify(waiting)
        while waiting and not self.full:
            _, partition = waiting[0]
            strip = strips[partition]
            row = strip.rows[strip.at]
            strip.at += 1
            self._add(row)
            if strip.at < len(strip.rows):
                heapq.heapreplace(waiting, (strip.rows[strip.at][3], partition))
            elif strip.ended:
                heapq.heappop(waiting)
            else:
                return

    def _take_all(self, strip: Strip) -> None:
        while not strip.dry and not self.full:
            self._add(strip.rows[strip.at])
            strip.at += 1

    def _add(self, row: StoredEvent) -> None:
        self._looked += 1
        if self._query is None or self._query.matches(row[5], decode_tags(row[8])):
            self.rows.append(row)
            self._room -= 1
            self._bytes -= len(row[9])
