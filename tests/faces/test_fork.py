"""After a fork, both processes go on with the objects that they have, whatever the other threads were doing.

Every program of these runs in a process of its own: the one that runs the tests has threads that nobody here knows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource_upstash import connect
from tests.faults.processes import run
from tests.unit.todo import TaskCreated, todo

PREPARE = """
import asyncio, os, sqlite3, sys, threading
from eventsource_upstash import AsyncApp, InProcess, Memory, SQLite, connect
from eventsource_upstash.blocking import App
from tests.forking import forked, wait_for
from tests.unit.todo import Task, TaskCreated, todo

the = todo()
backend = SQLite(sys.argv[1]) if len(sys.argv) > 1 else Memory()
app = App(backend, the.registry, InProcess())
view = app.projection_store.view(the.tasks)

def append(name, **options):
    return app.event_store.append("tasks", TaskCreated(name, "x"), **options)
"""


def count(path: Path) -> int:
    with connect(f"sqlite:{path}", todo().registry) as app:
        recorded = list(app.event_store.read())
        assert [each.revision for each in recorded] == list(range(1, len(recorded) + 1))
        assert len({each.id for each in recorded}) == len(recorded)
        return len(recorded)


def test_memory_is_copied() -> None:
    run(
        PREPARE
        + """
append("before")

def in_the_child():
    append("child", expected_revision=1)
    app.projector.catch_up()
    assert view.count() == 2

wait_for(forked(in_the_child), forked(in_the_child))
assert app.event_store.head() == 1
append("parent", expected_revision=1)
app.projector.catch_up()
assert sorted(key for key, _ in view.items()) == ["before", "parent"]
"""
    )


def test_a_file_is_shared(tmp_path: Path) -> None:
    run(
        PREPARE
        + """
append("before")
app.projector.catch_up()

def in_the_child():
    assert app.event_store.head() >= 1
    for number in range(20):
        append(f"{os.getpid()}-{number}")
    app.projector.catch_up()
    app.close()

children = [forked(in_the_child) for _ in range(4)]
for number in range(20):
    append(f"parent-{number}")
wait_for(*children)
app.projector.catch_up()
assert view.count() == 101
app.close()
""",
        str(tmp_path / "log.db"),
    )
    assert count(tmp_path / "log.db") == 101


def test_a_file_is_whole_after_children_that_ended_with_open_connections(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    run(
        PREPARE
        + """
append("before")

for number in range(5):
    child = os.fork()
    if not child:
        append(f"child-{number}")
        sys.exit(0)  # with everything that an interpreter does at its end
    wait_for(child)
    append(f"parent-{number}")
    assert app.event_store.head() == 3 + 2 * number
with sqlite3.connect(sys.argv[1]) as connection:
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
connection.close()
app.close()
""",
        str(path),
    )
    assert count(path) == 11


# Holds what a thread may hold at the moment of the fork, in a thread of its own.
HOLDING = """
held, done = threading.Event(), threading.Event()

def hold(lock):
    with lock:
        held.set()
        done.wait()

def in_the_child():
    append("child")
    app.projector.catch_up()
    assert view.count() == 2
    with app.worker(poll_interval=3600):
        append("and more")

append("before")
holder = threading.Thread(target=hold, args=(LOCK,))
holder.start()
held.wait()
child = forked(in_the_child)
done.set()
holder.join()
wait_for(child)
append("parent")
app.close()
"""


def test_a_lock_of_memory_is_held_by_another_thread() -> None:
    run(PREPARE + HOLDING.replace("LOCK", "backend._state.lock"))


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_the_lock_of_a_signal_is_held_by_another_thread(where: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "log.db")] if where == "sqlite" else []
    program = HOLDING.replace("LOCK", "app.notifier.transport.signal._lock")
    # Somebody sleeps on it, so that it is needed.
    program = program.replace('append("before")', 'append("before")\napp.notifier.transport.signal.listen(print, 1)')
    run(PREPARE + program.replace("print", "held.is_set"), *arguments)


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_forks_amid_threads_that_write_and_a_worker_that_folds(where: str, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    run(
        PREPARE
        + """
turns = threading.Semaphore(0)

def write(name):
    for number in range(60):
        turns.acquire()  # a few at a time, so that forks happen in between
        append(f"{name}-{number}")

def in_the_child():
    before = app.event_store.head()
    for number in range(5):
        append(f"{os.getpid()}-{number}")
    with app.worker(poll_interval=3600):
        append(f"{os.getpid()}-last")
        app.projector.catch_up()
    assert app.event_store.head() >= before + 6
    assert view.get(f"{os.getpid()}-last") is not None
    app.close()

