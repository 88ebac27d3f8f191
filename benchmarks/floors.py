"""The floor: the same work by hand, with msgspec, a list, a dict and bare sqlite3.

What the floors do: encode and decode typed events, check the expected revision, keep (stream,
revision) unique, commit each append on its own, fold into documents, encode each changed document
once a page, and move the checkpoint in the documents' own transaction.

What they leave out, and a library cannot: event ids, metadata, tags, schema versions, upcasting,
idempotency keys, locks, names that are checked, several projections on one log, errors that say
what went wrong, notifications, receipts.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, cast

import msgspec

from benchmarks import todo
from benchmarks.measuring import (
    Contestant,
    clock,
    in_another_process,
    median,
    memory_kept,
    peak_memory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from benchmarks.measuring import Job

Envelope: TypeAlias = "tuple[int, str, int, str, int, bytes]"
Decode: TypeAlias = "Callable[[bytes], todo.TaskEvent]"
Fold: TypeAlias = "Callable[[todo.Task | None, todo.TaskEvent], todo.Task | None]"
Evolve: TypeAlias = "Callable[[todo.TaskState | None, todo.TaskEvent], todo.TaskState]"

PAGE = 1_000
PAGE_SQLITE = 100

encode = msgspec.json.Encoder().encode
decode_task = msgspec.json.Decoder(todo.Task).decode
TYPES: dict[type, str] = {
    todo.TaskCreated: "task-created",
    todo.TaskUpdated: "task-updated",
    todo.TaskCompleted: "task-completed",
    todo.TaskDeleted: "task-deleted",
}
DECODE: dict[str, Decode] = {name: cast("Decode", msgspec.json.Decoder(cls).decode) for cls, name in TYPES.items()}
# A fold takes its own event type only; the table below pairs each with the name it is stored under.
FOLDS: dict[str, tuple[Decode, Fold]] = {
    name: (DECODE[name], cast("Fold", fold))
    for name, fold in (
        ("task-created", todo.created),
        ("task-updated", todo.updated),
        ("task-completed", todo.completed),
        ("task-deleted", todo.deleted),
    )
}
EVOLVE: dict[str, tuple[Decode, Evolve]] = {
    "task-created": (DECODE["task-created"], cast("Evolve", todo.state_created)),
    "task-updated": (DECODE["task-updated"], cast("Evolve", todo.state_updated)),
}


class MemoryLog:
    """Encode, envelope, list. No lock: one thread."""

    def __init__(self) -> None:
        self.log: list[Envelope] = []
        self.streams: dict[str, list[Envelope]] = {}

    def append(self, stream: str, event: todo.TaskEvent, expected: int) -> None:
        own = self.streams.get(stream)
        if own is None:
            own = self.streams[stream] = []
        if len(own) != expected:
            raise RuntimeError("wrong expected revision")
        log = self.log
        envelope = (
            len(log) + 1,
            stream,
            expected + 1,
            TYPES[type(event)],
            time.time_ns(),
            encode(event),
        )
        log.append(envelope)
        own.append(envelope)


def prepared(lines: Iterable[todo.Line]) -> list[tuple[str, todo.TaskEvent, int]]:
    return [(line.stream, todo.event(line), line.revision - 1) for line in lines]


def filled(size: int) -> MemoryLog:
    log = MemoryLog()
    for append in prepared(todo.lines(size)):
        log.append(*append)
    return log


def append_memory(job: Job) -> float:
    log = MemoryLog()
    appends = prepared(todo.lines(job.size + todo.WARM_UP))
    for append in appends[: todo.WARM_UP]:
        log.append(*append)
    with clock() as spent:
        for stream, event, expected in appends[todo.WARM_UP :]:
            log.append(stream, event, expected)
    return spent.us(job.size)


def read_memory(job: Job) -> float:
    """The payload decoded to its type, and nothing about it: no recorded event is made."""
    log = filled(job.size)
    with clock() as spent:
        for envelope in log.log:
            DECODE[envelope[3]](envelope[5])
    return spent.us(job.size)


def project_memory(job: Job) -> float:
    log = filled(job.size).log
    with clock() as spent:
        stored = fold_in_memory(log)
    assert len(stored) == todo.tasks_left(job.size)
    return spent.us(job.size)


def fold_in_memory(log: list[Envelope]) -> dict[str, bytes]:
    """Documents live on from page to page: none is ever decoded, a changed one is encoded."""
    documents: dict[str, todo.Task] = {}
    stored: dict[str, bytes] = {}
    for start in range(0, len(log), PAGE):
        changed: set[str] = set()
        for envelope in log[start : start + PAGE]:
            decode, fold = FOLDS[envelope[3]]
            event = decode(envelope[5])
            key = event.id
            document = fold(documents.get(key), event)
            if document is None:
                documents.pop(key, None)
            else:
                documents[key] = document
            changed.add(key)
        for key in changed:
            document = documents.get(key)
            if document is None:
                stored.pop(key, None)
            else:
                stored[key] = encode(document)
    return stored


def load(job: Job) -> float:
    log = MemoryLog()
    for append in prepared(todo.one_task(job.size)):
        log.append(*append)
    times: list[float] = []
    for _ in range(20):
        with clock() as spent:
            state: todo.TaskState | None = None
            for envelope in log.streams["task-0"]:
                decode, evolve = EVOLVE[envelope[3]]
                state = evolve(state, decode(envelope[5]))
        times.append(spent.seconds * 1e6)
    return median(times)


def bytes_per_event(job: Job) -> float:
    with memory_kept() as kept:
        log = MemoryLog()
        for task, lines in todo.batches(job.size):
            stream = f"task-{task}"
            for line in lines:
                log.append(stream, todo.event(line), line.revision - 1)
    return kept.bytes / job.size


class SQLiteLog:
    """WAL, synchronous=FULL, one transaction an append, a unique index on (stream, revision)."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.execute = self.connection.execute
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=FULL")
        self.execute(
            "CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL,"
            " revision INTEGER NOT NULL, type TEXT NOT NULL, recorded_at INTEGER NOT NULL,"
            " payload BLOB NOT NULL, UNIQUE (stream, revision))"
        )
        self.execute("CREATE TABLE IF NOT EXISTS tasks (key TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID")
        self.execute("CREATE TABLE IF NOT EXISTS checkpoints (name TEXT PRIMARY KEY, position INTEGER)")

    def append(self, stream: str, events: Sequence[todo.TaskEvent], expected: int) -> None:
        self.execute("BEGIN IMMEDIATE")
        try:
            self.insert(stream, events, expected)
            self.execute("COMMIT")
        except BaseException:
            self.execute("ROLLBACK")
            raise

    def insert(self, stream: str, events: Sequence[todo.TaskEvent], expected: int) -> None:
        execute = self.execute
        (revision,) = execute("SELECT coalesce(max(revision), 0) FROM events WHERE stream = ?", (stream,)).fetchone()
        if revision != expected:
            raise RuntimeError("wrong expected revision")
        now = time.time_ns()
        rows = [
            (stream, expected + ordinal, TYPES[type(event)], now, encode(event))
            for ordinal, event in enumerate(events, 1)
        ]
        statement = "INSERT INTO events (stream, revision, type, recorded_at, payload) VALUES (?, ?, ?, ?, ?)"
        if len(rows) == 1:
            execute(statement, rows[0])
        else:
            self.connection.executemany(statement, rows)

    def fold_a_page(self) -> int:
        """100 events, exactly once: documents and checkpoint change in one transaction."""
        execute = self.execute
        execute("BEGIN IMMEDIATE")
        row = execute("SELECT position FROM checkpoints WHERE name = 'tasks'").fetchone()
        checkpoint: int = row[0] if row else 0
        page = execute(
            "SELECT position, type, payload FROM events WHERE position > ? ORDER BY position LIMIT ?",
            (checkpoint, PAGE_SQLITE),
        ).fetchall()
        if page:
            events = [(FOLDS[type_][1], FOLDS[type_][0](payload)) for _, type_, payload in page]
            self.change_documents(events)
            execute("INSERT OR REPLACE INTO checkpoints VALUES ('tasks', ?)", (page[-1][0],))
        execute("COMMIT")
        return len(page)

    def change_documents(self, events: list[tuple[Fold, todo.TaskEvent]]) -> None:
        keys = list({event.id for _, event in events})
        marks = ",".join("?" * len(keys))
        documents: dict[str, todo.Task | None] = {
            key: decode_task(document)
            for key, document in self.execute(f"SELECT key, document FROM tasks WHERE key IN ({marks})", keys)
        }
        for fold, event in events:
            documents[event.id] = fold(documents.get(event.id), event)
        gone = [(key,) for key, document in documents.items() if document is None]
        kept = [(key, encode(task)) for key, task in documents.items() if task is not None]
        many = self.connection.executemany
        if gone:
            many("DELETE FROM tasks WHERE key = ?", gone)
        if kept:
            many("INSERT OR REPLACE INTO tasks VALUES (?, ?)", kept)


