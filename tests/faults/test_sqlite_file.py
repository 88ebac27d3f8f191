"""A SQLite file that is damaged, foreign, newer, locked or out of reach: a clear error, and nothing half-written."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from eventsource_upstash import CorruptLog, EventSourceError, Refused, SQLite, Unavailable
from eventsource_upstash._io.blocking import BlockingPort
from eventsource_upstash._io.blocking import run as run_blocking
from eventsource_upstash._io.port import Signal
from eventsource_upstash.backends.sqlite.database import PAUSE
from tests.faults.driving import Colour, Driver
from tests.faults.processes import run, start
from tests.unit.todo import CreateTask, Task, TaskCreated, Todo, todo

PAGE = 4096


@contextmanager
def opened(path: Path, colour: Colour = "blocking", timeout: float = 5.0) -> Iterator[tuple[Driver, Todo]]:
    the = todo()
    backend = SQLite(path, timeout=timeout)
    try:
        yield Driver(backend, the.registry, colour), the
    finally:
        backend.close()


def filled(path: Path, count: int = 300) -> list[str]:
    """A file with events and a view, all in the file itself. Answers the ids of the tasks in order."""
    with opened(path) as (app, _):
        for number in range(count):
            app.append(f"task-{number}", TaskCreated(str(number), "x" * 50), idempotency_key=f"k{number}")
        app.catch_up()
    assert not path.with_name(path.name + "-wal").exists()
    return [str(number) for number in range(count)]


# --- damaged


def refuses_everything(path: Path, colour: Colour, error: type[EventSourceError], told: str) -> None:
    before = path.read_bytes()
    with opened(path, colour) as (app, the):
        for act in (
            lambda: app.append("task-1", TaskCreated("1", "x")),
            app.read,
            app.head,
            app.catch_up,
            app.status,
            lambda: app.load(the.task, "task-1"),
            lambda: app.items(the.tasks),
        ):
            with pytest.raises(error, match=told) as caught:
                act()
            assert repr(str(path)) in str(caught.value)
    assert path.read_bytes() == before, "it is left as it was found"


def test_a_header_of_garbage(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    filled(path)
    data = bytearray(path.read_bytes())
    data[:16] = b"garbage garbage!"
    path.write_bytes(data)
    refuses_everything(
        path, colour, CorruptLog, r"is damaged or is no database: .*restore it from a backup, or repair it"
    )


def test_something_that_is_no_database(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    path.write_text("Dear diary, " * 1000)
    refuses_everything(path, colour, CorruptLog, "is no database")


@pytest.mark.parametrize("size", [50, 99, 100, 512, PAGE, PAGE + 1, 3 * PAGE + 100])
def test_a_file_that_was_cut_off(tmp_path: Path, colour: Colour, size: int) -> None:
    path = tmp_path / "log.db"
    filled(path)
    path.write_bytes(path.read_bytes()[:size])
    with opened(path, colour) as (app, _):
        with pytest.raises(CorruptLog, match="is damaged or is no database"):
            app.read()
        with pytest.raises(CorruptLog, match="is damaged or is no database"):
            app.append("task-1", TaskCreated("1", "x"))
    assert len(path.read_bytes()) == size


@pytest.mark.parametrize("rubbish", [b"\xff", b"\x00", b"{"])
def test_rubbish_in_any_page_is_an_error_and_never_a_wrong_answer(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "log.db"
    ids = filled(path)
    sound = path.read_bytes()
    pages = len(sound) // PAGE
    assert pages > 15
    refused = 0
    for page in range(1, pages):
        data = bytearray(sound)
        data[page * PAGE : page * PAGE + 200] = rubbish * 200
        path.write_bytes(data)
        with opened(path) as (app, the):
            try:
                assert [each.event for each in app.read()] == [TaskCreated(each, "x" * 50) for each in ids]
                assert app.items(the.tasks).keys() == set(ids)
                for number in range(0, 300, 10):
                    assert app.load(the.task, f"task-{number}").state == Task(str(number), "x" * 50)
            except CorruptLog:
                refused += 1
        for leftover in path.parent.glob("log.db-*"):
            leftover.unlink()
    assert refused >= pages // 2, "few pages can be damaged without anybody noticing"
    path.write_bytes(sound)
    with opened(path) as (app, the):
        assert app.head() == len(ids)
        assert app.count(the.tasks) == len(ids)


# --- not ours


def test_a_file_of_something_else(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, diary TEXT)")
        connection.execute("INSERT INTO events (diary) VALUES ('Dear diary')")
    refuses_everything(
        path, colour, Refused, "belongs to something else; nothing was changed. Give the event log a file"
    )


@pytest.mark.parametrize("pragma", ["application_id = 1196444487", "user_version = 3"])
def test_an_empty_database_that_something_else_has_marked(tmp_path: Path, colour: Colour, pragma: str) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA {pragma}")
    refuses_everything(path, colour, Refused, "belongs to something else")


def test_a_file_of_a_newer_version(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    filled(path, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    told = r"has tables of version 99, written by a newer eventsource-upstash; this one knows version \d+.*upgrade"
    refuses_everything(path, colour, Refused, told)


def test_an_empty_file_is_a_new_one(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    path.touch()
    with opened(path, colour) as (app, _):
        assert app.append("task-1", TaskCreated("1", "x")).position == 1


# --- out of reach


@pytest.mark.parametrize(
    "where", ["missing/log.db", "folder", "file/log.db", "/proc/log.db", "/dev/full", "/dev/null", "a" * 300]
)
def test_a_path_where_no_file_can_be(tmp_path: Path, colour: Colour, where: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / where
    with opened(path, colour) as (app, _):
        for act in (lambda: app.append("task-1", TaskCreated("1", "x")), app.read, app.catch_up):
            with pytest.raises(Refused, match=re.escape(repr(str(path)))):
                act()
    assert {each.name for each in tmp_path.iterdir()} == {"folder", "file"}


READ_ONLY = """
import os, sqlite3, sys, tempfile
from pathlib import Path
from eventsource_upstash import Refused, connect
from tests.unit.todo import TaskCreated, todo

