"""Finding events by type and tag: by the indexes of them, and never by going through the log."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from ...domain.queries import Query, QueryItem

if TYPE_CHECKING:
    import sqlite3

_EVERYTHING: Final = "SELECT position FROM events WHERE position > ? ORDER BY position LIMIT ?"
_BY_TYPE: Final = "SELECT position FROM events WHERE type = ? AND position > ? ORDER BY position LIMIT ?"
_RARITY: Final = "SELECT count(*) FROM (SELECT 1 FROM event_tags WHERE tag = ? AND position > ? LIMIT ?)"

LOOK_AHEAD: Final = 100
"""Events counted of each of several tags, to begin with the rarest. Beyond it, they count as equally frequent."""


def find(cursor: sqlite3.Cursor, query: Query, after: int, limit: int) -> list[int]:
    """Positions above one of the first events that a query means, in order, within a transaction.

    Cost: a look into an index for each type and tag of each item, and one entry of it for each position; for an item
    with several tags, one entry for each event that has the rarest of them.
    """
    found: list[list[int]] = []
    for item in query.items:
        for statement, values in _looks(cursor, item, after):
            found.append([position for (position,) in cursor.execute(statement, (*values, limit))])
    if len(found) == 1:
        return found[0]
    return list(_first(heapq.merge(*found), limit))


def _first(positions: Iterator[int], limit: int) -> Iterator[int]:
    """The first so many, each once."""
    previous = 0
    for position in positions:
        if position == previous:
            continue
        if limit <= 0:
            return
        limit -= 1
        previous = position
        yield position


def _looks(cursor: sqlite3.Cursor, item: QueryItem, after: int) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """The statements that find what an item means, each in order of position; the limit is still to be said."""
    tags = _rarest_first(cursor, tuple(item.tags), after)
    types: Sequence[str | None] = tuple(item.types) or (None,)
    for type_ in types:
        named = () if type_ is None else (type_,)
        if tags:
            yield tagged(len(tags), typed=type_ is not None), (tags[0], *named, after, *tags[1:])
        else:
            yield _EVERYTHING if type_ is None else _BY_TYPE, (*named, after)


def _rarest_first(cursor: sqlite3.Cursor, tags: tuple[str, ...], after: int) -> tuple[str, ...]:
    if len(tags) < 2:
        return tags
    counts = {tag: cursor.execute(_RARITY, (tag, after, LOOK_AHEAD)).fetchone()[0] for tag in tags}
    return tuple(sorted(tags, key=lambda tag: (counts[tag], tag)))


@cache
def tagged(count: int, *, typed: bool) -> str:
    """The statement that goes through the events of a tag, and of a type, and leaves out those without others."""
    others = (
        " AND EXISTS (SELECT 1 FROM event_tags AS other WHERE other.tag = ? AND other.position = event_tags.position)"
    )
    of_type = " AND type = ?" if typed else ""
    return (
        f"SELECT position FROM event_tags WHERE tag = ?{of_type} AND position > ?{others * (count - 1)} "
        "ORDER BY position LIMIT ?"
    )
