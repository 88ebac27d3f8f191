"""The worker: woken by each append, in either colour; it survives failures, and stops cleanly.

Nothing here waits for a time: with an hour between two looks at the log, only a notification can have woken it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import (
    App,
    AsyncApp,
    InProcess,
    Memory,
    Misuse,
    Projector,
    Registry,
    Signal,
    SQLite,
    connect,
    connect_async,
)
from tests.faults.processes import start

HOUR = 3600.0
Backend = Memory | SQLite


@dataclass(frozen=True)
class Ticked:
    count: int


@dataclass(frozen=True)
class Clock:
    count: int


class Clockwork:
    """A registry whose fold handler tells when it was called, and fails when it is told to."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.registry.event("ticked")(Ticked)
        self.clocks = self.registry.projection("clocks", Clock)
        self.folded: dict[int, threading.Event] = {}
        self.failing: set[int] = set()
        self.failed = threading.Event()
        self.threads: set[str] = set()

        @self.clocks.on(Ticked)
        def ticked(clock: Clock | None, event: Ticked) -> Clock:
            self.threads.add(threading.current_thread().name)
            if event.count in self.failing:
                self.failed.set()
                raise ZeroDivisionError("of a clock")
            self.seen(event.count).set()
            return Clock(event.count)

    def seen(self, count: int) -> threading.Event:
        return self.folded.setdefault(count, threading.Event())


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = Memory() if request.param == "memory" else SQLite(tmp_path / "log.db")
    yield backend
    backend.close()


WORKER = "eventsource-upstash-worker"


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == WORKER]


# --- blocking


def test_each_append_wakes_it(backend: Backend) -> None:
    work = Clockwork()
    app = App(backend, work.registry, InProcess())
    with app.worker(poll_interval=HOUR):
        (thread,) = workers()
        assert thread.daemon
        for count in range(20):
            app.event_store.append("clock", Ticked(count))
            work.seen(count).wait()
    assert not thread.is_alive()
    assert workers() == []
    assert work.threads == {WORKER}
    assert app.projection_store.view(work.clocks).get("clock") == Clock(19)


def test_it_begins_with_what_is_there(backend: Backend) -> None:
    work = Clockwork()
    app = App(backend, work.registry, InProcess())
    app.event_store.append("clock", Ticked(1), Ticked(2))
    with app.worker(poll_interval=HOUR):
        work.seen(2).wait()


def test_what_another_app_appends_is_found_by_polling(backend: Backend) -> None:
    work = Clockwork()
    app = App(backend, work.registry, InProcess())
    other = App(backend, work.registry, InProcess())  # as another process: its notifications go elsewhere
    with app.worker(poll_interval=0.001):
        for count in range(3):
            other.event_store.append("clock", Ticked(count))
            work.seen(count).wait()


def test_a_notification_by_hand_wakes_it(backend: Backend) -> None:
    work = Clockwork()
    app = App(backend, work.registry, InProcess())
    other = App(backend, work.registry, None)
    with app.worker(poll_interval=HOUR):
        app.event_store.append("clock", Ticked(0))
        work.seen(0).wait()
        app.notifier.notify(other.event_store.append("clock", Ticked(1)).position)
        work.seen(1).wait()


def test_starting_and_stopping_twice_and_again() -> None:
    work = Clockwork()
    app = connect("memory:", work.registry)
    worker = app.worker(poll_interval=HOUR)
    worker.stop()
    for count in range(3):
        worker.start()
        worker.start()
        assert len(workers()) == 1
        app.event_store.append("clock", Ticked(count))
        work.seen(count).wait()
        worker.stop()
        worker.stop()
        assert workers() == []


def test_several_workers_of_one_app() -> None:
    work = Clockwork()
    app = connect("memory:", work.registry)
    running = [app.worker(poll_interval=HOUR) for _ in range(4)]
    for worker in running:
        worker.start()
    for count in range(50):
        app.event_store.append("clock", Ticked(count))
    work.seen(49).wait()
    for worker in running:
        worker.stop()  # each ends, however the others were woken
    assert workers() == []
    app.projector.catch_up()
    assert app.projection_store.view(work.clocks).get("clock") == Clock(49)


def test_an_error_of_the_block_stops_it_too() -> None:
    app = connect("memory:", Clockwork().registry)
    with pytest.raises(ZeroDivisionError), app.worker(poll_interval=HOUR):
        raise ZeroDivisionError
    assert workers() == []


