"""Where each face works: without asyncio, inside a running loop, across loops, and when it is cancelled."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventsource_upstash import App, AsyncApp, InProcess, Memory, SQLite, connect, connect_async
from tests.faults.processes import run
from tests.unit.todo import CompleteTask, CreateTask, Task, TaskCreated, todo

Backend = Memory | SQLite


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = Memory() if request.param == "memory" else SQLite(tmp_path / "log.db")
    yield backend
    backend.close()


WITHOUT_ASYNCIO = """
import sys
import eventsource_upstash
assert "sqlite3" not in sys.modules, "sqlite3 is imported when a file is first opened"
from eventsource_upstash import connect
from eventsource_upstash.web import Endpoint, Request, lambda_handler, wsgi_app
from tests.unit.todo import CreateTask, TaskCreated, todo

for url in ("memory:", f"sqlite:{sys.argv[1]}"):
    the = todo()
    with connect(url, the.registry) as app:
        with app.worker():
            appended = app.event_store.append("task-1", TaskCreated("1", "x"))
            app.event_store.execute(the.task, "task-2", CreateTask("2", "x"))
        app.projector.catch_up()
        view = app.projection_store.view(the.tasks)
        assert view.get("1", at_least=appended.position)
        assert len(list(view.items())) == len(list(app.event_store.read())) == 2
        assert Endpoint(app).handle(Request("POST", "https://example.com", {}, b"")).status == 200
        lambda_handler(app)
        wsgi_app(app)
for unwanted in ("asyncio", "concurrent.futures", "httpx", "multiprocessing", "ssl", "socket", "attrs", "pydantic"):
    if unwanted in sys.modules:
        print(unwanted)
"""


def test_who_blocks_does_not_pay_for_asyncio(tmp_path: Path) -> None:
    assert run(WITHOUT_ASYNCIO, str(tmp_path / "log.db")) == ""


def test_the_async_names_are_there_when_they_are_asked_for() -> None:
    program = """