def sqlite_log(job: Job) -> SQLiteLog:
    return SQLiteLog(str(job.folder / "floor.db"))


def fill_sqlite(log: SQLiteLog, size: int) -> None:
    """The log of the to-do list, written in one transaction, since nobody times it."""
    statement = "INSERT INTO events (stream, revision, type, recorded_at, payload) VALUES (?, ?, ?, ?, ?)"
    rows = (
        (line.stream, line.revision, line.kind.value, time.time_ns(), encode(todo.event(line)))
        for line in todo.lines(size)
    )
    log.execute("BEGIN")
    log.connection.executemany(statement, rows)
    log.execute("COMMIT")


def append_sqlite(job: Job) -> float:
    log = sqlite_log(job)
    appends = prepared(todo.lines(job.size + todo.WARM_UP))
    for stream, event, expected in appends[: todo.WARM_UP]:
        log.append(stream, (event,), expected)
    with clock() as spent:
        for stream, event, expected in appends[todo.WARM_UP :]:
            log.append(stream, (event,), expected)
    return spent.us(job.size)


def append_100(job: Job) -> float:
    log = sqlite_log(job)
    appends = [(f"task-{task}", [todo.event(line) for line in lines]) for task, lines in todo.batches(job.size)]
    with clock() as spent:
        for stream, events in appends:
            log.append(stream, events, 0)
    return spent.us(job.size)


