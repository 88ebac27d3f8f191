"""What each action is counted with, beside what it may cost at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import todo
from benchmarks.ours import aggregate, registry, tasks
from eventsource_upstash import App, Projector
from eventsource_upstash.backends.qstash import QStash
from eventsource_upstash.backends.redis import UpstashRedis

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventsource_upstash.local import LocalUpstash

# Title, requests, and commands at most: the promise, which the test suite holds. What is counted comes behind.
Counted = tuple[str, int, str, int, int]


def counted(upstash: LocalUpstash) -> list[Counted]:
    """Each action once, on a namespace of its own."""
    settings = upstash.environment()
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace="actions")
    nowhere = "http://127.0.0.1/projections"
    transport = QStash(nowhere, token=settings["QSTASH_TOKEN"], url=upstash.qstash_url)
    rows: list[Counted] = []

    def count(title: str, requests: int, commands: str, act: Callable[[], object]) -> None:
        before = upstash.metrics()
        assert act() is not None
        after = upstash.metrics()
        since = {
            (half, name): after[half]["total"].get(name, 0) - before[half].get("total", {}).get(name, 0)
            for half in after
            for name in ("requests", "commands")
        }
        sent = since["redis", "requests"] + since["qstash", "requests"]
        rows.append((title, requests, commands, sent, since["redis", "commands"]))

    # Nothing is delivered: the messages' commands are those of the catch-up below.
    lost = upstash.faults.add("lose-delivery", count=None)
    with App(backend, registry, transport) as app, App(backend, registry, None) as silent:
        store, projector = app.event_store, app.projector
        small = Projector(silent.event_store, silent.projection_store, page_size=20)
        count("append one event, a notification is owed", 2, "7", lambda: store.append("task-0", created(0)))
        count("append one event", 1, "7", lambda: store.append("task-1", created(1)))
        count("append 100 events to a stream", 1, "7", lambda: store.append("list", *map(created, range(2, 102))))
        count(
            "append with an idempotency key",
            1,
            "7",
            lambda: store.append("task-200", created(200), idempotency_key="once"),
        )
        count("catch up, one page, new documents", 3, "12", projector.catch_up)
        for task in range(100):
            store.append(f"task-{task}", todo.TaskCompleted(str(task)))
        count("catch up, one page over existing documents", 3, "10", projector.catch_up)
        for task in range(50):
            store.append(f"task-{task}", todo.TaskDeleted(str(task)))
            store.append(f"task-{300 + task}", created(300 + task))
        count("catch up, one page, new and deleted documents", 3, "12", projector.catch_up)
        count("catch up, nothing to do", 1, "3", projector.catch_up)
        store.append("more", *map(created, range(400, 420)))
        store.append("more", *map(created, range(420, 440)))
        count("catch up, two pages", 5, "22", small.catch_up)
        view = app.projection_store.view(tasks)
        count("get", 1, "1", lambda: view.get("300"))
        count("get_many, of 100", 1, "1", lambda: view.get_many([str(key) for key in range(100)]))
        count("count", 1, "1", view.count)
        count("a page of a listing, of 100", 1, "3", lambda: list(view.items(limit=100)))
        count("load an aggregate", 1, "3", lambda: store.load(aggregate, "task-200"))
        count("head", 1, "2", store.head)
    upstash.faults.remove(lost.id)
    return rows


def created(task: int) -> todo.TaskCreated:
    return todo.TaskCreated(str(task), "Do the dishes!")
