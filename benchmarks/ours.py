"""This library, through its public face: `connect`, and the blocking methods."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import todo
from benchmarks.measuring import (
    Contestant,
    clock,
    in_another_process,
    median,
    memory_kept,
    peak_memory,
)
from eventsource_upstash import Registry, connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.measuring import Job
    from eventsource_upstash import App

registry = Registry()
for _kind, _event in (
    (todo.Kind.CREATED, todo.TaskCreated),
    (todo.Kind.UPDATED, todo.TaskUpdated),
    (todo.Kind.COMPLETED, todo.TaskCompleted),
    (todo.Kind.DELETED, todo.TaskDeleted),
):
    registry.event(_kind.value)(_event)

tasks = registry.projection("tasks", todo.Task)
tasks.on(todo.TaskCreated, key="id")(todo.created)
tasks.on(todo.TaskUpdated, key="id")(todo.updated)
tasks.on(todo.TaskCompleted, key="id")(todo.completed)
tasks.on(todo.TaskDeleted, key="id")(todo.deleted)

aggregate = registry.aggregate("task", todo.TaskState)
aggregate.on(todo.TaskCreated)(todo.state_created)
aggregate.on(todo.TaskUpdated)(todo.state_updated)


def open_app(job: Job, sqlite: bool) -> App:
    return connect(f"sqlite:{job.folder / 'ours.db'}" if sqlite else "memory:", registry)


def prepared(lines: Iterable[todo.Line]) -> list[tuple[str, todo.TaskEvent, int]]:
    return [(line.stream, todo.event(line), line.revision - 1) for line in lines]


def fill(app: App, size: int) -> None:
    for stream, event, expected in prepared(todo.lines(size)):
        app.event_store.append(stream, event, expected_revision=expected)


def append_one(sqlite: bool, job: Job) -> float:
    with open_app(job, sqlite) as app:
        append = app.event_store.append
        appends = prepared(todo.lines(job.size + todo.WARM_UP))
        for stream, event, expected in appends[: todo.WARM_UP]:
            append(stream, event, expected_revision=expected)
        with clock() as spent:
            for stream, event, expected in appends[todo.WARM_UP :]:
                append(stream, event, expected_revision=expected)
        return spent.us(job.size)


def append_100(job: Job) -> float:
    with open_app(job, sqlite=True) as app:
        append = app.event_store.append
        appends = [(f"task-{task}", [todo.event(line) for line in lines]) for task, lines in todo.batches(job.size)]
        with clock() as spent:
            for stream, events in appends:
                append(stream, *events, expected_revision=0)
        return spent.us(job.size)


def read(sqlite: bool, job: Job) -> float:
    with open_app(job, sqlite) as app:
        fill(app, job.size)
        count = 0
        with clock() as spent:
            for _ in app.event_store.read():
                count += 1
        assert count == job.size
        return spent.us(job.size)


def project(sqlite: bool, job: Job) -> float:
    with open_app(job, sqlite) as app:
        fill(app, job.size)
        with clock() as spent:
            caught_up = app.projector.catch_up()
        assert caught_up.complete
        assert app.projection_store.view(tasks).count() == todo.tasks_left(job.size)
        return spent.us(job.size)


def catch_up_peak(job: Job) -> float:
    def prepare() -> None:
        with open_app(job, sqlite=True) as app:
            fill(app, job.size)

    in_another_process(prepare)
    with peak_memory() as peak, open_app(job, sqlite=True) as app:
        app.projector.catch_up()
    return peak.megabytes


def load(job: Job) -> float:
    with open_app(job, sqlite=False) as app:
        for stream, event, expected in prepared(todo.one_task(job.size)):
            app.event_store.append(stream, event, expected_revision=expected)
        times: list[float] = []
        for _ in range(20):
            with clock() as spent:
                loaded = app.event_store.load(aggregate, "task-0")
            assert loaded.revision == job.size
            times.append(spent.seconds * 1e6)
        return median(times)


def bytes_per_event(job: Job) -> float:
    with open_app(job, sqlite=False) as app:
        with memory_kept() as kept:
            for task, lines in todo.batches(job.size):
                stream = f"task-{task}"
                for line in lines:
                    app.event_store.append(stream, todo.event(line), expected_revision=line.revision - 1)
        return kept.bytes / job.size


def visible(job: Job) -> float:
    """Until the view answers what was appended, by the worker's doing alone."""
    times: list[float] = []
    with open_app(job, sqlite=False) as app, app.worker():
        view = app.projection_store.view(tasks)
        for task in range(job.size):
            key = str(task)
            started = time.perf_counter()
            app.event_store.append(f"task-{task}", todo.TaskCreated(key, "Do the dishes!"))
            while view.get(key) is None:
                # Looking without a pause would keep the interpreter from the worker.
                time.sleep(0.00005)
            times.append((time.perf_counter() - started) * 1e6)
    return median(times)


def read_your_write(job: Job) -> float:
    """Until a read that asks for this position answers, with a worker running."""
    times: list[float] = []
    with open_app(job, sqlite=False) as app, app.worker():
        view = app.projection_store.view(tasks)
        for task in range(job.size):
            key = str(task)
            started = time.perf_counter()
            appended = app.event_store.append(f"task-{task}", todo.TaskCreated(key, "Do the dishes!"))
            assert view.get(key, at_least=appended.position) is not None
            times.append((time.perf_counter() - started) * 1e6)
    return median(times)


def contestant(_: str) -> Contestant:
    return Contestant(
        measures={
            "append-memory": partial(append_one, False),
            "append-sqlite": partial(append_one, True),
            "append-100": append_100,
            "read-memory": partial(read, False),
            "read-sqlite": partial(read, True),
            "project-memory": partial(project, False),
            "project-sqlite": partial(project, True),
            "load": load,
            "bytes": bytes_per_event,
            "visible": visible,
            "read-your-write": read_your_write,
            "peak": catch_up_peak,
        },
    )
