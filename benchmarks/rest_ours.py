"""This library on Redis over REST, through its public face; the local Upstash is in another process."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import scripts, todo
from benchmarks.measuring import Contestant, clock, median
from benchmarks.ours import prepared, registry, tasks
from benchmarks.rest_cold import first_request
from benchmarks.upstash import running
from eventsource_upstash import connect, connect_async
from eventsource_upstash.backends.redis import UpstashRedis

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measuring import Job
    from benchmarks.upstash import Upstash
    from eventsource_upstash import App

BATCH = 100
ROUNDS = 7
"""Catch-ups of one process: each is over in a moment, and the machine has other things to do as well."""


def backend_of(upstash: Upstash, namespace: str = "bench") -> UpstashRedis:
    return UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace)


def fill(app: App, size: int) -> None:
    """A hundred events an append, since nobody times it; they may be of several tasks."""
    events = [event for _, event, _ in prepared(todo.lines(size))]
    for start in range(0, size, BATCH):
        app.event_store.append(f"list-{start}", *events[start : start + BATCH])


def append(timer: Callable[[], float], job: Job) -> float:
    with running() as upstash, connect(backend_of(upstash), registry) as app:
        store = app.event_store
        appends = prepared(todo.lines(job.size + todo.WARM_UP))
        for stream, event, expected in appends[: todo.WARM_UP]:
            store.append(stream, event, expected_revision=expected)
        with clock(timer) as spent:
            for stream, event, expected in appends[todo.WARM_UP :]:
                store.append(stream, event, expected_revision=expected)
        return spent.us(job.size)


def append_async(job: Job) -> float:
    async def work(upstash: Upstash) -> float:
        async with connect_async(backend_of(upstash), registry) as app:
            store = app.event_store
            appends = prepared(todo.lines(job.size + todo.WARM_UP))
            for stream, event, expected in appends[: todo.WARM_UP]:
                await store.append(stream, event, expected_revision=expected)
            with clock() as spent:
                for stream, event, expected in appends[todo.WARM_UP :]:
                    await store.append(stream, event, expected_revision=expected)
            return spent.us(job.size)

    with running() as upstash:
        return asyncio.run(work(upstash))


def catch_up(upstash: Upstash, timer: Callable[[], float], size: int, namespace: str = "bench") -> float:
    """Seconds to fold so many events into a view that is not there yet."""
    with connect(backend_of(upstash, namespace), registry) as app:
        fill(app, size)
        with clock(timer) as spent:
            caught_up = app.projector.catch_up()
        assert caught_up.complete
        assert app.projection_store.view(tasks).count() == todo.tasks_left(size)
    return spent.seconds


def project(timer: Callable[[], float], job: Job) -> float:
    with running() as upstash:
        times = [catch_up(upstash, timer, job.size, f"bench-{turn}") for turn in range(ROUNDS)]
    return median(times) * 1e6 / job.size


def rebuild(job: Job) -> float:
    """Seconds in all."""
    with running() as upstash:
        return catch_up(upstash, time.perf_counter, job.size)


def contestant(name: str) -> Contestant:
    return Contestant(
        measures={
            "append": partial(append, time.perf_counter),
            "append-cpu": partial(append, time.process_time),
            "append-async": append_async,
            "project": partial(project, time.perf_counter),
            "project-cpu": partial(project, time.process_time),
            "rebuild": rebuild,
            "cold": partial(first_request, name),
            "script": scripts.of_script,
            "script-large": scripts.of_script_large,
        },
    )
