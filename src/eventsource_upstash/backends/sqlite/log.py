"""The log in a SQLite file."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from ..._io.port import Port
from ...domain.codec import decode_tags
from ...domain.events import ANY, EXISTS, FREE, Appended, NewEvent, Receipt, StoredEvent
from ...ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    Append,
    AppendCondition,
    Conflict,
    KeyReused,
    Page,
    Query,
    Snapshot,
    StreamPage,
    Unmet,
)
from .database import Database
from .querying import find

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

COLUMNS: Final = "position, stream, revision, recorded_us, number, type, version, metadata, tags, payload"

_WHERE_IS: Final = "SELECT (SELECT max(position) FROM events), (SELECT max(revision) FROM events WHERE stream = ?)"
_INSERT: Final = f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_PLAIN: Final = (  # most events have neither metadata nor tags, and each value that is bound takes its time
    "INSERT INTO events (position, stream, revision, recorded_us, number, type, version, payload) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_READ: Final = f"SELECT {COLUMNS} FROM events WHERE position > ? ORDER BY position LIMIT ?"
_READ_STREAM: Final = f"SELECT {COLUMNS} FROM events WHERE stream = ? AND revision > ? ORDER BY revision LIMIT ?"
_READ_THESE: Final = f"SELECT {COLUMNS} FROM events WHERE position IN ({{}}) ORDER BY position"
_SAME: Final = "SELECT position FROM events WHERE stream = ? AND revision = ? AND recorded_us = ? AND number = ?"
_HEAD: Final = "SELECT coalesce(max(position), 0) FROM events"
_REVISION: Final = "SELECT coalesce(max(revision), 0) FROM events WHERE stream = ?"
_KNOWN_KEY: Final = "SELECT digest, stream, position, revision FROM idempotency_keys WHERE key = ?"
_INDEX_TAG: Final = "INSERT INTO event_tags (tag, position, type) VALUES (?, ?, ?)"
_KEEP_KEY: Final = "INSERT INTO idempotency_keys (key, digest, stream, position, revision) VALUES (?, ?, ?, ?, ?)"
_SNAPSHOT: Final = "SELECT name, revision, state FROM snapshots WHERE stream = ? AND name = ?"
_KEEP: Final = "INSERT OR REPLACE INTO snapshots (stream, name, revision, state) VALUES (?, ?, ?, ?)"
_KNOWN_APPEND: Final = "SELECT position, revision FROM conditional_appends WHERE number = ? AND recorded_us = ?"
_KEEP_APPEND: Final = "INSERT INTO conditional_appends (number, recorded_us, position, revision) VALUES (?, ?, ?, ?)"

CHUNK: Final = 250
"""Rows fetched between two looks at how many bytes there are."""


class SQLiteLog:
    """Events in a table. Positions count up without gaps, assigned inside the write transaction."""

    def __init__(self, port: Port, database: Database) -> None:
        self._port = port
        self._database = database

    def shares(self, database: Database) -> bool:
        """Whether it is in that file, opened by the same description."""
        return self._database is database

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`."""
        return await self._port.call(partial(self._database.write, partial(_append, append)))

    async def append_many(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        """See `AppendsMany.append_many`. One transaction."""

        def work(cursor: sqlite3.Cursor) -> list[Appended | Conflict | KeyReused | Unmet]:
            answers: list[Appended | Conflict | KeyReused | Unmet] = []
            for each in appends:
                answers.append(_append(each, cursor))
                if not isinstance(answers[-1], Appended):
                    break
            return answers

        return await self._port.call(partial(self._database.write, work))

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`."""
        return await self._port.call(partial(self._database.read, partial(_recall, stream, key)))

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`."""

        def work(cursor: sqlite3.Cursor) -> Page:
            if query is not None:
                return _read_query(cursor, after, limit, max_bytes, query)
            events = read_page(cursor, after, limit, max_bytes)
            return Page(events, head_of(cursor))

        return await self._port.call(partial(self._database.read, work))

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """See `Log.read_stream`."""

        def work(cursor: sqlite3.Cursor) -> StreamPage:
            ((revision,),) = cursor.execute(_REVISION, (stream,))
            kept = None if snapshot is None else _snapshot_of(cursor, stream, snapshot)
            if kept is not None and not after_revision < kept.revision <= revision:
                kept = None
            after = after_revision if kept is None else kept.revision
            events = _fetch(cursor.execute(_READ_STREAM, (stream, after, limit)), max_bytes)
            return StreamPage(events, revision, snapshot=kept)

        return await self._port.call(partial(self._database.read, work))

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """See `Log.keep`."""

        def work(cursor: sqlite3.Cursor) -> None:
            kept = _snapshot_of(cursor, stream, snapshot.name)
            if kept is not None and kept.revision > snapshot.revision:
                ((revision,),) = cursor.execute(_REVISION, (stream,))
                if kept.revision <= revision:
                    return
            cursor.execute(_KEEP, (stream, *snapshot))

        await self._port.call(partial(self._database.write, work))
        return FREE

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`."""
        return await self._port.call(partial(self._database.read, head_of)), FREE

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`. A notification within the machine costs nothing, so each append sends its own."""
        return await self.head()

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`."""
        return FREE


def _append(append: Append, cursor: sqlite3.Cursor) -> Appended | Conflict | KeyReused | Unmet:
    stream = append.stream
    expected = append.expected
    events = append.events
    key = append.key
    digest = append.digest
    if key is not None and (known := cursor.execute(_KNOWN_KEY, (key,)).fetchone()) is not None:
        return Appended(known[2], known[3], repeated=True) if known[:2] == (digest, stream) else KeyReused()
    position, revision = cursor.execute(_WHERE_IS, (stream,)).fetchone()
    position = position or 0
    revision = revision or 0
    if expected is not ANY and expected != revision and (expected is not EXISTS or not revision):
        return _conflict(append, revision, cursor)
    condition = append.condition
    if condition is not None and (unmet := _unmet(append, condition, cursor)) is not None:
        return unmet
    tags, recorded_us, number = append.tags, append.recorded_us, append.number
    if tags is None and append.metadata is None:
        rows = [
            (position + ordinal, stream, revision + ordinal, recorded_us, number + ordinal - 1, type_, version, payload)
            for ordinal, (type_, version, payload) in enumerate(events, 1)
        ]
        if len(rows) == 1:
            cursor.execute(_INSERT_PLAIN, rows[0])
        else:
            cursor.executemany(_INSERT_PLAIN, rows)
    else:
        metadata = append.metadata
        each = [tags] * len(events) if tags is None or isinstance(tags, bytes) else tags
        cursor.executemany(
            _INSERT,
            [
                (
                    position + ordinal,
                    stream,
                    revision + ordinal,
                    recorded_us,
                    number + ordinal - 1,
                    type_,
                    version,
                    metadata,
                    each[ordinal - 1],
                    payload,
                )
                for ordinal, (type_, version, payload) in enumerate(events, 1)
            ],
        )
    position += len(events)
    revision += len(events)
    if tags is not None:
        _index_tags(cursor, events, tags, position - len(events))
    if key is not None:
        cursor.execute(_KEEP_KEY, (key, digest, stream, position, revision))
    if append.snapshot is not None:
        cursor.execute(_KEEP, (stream, *append.snapshot))
    if condition is not None and not isinstance(expected, int):  # else the stream tells a repeat
        cursor.execute(_KEEP_APPEND, (append.number, append.recorded_us, position, revision))
    return Appended(position, revision)


def _index_tags(
    cursor: sqlite3.Cursor, events: Sequence[NewEvent], tags: bytes | Sequence[bytes | None], before: int
) -> None:
    """Let events be found by their tags."""
    each = [tags] * len(events) if isinstance(tags, bytes) else tags
    cursor.executemany(
        _INDEX_TAG,
        [
            (tag, position, event[0])
            for position, (event, encoded) in enumerate(zip(events, each, strict=True), before + 1)
            for tag in dict.fromkeys(decode_tags(encoded))
        ],
    )


def _unmet(append: Append, condition: AppendCondition, cursor: sqlite3.Cursor) -> Appended | Unmet | None:
    """What keeps an append from being written now: an event that its condition excludes; None for nothing."""
    found = find(cursor, condition.query, condition.after, 1)
    if not found:
        return None
    known = cursor.execute(_KNOWN_APPEND, (append.number, append.recorded_us)).fetchone()
    if known is not None and _is_there(append, known[1] - len(append.events), cursor) == known[0]:
        return Appended(known[0], known[1], repeated=True)
    return Unmet(found[0])


def _is_there(append: Append, after: int, cursor: sqlite3.Cursor) -> int | None:
    """Position of this very append's last event, if its first and its last one stand in its stream after a revision."""
    position: int | None = None
    for index in (0, len(append.events) - 1):
        identity = (append.recorded_us, append.number + index)
        found = cursor.execute(_SAME, (append.stream, after + 1 + index, *identity)).fetchone()
        if found is None:
            return None
        (position,) = found
    return position


def _conflict(append: Append, actual: int, cursor: sqlite3.Cursor) -> Appended | Conflict:
    after = append.expected if isinstance(append.expected, int) else actual
    if after >= actual:  # expected from the future, or a stream that is not there: nothing was missed
        return Conflict(actual, [], complete=True)
    position = _is_there(append, after, cursor)  # not in a page of what was missed, which may be shorter
    if position is not None:
        return Appended(position, after + len(append.events), repeated=True)
    missed = _fetch(cursor.execute(_READ_STREAM, (append.stream, after, MAX_PAGE_EVENTS)), MAX_PAGE_BYTES)
    return Conflict(actual, missed, complete=len(missed) == actual - after)


def _snapshot_of(cursor: sqlite3.Cursor, stream: str, name: str) -> Snapshot | None:
    kept = cursor.execute(_SNAPSHOT, (stream, name)).fetchone()
    return None if kept is None else Snapshot(*kept)


def _recall(stream: str, key: str, cursor: sqlite3.Cursor) -> Appended | KeyReused | Receipt:
    known = cursor.execute(_KNOWN_KEY, (key,)).fetchone()
    if known is None:
        return FREE
    return Appended(known[2], known[3], repeated=True) if known[1] == stream else KeyReused()


def read_page(cursor: sqlite3.Cursor, after: int, limit: int, max_bytes: int) -> list[StoredEvent]:
    """A page of the log, within a transaction."""
    return _fetch(cursor.execute(_READ, (after, limit)), max_bytes)


def _read_query(cursor: sqlite3.Cursor, after: int, limit: int, max_bytes: int, query: Query) -> Page:
    found = find(cursor, query, after, limit)
    events = _fetch(_rows_at(cursor, found), max_bytes)
    head = head_of(cursor)
    complete = len(events) == len(found) < limit
    return Page(events, head, reached=max(after, head) if complete else events[-1][0])


def _rows_at(cursor: sqlite3.Cursor, positions: list[int]) -> Iterator[StoredEvent]:
    for start in range(0, len(positions), CHUNK):
        chunk = positions[start : start + CHUNK]
        yield from cursor.execute(_READ_THESE.format(", ".join("?" * len(chunk))), chunk)


def head_of(cursor: sqlite3.Cursor) -> int:
    """The log's last position, within a transaction."""
    ((head,),) = cursor.execute(_HEAD)
    return cast("int", head)


def _fetch(rows: Iterator[StoredEvent], max_bytes: int) -> list[StoredEvent]:
    """Rows up to the one that reaches so many bytes of payload. Looks at the sizes only once in a chunk."""
    events: list[StoredEvent] = []
    size = 0
    while chunk := list(islice(rows, CHUNK)):
        chunk_size = sum([len(row[9]) for row in chunk])
        if size + chunk_size >= max_bytes:
            for row in chunk:
                events.append(row)
                size += len(row[9])
                if size >= max_bytes:
                    return events
        events += chunk
        size += chunk_size
        if len(chunk) < CHUNK:
            break
    return events