def test_a_failing_handler_does_not_end_it(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    work = Clockwork()
    work.failing.add(1)
    app = App(backend, work.registry, InProcess())
    with caplog.at_level(logging.ERROR, "eventsource_upstash"), app.worker(poll_interval=HOUR):
        app.event_store.append("clock", Ticked(0), Ticked(1), Ticked(2))
        work.failed.wait()
        for _ in range(3):  # tried again with each append
            work.failed.clear()
            app.event_store.append("clock", Ticked(3))
            work.failed.wait()
        assert app.projection_store.view(work.clocks).get("clock") in {None, Clock(0)}
        work.failing.clear()
        app.event_store.append("clock", Ticked(4))
        work.seen(4).wait()
    assert app.projection_store.view(work.clocks).get("clock") == Clock(4)
    errors = [record for record in caplog.records if record.name == "eventsource_upstash.projector"]
    assert len(errors) == 1, "the same trouble once more is not news"
    assert "'clocks' stopped at position 2" in errors[0].getMessage()
    assert errors[0].exc_info


def test_a_backend_that_fails_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    from eventsource_upstash import Unavailable
    from eventsource_upstash.ports import Log, Pull, Pulled, Views
    from eventsource_upstash.testing.wrapping import BackendWrapper, ViewsWrapper

    failures = [Unavailable("down for a moment"), RuntimeError("a bug of ours"), Unavailable("down again")]
    gone_wrong = threading.Event()

    class Flaky(BackendWrapper):
        def wrap_views(self, views: Views) -> Views:
            return FlakyViews(views)

    class FlakyViews(ViewsWrapper):
        async def pull(self, pull: Pull) -> Pulled:
            if failures:
                gone_wrong.set()
                raise failures.pop(0)
            return await self.inner.pull(pull)

    work = Clockwork()
    app = App(Flaky(Memory()), work.registry, InProcess())
    with caplog.at_level(logging.ERROR, "eventsource_upstash"), app.worker(poll_interval=HOUR):
        for count in range(3):
            gone_wrong.wait()
            gone_wrong.clear()
            app.event_store.append("clock", Ticked(count))
        work.seen(2).wait()
    assert [record.getMessage() for record in caplog.records] == [
        *("down for a moment", "a bug of ours", "down again"),
    ]
    assert isinstance(Log, type)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_an_interval_that_cannot_be_one(seconds: float) -> None:
    app = connect("memory:", Clockwork().registry)
    with pytest.raises(Misuse, match=r"poll_interval=.*: it is a number of seconds above 0"):
        app.projector.run(poll_interval=seconds)
    with pytest.raises(Misuse, match=r"poll_interval=.*: it is a number of seconds above 0"):
        app.worker(poll_interval=seconds).start()
    assert workers() == []
    coloured = connect_async("memory:", Clockwork().registry)
    with pytest.raises(Misuse, match=r"poll_interval=.*: it is a number of seconds above 0"):
        asyncio.run(coloured.projector.run(poll_interval=seconds))
    with pytest.raises(Misuse, match=r"poll_interval=.*: it is a number of seconds above 0"):
        asyncio.run(coloured.worker(poll_interval=seconds).start())


def test_a_run_ends_when_its_signal_is_raised() -> None:
    work = Clockwork()
    app = connect("memory:", work.registry)
    stop = Signal()
    running = threading.Thread(target=app.projector.run, kwargs={"poll_interval": HOUR, "stop": stop})
    running.start()
    app.event_store.append("clock", Ticked(0))
    work.seen(0).wait()
    stop.set()
    running.join()
    app.projector.run(poll_interval=HOUR, stop=stop)  # it is raised already


def test_a_run_without_a_notifier_ends_too() -> None:
    work = Clockwork()
    app = App(Memory(), work.registry, None)
    projector = Projector(app.event_store, app.projection_store)
    app.event_store.append("clock", Ticked(0))
    stop = Signal()
    running = threading.Thread(target=projector.run, kwargs={"poll_interval": HOUR, "stop": stop})
    running.start()
    work.seen(0).wait()
    stop.set()
    running.join()


RUNS_UNTIL_SIGNALLED = """
import signal, sys
from eventsource_upstash import Signal, connect
from tests.unit.todo import TaskCreated, todo

the = todo()
stop = Signal()
if sys.argv[2] == "handled":
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
app = connect(f"sqlite:{sys.argv[1]}", the.registry)

@the.registry.projection("told", TaskCreated).on(TaskCreated)
def created(document, event):
    print("folding\\n", end="", flush=True)  # in one piece: two threads print
    return event

app.event_store.append("tasks", TaskCreated("1", "x"))
try:
    if sys.argv[2] == "worker":
        with app.worker(poll_interval=3600):
            print("running\\n", end="", flush=True)
            sys.stdin.read()
    else:
        app.projector.run(poll_interval=3600, stop=stop)
except KeyboardInterrupt:
    print("interrupted", flush=True)
finally:
    app.close()
print("ended", flush=True)
"""


@pytest.mark.parametrize(
    ("how", "number", "told"),
    [
        ("handled", signal.SIGTERM, ["ended"]),
        ("plain", signal.SIGINT, ["interrupted", "ended"]),
        ("worker", signal.SIGINT, ["interrupted", "ended"]),
    ],
)
def test_signals_of_the_operating_system(tmp_path: Path, how: str, number: int, told: list[str]) -> None:
    with start(RUNS_UNTIL_SIGNALLED, str(tmp_path / "log.db"), how) as process:
        assert process.stdout
        lines = [process.stdout.readline().strip()]
        if how == "worker":
            lines.append(process.stdout.readline().strip())
            assert sorted(lines) == ["folding", "running"]
        else:
            assert lines == ["folding"]
        process.send_signal(number)
        out, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    assert out.split() == told


def test_a_worker_does_not_keep_a_process_alive(tmp_path: Path) -> None:
    program = """
import sys
from eventsource_upstash import connect
from tests.unit.todo import todo
app = connect("memory:", todo().registry)
app.worker(poll_interval=3600).start()
print("end of the program", flush=True)
"""
    with start(program) as process:
        out, error = process.communicate()
    assert (process.returncode, out, error) == (0, "end of the program\n", "")


# --- on an event loop


async def seen(work: Clockwork, count: int) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work.seen(count).wait)


