"""An older copy of the file is put in its place: while processes have it open, while none has, and the right way."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from eventsource_upstash import CorruptLog, EventSourceError, Recorded, SQLite
from eventsource_upstash.backends.sqlite.database import Database
from eventsource_upstash.testing.history import History, Recorder, check, entries
from tests.faults.driving import Colour, Driver
from tests.faults.processes import start
from tests.faults.test_processes import APPENDS_UNTIL_KILLED
from tests.unit.todo import CompleteTask, Task, TaskCreated, Todo, todo

TOLD = "was removed, or another one was put in its place, while this process had it open"


class Old(NamedTuple):
    """An app on a file with five tasks, and a copy of it from when there were three."""

    app: Driver
    the: Todo
    path: Path
    copy: Path


def copied(source: Path, destination: Path) -> None:
    """As `sqlite3 SOURCE ".backup DESTINATION"` does, and, the other way round, `.restore`."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(destination)) as other:
        one.backup(other)


def create(app: Driver, number: int) -> int:
    return app.append(f"task-{number}", TaskCreated(str(number), "x"), idempotency_key=f"k{number}").position


@pytest.fixture
def old(tmp_path: Path, colour: Colour) -> Iterator[Old]:
    the, path, copy = todo(), tmp_path / "log.db", tmp_path / "copy.db"
    with closing(SQLite(path)) as backend:
        app = Driver(backend, the.registry, colour)
        for number in range(3):
            create(app, number)
        app.catch_up()
        copied(path, copy)
        for number in range(3, 5):
            create(app, number)
        app.catch_up()
        yield Old(app, the, path, copy)


def acts(old: Old) -> list[Callable[[], object]]:
    app, the = old.app, old.the
    return [
        lambda: create(app, 9),
        app.read,
        app.head,
        app.catch_up,
        app.status,
        lambda: app.load(the.task, "task-1"),
        lambda: app.items(the.tasks),
    ]


def renamed_over(old: Old) -> None:
    old.copy.replace(old.path)


def removed(old: Old) -> None:
    old.path.unlink()


@pytest.mark.parametrize("put", [renamed_over, removed])
def test_nothing_is_written_to_a_file_that_nobody_will_see(old: Old, put: Callable[[Old], None]) -> None:
    put(old)
    for act in acts(old):
        with pytest.raises(CorruptLog, match=TOLD) as caught:
            act()
        assert "Nothing was written" in str(caught.value)
        assert repr(str(old.path)) in str(caught.value)


def test_what_stands_there_is_used_once_the_old_file_is_closed(old: Old) -> None:
    renamed_over(old)
    with pytest.raises(CorruptLog):
        create(old.app, 9)
    old.app.backend.close()
    for suffix in ("-wal", "-shm"):
        old.path.with_name(old.path.name + suffix).unlink(missing_ok=True)
    assert old.app.head() == 3
    assert create(old.app, 9) == 4
    old.app.catch_up()
    assert old.app.items(old.the.tasks).keys() == {"0", "1", "2", "9"}


def test_a_file_that_is_replaced_in_the_midst_of_a_write(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Database.write

    def slow(self: Database, work: Callable[[sqlite3.Cursor], object]) -> object:
        def working(cursor: sqlite3.Cursor) -> object:
            result = work(cursor)
            renamed_over(old)
            return result

        return write(self, working)

    monkeypatch.setattr(Database, "write", slow)
    with pytest.raises(CorruptLog, match="What was just written is in the file that was there before"):
        create(old.app, 9)


def test_a_restore_by_sqlite_itself_while_processes_have_the_file_open(old: Old) -> None:
    app, the = old.app, old.the
    assert app.load(the.task, "task-4").revision == 1  # which is kept in memory, as the next one is
    assert app.execute(the.task, "task-1", CompleteTask()).revision == 2
    copied(old.copy, old.path)
    assert app.head() == 3
    assert app.load(the.task, "task-4") == app.load(the.task, "task-nobody")
    assert app.load(the.task, "task-1").state == Task("1", "x")
    with pytest.raises(EventSourceError):  # a position from before
        app.get(the.tasks, "1", at_least=5, timeout=0)
    assert app.items(the.tasks).keys() == {"0", "1", "2"}
    assert create(app, 3) == 4, "its key went back with its event"
    app.catch_up()
    assert app.items(the.tasks).keys() == {"0", "1", "2", "3"}


def test_what_a_restore_takes_away_is_found_in_the_history(old: Old) -> None:
    # Guards what this and other files take for sound, and shows what a restore means: acknowledged appends are lost.
    def mark_of(recorded: Recorded[object]) -> str | None:
        return f"k{recorded.event.id}" if isinstance(recorded.event, TaskCreated) else None

    recorder = Recorder("one")
    for number in range(5):
        with recorder.append(f"task-{number}", f"k{number}") as call:
            call.ok(position=number + 1, revision=1)
    assert check(History.of(recorder), entries(old.app.read(), mark_of)).ok
    copied(old.copy, old.path)
    verdict = check(History.of(recorder), entries(old.app.read(), mark_of))
    assert [each.told.partition(" to ")[0] for each in verdict.violations if "missing" in each.check] == [
        "one: append 'k3'",
        "one: append 'k4'",
    ]


def test_a_copy_in_the_place_of_a_file_whose_process_was_killed(tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    with closing(SQLite(path)) as backend:
        app = Driver(backend, todo().registry, "blocking")
        for number in range(3):
            create(app, number)
        app.catch_up()
        copied(path, copy)
    with start(APPENDS_UNTIL_KILLED, str(path), "100", "2") as process:
        assert process.stdout
        for _ in range(10):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
    assert all(each.exists() for each in left)
    for each in left:  # as the guide says
        each.unlink()
    copy.replace(path)
    the = todo()
    with closing(SQLite(path)) as backend:
        app = Driver(backend, the.registry, "blocking")
        assert app.head() == 3
        assert create(app, 3) == 4
        app.catch_up()
        assert app.items(the.tasks).keys() == {"0", "1", "2", "3"}
