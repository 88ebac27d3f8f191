"""The builds of a view: which there are, what a commit makes of them, and how one begins, serves and goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ...domain.projections import NO_NOTES, Notes, ProjectionId
from ...ports import Commit, Outcome, Progress, Role
from ..builds import FIRST, Builds, begun, committed, dropping, gone, judge, served, unseen
from . import documents

if TYPE_CHECKING:
    import sqlite3

_ALL: Final = (
    "SELECT b.id, b.generation, b.checkpoint, b.edition, b.role, b.met, b.notes, p.id, p.last_generation "
    "FROM projections p CROSS JOIN builds b ON b.projection = p.id WHERE p.name = ? AND p.version = ?"
)
_SERVING: Final = f"{_ALL} AND b.role = 'serving'"
_ID: Final = (
    "SELECT b.id FROM projections p CROSS JOIN builds b ON b.projection = p.id "
    "WHERE p.name = ? AND p.version = ? AND b.generation = ?"
)
_FIRST: Final = "INSERT INTO projections (name, version, last_generation) VALUES (?, ?, ?)"
_LAST: Final = "UPDATE projections SET last_generation = ? WHERE id = ?"
_ADD: Final = (
    "INSERT INTO builds (checkpoint, edition, met, notes, role, projection, generation) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_MOVE: Final = "UPDATE builds SET checkpoint = ?, edition = ?, met = ?, notes = ? WHERE id = ?"
_CHANGE: Final = "UPDATE builds SET checkpoint = ?, edition = ?, met = ?, notes = ?, role = ? WHERE id = ?"
_REMOVE: Final = "DELETE FROM builds WHERE id = ?"

_ROLES: Final = {role.value: role for role in Role}
_NO_NOTES: Final = "{}"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Notes).decode


class Seen(NamedTuple):
    """The builds of a view as a transaction found them.

    Attributes:
        builds: The builds.
        row: Row of the projection, None where there is none yet.
        ids: Row of each build by its generation.
    """

    builds: Builds
    row: int | None
    ids: Mapping[int, int]


def look(cursor: sqlite3.Cursor, projection: ProjectionId) -> Seen:
    """All builds of a view."""
    rows = cursor.execute(_ALL, projection).fetchall()
    if not rows:
        return Seen(unseen(projection), None, {})
    found = [_progress(projection, row) for row in rows]
    last = rows[0][8]
    builds = Builds(projection, tuple(found), last)
    if len(found) > 1:
        builds = Builds(projection, (), last).replaced(*found)  # puts them in order
    return Seen(builds, rows[0][7], {row[1]: row[0] for row in rows})


def serving(cursor: sqlite3.Cursor, projection: ProjectionId) -> tuple[int | None, Progress]:
    """The build that serves, and its row, None where there is none yet."""
    row = cursor.execute(_SERVING, projection).fetchone()
    if row is None:
        return None, Progress(projection, FIRST, 0)
    return row[0], _progress(projection, row)


def row_of(cursor: sqlite3.Cursor, projection: ProjectionId, generation: int) -> int | None:
    """The row of a build, None where there is none."""
    found = cursor.execute(_ID, (*projection, generation)).fetchone()
    return None if found is None else found[0]


def _progress(projection: ProjectionId, row: tuple[int, int, int, int, str, int, str, int, int]) -> Progress:
    _, generation, checkpoint, edition, role, met, notes, _, _ = row
    known = NO_NOTES if notes == _NO_NOTES else _decode(notes)
    return Progress(projection, generation, checkpoint, edition, _ROLES[role], bool(met), known)


def commit(cursor: sqlite3.Cursor, commit: Commit, head: int | None) -> Outcome:
    """Take one commit, or nothing of it. The head is None where the log is elsewhere."""
    seen = look(cursor, commit.projection)
    outcome = judge(seen.builds, commit)
    if outcome is Outcome.COMMITTED:
        ids = _keep(cursor, seen, committed(seen.builds, commit, head))
        documents.put(cursor, ids[commit.generation], commit)
    return outcome


def begin(projection: ProjectionId, cursor: sqlite3.Cursor) -> Progress:
    """See `Views.begin`."""
    seen = look(cursor, projection)
    builds, new = begun(seen.builds)
    _keep(cursor, seen, builds)
    return new


def serve(projection: ProjectionId, present: int, wanted: int, cursor: sqlite3.Cursor) -> bool:
    """See `Views.serve`."""
    seen = look(cursor, projection)
    builds = served(seen.builds, present, wanted)
    if builds is None:
        return False
    _keep(cursor, seen, builds)
    return True


def drop(projection: ProjectionId, generation: int, limit: int, cursor: sqlite3.Cursor, *, serving: bool) -> bool:
    """See `Views.drop`. The records go with the last documents."""
    seen = look(cursor, projection)
    builds = dropping(seen.builds, generation, serving=serving)
    if builds.of(generation) is None:
        return True
    build = seen.ids.get(generation)
    if build is None or documents.delete_some(cursor, build, limit):
        _keep(cursor, seen, gone(builds, generation))
        return True
    _keep(cursor, seen, builds)
    return False


def _keep(cursor: sqlite3.Cursor, seen: Seen, builds: Builds) -> Mapping[int, int]:
    """Write what has become of the builds. Answers the row of each by its generation."""
    if builds is seen.builds:
        return seen.ids
    row = seen.row
    if row is None:
        row = cursor.execute(_FIRST, (*builds.projection, builds.last)).lastrowid
    elif builds.last != seen.builds.last:
        cursor.execute(_LAST, (builds.last, row))
    ids = dict(seen.ids)
    for generation in [each for each in ids if builds.of(each) is None]:
        cursor.execute(_REMOVE, (ids.pop(generation),))
    # From the last: what gives up a role stands behind what takes it over, and two never have it at once.
    for build in reversed(builds.all):
        generation = build.generation
        before = seen.builds.of(generation)
        told = (build.checkpoint, build.edition, build.met, _notes(build.notes))
        if generation not in ids:
            added = cursor.execute(_ADD, (*told, build.role.value, row, generation)).lastrowid
            assert added is not None
            ids[generation] = added
        elif before is None or before.role is not build.role:
            cursor.execute(_CHANGE, (*told, build.role.value, ids[generation]))
        elif before is not build:
            cursor.execute(_MOVE, (*told, ids[generation]))
    return ids


def _notes(notes: Notes) -> str:
    return _NO_NOTES if notes is NO_NOTES else _encode(notes).decode()
