"""One app under many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from eventsource_upstash import App, ConcurrencyError, InProcess, Memory, SQLite
from tests.unit.todo import CompleteTask, CreateTask, Task, TaskCreated, Todo, todo

THREADS = 6


@pytest.fixture(params=["memory", "sqlite"])
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[App, Todo]]:
    the = todo()
    backend = Memory() if request.param == "memory" else SQLite(tmp_path / "log.db")
    yield App(backend, the.registry, InProcess()), the
    backend.close()


def at_once(work: Callable[[int], None]) -> None:
    """Do it in several threads that begin at the same moment; what any of them raises is raised here."""
    begin = threading.Barrier(THREADS)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            begin.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_appends_to_one_stream(wired: tuple[App, Todo]) -> None:
    app, _ = wired
    positions: list[int] = []

    def append(thread: int) -> None:
        for number in range(40):
            events = [TaskCreated(f"{thread}-{number}-{each}", "x") for each in range(1 + number % 3)]
            positions.append(app.event_store.append("tasks", *events).position)

    at_once(append)
    recorded = list(app.event_store.read())
    assert (
        [each.position for each in recorded]
        == [each.revision for each in recorded]
        == list(range(1, len(recorded) + 1))
    )
    assert len(positions) == len(set(positions)) == THREADS * 40
    assert len({each.id for each in recorded}) == len(recorded)


def test_one_winner_for_each_revision(wired: tuple[App, Todo]) -> None:
    app, _ = wired
    wins: list[int] = []

    def append(thread: int) -> None:
        for revision in range(30):
            with suppress(ConcurrencyError):
                app.event_store.append("tasks", TaskCreated(str(thread), "x"), expected_revision=revision)
                wins.append(revision)

    at_once(append)
    assert sorted(wins) == list(range(30))
    assert app.event_store.head() == 30


def test_one_execution_for_each_key(wired: tuple[App, Todo]) -> None:
    app, the = wired
    firsts: list[str] = []

    def execute(thread: int) -> None:
        for number in range(20):
            name = str(number)
            executed = app.event_store.execute(the.task, name, CreateTask(name, "x"), idempotency_key=f"k{number}")
            assert executed.state == Task(name, "x")
            if not executed.repeated:
                firsts.append(name)

    at_once(execute)
    assert sorted(firsts, key=int) == [str(number) for number in range(20)]
    assert app.event_store.head() == 20


def test_commands_on_one_aggregate(wired: tuple[App, Todo]) -> None:
    app, the = wired
    app.event_store.execute(the.task, "task", CreateTask("1", "x"))
    completed: list[int] = []

    def execute(thread: int) -> None:
        if app.event_store.execute(the.task, "task", CompleteTask(), retries=THREADS).events:
            completed.append(thread)

    at_once(execute)
    assert len(completed) == 1
    assert app.event_store.head() == 2


def test_catching_up_while_others_append_and_read(wired: tuple[App, Todo]) -> None:
    app, the = wired
    view = app.projection_store.view(the.tasks)
    applied: list[int] = []

    def work(thread: int) -> None:
        for number in range(30):
            if thread < 2:
                app.event_store.append(f"tasks-{thread}", TaskCreated(f"{thread}-{number:02}", "x"))
            elif thread < 4:
                applied.append(app.projector.catch_up().applied)
            else:
                keys = [key for key, _ in view.items()]
                assert keys == sorted(keys)
                (status,) = app.projection_store.status()
                assert 0 <= status.checkpoint <= status.head <= 60

    at_once(work)
    applied.append(app.projector.catch_up().applied)
    assert sum(applied) == 60
    assert view.count() == 60


def test_reads_that_bring_the_view_up_to_date_themselves(wired: tuple[App, Todo]) -> None:
    app, the = wired
    view = app.projection_store.view(the.tasks)

    def work(thread: int) -> None:
        for number in range(15):
            name = f"{thread}-{number}"
            appended = app.event_store.append(name, TaskCreated(name, "x"))
            assert view.get(name, at_least=appended.position) == Task(name, "x")

    at_once(work)
    assert view.count() == THREADS * 15


def test_an_iterator_of_its_own_for_each_thread(wired: tuple[App, Todo]) -> None:
    app, _ = wired
    app.event_store.append("tasks", *(TaskCreated(str(number), "x") for number in range(2500)))

    def read(thread: int) -> None:
        assert [each.position for each in app.event_store.read(after=thread)] == list(range(thread + 1, 2501))

    at_once(read)