def test_each_append_wakes_the_task(backend: Backend) -> None:
    work = Clockwork()
    app = AsyncApp(backend, work.registry, InProcess())

    async def use() -> None:
        async with app.worker(poll_interval=HOUR):
            (task,) = [task for task in asyncio.all_tasks() if task.get_name() == WORKER]
            for count in range(20):
                await app.event_store.append("clock", Ticked(count))
                await seen(work, count)
        assert task.done()
        assert not task.cancelled()
        assert await app.projection_store.view(work.clocks).get("clock") == Clock(19)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(use())


def test_an_append_from_another_thread_wakes_the_task(backend: Backend) -> None:
    work = Clockwork()
    transport = InProcess()
    app = AsyncApp(backend, work.registry, transport)
    plain = App(backend, work.registry, transport)

    async def use() -> None:
        async with app.worker(poll_interval=HOUR):
            for count in range(10):
                await asyncio.get_running_loop().run_in_executor(None, plain.event_store.append, "clock", Ticked(count))
                await seen(work, count)

    asyncio.run(use())


def test_a_failing_handler_does_not_end_the_task(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    work = Clockwork()
    work.failing.add(1)
    app = AsyncApp(backend, work.registry, InProcess())

    async def use() -> None:
        async with app.worker(poll_interval=HOUR):
            await app.event_store.append("clock", Ticked(0), Ticked(1))
            await asyncio.get_running_loop().run_in_executor(None, work.failed.wait)
            work.failing.clear()
            await app.event_store.append("clock", Ticked(2))
            await seen(work, 2)

    with caplog.at_level(logging.ERROR, "eventsource_upstash"):
        asyncio.run(use())
    assert "'clocks' stopped at position 2" in caplog.text


def test_starting_and_stopping_the_task_twice_and_again() -> None:
    work = Clockwork()
    app = connect_async("memory:", work.registry)
    worker = app.worker(poll_interval=HOUR)

    async def use(count: int) -> None:
        await worker.stop()
        await worker.start()
        await worker.start()
        await app.event_store.append("clock", Ticked(count))
        await seen(work, count)
        await worker.stop()
        await worker.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for count in range(3):
        asyncio.run(use(count))


def test_a_loop_that_ends_with_the_task_in_it(caplog: pytest.LogCaptureFixture) -> None:
    work = Clockwork()
    app = connect_async("memory:", work.registry)

    async def use() -> None:
        await app.worker(poll_interval=HOUR).start()
        await app.event_store.append("clock", Ticked(0))
        await seen(work, 0)

    asyncio.run(use())
    gc.collect()
    assert caplog.records == []


def test_a_task_that_somebody_else_cancelled(backend: Backend) -> None:
    work = Clockwork()
    app = AsyncApp(backend, work.registry, InProcess())

    async def use() -> Any:
        worker = app.worker(poll_interval=HOUR)
        await worker.start()
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == WORKER]
        task.cancel()
        await worker.stop()
        async with worker:
            await app.event_store.append("clock", Ticked(0))
            await seen(work, 0)

    asyncio.run(use())
