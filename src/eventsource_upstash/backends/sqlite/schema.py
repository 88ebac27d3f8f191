"""The tables, and the versions of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x45_53_55_31
"""Stands in the file's header, so that a file of somebody else's is recognised: the letters ESU1."""

VERSION: Final = 2
"""Version of these tables, kept in the file as `user_version`."""

SNAPSHOTS: Final = """
    CREATE TABLE snapshots (
        stream TEXT NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL,
        state BLOB NOT NULL,
        PRIMARY KEY (stream, name)
    )
    """
"""The states of aggregates, by stream."""

CREATE: Final = (
    """
    CREATE TABLE events (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        revision INTEGER NOT NULL,
        recorded_us INTEGER NOT NULL,
        number INTEGER NOT NULL,
        type TEXT NOT NULL,
        version INTEGER NOT NULL,
        metadata BLOB,
        tags BLOB,
        payload BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX events_by_stream ON events (stream, revision)",
    # For people with a database browser: the log in clear text.
    """
    CREATE VIEW log AS
    SELECT position, stream, revision, datetime(recorded_us / 1000000, 'unixepoch') AS recorded_at, type, version,
           CAST(payload AS TEXT) AS payload, CAST(metadata AS TEXT) AS metadata, CAST(tags AS TEXT) AS tags
    FROM events
    """,
    """
    CREATE TABLE idempotency_keys (
        key TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        stream TEXT NOT NULL,
        position INTEGER NOT NULL,
        revision INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE projections (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        checkpoint INTEGER NOT NULL,
        stopped_position INTEGER,
        stopped_reason TEXT,
        stopped_us INTEGER,
        UNIQUE (name, version)
    )
    """,
    """
    CREATE TABLE documents (
        projection INTEGER NOT NULL REFERENCES projections (id),
        key TEXT NOT NULL,
        document BLOB NOT NULL,
        PRIMARY KEY (projection, key)
    ) WITHOUT ROWID
    """,
    SNAPSHOTS,
)
"""The tables as they are now."""


def keep_snapshots(connection: sqlite3.Connection) -> None:
    """From version 1: where snapshots are kept. There are none yet."""
    connection.execute(SNAPSHOTS)


UPGRADES: Final[Mapping[int, Sequence[Callable[[sqlite3.Connection], None]]]] = {1: (keep_snapshots,)}
"""What is done to a file of a version, to make it one of the next."""
