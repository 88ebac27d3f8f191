"""Counts what to-do actions cost, on a local Upstash: ours by a worker, ours by its readers, and by hand.

`python -m benchmarks.costs_run SCALE` prints the bills as JSON. Actions come in bursts: as many clients as the burst
has actions, at most 16, each with its own tasks, as fast as they can. The next burst comes when everything is folded.
"""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from upstash_redis import Redis

from benchmarks import costs_2023, costs_actions, costs_by_hand, costs_reactors, costs_views, todo
from benchmarks.bill import Bill
from benchmarks.costs_2023 import CLIENTS
from benchmarks.ours import registry, tasks
from eventsource_upstash import App, EventStore
from eventsource_upstash.backends.qstash import QStash
from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.web import wsgi_app

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

# Bursts, and how many actions of each are counted: whole rounds of the fifty tasks' 160 actions.
BURSTS = {1: 160, 2: 160, 10: 320, 100: 1_600, 1_000: 4_000}
LISTED = 100
CYCLE = 160


def bursts(size: int, total: int) -> Iterator[list[todo.Line]]:
    lines = list(todo.lines(total))
    for start in range(0, total, size):
        yield lines[start : start + size]


def at_once(burst: list[todo.Line], act: Callable[[int, todo.Line], None]) -> None:
    """By several clients; the actions on one task are one client's, in their order."""
    clients = min(len(burst), CLIENTS)
    begin = threading.Barrier(clients)
    failures: list[BaseException] = []

    def client(number: int) -> None:
        begin.wait()
        try:
            for line in burst:
                if line.task % clients == number:
                    act(number, line)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def bill(upstash: LocalUpstash, actions: int) -> Bill:
    """What was counted since the last reset."""
    metrics = upstash.metrics()
    redis, qstash = metrics["redis"]["total"], metrics["qstash"]["total"]
    return Bill(
        (redis.get("requests", 0) + qstash.get("requests", 0)) / actions,
        redis.get("commands", 0) / actions,
        qstash.get("messages", 0) / actions,
    )


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # Deliveries of a burst come at once.
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the output is the result."""


@contextmanager
def endpoint() -> Generator[tuple[str, Callable[[App], None]], None, None]:
    """Where QStash delivers to; on which app, is said afterwards, since the app has to know the address."""
    with _Server(("127.0.0.1", 0), _Quiet) as server:

        def serve(app: App) -> None:
            server.set_app(wsgi_app(app))
            threading.Thread(target=server.serve_forever, daemon=True).start()

        yield f"http://127.0.0.1:{server.server_port}/projections", serve
        server.shutdown()


def by_worker(upstash: LocalUpstash, size: int, total: int) -> Bill:
    """Each append notifies where it owes that, QStash delivers, and the delivery folds."""
    settings = upstash.environment()
    with endpoint() as (url, serve):
        transport = QStash(
            url,
            token=settings["QSTASH_TOKEN"],
            url=upstash.qstash_url,
            current_signing_key=settings["QSTASH_CURRENT_SIGNING_KEY"],
            next_signing_key=settings["QSTASH_NEXT_SIGNING_KEY"],
            namespace=f"worker-{size}",
        )
        backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=f"worker-{size}")
        with App(backend, registry, transport) as app:
            serve(app)
            upstash.reset_metrics()
            for burst in bursts(size, total):
                at_once(burst, lambda _, line: append(app.event_store, line))
                upstash.run(upstash.qstash.idle())
            counted = bill(upstash, total)
            # Folded without anybody having looked.
            assert [status.state for status in app.projection_store.status()] == ["current"]
            assert app.projection_store.view(tasks).count() == todo.tasks_left(total)
    return counted


def by_reader(upstash: LocalUpstash, size: int, total: int) -> Bill:
    """Nobody is notified: who reads after a burst brings the view up to date. The read itself is not counted."""
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=f"reader-{size}")
    with App(backend, registry, None) as app:
        upstash.reset_metrics()
        for burst in bursts(size, total):
            at_once(burst, lambda _, line: append(app.event_store, line))
            app.projector.catch_up()
        counted = bill(upstash, total)
        assert app.projection_store.view(tasks).count() == todo.tasks_left(total)
    return counted


def append(store: EventStore, line: todo.Line) -> None:
    store.append(line.stream, todo.event(line), expected_revision=line.revision - 1)


def by_hand(upstash: LocalUpstash, size: int, total: int) -> Bill:
    upstash.flush()
    clients = [Redis(upstash.redis_url, upstash.redis_token, allow_telemetry=False) for _ in range(CLIENTS)]
    upstash.reset_metrics()
    for burst in bursts(size, total):
        at_once(burst, lambda number, line: costs_by_hand.act(clients[number], line))
    counted = bill(upstash, total)
    assert clients[0].scard("tasks") == todo.tasks_left(total)
    return counted


def lists(upstash: LocalUpstash) -> dict[str, Bill]:
    """A list of a hundred tasks, and one task."""
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace="lists")
    redis = Redis(upstash.redis_url, upstash.redis_token, allow_telemetry=False)
    lines = [todo.Line(todo.Kind.CREATED, task, 1, "Do the dishes!") for task in range(LISTED)]
    bills: dict[str, Bill] = {}

    def count(name: str, read: Callable[[], object]) -> None:
        upstash.reset_metrics()
        assert read()
        bills[name] = bill(upstash, 1)

    upstash.flush()
    with App(backend, registry, None) as app:
        for line in lines:
            append(app.event_store, line)
            costs_by_hand.act(redis, line)
        app.projector.catch_up()
        view = app.projection_store.view(tasks)
        list(view.items(limit=LISTED))  # the server compiles the script
        count("ours, list", lambda: len(list(view.items(limit=LISTED))) == LISTED)
        count("ours, one", lambda: view.get("7"))
        count("ours, nothing new", lambda: app.projector.catch_up().complete)
    count("by hand, list", lambda: costs_by_hand.listed(redis) == LISTED)
    count("by hand, one", lambda: redis.hgetall("task:7"))
    return bills


def warm_up(upstash: LocalUpstash) -> None:
    """Each script is compiled once in the life of a database."""
    by_reader(upstash, 10, CYCLE)
    costs_actions.counted(upstash)
    upstash.flush()


def measured(scale: float) -> Iterable[tuple[str, object]]:
    ways = {"worker": by_worker, "reader": by_reader, "by hand": by_hand}
    with LocalUpstash() as upstash:
        warm_up(upstash)
        for way, run in ways.items():
            bills: dict[str, dict[str, float]] = {}
            for size, total in BURSTS.items():
                actions = max(size, CYCLE, int(total * scale) // size * size)
                bills[str(size)] = asdict(run(upstash, size, actions))
            yield way, bills
        yield (
            "actions",
            [
                *costs_actions.counted(upstash),
                *costs_views.counted(upstash),
                *costs_reactors.counted(upstash),
            ],
        )
        upstash.flush()
        kinds = [line.kind for line in todo.lines(CYCLE)]
        yield "2023", {str(size): asdict(costs_2023.bill(kinds, size)) for size in BURSTS}
        reads = lists(upstash) | {"2023, list": costs_2023.listed(LISTED)}
        yield "reads", {name: asdict(each) for name, each in reads.items()}


if __name__ == "__main__":
    print(json.dumps(dict(measured(float(sys.argv[1])))))
