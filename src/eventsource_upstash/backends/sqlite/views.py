"""The views in a SQLite file, beside the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...domain.projections import ProjectionId
from ...ports import (
    Commit,
    Committed,
    Counted,
    Ended,
    Got,
    Listed,
    Log,
    Outcome,
    Progress,
    Pull,
    Pulled,
    Span,
    Stored,
    Wanted,
)
from ..rules import check_commits, next_after, pull_apart
from . import builds, documents, indexes
from .database import Database
from .log import SQLiteLog, head_of, read_page

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")


class SQLiteViews:
    """Documents in a table, builds in another. The log may be in the same file, or anywhere else."""

    def __init__(self, port: Port, database: Database, log: Log) -> None:
        self._port = port
        self._database = database
        self._log = log
        self._own_log = isinstance(log, SQLiteLog) and log.shares(database)

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`."""
        if self._own_log:
            return await self._read(partial(_pull, pull))
        return await pull_apart(self, self._log, pull)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`. All commits share one transaction; one that lost takes no other with it."""
        check_commits(commits)

        def work(cursor: sqlite3.Cursor) -> tuple[tuple[Outcome, ...], Pulled | None]:
            head = self._head(cursor)
            outcomes = [builds.commit(cursor, each, head) for each in commits]
            return tuple(outcomes), _pull(then, cursor) if then is not None and self._own_log else None

        outcomes, pulled = await self._write(work)
        if then is not None and pulled is None:
            pulled = await pull_apart(self, self._log, then)
        return Committed(outcomes, pulled, FREE if pulled is None else pulled.receipt)

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`."""

        def work(cursor: sqlite3.Cursor) -> tuple[tuple[Progress, ...], int | None]:
            found = [each for projection in projections for each in builds.look(cursor, projection).builds.all]
            return tuple(found), self._head(cursor)

        progress, head = await self._read(work)
        if head is None:
            return progress, *await self._log.head()
        return progress, head, FREE

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        """See `Views.load`."""

        def work(cursor: sqlite3.Cursor) -> list[Stored]:
            return [
                documents.load(cursor, builds.row_of(cursor, each.projection, each.generation), each.keys, each.records)
                for each in wanted
            ]

        return await self._read(work), FREE

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """See `Views.get_many`."""

        def work(cursor: sqlite3.Cursor) -> Got:
            build, progress = builds.serving(cursor, projection)
            rows = documents.get(cursor, build, keys)
            found = {
                key: document for key, document, expires_us, _ in rows if expires_us is None or expires_us > now_us
            }
            return Got(found, progress, self._head(cursor))

        return await self._read(work)

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        """See `Views.records`."""

        def work(cursor: sqlite3.Cursor) -> Got:
            build, progress = builds.serving(cursor, projection)
            return Got(documents.records(cursor, build, names), progress, self._head(cursor))

        return await self._read(work)

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `Views.items`."""

        def work(cursor: sqlite3.Cursor) -> Listed:
            build, progress = builds.serving(cursor, projection)
            found = indexes.items(cursor, build, after, limit, max_bytes, now_us)
            return Listed(found.documents, found.more, progress, self._head(cursor), found.last)

        return await self._read(work)

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        """See `Views.find`."""

        def work(cursor: sqlite3.Cursor) -> Listed:
            build, progress = builds.serving(cursor, projection)
            found = indexes.find(cursor, build, span, after, limit, max_bytes, now_us, reverse=reverse)
            return Listed(found.documents, found.more, progress, self._head(cursor), found.last)

        return await self._read(work)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """See `Views.count`."""

        def work(cursor: sqlite3.Cursor) -> Counted:
            build, progress = builds.serving(cursor, projection)
            count = indexes.count(cursor, build, span, now_us)
            return Counted(count, count, progress, self._head(cursor))

        return await self._read(work)

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `Views.rank`."""

        def work(cursor: sqlite3.Cursor) -> Counted:
            build, progress = builds.serving(cursor, projection)
            before, total = indexes.rank(cursor, build, span, key, now_us)
            return Counted(before, total, progress, self._head(cursor))

        return await self._read(work)

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """See `Views.ended`."""

        def work(cursor: sqlite3.Cursor) -> Ended:
            build, progress = builds.serving(cursor, projection)
            return Ended(indexes.ended(cursor, build, now_us, limit), progress)

        return await self._read(work)

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        """See `Views.begin`."""
        return await self._write(partial(builds.begin, projection)), FREE

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        """See `Views.serve`."""
        return await self._write(partial(builds.serve, projection, present, wanted)), FREE

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        """See `Views.drop`."""
        return await self._write(partial(builds.drop, projection, generation, limit, serving=serving)), FREE

    def _head(self, cursor: sqlite3.Cursor) -> int | None:
        """The log's last position, None where it is elsewhere."""
        return head_of(cursor) if self._own_log else None

    async def _read(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        return await self._port.call(partial(self._database.read, work))

    async def _write(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        return await self._port.call(partial(self._database.write, work))


def _pull(pull: Pull, cursor: sqlite3.Cursor) -> Pulled:
    found = [each for projection in pull.projections for each in builds.look(cursor, projection).builds.active]
    progress = tuple(found)
    head = head_of(cursor)
    after = next_after(progress, head, pull)
    events = [] if after >= head else read_page(cursor, after, pull.limit, pull.max_bytes)
    return Pulled(progress, head, after, events)
