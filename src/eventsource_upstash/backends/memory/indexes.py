"""A build's documents in memory: by key, in order, and by what they are found by."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

from ...domain.indexes import NO_ENTRIES, Entries
from ...ports import Span

_LAST = "\U0010ffff"
"""Comes after every key, since no key holds this character."""


class Build:
    """The documents, entries and records of one build. Whoever touches them holds the lock."""

    __slots__ = ("_indexes", "_keys", "documents", "entries", "records")

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.entries: dict[str, Entries] = {}
        self.records: dict[str, bytes] = {}
        # Put in order when somebody looks, not when they change: a page of changes then costs one sort.
        self._keys: list[str] | None = None
        self._indexes: dict[str, list[tuple[str, str]]] = {}

    def put(self, documents: Mapping[str, bytes | None], entries: Mapping[str, Entries]) -> None:
        """Change documents, and what they are found by."""
        known = len(self.documents)
        for key, document in documents.items():
            old, new = self.entries.get(key, NO_ENTRIES), entries.get(key, NO_ENTRIES)
            if document is None:
                new = NO_ENTRIES
                if self.documents.pop(key, None) is not None:
                    self._keys = None
            else:
                self.documents[key] = document
            if old.values != new.values:
                for index, _ in {*old.values} ^ {*new.values}:
                    self._indexes.pop(index, None)
            if new != NO_ENTRIES:
                self.entries[key] = new
            elif old != NO_ENTRIES:
                del self.entries[key]
        if len(self.documents) != known:
            self._keys = None

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
            self._keys = sorted(self.documents)
        keys = self._keys
        start = 0 if after is None else bisect_right(keys, after)
        return (("", keys[index]) for index in range(start, len(keys)))

    def span(self, span: Span) -> tuple[list[tuple[str, str]], int, int]:
        """An index in order, and where in it a span begins and ends."""
        index = self._indexes.get(span.index)
        if index is None:
            index = sorted(
                [
                    (value, key)
                    for key, entries in self.entries.items()
                    for name, value in entries.values
                    if name == span.index
                ]
            )
            self._indexes[span.index] = index
        return index, bisect_left(index, (span.low, "")), bisect_right(index, (span.high, _LAST))

    def places(self, span: Span, after: tuple[str, str] | None, *, reverse: bool) -> Iterator[tuple[str, str]]:
        """Places in a span of an index, behind a place, in order or backwards."""
        index, start, end = self.span(span)
        if reverse:
            end = end if after is None else min(end, bisect_left(index, after))
            return (index[at] for at in range(end - 1, start - 1, -1))
        start = start if after is None else max(start, bisect_right(index, after))
        return (index[at] for at in range(start, end))