def read_sqlite(job: Job) -> float:
    log = sqlite_log(job)
    fill_sqlite(log, job.size)
    with clock() as spent:
        for row in log.execute(
            "SELECT position, stream, revision, type, recorded_at, payload FROM events ORDER BY position"
        ):
            DECODE[row[3]](row[5])
    return spent.us(job.size)


def project_sqlite(job: Job) -> float:
    log = sqlite_log(job)
    fill_sqlite(log, job.size)
    with clock() as spent:
        while log.fold_a_page() == PAGE_SQLITE:
            pass
    (count,) = log.execute("SELECT count(*) FROM tasks").fetchone()
    assert count == todo.tasks_left(job.size)
    return spent.us(job.size)


def catch_up_peak(job: Job) -> float:
    in_another_process(lambda: fill_sqlite(sqlite_log(job), job.size))
    with peak_memory() as peak:
        log = sqlite_log(job)
        while log.fold_a_page() == PAGE_SQLITE:
            pass
    return peak.megabytes


def contestant(_: str) -> Contestant:
    return Contestant(
        measures={
            "append-memory": append_memory,
            "append-sqlite": append_sqlite,
            "append-100": append_100,
            "read-memory": read_memory,
            "read-sqlite": read_sqlite,
            "project-memory": project_memory,
            "project-sqlite": project_sqlite,
            "load": load,
            "bytes": bytes_per_event,
            "peak": catch_up_peak,
        },
        cannot={
            "visible": "a floor would fold in the append itself, with nothing to wait for",
            "read-your-write": "as above",
        },
    )