the = todo()
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "log.db")
    with connect(f"sqlite:{file}", the.registry) as app:
        app.event_store.append("task-1", TaskCreated("1", "x"))
    before = file.read_bytes()
    file.chmod(0o444)
    os.chmod(folder, 0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # what may not be written stops everybody but root
    with connect(f"sqlite:{file}", the.registry) as app:
        try:
            app.event_store.append("task-1", TaskCreated("1", "x"))
        except Refused as error:
            assert "Check that its folder exists and can be written" in str(error), error
            print("refused")
    os.seteuid(user)
    os.chmod(folder, 0o755)
    assert file.read_bytes() == before
    with connect(f"sqlite:{file}", the.registry) as app:
        print(app.event_store.head())
"""


def test_a_file_and_folder_that_may_only_be_read() -> None:
    assert run(READ_ONLY).split() == ["refused", "1"]


# --- locked

HOLDS_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
connection.close()
"""


def test_a_file_that_another_process_writes_to(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    filled(path, 2)
    with opened(path, colour, timeout=0.05) as (app, the), start(HOLDS_THE_LOCK, str(path)) as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Unavailable, match=r"was locked by another writer for 0\.05 s; nothing was written"):
            app.execute(the.task, "task-9", CreateTask("9", "x"))
        with pytest.raises(Unavailable, match="Try again, or allow a longer timeout"):
            app.append("task-9", TaskCreated("9", "x"))
        assert [each.stream for each in app.read()] == ["task-0", "task-1"], "readers do not wait for writers"
        assert app.count(the.tasks) == 2
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait()
        assert app.append("task-9", TaskCreated("9", "x"), expected_revision=0).position == 3
        app.catch_up()
        assert app.count(the.tasks) == 3


def test_a_commit_of_a_view_that_finds_the_file_locked(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    filled(path, 2)
    with opened(path, colour, timeout=0.05) as (app, the):
        app.append("task-9", TaskCreated("9", "x"))
        with start(HOLDS_THE_LOCK, str(path)) as other:
            assert other.stdout
            assert other.stdin
            assert other.stdout.readline() == "held\n"
            with pytest.raises(Unavailable):
                app.catch_up()
            assert app.status()["tasks"].checkpoint == 2
            assert app.count(the.tasks) == 2
            other.stdin.write("\n")
            other.stdin.flush()
            other.wait()
        app.catch_up()
        assert app.count(the.tasks) == 3


def test_a_file_that_another_thread_writes_to(tmp_path: Path, colour: Colour) -> None:
    with opened(tmp_path / "log.db", colour, timeout=0.05) as (app, _):
        app.append("task-1", TaskCreated("1", "x"))
        backend = app.backend
        assert isinstance(backend, SQLite)
        held, done = threading.Event(), threading.Event()

        def hold(cursor: sqlite3.Cursor) -> None:
            held.set()
            done.wait()

        writer = threading.Thread(target=backend._database.write, args=(hold,))
        writer.start()
        held.wait()
        with pytest.raises(Unavailable, match="nothing was written"):
            app.append("task-1", TaskCreated("1", "x"))
        assert app.head() == 1
        done.set()
        writer.join()
        assert app.append("task-1", TaskCreated("1", "x")).position == 2


class PausingPort(BlockingPort):
    """Notes each pause instead of making it, and lets go of the file in the last one."""

    def __init__(self, pauses: int, let_go: Callable[[], None]) -> None:
        self.pauses: list[float] = []
        self._after = pauses
        self._let_go = let_go

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == self._after:
            self._let_go()


@contextmanager
def opened_by_another(path: Path) -> Iterator[sqlite3.Connection]:
    """A file as it is while another process opens it for the first time: with its tables, still without a WAL."""
    filled(path, 2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_the_wait_for_another_first_opening_goes_through_the_port(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with opened_by_another(path) as other, closing(SQLite(path)) as backend:
        port = PausingPort(3, other.rollback)
        log = backend.log(port)
        assert run_blocking(log.head())[0] == 2
        assert port.pauses == [PAUSE] * 3
        assert run_blocking(backend.views(port, log).progress([]))[1] == 2
        assert len(port.pauses) == 3


def test_another_first_opening_that_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with opened_by_another(path) as other, closing(SQLite(path, timeout=0)) as backend:
        port = PausingPort(1, other.rollback)
        with pytest.raises(Unavailable, match=r"was locked by another writer for 0 s; nothing was written"):
            run_blocking(backend.log(port).head())
        assert port.pauses == []


# --- put in its place


def test_a_file_that_was_restored_from_a_backup(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    filled(path, 2)
    backup = path.read_bytes()
    with opened(path, colour) as (app, the):
        app.append("task-9", TaskCreated("9", "x"))
        app.backend.close()
        path.write_bytes(backup)
        assert app.head() == 2
        app.catch_up()
        assert app.count(the.tasks) == 2


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path, colour: Colour) -> None:
    path = tmp_path / "log.db"
    filled(path, 2)
    with opened(path, colour) as (app, _):
        assert app.head() == 2
        app.backend.close()
        path.unlink()
        assert app.append("task-1", TaskCreated("1", "x")).position == 1
