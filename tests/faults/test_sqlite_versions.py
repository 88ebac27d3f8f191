"""A SQLite file of an older version: all that is in it is there when it has been opened by this one."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import Refused, SQLite
from eventsource_upstash._io.blocking import BlockingPort, run
from eventsource_upstash.backends.sqlite import database
from eventsource_upstash.backends.sqlite.schema import APPLICATION_ID, VERSION
from eventsource_upstash.domain.events import ANY, Appended
from eventsource_upstash.domain.projections import Notes, ProjectionId, Stopped
from eventsource_upstash.ports import Append, Commit, Log, Outcome, Progress, Role, Views, Wanted

TASKS = ProjectionId("tasks", 1)
OLDER = ProjectionId("tasks", 2)
STOPPED = ProjectionId("lists", 1)

VERSION_1 = """
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
    );
    CREATE UNIQUE INDEX events_by_stream ON events (stream, revision);
    CREATE VIEW log AS
    SELECT position, stream, revision, datetime(recorded_us / 1000000, 'unixepoch') AS recorded_at, type, version,
           CAST(payload AS TEXT) AS payload, CAST(metadata AS TEXT) AS metadata, CAST(tags AS TEXT) AS tags
    FROM events;
    CREATE TABLE idempotency_keys (
        key TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        stream TEXT NOT NULL,
        position INTEGER NOT NULL,
        revision INTEGER NOT NULL
    ) WITHOUT ROWID;
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
    );
    CREATE TABLE documents (
        projection INTEGER NOT NULL REFERENCES projections (id),
        key TEXT NOT NULL,
        document BLOB NOT NULL,
        PRIMARY KEY (projection, key)
    ) WITHOUT ROWID;
"""
"""As the first release made them. Not to be changed: there are files like that."""

REASON = 'it says "no" \\ \U0001f642\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that the first release has left: three events, a view at the head, one behind it, and one that stopped."""
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(VERSION_1)
        connection.executemany(
            "INSERT INTO events VALUES (?, 'task-1', ?, 1700000000000000, ?, 'task', 1, NULL, NULL, ?)",
            [(position, position, position, b"{}") for position in (1, 2, 3)],
        )
        connection.execute("INSERT INTO idempotency_keys VALUES ('once', X'01', 'task-1', 2, 2)")
        connection.executemany(
            "INSERT INTO projections VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (1, *OLDER, 4, 2, None, None, None),
                (2, *TASKS, 1, 3, None, None, None),
                (5, *STOPPED, 1, 1, 2, REASON, 17),
            ],
        )
        connection.executemany(
            "INSERT INTO documents VALUES (?, ?, ?)", [(1, "a", b"old"), (2, "a", b"\x00\xff"), (2, "é", b"new")]
        )
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA user_version=1")
    return path


def opened(path: Path) -> tuple[SQLite, Log, Views]:
    backend = SQLite(path)
    log = backend.log(BlockingPort())
    return backend, log, backend.views(BlockingPort(), log)


@pytest.fixture
def views(path: Path) -> Iterator[Views]:
    backend, _, views = opened(path)
    with closing(backend):
        yield views


def query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def tables_of(path: Path) -> dict[str, list[str]]:
    """The words that each table, index and trigger was made by."""
    return {name: (sql or "").split() for name, sql in query(path, "SELECT name, sql FROM sqlite_master")}


def test_what_there_was_of_each_view_serves_as_it_was(views: Views) -> None:
    progress, head, _ = run(views.progress([TASKS, OLDER, STOPPED]))
    assert head == 3
    assert progress == (
        Progress(TASKS, 1, 3, role=Role.SERVING, met=True),
        Progress(OLDER, 4, 2, role=Role.SERVING),
        Progress(STOPPED, 1, 1, role=Role.SERVING, notes=Notes(Stopped(2, REASON, 17))),
    )
    stored, _ = run(views.load([Wanted(TASKS, 1, ["a", "é"]), Wanted(OLDER, 4, ["a"]), Wanted(STOPPED, 1, ["a"])]))
    assert [each.documents for each in stored] == [{"a": b"\x00\xff", "é": b"new"}, {"a": b"old"}, {}]
    assert run(views.items(TASKS, None, 10, 1000, 0)).documents == [("a", b"\x00\xff"), ("é", b"new")]
    assert run(views.count(OLDER, None, 0)).count == 1


def test_it_goes_on_from_there(views: Views) -> None:
    commit = Commit(OLDER, 4, 2, 3, {"a": b"newer", "b": b"new"})
    assert run(views.commit([commit], None)).outcomes == (Outcome.COMMITTED,)
    assert run(views.get_many(OLDER, ["a", "b"], 0)).documents == {"a": b"newer", "b": b"new"}
    assert run(views.begin(OLDER))[0].generation == 5, "a generation is never used again"
    assert run(views.begin(TASKS))[0].generation == 2


def test_the_events_and_keys_are_there(path: Path) -> None:
    backend, log, _ = opened(path)
    with closing(backend):
        assert [row[:3] for row in run(log.read(0, 10, 1000)).events] == [(n, "task-1", n) for n in (1, 2, 3)]
        again = Append("task-1", ANY, [("task", 1, b"{}")], 1, 1, key="once", digest=b"\x01")
        assert run(log.append(again)) == Appended(2, 2, repeated=True)


def test_the_tables_are_those_of_a_new_file(path: Path, tmp_path: Path) -> None:
    for file in (path, tmp_path / "new.db"):
        backend, log, _ = opened(file)
        with closing(backend):
            run(log.head())
    assert tables_of(path) == tables_of(tmp_path / "new.db")
    assert query(path, "PRAGMA user_version") == [(VERSION,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = query(path, "SELECT * FROM sqlite_master"), query(path, "SELECT * FROM documents")

    def fails(connection: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        steps: Mapping[int, Sequence[Callable[[sqlite3.Connection], None]]] = database.UPGRADES
        patch.setattr(database, "UPGRADES", {**steps, VERSION - 1: [*steps[VERSION - 1], fails]})
        backend, log, _ = opened(path)
        with closing(backend), pytest.raises(KeyboardInterrupt):
            run(log.head())
    assert query(path, "PRAGMA user_version") == [(1,)]
    assert (query(path, "SELECT * FROM sqlite_master"), query(path, "SELECT * FROM documents")) == before
    backend, log, views = opened(path)
    with closing(backend):
        assert run(views.count(TASKS, None, 0)).count == 2


def test_a_disk_without_room_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def full(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 1")  # below what it has, which then is the limit
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", full)
        backend, log, _ = opened(path)
        with closing(backend), pytest.raises(Refused, match=r"nothing was written\. Free some space"):
            run(log.head())
    assert query(path, "PRAGMA user_version") == [(1,)]
    backend, _, views = opened(path)
    with closing(backend):
        assert run(views.count(TASKS, None, 0)).count == 2


def test_several_that_open_it_at_once(path: Path) -> None:
    counts: list[int | None] = []
    together = threading.Barrier(4)

    def work() -> None:
        backend, _, views = opened(path)
        with closing(backend):
            together.wait()
            counts.append(run(views.count(TASKS, None, 0)).count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [2] * 4
