"""A disk that is full: what was acknowledged is there, nothing else is, and all goes on when there is room again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import Refused, SQLite
from tests.faults.driving import Colour, Driver
from tests.faults.processes import run
from tests.unit.todo import TaskCreated, Todo, todo

TEXT = "x" * 2000


class Full:
    """An app whose file cannot grow: SQLite then answers as it does on a full disk."""

    def __init__(self, app: Driver, the: Todo) -> None:
        self.app = app
        self.the = the
        self.full = True
        self._connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = self._connect(*arguments, **options)
        if self.full:
            connection.execute("PRAGMA max_page_count = 1")  # below what it has, which then is the limit
        return connection

    def make_room(self) -> None:
        self.full = False
        self.app.backend.close()


@pytest.fixture
def full(tmp_path: Path, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> Iterator[Full]:
    """An app with three tasks, of which the view knows one, and a file that may not grow any more."""
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = Driver(backend, the.registry, colour)
    app.append("task-1", TaskCreated("1", TEXT))
    app.catch_up()
    app.append("task-2", TaskCreated("2", TEXT), TaskCreated("3", TEXT))
    full = Full(app, the)
    monkeypatch.setattr(sqlite3, "connect", full.connect)
    backend.close()  # connections are opened anew
    yield full
    backend.close()


def test_an_append_to_a_full_disk(full: Full) -> None:
    app, the = full.app, full.the
    for events in ([TaskCreated("4", TEXT * 50)], [TaskCreated(str(number), TEXT) for number in range(100)]):
        with pytest.raises(Refused, match=r"log\.db.* is full; nothing was written. Free some space") as caught:
            app.append("task-4", *events, expected_revision=0, idempotency_key="k")
        assert caught.value.__cause__ is not None
    assert [each.stream for each in app.read()] == ["task-1", "task-2", "task-2"]
    assert app.load(the.task, "task-4").revision == 0
    full.make_room()
    appended = app.append("task-4", TaskCreated("4", TEXT * 50), expected_revision=0, idempotency_key="k")
    assert (appended.position, appended.revision, appended.repeated) == (4, 1, False)


def test_a_commit_to_a_full_disk(full: Full) -> None:
    app, the = full.app, full.the
    with pytest.raises(Refused, match="is full; nothing was written"):
        app.catch_up()
    assert app.items(the.tasks).keys() == {"1"}
    status = app.status()["tasks"]
    assert (status.checkpoint, status.state) == (1, "behind")
    full.make_room()
    assert app.catch_up().applied == 2
    assert app.items(the.tasks).keys() == {"1", "2", "3"}


# A limit of the operating system on how long a file may be, reached in the midst of writing.
REACHES_A_LIMIT = """
import resource, sqlite3, sys
from eventsource_upstash import EventSourceError, OutcomeUnknown, Refused, connect
from tests.unit.todo import TaskCreated, todo

the = todo()
with connect(f"sqlite:{sys.argv[1]}", the.registry) as app:
    app.event_store.append("task-0", TaskCreated("0", "x"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    acknowledged = refused = 0
    while refused < 3:
        events = [TaskCreated(f"{acknowledged}-{number}", "x" * 300) for number in range(5)]
        once = {"expected_revision": acknowledged * 5, "idempotency_key": f"k{acknowledged}"}
        try:
            app.event_store.append("tasks", *events, **once)
            acknowledged += 1
        except (Refused, OutcomeUnknown) as error:
            assert sys.argv[1] in str(error), error
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    app.event_store.append("tasks", *events, **once)
    print(acknowledged + 1)
"""


@pytest.mark.parametrize("size", [100_000, 140_001, 250_000])
def test_a_file_that_may_not_grow_any_more(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log.db"
    appends = int(run(REACHES_A_LIMIT, str(path), str(size)))
    assert appends > 3
    the = todo()
    backend = SQLite(path)
    app = Driver(backend, the.registry, "blocking")
    assert [each.event for each in app.read_stream("tasks")] == [
        TaskCreated(f"{append}-{number}", "x" * 300) for append in range(appends) for number in range(5)
    ]
    assert app.catch_up().complete
    assert app.count(the.tasks) == appends * 5 + 1
    backend.close()
