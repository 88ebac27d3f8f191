"""Each event once, even where the topic holds it twice: what a producer wrote again after it had lost the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...domain.events import StoredEvent
from .records import Keyed

REPEAT_WINDOW: Final = 1_000
"""An event is dropped when it stands in so many places of its partition before. Further apart it comes twice."""


class Window:
    """What stands in the last places of a partition, as somebody reads on in it.

    Attributes:
        since: First offset that is known; what stands below it is not.
        until: Offset up to which it is known, exclusive.
    """

    __slots__ = ("_keys", "_places", "since", "until")

    def __init__(self, offset: int) -> None:
        self.since: int = offset
        self.until: int = offset
        self._places: dict[tuple[int, int], int] = {}
        self._keys: dict[tuple[str, Keyed], int] = {}

    def sift(self, rows: list[StoredEvent], keyed: Mapping[int, Keyed], until: int) -> list[StoredEvent]:
        """Go on with the events up to an offset, exclusive, and answer those that are no repeats.

        A repeat has the id of an event in the window, or the key of its append and the place in it. Appends under one
        key that tell something else are not the same: who wrote them at once was answered that both are written.
        """
        self.until = until
        places = self._places
        new = {(row[3], row[4]): row[2] for row in rows}
        if len(new) == len(rows) and not keyed and places.keys().isdisjoint(new):  # nearly always
            places.update(new)
            self._forget()
            return rows
        kept = [row for row in rows if not self._stands(row, keyed.get(row[0]))]
        self._forget()
        return kept

    def _stands(self, row: StoredEvent, keyed: Keyed | None) -> bool:
        """Whether an event stands in the window; it does from now on."""
        place, identity = row[2], (row[3], row[4])
        before = self._places.get(identity, -REPEAT_WINDOW)
        self._places[identity] = place
        if keyed is not None:
            named = (row[1], keyed)
            before = max(before, self._keys.get(named, -REPEAT_WINDOW))
            self._keys[named] = place
        return place - before <= REPEAT_WINDOW

    def _forget(self) -> None:
        """Let go of what is no more in the window; not each time, since it takes a look at everything."""
        if len(self._places) + len(self._keys) > 2 * REPEAT_WINDOW:
            last = self.until - REPEAT_WINDOW
            self._places = {identity: place for identity, place in self._places.items() if place > last}
            self._keys = {named: place for named, place in self._keys.items() if place > last}
            self.since = max(self.since, last)
