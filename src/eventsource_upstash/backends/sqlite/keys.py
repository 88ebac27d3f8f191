"""Keys in a SQLite file of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...errors import Misuse, Refused
from ...ports import Keys, SubjectKey
from .database import Database, PatientPort

if TYPE_CHECKING:
    import sqlite3

_APPLICATION_ID: Final = 0x45_53_4B_31
"""Stands in the file's header: the letters ESK1."""

_CREATE: Final = """
    CREATE TABLE subject_keys (
        subject TEXT PRIMARY KEY,
        id TEXT,
        secret BLOB,
        readmitted INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID
    """
"""A subject that was forgotten has a row without id and secret."""

_GET: Final = "SELECT id, secret FROM subject_keys WHERE subject = ?"
_KEEP: Final = """
    INSERT INTO subject_keys (subject, id, secret) VALUES (?, ?, ?)
    ON CONFLICT (subject) DO UPDATE SET id = excluded.id, secret = excluded.secret, readmitted = 0 WHERE readmitted
    """
_FORGET: Final = "INSERT OR REPLACE INTO subject_keys (subject) VALUES (?)"
_READMIT: Final = "UPDATE subject_keys SET readmitted = 1 WHERE subject = ? AND id IS NULL"


class SQLiteKeys:
    """A key store in a SQLite file: not the one that holds the log, so that the two are backed up apart.

    Several threads, event loops and processes may use it at once. A key that is destroyed is overwritten in the file;
    what the file system or a backup keeps of it is out of its reach.

    Args:
        path: The file. It is created when it is first used; its folder has to exist.
        timeout: Seconds to wait for another writer before `Unavailable` is raised.

    Raises:
        Misuse: The path is empty or names an in-memory database.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        text = os.fspath(path)
        if not text or text == ":memory:" or text.startswith("file:"):
            raise Misuse(f"SQLiteKeys({text!r}): give the path of a file; for keys in memory there is MemoryKeys()")
        self._file = _KeyFile(text, timeout, "FULL")

    def __repr__(self) -> str:
        return f"SQLiteKeys({self._file.path!r})"

    def keys(self, port: Port) -> Keys:
        """Its keys."""
        return _Keys(PatientPort(port, self._file.timeout), self._file)

    def close(self) -> None:
        """Close its idle connections. They are opened again when they are needed."""
        self._file.close()


class _Keys:
    def __init__(self, port: Port, file: _KeyFile) -> None:
        self._port = port
        self._file = file

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """See `Keys.create_many`."""
        return await self._port.call(partial(self._file.write, partial(_create, offered))), FREE

    async def get_many(self, subjects: Sequence[str]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """See `Keys.get_many`."""
        return await self._port.call(partial(self._file.read, partial(_get, subjects))), FREE

    async def forget(self, subject: str) -> Receipt:
        """See `Keys.forget`."""
        await self._port.call(partial(self._file.write, lambda cursor: cursor.execute(_FORGET, (subject,))))
        return FREE

    async def readmit(self, subject: str) -> Receipt:
        """See `Keys.readmit`."""
        await self._port.call(partial(self._file.write, lambda cursor: cursor.execute(_READMIT, (subject,))))
        return FREE


def _create(offered: Mapping[str, SubjectKey], cursor: sqlite3.Cursor) -> dict[str, SubjectKey | None]:
    for subject, key in offered.items():
        cursor.execute(_KEEP, (subject, key.id, key.secret))
    return _get(list(offered), cursor)


def _get(subjects: Sequence[str], cursor: sqlite3.Cursor) -> dict[str, SubjectKey | None]:
    found: dict[str, SubjectKey | None] = {}
    for subject in subjects:
        row = cursor.execute(_GET, (subject,)).fetchone()
        if row is not None:
            found[subject] = None if row[0] is None else SubjectKey(row[0], row[1])
    return found


class _KeyFile(Database):
    """A file that holds keys, and no trace of those that were destroyed: no write-ahead log, and pages are zeroed."""

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("BEGIN IMMEDIATE")
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner != _APPLICATION_ID and (tables or owner or version):
            raise Refused(
                f"SQLite file {self.path!r} belongs to something else; nothing was changed. Give the keys a file of "
                "their own"
            )
        if owner == _APPLICATION_ID and version > 1:
            raise Refused(
                f"SQLite file {self.path!r} has keys of version {version}, written by a newer eventsource-upstash. "
                "Nothing was changed: upgrade the library"
            )
        if not tables:
            connection.execute(_CREATE)
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute("PRAGMA user_version=1")
        connection.execute("COMMIT")
