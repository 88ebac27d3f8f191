"""View -> change feed: which documents have changed since a reader looked last."""

from __future__ import annotations

import re
from typing import Final, TypeVar, cast

import msgspec

from ..domain.positions import read_position
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..errors import Misuse
from ..ports import Got, Progress, Role, Views
from .freshness import Fresh, Freshness
from .noting import CHANGES_KEPT, ChangesRecord, changes_record

D = TypeVar("D")

AT_ONCE: Final = 16
"""Commits whose changes are read at once."""

_CURSOR: Final = re.compile(r"([0-9]{1,9})-([0-9]{1,9})-([0-9]{1,15})")

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
    """Reads the change feeds of views.

    Args:
        views: The views.
        freshness: Tells which build answers reads: the feed is of that one, so that it fits what is read of the view.
    """

    def __init__(self, views: Views, freshness: Freshness) -> None:
        self._views = views
        self._freshness = freshness

    async def changes(self, projection: Projection[D], after: str | None, limit: int, fresh: Fresh) -> Changes:
        """See `View.changes`."""
        if not projection.changes:
            raise Misuse(
                f"projection {projection.name!r} keeps no change feed; register it with changes=True, and rebuild it "
                "or append to it: its feed begins there"
            )
        if type(limit) is not int or limit < 1:
            raise Misuse(f"limit={limit!r}: it is a whole number from 1")
        build, seen = ((0, 0), 0) if after is None else feed_place(after)
        limit = min(limit, AT_ONCE)
        names = [] if after is None else [changes_record(number) for number in range(seen + 1, seen + limit + 1)]

        async def ask(source: ProjectionId, _primary: bool) -> Got:
            return await self._views.records(source, names)

        got = await self._freshness.read(cast("Projection[object]", projection), fresh, ask)
        now = got.progress
        last = now.notes.changes
        if after is None:
            return Changes((), _feed_cursor(now), more=False, reset=False)
        if _build(now) != build or seen > last:
            now = await self._latest(now)
            if _build(now) == build and seen <= now.notes.changes:  # it was a copy that lags behind that answered
                return Changes((), after, more=seen < now.notes.changes, reset=False)
            last = now.notes.changes
        known = _build(now) == build and seen <= last and last - seen <= CHANGES_KEPT
        found: list[Change] = []
        if known:
            for number in range(seen + 1, min(last, seen + limit) + 1):
                content = got.documents.get(changes_record(number))
                record = None if content is None else _changes.decode(content)
                if record is None or record.number != number:
                    known = False
                    break
                cursor = _feed_cursor(now, number)
                at = record.position if isinstance(record.position, int) else read_position(record.position)
                found += [Change(at, key, False, cursor) for key in record.put]
                found += [Change(at, key, True, cursor) for key in record.deleted]
                seen = number
        if not known:
            return Changes((), _feed_cursor(now), more=False, reset=True)
        return Changes(tuple(found), _feed_cursor(now, seen), more=seen < last, reset=False)

    async def _latest(self, now: Progress) -> Progress:
        """How far the build is that serves by now, as of the last commit."""
        builds, _, _ = await self._views.progress((now.projection,))
        return next((each for each in builds if each.role is Role.SERVING), now)


def _build(progress: Progress) -> tuple[int, int]:
    return progress.projection.version, progress.generation


def _feed_cursor(progress: Progress, number: int | None = None) -> str:
    version, generation = _build(progress)
    return f"{version}-{generation}-{progress.notes.changes if number is None else number}"


def feed_place(cursor: object) -> tuple[tuple[int, int], int]:
    """The build and the number of the commit that a cursor names. Raises `Misuse` if it is none."""
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise Misuse("after= is no place in a change feed; hand over the cursor that one answered")
    return (int(found[1]), int(found[2])), int(found[3])
