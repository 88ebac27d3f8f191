"""The views in a SQLite file, beside the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...domain.projections import ProjectionId, Stopped
from ...ports import Commit, Committed, Listed, Log, Outcome, Progress, Pull, Pulled
from ..rules import check_commits, judge, next_after, pull_apart
from .database import Database
from .log import SQLiteLog, head_of, read_page

if TYPE_CHECKING:
    import sqlite3

_PROGRESS: Final = (
    "SELECT id, generation, checkpoint, stopped_position, stopped_reason, stopped_us "
    "FROM projections WHERE name = ? AND version = ?"
)
_FIRST: Final = "INSERT INTO projections (name, version, generation, checkpoint) VALUES (?, ?, ?, 0)"
_MOVE: Final = (
    "UPDATE projections SET checkpoint = ?, stopped_position = ?, stopped_reason = ?, stopped_us = ? WHERE id = ?"
)
_PUT: Final = (
    "INSERT INTO documents (projection, key, document) VALUES (?, ?, ?) "
    "ON CONFLICT (projection, key) DO UPDATE SET document = excluded.document"
)
_DELETE: Final = "DELETE FROM documents WHERE projection = ? AND key = ?"
_ID: Final = "(SELECT id FROM projections WHERE name = ? AND version = ?)"
_GET: Final = f"SELECT key, document FROM documents WHERE projection = {_ID} AND key = ?"
_ITEMS: Final = f"SELECT key, document FROM documents WHERE projection = {_ID} AND key > ? ORDER BY key LIMIT ?"
_COUNT: Final = f"SELECT count(*) FROM documents WHERE projection = {_ID}"

MANY: Final = 200
"""Keys looked up in one statement."""

_GET_MANY: Final = f"SELECT key, document FROM documents WHERE projection = {_ID} AND key IN ({', '.join('?' * MANY)})"


class SQLiteViews:
    """Documents in a table, checkpoints in another. The log may be in the same file, or anywhere else."""

    def __init__(self, port: Port, database: Database, log: Log) -> None:
        self._port = port
        self._database = database
        self._log = log
        self._own_log = isinstance(log, SQLiteLog) and log.shares(database)

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`."""
        if self._own_log:
            return await self._port.call(partial(self._database.read, partial(_pull, pull)))
        return await pull_apart(self, self._log, pull)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`. All commits share one transaction; one that lost takes no other with it."""
        check_commits(commits)

        def work(cursor: sqlite3.Cursor) -> tuple[tuple[Outcome, ...], Pulled | None]:
            outcomes = tuple([_commit(cursor, commit) for commit in commits])
            return outcomes, _pull(then, cursor) if then is not None and self._own_log else None

        outcomes, pulled = await self._port.call(partial(self._database.write, work))
        if then is not None and pulled is None:
            pulled = await pull_apart(self, self._log, then)
        return Committed(outcomes, pulled, FREE if pulled is None else pulled.receipt)

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`."""

        def work(cursor: sqlite3.Cursor) -> tuple[tuple[Progress, ...], int]:
            progress = tuple([_progress(cursor, projection)[1] for projection in projections])
            return progress, head_of(cursor) if self._own_log else 0

        progress, head = await self._port.call(partial(self._database.read, work))
        if self._own_log:
            return progress, head, FREE
        return progress, *await self._log.head()

    async def load(
        self, wanted: Sequence[tuple[ProjectionId, Sequence[str]]]
    ) -> tuple[list[dict[str, bytes]], Receipt]:
        """See `Views.load`."""

        def work(cursor: sqlite3.Cursor) -> list[dict[str, bytes]]:
            return [_get_many(projection, keys, cursor) for projection, keys in wanted]

        return await self._port.call(partial(self._database.read, work)), FREE

    async def get_many(self, projection: ProjectionId, keys: Sequence[str]) -> tuple[dict[str, bytes], Receipt]:
        """See `Views.get_many`."""
        return await self._port.call(partial(self._database.read, partial(_get_many, projection, keys))), FREE

    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        """See `Views.items`."""

        def work(cursor: sqlite3.Cursor) -> Listed:
            found: list[tuple[str, bytes]] = []
            size = 0
            for key, document in cursor.execute(_ITEMS, (*projection, after or "", limit)):
                found.append((key, document))
                size += len(document)
                if size >= max_bytes:
                    return Listed(found, more=True)
            return Listed(found, len(found) >= limit)

        return await self._port.call(partial(self._database.read, work))

    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        """See `Views.count`."""

        def work(cursor: sqlite3.Cursor) -> int:
            ((count,),) = cursor.execute(_COUNT, projection)
            return int(count)

        return await self._port.call(partial(self._database.read, work)), FREE


def _progress(cursor: sqlite3.Cursor, projection: ProjectionId) -> tuple[int | None, Progress]:
    row = cursor.execute(_PROGRESS, projection).fetchone()
    if row is None:
        return None, Progress(projection, 1, 0)
    identity, generation, checkpoint, position, reason, since_us = row
    stopped = None if position is None else Stopped(position, reason, since_us)
    return identity, Progress(projection, generation, checkpoint, stopped)


def _pull(pull: Pull, cursor: sqlite3.Cursor) -> Pulled:
    progress = tuple([_progress(cursor, projection)[1] for projection in pull.projections])
    head = head_of(cursor)
    after = next_after(progress, head, rear=pull.rear)
    events = [] if after >= head else read_page(cursor, after, pull.limit, pull.max_bytes)
    return Pulled(progress, head, after, events)


def _commit(cursor: sqlite3.Cursor, commit: Commit) -> Outcome:
    identity, progress = _progress(cursor, commit.projection)
    outcome = judge(progress, commit)
    if outcome is not Outcome.COMMITTED:
        return outcome
    if identity is None:
        identity = cursor.execute(_FIRST, (*commit.projection, commit.generation)).lastrowid
    stopped = commit.stopped
    told = (None, None, None) if stopped is None else (stopped.position, stopped.reason, stopped.since_us)
    cursor.execute(_MOVE, (commit.checkpoint, *told, identity))
    put, delete = _sort(identity, commit.documents)
    if put:
        cursor.executemany(_PUT, put)
    if delete:
        cursor.executemany(_DELETE, delete)
    return outcome


def _sort(
    identity: int | None, documents: Mapping[str, bytes | None]
) -> tuple[list[tuple[int | None, str, bytes]], list[tuple[int | None, str]]]:
    put = [(identity, key, document) for key, document in documents.items() if document is not None]
    if len(put) == len(documents):
        return put, []
    return put, [(identity, key) for key, document in documents.items() if document is None]


def _get_many(projection: ProjectionId, keys: Sequence[str], cursor: sqlite3.Cursor) -> dict[str, bytes]:
    if len(keys) == 1:
        return dict(cursor.execute(_GET, (*projection, keys[0])).fetchall())
    found: dict[str, bytes] = {}
    for start in range(0, len(keys), MANY):
        chunk = keys[start : start + MANY]
        # Filled up with one key again and again, so that SQLite compiles one statement for every number of keys.
        filled = [*chunk, *[chunk[0]] * (MANY - len(chunk))]
        found.update(cursor.execute(_GET_MANY, (*projection, *filled)).fetchall())
    return found
