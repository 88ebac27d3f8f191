"""Running it: logs, status, SQLite's settings, and what a crash leaves behind."""

import logging
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from docs.snippets.todo import CompleteTask, CreateTask, Task, TaskCreated, registry, task, tasks
from eventsource_upstash import (
    EventStore,
    InProcess,
    Memory,
    Notifier,
    ProjectionStore,
    Projector,
    SQLite,
    Unavailable,
    connect,
)

HERE = Path(__file__).parent


def test_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    log = logging.getLogger("eventsource_upstash")
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    monkeypatch.setattr(log, "handlers", [handler])
    # --8<-- [start:logs]
    logging.getLogger("eventsource_upstash").setLevel(logging.INFO)

    app = connect("memory:", registry)
    app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    app.event_store.execute(task, "task-1", CompleteTask())
    app.projector.catch_up()
    # --8<-- [end:logs]
    log.setLevel(logging.NOTSET)
    assert written.getvalue() == (HERE / "logs.txt").read_text("utf-8")


def test_status() -> None:
    app = connect("memory:", registry)
    app.event_store.append("task-1", TaskCreated("Do the dishes"))
    # --8<-- [start:status]
    (status,) = app.projection_store.status()
    assert (status.name, status.state, status.lag) == ("tasks", "behind", 1)

    app.projector.catch_up()
    (status,) = app.projection_store.status()
    assert (status.state, status.checkpoint, status.head) == ("current", 1, 1)
    # --8<-- [end:status]


def test_time_budget() -> None:
    app = connect("memory:", registry)
    for number in range(3):
        app.event_store.append(f"task-{number}", TaskCreated("Count"))
    projector = Projector(app.event_store, app.projection_store, page_size=1)
    # --8<-- [start:budget]
    caught_up = projector.catch_up(time_budget=0)  # one page at least, whatever the time
    assert not caught_up.complete
    assert caught_up.position < caught_up.head

    while not projector.catch_up(time_budget=5).complete:
        pass
    # --8<-- [end:budget]
    assert app.projection_store.view(tasks).count() == 3


def test_by_hand(in_empty_folder: None) -> None:
    # --8<-- [start:by_hand]
    backend = SQLite("todo.db", timeout=10.0, synchronous="NORMAL")
    notifier = Notifier(InProcess())
    event_store = EventStore(backend, registry, notifier=notifier)
    projection_store = ProjectionStore(backend, registry)
    projector = Projector(event_store, projection_store, page_size=500)
    # --8<-- [end:by_hand]
    event_store.append("task-1", TaskCreated("Do the dishes"))
    assert projector.catch_up().applied == 1
    backend.close()


def test_busy(in_empty_folder: None) -> None:
    import sqlite3

    backend = SQLite("todo.db", timeout=0.05)
    event_store = EventStore(backend, registry)
    event_store.append("task-1", TaskCreated("Do the dishes"))
    other = sqlite3.connect("todo.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(
        Unavailable, match=r"locked by another writer for 0\.05 s; nothing was written"
    ):
        event_store.append("task-1", TaskCreated("Do the dishes"))
    other.close()
    backend.close()


def test_killed(in_empty_folder: None) -> None:
    """What is said of `kill -9`: an append that returned is there, and is folded once."""
    program = (
        "import os, signal\n"
        "from eventsource_upstash import connect\n"
        "from docs.snippets.todo import TaskCreated, registry\n"
        "app = connect('sqlite:todo.db', registry)\n"
        "app.event_store.append('task-1', TaskCreated('Do the dishes'))\n"
        "app.projector.catch_up()\n"
        "app.event_store.append('task-2', TaskCreated('Water the plants'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(HERE.parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert done.returncode < 0

    with connect("sqlite:todo.db", registry) as app:
        view = app.projection_store.view(tasks)
        assert dict(view.items()) == {"task-1": Task("Do the dishes")}
        assert app.projector.catch_up().applied == 1
        assert dict(view.items()) == {
            "task-1": Task("Do the dishes"),
            "task-2": Task("Water the plants"),
        }


def test_worker_process(in_empty_folder: None) -> None:
    """The program of the guide: it folds what this process appends, and ends when it is told to."""
    import signal

    app = connect("sqlite:todo.db", registry)
    app.event_store.append("task-1", TaskCreated("Do the dishes"))
    root = str(HERE.parents[1])
    with subprocess.Popen(
        [sys.executable, "-u", HERE / "worker.py"],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if "caught up" in line:
                break
        worker.send_signal(signal.SIGTERM)
        assert worker.wait() == 0
    assert app.projection_store.view(tasks).get("task-1") == Task("Do the dishes")
    app.close()


def test_views_elsewhere(in_empty_folder: None) -> None:
    # --8<-- [start:elsewhere]
    log, views = SQLite("log.db"), Memory()
    event_store = EventStore(log, registry)
    projection_store = ProjectionStore(views, registry, log_backend=log)
    # --8<-- [end:elsewhere]
    event_store.append("task-1", TaskCreated("Do the dishes"))
    Projector(event_store, projection_store).catch_up()
    assert projection_store.view(tasks).count() == 1
    log.close()
