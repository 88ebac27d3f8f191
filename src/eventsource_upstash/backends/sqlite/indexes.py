"""What is found in a build's documents: listings by key or by an index, counts, ranks. Without what has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from ...domain.indexes import Entries
from ...ports import Span
from .documents import entries_of

if TYPE_CHECKING:
    import sqlite3

_ALIVE: Final = "(e.expires_us IS NULL OR e.expires_us > ?)"
_FROM: Final = "FROM entries e WHERE e.build = ? AND e.index_name = ?"

ITEMS: Final = (
    f"SELECT '', e.key, e.document FROM documents e WHERE e.build = ? AND e.key > ? AND {_ALIVE} ORDER BY e.key LIMIT ?"
)
_FIND: Final = (
    "SELECT e.value, e.key, d.document FROM entries e CROSS JOIN documents d ON d.build = e.build AND d.key = e.key "
    "WHERE e.build = ? AND e.index_name = ?"
)
FORWARDS: Final = f"{_FIND} AND (e.value, e.key) > (?, ?) AND e.value <= ? AND {_ALIVE} ORDER BY e.value, e.key LIMIT ?"
BACKWARDS: Final = (
    f"{_FIND} AND e.value >= ? AND (e.value, e.key) < (?, ?) AND {_ALIVE} ORDER BY e.value DESC, e.key DESC LIMIT ?"
)
COUNT_ALL: Final = f"SELECT count(*) FROM documents e WHERE e.build = ? AND {_ALIVE}"
COUNT: Final = f"SELECT count(*) {_FROM} AND e.value BETWEEN ? AND ? AND {_ALIVE}"
BEFORE: Final = f"SELECT count(*) {_FROM} AND e.value >= ? AND (e.value, e.key) < (?, ?) AND {_ALIVE}"
ENDED: Final = (
    "SELECT key, expires_us, found_by FROM documents WHERE build = ? AND expires_us <= ? "
    "ORDER BY expires_us, key LIMIT ?"
)
_ONE: Final = "SELECT expires_us, found_by FROM documents WHERE build = ? AND key = ?"

_BEYOND: Final = "\U0010ffff"
"""Comes after every key, since no key holds this character."""


class Found(NamedTuple):
    """A page of documents, and where it ends; see `Listed`."""

    documents: list[tuple[str, bytes]]
    more: bool = False
    last: tuple[str, str] | None = None


def items(
    cursor: sqlite3.Cursor, build: int | None, after: str | None, limit: int, max_bytes: int, now_us: int
) -> Found:
    """See `Views.items`."""
    if build is None:
        return Found([])
    return _page(cursor.execute(ITEMS, (build, after or "", now_us, limit + 1)), limit, max_bytes)


def find(
    cursor: sqlite3.Cursor,
    build: int | None,
    span: Span,
    after: tuple[str, str] | None,
    limit: int,
    max_bytes: int,
    now_us: int,
    *,
    reverse: bool,
) -> Found:
    """See `Views.find`."""
    if build is None:
        return Found([])
    index, low, high = span.index, span.low, span.high
    if reverse:
        first = (high, _BEYOND)
        value, key = first if after is None else min(first, after)
        rows = cursor.execute(BACKWARDS, (build, index, low, value, key, now_us, limit + 1))
    else:
        first = (low, "")
        value, key = first if after is None else max(first, after)
        rows = cursor.execute(FORWARDS, (build, index, value, key, high, now_us, limit + 1))
    return _page(rows, limit, max_bytes)


def _page(rows: Iterator[tuple[str, str, bytes]], limit: int, max_bytes: int) -> Found:
    """Rows up to so many, or to the one that reaches so many bytes. One more than that was asked for."""
    found: list[tuple[str, bytes]] = []
    last: tuple[str, str] | None = None
    size = 0
    for value, key, document in rows:
        if len(found) == limit or (size >= max_bytes and found):
            return Found(found, more=True, last=last)
        found.append((key, document))
        last = (value, key)
        size += len(document)
    return Found(found, last=last)


def count(cursor: sqlite3.Cursor, build: int | None, span: Span | None, now_us: int) -> int:
    """See `Views.count`."""
    if build is None:
        return 0
    if span is None:
        row = cursor.execute(COUNT_ALL, (build, now_us)).fetchone()
    elif span.before is not None:
        row = cursor.execute(BEFORE, (build, span.index, span.low, span.high, span.before, now_us)).fetchone()
    else:
        row = cursor.execute(COUNT, (build, span.index, span.low, span.high, now_us)).fetchone()
    return int(row[0])


def rank(cursor: sqlite3.Cursor, build: int | None, span: Span, key: str, now_us: int) -> tuple[int | None, int]:
    """How many come before it, or None, and how many there are. See `Views.rank`."""
    total = count(cursor, build, span, now_us)
    row = cursor.execute(_ONE, (build, key)).fetchone()
    if row is None:
        return None, total
    entries = entries_of(*row)
    value = dict(entries.values).get(span.index)
    ended = entries.expires_us is not None and entries.expires_us <= now_us
    if value is None or ended or not span.low <= value <= span.high:
        return None, total
    before = cursor.execute(BEFORE, (build, span.index, span.low, value, key, now_us)).fetchone()
    return int(before[0]), total


def ended(cursor: sqlite3.Cursor, build: int | None, now_us: int, limit: int) -> dict[str, Entries]:
    """What the documents are found by that have ended. See `Views.ended`."""
    if build is None:
        return {}
    rows = cursor.execute(ENDED, (build, now_us, limit))
    return {key: entries_of(expires_us, found_by) for key, expires_us, found_by in rows}