import sys
import eventsource_upstash
assert "asyncio" not in sys.modules
from eventsource_upstash import AsyncApp, connect_async
from eventsource_upstash.web import asgi_app
assert "asyncio" in sys.modules
assert isinstance(connect_async("memory:", eventsource_upstash.Registry()), AsyncApp)
"""
    assert run(program) == ""


# --- loops


def test_the_blocking_face_works_inside_a_running_loop(backend: Backend) -> None:
    the = todo()
    app = App(backend, the.registry, InProcess())

    async def use() -> Task | None:
        app.event_store.append("task-1", TaskCreated("1", "x"))
        app.event_store.execute(the.task, "task-1", CompleteTask())
        assert len(list(app.event_store.read())) == 2
        with app.worker():
            app.event_store.append("task-2", TaskCreated("2", "x"))
        app.projector.catch_up()
        return app.projection_store.view(the.tasks).get("1")

    assert asyncio.run(use()) == Task("1", "x", done=True)


def test_the_async_face_works_across_loops(backend: Backend) -> None:
    the = todo()
    app = AsyncApp(backend, the.registry, InProcess())
    view = app.projection_store.view(the.tasks)

    async def use(number: int) -> int:
        async with app.worker(poll_interval=3600):
            appended = await app.event_store.append(f"task-{number}", TaskCreated(str(number), "x"))
        await app.event_store.execute(the.task, f"task-{number}", CompleteTask())
        assert await view.get(str(number), at_least=appended.position + 1) == Task(str(number), "x", done=True)
        return await view.count()

    assert [asyncio.run(use(number)) for number in range(4)] == [1, 2, 3, 4]


def test_a_worker_whose_loop_ended_can_be_started_on_another(backend: Backend) -> None:
    the = todo()
    app = AsyncApp(backend, the.registry, InProcess())
    worker = app.worker(poll_interval=3600)
    asyncio.run(worker.start())  # the loop ends, and its tasks with it

    async def use() -> None:
        await worker.stop()
        async with worker:
            await app.event_store.append("task-1", TaskCreated("1", "x"))
            await app.projection_store.view(the.tasks).get("1", at_least=1)

    asyncio.run(use())


def test_several_loops_in_several_threads_share_one_app(backend: Backend) -> None:
    the = todo()
    app = AsyncApp(backend, the.registry, InProcess())
    loops, tasks = 4, 8
    begin = threading.Barrier(loops)
    errors: list[BaseException] = []

    async def add(loop: int, task: int) -> None:
        name = f"{loop}-{task}"
        await app.event_store.execute(the.task, name, CreateTask(name, "x"))
        await app.event_store.execute(the.task, name, CompleteTask())

    async def add_all(loop: int) -> None:
        await asyncio.gather(*(add(loop, task) for task in range(tasks)))
        await app.projector.catch_up()

    def in_a_thread(loop: int) -> None:
        try:
            begin.wait()
            asyncio.run(add_all(loop))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=in_a_thread, args=(loop,)) for loop in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []

    async def done() -> dict[str, Task]:
        await app.projector.catch_up()
        return {key: task async for key, task in app.projection_store.view(the.tasks).items()}

    documents = asyncio.run(done())
    assert len(documents) == loops * tasks
    assert all(task.done for task in documents.values())


def test_many_tasks_of_one_loop(backend: Backend) -> None:
    the = todo()
    app = AsyncApp(backend, the.registry, InProcess())

    async def use() -> None:
        appended = await asyncio.gather(
            *(app.event_store.append("tasks", TaskCreated(str(number), "x")) for number in range(100))
        )
        assert sorted(each.position for each in appended) == list(range(1, 101))
        results = await asyncio.gather(*(app.projector.catch_up() for _ in range(5)))
        assert sum(result.applied for result in results) == 100
        assert await app.projection_store.view(the.tasks).count() == 100

    asyncio.run(use())


def test_an_async_iterator_given_up_halfway(backend: Backend) -> None:
    the = todo()
    app = AsyncApp(backend, the.registry, InProcess())

    async def use() -> None:
        await app.event_store.append("tasks", *(TaskCreated(str(number), "x") for number in range(10)))
        async for recorded in app.event_store.read():
            assert recorded.position == 1
            break
        await app.event_store.append("tasks", TaskCreated("11", "x"), expected_revision=10)

    asyncio.run(use())


# --- cancellation


def test_an_append_that_is_cancelled_while_it_writes(tmp_path: Path) -> None:
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = AsyncApp(backend, the.registry, InProcess())
    writer = sqlite3.connect(tmp_path / "log.db", isolation_level=None)

    async def use() -> None:
        await app.event_store.append("task-0", TaskCreated("0", "x"))
        writer.execute("BEGIN IMMEDIATE")
        # It waits for the writer, in a thread of the loop's, when it is cancelled.
        append = asyncio.ensure_future(app.event_store.append("task-1", TaskCreated("1", "x"), idempotency_key="k"))
        await asyncio.sleep(0)
        append.cancel()
        with pytest.raises(asyncio.CancelledError):
            await append
        assert await app.event_store.head() == 1
        writer.execute("ROLLBACK")
        # It may have been written or not; asking again under its key tells, and does it.
        await app.event_store.append("task-1", TaskCreated("1", "x"), idempotency_key="k")
        recorded = [each async for each in app.event_store.read()]
        assert [each.stream for each in recorded] == ["task-0", "task-1"]
        for number in range(20):
            await app.event_store.append("task-2", TaskCreated(str(number), "x"), expected_revision=number)
        await app.projector.catch_up()
        assert await app.projection_store.view(the.tasks).count() == 20

    asyncio.run(use())
    # The loop has waited for its threads, and none of their connections is left in a transaction.
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("ROLLBACK")
    writer.close()
    backend.close()


def test_appends_that_are_cancelled_again_and_again(tmp_path: Path) -> None:
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = AsyncApp(backend, the.registry, InProcess())

    async def use() -> None:
        for number in range(60):
            append = asyncio.ensure_future(
                app.event_store.append("tasks", TaskCreated(str(number), "x"), TaskCreated(str(number), "y"))
            )
            for _ in range(number % 4):
                await asyncio.sleep(0)
            append.cancel()
            await asyncio.gather(append, return_exceptions=True)
        await app.event_store.append("tasks", TaskCreated("last", "x"))

    asyncio.run(use())
    with connect(f"sqlite:{tmp_path / 'log.db'}", the.registry) as again:
        recorded = list(again.event_store.read())
        assert [each.revision for each in recorded] == list(range(1, len(recorded) + 1))
        assert len(recorded) % 2 == 1, "both events of an append, or neither"
    with closing(sqlite3.connect(tmp_path / "log.db", timeout=0)) as other:
        other.execute("BEGIN EXCLUSIVE")  # none of its connections is left in a transaction
    backend.close()


def test_a_catch_up_that_is_cancelled(backend: Backend) -> None:
    the = todo()
    app = AsyncApp(backend, the.registry, InProcess())

    async def use() -> None:
        await app.event_store.append("tasks", *(TaskCreated(str(number), "x") for number in range(500)))
        for turns in range(20):
            catching_up = asyncio.ensure_future(app.projector.catch_up())
            for _ in range(turns):
                await asyncio.sleep(0)
            catching_up.cancel()
            await asyncio.gather(catching_up, return_exceptions=True)
        await app.projector.catch_up()
        assert await app.projection_store.view(the.tasks).count() == 500

    asyncio.run(use())


def test_a_read_that_waits_for_freshness_is_cancelled() -> None:
    the = todo()
    app = connect_async("memory:", the.registry)

    async def use() -> None:
        view = app.projection_store.view(the.tasks)
        reading = asyncio.ensure_future(view.get("1", at_least=1, timeout=3600))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert reading.done()
        await app.event_store.append("task-1", TaskCreated("1", "x"))
        assert await view.get("1", at_least=1) == Task("1", "x")

    asyncio.run(use())
