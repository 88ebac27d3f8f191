"""A life of a process that works on one SQLite file, recorded, and what may end it or get in its way."""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from eventsource_upstash import ANY, App, EventSourceError, SQLite
from eventsource_upstash.testing.history import Entry, History, Recorder, Verdict, View, check, entries
from tests.unit.todo import Task, TaskCompleted, TaskCreated, TaskDeleted, todo

HOUR_NS = 3_600_000_000_000
TIMEOUT = 0.05
"""Seconds that a life waits for another writer."""


class MovingClock:
    """A clock that somebody sets now and then, by hours and days."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._offset = 0

    def __call__(self) -> int:
        if self._chance.random() < 0.1:
            self._offset = self._chance.choice([0, 1, -1, 3 * 24, -3 * 24]) * HOUR_NS
        return time.time_ns() + self._offset


def live(path: Path, folder: Path, name: str, seed: int, steps: int) -> None:
    """So many steps, each one chosen by chance. Whatever the library says of the file is taken as it is said."""
    chance, the = random.Random(seed), todo()
    last = 0
    with (
        Recorder(name, folder / f"{name}.jsonl") as recorder,
        closing(SQLite(path, timeout=TIMEOUT)) as backend,
        App(backend, the.registry, None, clock=MovingClock(chance)) as app,
    ):
        store, projector = recorder.event_store(app.event_store), recorder.projector(app.projector)
        views = recorder.projection_store(app.projection_store)
        view = views.view(the.tasks)
        revisions: dict[str, int] = {}
        for number in range(steps):
            stream = f"tasks-{chance.randrange(3)}"
            task = f"{name}-{number}"
            try:
                what = chance.randrange(10)
                if what < 5:
                    events = [TaskCreated(task, "x" * chance.choice([5, 3_000])), TaskCompleted(task)]
                    if chance.random() < 0.3:
                        events.append(TaskDeleted(task))
                    expected = revisions.get(stream, ANY) if chance.random() < 0.5 else ANY
                    appended = store.append(stream, *events, expected_revision=expected, idempotency_key=task)
                    revisions[stream], last = appended.revision, appended.position
                elif what < 8:
                    projector.catch_up()
                elif what == 8:
                    view.get(f"{name}-{chance.randrange(number + 1)}", at_least=last, timeout=0)
                    views.checkpoint(the.tasks)
                else:
                    revisions[stream] = max((each.revision for each in store.read_stream(stream)), default=0)
                    store.head()
            except EventSourceError:
                revisions.pop(stream, None)


def judged(path: Path, folder: Path) -> Verdict:
    """What the recorded history is to what the file holds, before and after all is folded."""
    the = todo()
    with closing(SQLite(path)) as backend, App(backend, the.registry, None) as app:
        log = entries(app.event_store.read())
        history = History.read(folder)
        before = check(history, log, [found(app)])
        app.projector.catch_up()
        after = check(history, log, [found(app)])
        assert not log or found(app).checkpoint == log[-1].position
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return after if before.ok else before


def found(app: App) -> View:
    (status,) = app.projection_store.status()
    (projection,) = app.registry.projections
    documents = dict(app.projection_store.view(projection).items())
    return View(projection.name, status.checkpoint, documents, fold, key_of)


def key_of(entry: Entry) -> list[str]:
    assert isinstance(entry.event, (TaskCreated, TaskCompleted, TaskDeleted))
    return [entry.event.id]


def fold(document: object, entry: Entry) -> object:
    """The folds once more, on their own."""
    event = entry.event
    if isinstance(event, TaskCreated):
        return Task(event.id, event.text)
    if isinstance(event, TaskCompleted):
        assert isinstance(document, Task)
        return Task(document.id, document.text, done=True)
    return None


def no_further_than(size: int, *, deadly: bool) -> None:
    """Let no file grow beyond a size: there a write ends the process, as `kill -9` does, or fails."""
    if deadly:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody else has the file, and lets nobody write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
