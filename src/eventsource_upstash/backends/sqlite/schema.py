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

INDEX_LOG: Final = (
    "CREATE INDEX events_by_type ON events (type)",
    # The type is in it so that a query by both reads no event that it does not mean.
    """
    CREATE TABLE event_tags (
        tag TEXT NOT NULL,
        position INTEGER NOT NULL,
        type TEXT NOT NULL,
        PRIMARY KEY (tag, position)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX event_tags_by_type ON event_tags (tag, type)",
    # A trigger, so that no event is left out by whoever writes: a process of an older release, too, that has the file
    # open while it is upgraded.
    """
    CREATE TRIGGER index_tags AFTER INSERT ON events WHEN new.tags IS NOT NULL BEGIN
        INSERT INTO event_tags (tag, position, type)
        SELECT DISTINCT value, new.position, new.type FROM json_each(CAST(new.tags AS TEXT));
    END
    """,
    # By what an append under a condition is known again, when it is sent again and its own events are in its way.
    """
    CREATE TABLE conditional_appends (
        number INTEGER NOT NULL,
        recorded_us INTEGER NOT NULL,
        position INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (number, recorded_us)
    ) WITHOUT ROWID
    """,
)
"""What finds events by type and tag."""

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
    *INDEX_LOG,
)
"""The tables as they are now."""


def keep_snapshots(connection: sqlite3.Connection) -> None:
    """From version 1: where snapshots are kept. There are none yet."""
    connection.execute(SNAPSHOTS)


def index_log(connection: sqlite3.Connection) -> None:
    """From version 1: what finds events by type and tag, for the events that are there as well."""
    for statement in INDEX_LOG:
        connection.execute(statement)
    # What is damaged stays so, and is told when it is read; the rest of the log can be found all the same.
    connection.execute(
        """
        INSERT INTO event_tags (tag, position, type)
        SELECT DISTINCT value, position, events.type FROM events, json_each(CAST(tags AS TEXT))
        WHERE tags IS NOT NULL AND json_valid(CAST(tags AS TEXT))
        """
    )


UPGRADES: Final[Mapping[int, Sequence[Callable[[sqlite3.Connection], None]]]] = {1: (keep_snapshots, index_log)}
"""What is done to a file of a version, to make it one of the next."""
