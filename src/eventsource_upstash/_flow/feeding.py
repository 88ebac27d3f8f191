"""View -> change feed: which documents have changed since a reader looked last."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from ..domain.projections import Projection
from ..errors import Misuse
from ..ports import Views
from .noting import CHANGES_KEPT, ChangesRecord, changes_record

D = TypeVar("D")

AT_ONCE: Final = 16
"""Commits whose changes are read at once."""

_changes: Final = msgspec.json.Decoder(ChangesRecord)


class Change(msgspec.Struct, frozen=True):
    """A document that has changed.

    Attributes:
        position: The position that the view reached with the change.
        key: The document's key.
        deleted: Whether it is gone; else it is new, or another one.
        cursor: The place in the feed behind the commit that it was in.
    """

    position: int
    key: str
    deleted: bool
    cursor: str


class Changes(msgspec.Struct, frozen=True):
    """A part of a view's change feed: whole commits, in order.

    Attributes:
        changes: What has changed; one document may be in it several times.
        cursor: What to hand over as `after` for the next part.
        more: Whether there is more behind it already.
        reset: Whether changes between `after` and here are not known any more, or another build serves: what was read
            of the view before has to be read anew.
    """

    changes: tuple[Change, ...]
    cursor: str
    more: bool
    reset: bool


class Feeding:
    """Reads the change feeds of views."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def changes(self, projection: Projection[D], after: str | None, limit: int) -> Changes:
        """See `View.changes`."""
        if not projection.changes:
            raise Misuse(
                f"projection {projection.name!r} keeps no change feed; register it with changes=True, and rebuild it "
                "or append to it: its feed begins there"
            )
        if type(limit) is not int or limit < 1:
            raise Misuse(f"limit={limit!r}: it is a whole number from 1")
        version, generation, seen = (0, 0, 0) if after is None else _feed_place(after)
        limit = min(limit, AT_ONCE)
        names = [] if after is None else [changes_record(number) for number in range(seen + 1, seen + limit + 1)]
        got = await self._views.records(projection.id, names)
        now = got.progress
        last = now.notes.changes
        if not now.met and projection.version > 1:
            # Reads are answered from the version before this one as yet: the feed begins with all of the view anew.
            unmet = (projection.version, 0, 0)
            reset = after is not None and unmet != (version, generation, seen)
            return Changes((), _feed_cursor(*unmet), more=False, reset=reset)
        if after is None:
            return Changes((), _feed_cursor(projection.version, now.generation, last), more=False, reset=False)
        known = (version, generation) == (projection.version, now.generation)
        known = known and seen <= last and last - seen <= CHANGES_KEPT
        found: list[Change] = []
        if known:
            for number in range(seen + 1, min(last, seen + limit) + 1):
                content = got.documents.get(changes_record(number))
                record = None if content is None else _changes.decode(content)
                if record is None or record.number != number:
                    known = False
                    break
                cursor = _feed_cursor(version, generation, number)
                found += [Change(record.position, key, False, cursor) for key in record.put]
                found += [Change(record.position, key, True, cursor) for key in record.deleted]
                seen = number
        if not known:
            return Changes((), _feed_cursor(projection.version, now.generation, last), more=False, reset=True)
        return Changes(tuple(found), _feed_cursor(version, generation, seen), more=seen < last, reset=False)


def _feed_cursor(version: int, generation: int, number: int) -> str:
    return f"{version}-{generation}-{number}"


def _feed_place(cursor: object) -> tuple[int, int, int]:
    parts = cursor.split("-") if isinstance(cursor, str) else []
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
        raise Misuse("after= is no place in a change feed; hand over the cursor that one answered")
    version, generation, number = map(int, parts)
    return version, generation, number
