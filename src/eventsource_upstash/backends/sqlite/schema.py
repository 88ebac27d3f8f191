"""The tables, and the versions of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x45_53_55_31
"""Stands in the file's header, so that a file of somebody else's is recognised: the letters ESU1."""

VERSION: Final = 3
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

VIEWS: Final = (
    """
    CREATE TABLE projections (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        last_generation INTEGER NOT NULL,
        UNIQUE (name, version)
    )
    """,
    """
    CREATE TABLE builds (
        id INTEGER PRIMARY KEY,
        projection INTEGER NOT NULL REFERENCES projections (id),
        generation INTEGER NOT NULL,
        role TEXT NOT NULL,
        checkpoint INTEGER NOT NULL,
        edition INTEGER NOT NULL,
        met INTEGER NOT NULL,
        notes TEXT NOT NULL,
        UNIQUE (projection, generation)
    )
    """,
    "CREATE UNIQUE INDEX builds_that_serve ON builds (projection) WHERE role = 'serving'",
    "CREATE UNIQUE INDEX builds_that_are_building ON builds (projection) WHERE role = 'building'",
    # What is small stands before the document: whoever counts, or looks who has ended, need not read past that.
    """
    CREATE TABLE documents (
        build INTEGER NOT NULL REFERENCES builds (id),
        key TEXT NOT NULL,
        expires_us INTEGER,
        found_by TEXT,
        document BLOB NOT NULL,
        PRIMARY KEY (build, key)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX documents_that_end ON documents (build, expires_us, key) WHERE expires_us IS NOT NULL",
    # The end stands here, too, so that a count of those that have not ended looks at nothing else.
    """
    CREATE TABLE entries (
        build INTEGER NOT NULL REFERENCES builds (id),
        index_name TEXT NOT NULL,
        value TEXT NOT NULL,
        key TEXT NOT NULL,
        expires_us INTEGER,
        PRIMARY KEY (build, index_name, value, key)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE records (
        build INTEGER NOT NULL REFERENCES builds (id),
        name TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (build, name)
    ) WITHOUT ROWID
    """,
    # For people with a database browser: the documents that readers get, in clear text.
    """
    CREATE VIEW views AS
    SELECT name, version, generation, key, CAST(document AS TEXT) AS document,
           datetime(expires_us / 1000000, 'unixepoch') AS expires_at
    FROM projections JOIN builds ON builds.projection = projections.id JOIN documents ON documents.build = builds.id
    WHERE role = 'serving'
    """,
)
"""Views, each in builds: one serves, others may be built beside it, or kept."""

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

PLACE: Final = "CASE WHEN substr(destination, 1, 1) = '/' THEN destination ELSE '' END"
"""Where a message is delivered to: the path of a job; nothing for a URL. Written just so, it is found by an index."""

MAILBOX: Final = (
    # A message that is due some time has `due_us`: while somebody holds it, that is when the lease ends. One that was
    # given up has `buried_us` instead.
    """
    CREATE TABLE messages (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        destination TEXT NOT NULL,
        headers TEXT NOT NULL,
        method TEXT NOT NULL,
        retries INTEGER,
        not_before_us INTEGER NOT NULL,
        schedule_id TEXT,
        due_us INTEGER,
        lease_us INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        buried_us INTEGER,
        body BLOB NOT NULL
    )
    """,
    f"CREATE INDEX messages_due ON messages ({PLACE}, due_us, number) WHERE due_us IS NOT NULL",
    "CREATE INDEX messages_buried ON messages (buried_us) WHERE buried_us IS NOT NULL",
    "CREATE TABLE delivered_messages (id TEXT PRIMARY KEY, delivered_us INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX delivered_messages_by_time ON delivered_messages (delivered_us)",
    """
    CREATE TABLE schedules (
        id TEXT PRIMARY KEY,
        cron TEXT NOT NULL,
        destination TEXT NOT NULL,
        headers TEXT NOT NULL,
        method TEXT NOT NULL,
        retries INTEGER,
        paused INTEGER NOT NULL,
        due_us INTEGER,
        body BLOB NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX schedules_due ON schedules (due_us) WHERE due_us IS NOT NULL",
)
"""Messages that the app delivers itself, and schedules."""

LIMITS: Final = (
    """
    CREATE TABLE limits (
        key TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        since_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX limits_that_end ON limits (expires_ms)",
)
"""What rate limits have counted."""

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
    SNAPSHOTS,
    *INDEX_LOG,
    *VIEWS,
    *MAILBOX,
    *LIMITS,
)
"""The tables as they are now."""


def keep_snapshots(connection: sqlite3.Connection) -> None:
    """From version 1: where snapshots are kept. There are none yet."""
    connection.execute(SNAPSHOTS)


def make_builds(connection: sqlite3.Connection) -> None:
    """From version 1: what there is of a view becomes the build that serves, of the generation that it had."""
    connection.execute("ALTER TABLE documents RENAME TO old_documents")
    connection.execute("ALTER TABLE projections RENAME TO old_projections")
    for statement in VIEWS:
        connection.execute(statement)
    connection.execute("INSERT INTO projections SELECT id, name, version, generation FROM old_projections")
    connection.execute(
        """
        INSERT INTO builds (id, projection, generation, role, checkpoint, edition, met, notes)
        SELECT id, id, generation, 'serving', checkpoint, 0,
               checkpoint >= (SELECT coalesce(max(position), 0) FROM events),
               CASE WHEN stopped_position IS NULL THEN '{}' ELSE json_object('stopped', json_object(
                   'position', stopped_position, 'reason', stopped_reason, 'since_us', coalesce(stopped_us, 0))) END
        FROM old_projections
        """
    )
    connection.execute("INSERT INTO documents SELECT projection, key, NULL, NULL, document FROM old_documents")
    connection.execute("DROP TABLE old_documents")
    connection.execute("DROP TABLE old_projections")


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


def make_mailbox(connection: sqlite3.Connection) -> None:
    """From version 2: where messages wait, and schedules are kept. There are none yet."""
    for statement in MAILBOX:
        connection.execute(statement)


def keep_limits(connection: sqlite3.Connection) -> None:
    """From version 2: where rate limits count. There are none yet."""
    for statement in LIMITS:
        connection.execute(statement)


UPGRADES: Final[Mapping[int, Sequence[Callable[[sqlite3.Connection], None]]]] = {
    1: (index_log, keep_snapshots, make_builds),
    2: (make_mailbox, keep_limits),
}
"""What is done to a file of a version, to make it one of the next."""
