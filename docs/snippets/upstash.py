"""Upstash Redis: wiring, a look before going live, receipts."""

from __future__ import annotations

from docs.snippets.todo import CreateTask, Task, registry, task, tasks
from eventsource_upstash.local import LocalUpstash


def test_connect(upstash: LocalUpstash) -> None:
    # --8<-- [start:connect]
    from eventsource_upstash import connect

    app = connect("upstash:", registry)
    # --8<-- [end:connect]
    # --8<-- [start:check]
    import sys

    if doubts := app.check():
        sys.exit("\n".join(doubts))
    app.schedules.ensure_sweep("*/5 * * * *")
    # --8<-- [end:check]
    assert app.check() == ()
    app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    assert app.projector.catch_up().complete
    assert app.projection_store.view(tasks).get("task-1") == Task("Do the dishes")
    app.close()


def test_by_hand(upstash: LocalUpstash) -> None:
    # --8<-- [start:by-hand]
    from eventsource_upstash import (
        EventStore,
        Notifier,
        ProjectionStore,
        Projector,
        QStash,
        UpstashRedis,
    )

    backend = UpstashRedis.from_env(
        namespace="todo"
    )  # or UpstashRedis(url, token, namespace="todo")
    transport = QStash.from_env("https://app.example.com/projections", namespace="todo")
    event_store = EventStore(backend, registry, notifier=Notifier(transport))
    projection_store = ProjectionStore(backend, registry)
    projector = Projector(event_store, projection_store)
    # --8<-- [end:by-hand]
    # --8<-- [start:settings]
    import os

    url, token = os.environ["UPSTASH_REDIS_REST_URL"], os.environ["UPSTASH_REDIS_REST_TOKEN"]
    patient = UpstashRedis(url, token, namespace="todo", total_timeout=60, lost_after=300)
    # --8<-- [end:settings]
    # --8<-- [start:receipt]
    executed = event_store.execute(
        task, "task-1", CreateTask("Do the dishes"), idempotency_key="order-7"
    )
    print(executed.receipt)  # requests, commands, bytes_sent, bytes_received, retries

    result = projector.catch_up()
    print(result.applied, result.receipt.requests, result.receipt.commands)
    # --8<-- [end:receipt]
    assert result.applied == 1
    assert result.receipt.commands > 0
    assert EventStore(patient, registry).head() == 1


def test_readers(upstash: LocalUpstash) -> None:
    upstash.reset_metrics()
    # --8<-- [start:readers]
    from eventsource_upstash import App, UpstashRedis

    app = App(UpstashRedis.from_env(), registry, None)  # nobody is told: who reads folds
    view = app.projection_store.view(tasks)
    app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    listed = dict(view.items(at_least=app.event_store.head()))
    # --8<-- [end:readers]
    assert listed == {"task-1": Task("Do the dishes")}
    assert not upstash.metrics()["qstash"]["total"]  # nothing was sent
