"""Where the events of each type and tag are, in memory."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from ...domain.codec import decode_tags
from ...domain.queries import Query, QueryItem

if TYPE_CHECKING:
    from .state import Row

Term: TypeAlias = "tuple[str | None, str | None]"
"""A type, a tag, or a tag on a type."""


class Index:
    """Positions by type, by tag, and by both, each list in order.

    It is brought up to date by whoever asks, each event once, so that appends do not pay for queries that nobody makes.
    """

    def __init__(self) -> None:
        self._places: defaultdict[Term, list[int]] = defaultdict(list)
        self._reached = 0

    def find(self, rows: list[Row], query: Query, after: int) -> Iterator[int]:
        """Positions above one of the events that a query means, in order, found as they are taken."""
        self._catch_up(rows)
        found = [self._item(item, rows, after) for item in query.items]
        previous = 0
        for position in heapq.merge(*found):
            if position != previous:
                previous = position
                yield position

    def _catch_up(self, rows: list[Row]) -> None:
        places = self._places
        # A slice: `islice` would go through everything before it, each time.
        for position, row in enumerate(rows[self._reached :], self._reached + 1):
            type_, _, _, tags = row[4]
            places[type_, None].append(position)
            for tag in set(decode_tags(tags)):
                places[None, tag].append(position)
                places[type_, tag].append(position)
        self._reached = len(rows)

    def _item(self, item: QueryItem, rows: list[Row], after: int) -> Iterator[int]:
        if not item.types and not item.tags:
            return iter(range(after + 1, len(rows) + 1))
        types = item.types or (None,)
        return heapq.merge(*(self._with_all(type_, item.tags, after) for type_ in types))

    def _with_all(self, type_: str | None, tags: Iterable[str], after: int) -> Iterator[int]:
        """Positions of the events of a type that have all of some tags: the rarest of them is gone through."""
        lists = [self._places.get((type_, tag), []) for tag in tags] or [self._places.get((type_, None), [])]
        lists.sort(key=len)
        rarest, *others = lists
        for at in range(bisect_right(rarest, after), len(rarest)):
            position = rarest[at]
            if all(_has(other, position) for other in others):
                yield position


def _has(places: list[int], position: int) -> bool:
    index = bisect_left(places, position)
    return index < len(places) and places[index] == position
