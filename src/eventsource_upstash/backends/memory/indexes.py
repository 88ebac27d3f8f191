"""A build's documents in memory: by key, in order, and by what they are found by."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping

from ...domain.indexes import NO_ENTRIES, Entries
from ...ports import Span

_LAST = "\U0010ffff"
"""Comes after every key, since no key holds this character."""

FEW = 1_000
"""Up to so many changes of an order are made one by one, each of which moves half of it: a sort looks at all of it."""


class Order:
    """Places in their order: value and key, or an empty value in the order of keys.

    Changes are noted, and made when somebody looks: what nobody looks at, as while a view is built, costs no order.
    """

    __slots__ = ("_come", "_gone", "_places")

    def __init__(self, places: Iterable[tuple[str, str]]) -> None:
        self._places = sorted(places)
        self._come: set[tuple[str, str]] = set()
        self._gone: set[tuple[str, str]] = set()

    def add(self, place: tuple[str, str]) -> None:
        """Note a place that was not there."""
        if place in self._gone:
            self._gone.remove(place)
        else:
            self._come.add(place)

    def remove(self, place: tuple[str, str]) -> None:
        """Note that a place is gone."""
        if place in self._come:
            self._come.remove(place)
        else:
            self._gone.add(place)

    def look(self) -> list[tuple[str, str]]:
        """All of them in order."""
        places = self._places
        if self._gone:
            if len(self._gone) <= FEW:
                for place in self._gone:
                    del places[bisect_left(places, place)]
            else:
                places = self._places = [place for place in places if place not in self._gone]
            self._gone.clear()
        if self._come:
            if len(self._come) <= FEW:
                for place in self._come:
                    insort(places, place)
            else:
                places.extend(self._come)
                places.sort()
            self._come.clear()
        return places


class Build:
    """The documents, entries and records of one build. Whoever touches them holds the lock.

    Attributes:
        ends: How many of the documents have an end.
    """

    __slots__ = ("_indexes", "_keys", "documents", "ends", "entries", "records")

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.entries: dict[str, Entries] = {}
        self.records: dict[str, bytes] = {}
        self.ends: int = 0
        # Made when somebody looks for the first time.
        self._keys: Order | None = None
        self._indexes: dict[str, Order] = {}

    def put(self, documents: Mapping[str, bytes | None], entries: Mapping[str, Entries]) -> None:
        """Change documents, and what they are found by."""
        keys = self._keys
        for key, document in documents.items():
            old, new = self.entries.get(key, NO_ENTRIES), entries.get(key, NO_ENTRIES)
            if document is None:
                new = NO_ENTRIES
                if self.documents.pop(key, None) is not None and keys is not None:
                    keys.remove(("", key))
            else:
                if keys is not None and key not in self.documents:
                    keys.add(("", key))
                self.documents[key] = document
            if old is not new:
                self._enter(key, old, new)

    def _enter(self, key: str, old: Entries, new: Entries) -> None:
        if self._indexes and old.values != new.values:
            for name, value in old.values:
                if name in self._indexes:
                    self._indexes[name].remove((value, key))
            for name, value in new.values:
                if name in self._indexes:
                    self._indexes[name].add((value, key))
        self.ends += (new.expires_us is not None) - (old.expires_us is not None)
        if new != NO_ENTRIES:
            self.entries[key] = new
        else:
            self.entries.pop(key, None)

    def keep(self, records: Mapping[str, bytes | None]) -> None:
        """Change records."""
        for name, content in records.items():
            if content is None:
                self.records.pop(name, None)
            else:
                self.records[name] = content

    def ended(self, key: str, now_us: int) -> bool:
        """Whether a document has ended."""
        expires_us = self.entries.get(key, NO_ENTRIES).expires_us
        return expires_us is not None and expires_us <= now_us

    def keys_after(self, after: str | None) -> Iterator[tuple[str, str]]:
        """Places in the order of keys, behind a key."""
        if self._keys is None:
            self._keys = Order([("", key) for key in self.documents])
        keys = self._keys.look()
        start = 0 if after is None else bisect_right(keys, ("", after))
        return (keys[index] for index in range(start, len(keys)))

    def span(self, span: Span) -> tuple[list[tuple[str, str]], int, int]:
        """An index in order, and where in it a span begins and ends."""
        order = self._indexes.get(span.index)
        if order is None:
            order = self._indexes[span.index] = Order(
                [
                    (value, key)
                    for key, entries in self.entries.items()
                    for name, value in entries.values
                    if name == span.index
                ]
            )
        index = order.look()
        before = span.before
        end = bisect_right(index, (span.high, _LAST)) if before is None else bisect_left(index, (span.high, before))
        return index, bisect_left(index, (span.low, "")), end

    def place_of(self, index: str, key: str) -> tuple[str, str] | None:
        """Where a document stands in an index."""
        value = dict(self.entries.get(key, NO_ENTRIES).values).get(index)
        return None if value is None else (value, key)

    def places(self, span: Span, after: tuple[str, str] | None, *, reverse: bool) -> Iterator[tuple[str, str]]:
        """Places in a span of an index, behind a place, in order or backwards."""
        index, start, end = self.span(span)
        if reverse:
            end = end if after is None else min(end, bisect_left(index, after))
            return (index[at] for at in range(end - 1, start - 1, -1))
        start = start if after is None else max(start, bisect_right(index, after))
        return (index[at] for at in range(start, end))