with app.worker(poll_interval=3600):
    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for writer in writers:
        writer.start()
    for _ in range(9):
        turns.release(20)
        wait_for(forked(in_the_child))
    for writer in writers:
        writer.join()
app.projector.catch_up()
assert view.count() == app.event_store.head()
app.close()
""",
        *([str(path)] if where == "sqlite" else []),
    )
    if where == "sqlite":
        assert count(path) == 3 * 60 + 9 * 6


def test_a_fork_waits_for_a_transaction_of_another_thread(tmp_path: Path) -> None:
    run(
        PREPARE
        + """
begun, forking, ended = threading.Event(), threading.Event(), []

def work(cursor):
    begun.set()
    forking.wait()
    ended.extend(cursor.execute("SELECT count(*) FROM events WHERE stream != ?", ("x" * 1000,)).fetchall())

def in_the_child():
    assert ended == [(1,)]
    append("child")

append("before")
reader = threading.Thread(target=backend._database.read, args=(work,))
reader.start()
begun.wait()
os.register_at_fork(before=forking.set)  # what is registered last is called first
child = forked(in_the_child)
reader.join()
wait_for(child)
append("parent")
app.close()
""",
        str(tmp_path / "log.db"),
    )
    assert count(tmp_path / "log.db") == 3


def test_a_fork_amid_a_transaction_of_its_own(tmp_path: Path) -> None:
    # As a handler of the operating system's signals may do it. There is nobody to wait for.
    run(
        PREPARE
        + """
from eventsource_upstash.backends.sqlite import database

database.MAX_FORK_WAIT = float("inf")
append("before")

def work(cursor):
    wait_for(forked(lambda: append("child")), forked(lambda: append("another")))
    return cursor.execute("SELECT count(*) FROM events").fetchall()

assert backend._database.read(work) == [(3,)], "its state of the file begins with its first look at it"
append("parent")
wait_for(forked(lambda: append("last")))
assert database._inside == []
app.close()
""",
        str(tmp_path / "log.db"),
    )
    assert count(tmp_path / "log.db") == 5


def test_several_threads_fork_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    run(
        PREPARE
        + """
def write(name):
    for number in range(40):
        append(f"{name}-{number}")

def fork(name):
    for number in range(5):
        wait_for(forked(lambda: append(f"{name}-{number}")))

threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
threads += [threading.Thread(target=fork, args=(name,)) for name in "cde"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
app.close()
""",
        str(path),
    )
    assert count(path) == 2 * 40 + 3 * 5


def test_the_async_face_after_a_fork(tmp_path: Path) -> None:
    run(
        PREPARE
        + """
coloured = AsyncApp(backend, the.registry, InProcess())

async def use(name):
    async with coloured.worker(poll_interval=3600):
        await coloured.event_store.append("tasks", TaskCreated(name, "x"))
    await coloured.projector.catch_up()
    return await coloured.projection_store.view(the.tasks).count()

assert asyncio.run(use("before")) == 1
wait_for(forked(lambda: asyncio.run(use("child"))))
assert asyncio.run(use("parent")) == 3
app.close()
""",
        str(tmp_path / "log.db"),
    )
    assert count(tmp_path / "log.db") == 3


def test_a_worker_is_not_inherited(tmp_path: Path) -> None:
    run(
        PREPARE
        + """
worker = app.worker(poll_interval=3600)

def in_the_child():
    assert threading.active_count() == 1
    worker.stop()
    with worker:
        append("child")
    app.projector.catch_up()
    assert view.get("child")

with worker:
    append("before")
    wait_for(forked(in_the_child))
    append("parent")
app.projector.catch_up()
assert view.count() == 3
app.close()
""",
        str(tmp_path / "log.db"),
    )


def test_the_guard_notices_a_child_that_fails() -> None:
    with pytest.raises(AssertionError, match="a child ended with 1"):
        run(PREPARE + "wait_for(forked(lambda: 1 / 0))")


def test_appends_of_the_parent_stay_its_own(tmp_path: Path) -> None:
    # What the fork copied of a transaction is nobody's: the parent's one commits once.
    path = tmp_path / "log.db"
    with connect(f"sqlite:{path}", todo().registry) as app:
        app.event_store.append("tasks", TaskCreated("1", "x"))
    run(PREPARE + "wait_for(*[forked(app.event_store.head) for _ in range(3)])\napp.close()", str(path))
    assert count(path) == 1
