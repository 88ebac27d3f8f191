"""The local Upstash in tests: a fixture, the clock, faults, counting."""

from __future__ import annotations

from docs.snippets.todo import CreateTask, Task, TaskCreated, registry, task, tasks

# --8<-- [start:fixture]
from collections.abc import Iterator  # isort: skip

import pytest  # isort: skip

from eventsource_upstash.local import LocalUpstash  # isort: skip


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


# --8<-- [end:fixture]


# --8<-- [start:test]
def test_a_task_is_listed(upstash: LocalUpstash) -> None:
    from eventsource_upstash import App, UpstashRedis

    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace="listing")
    app = App(backend, registry, None)
    app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    app.projector.catch_up()
    assert app.projection_store.view(tasks).get("task-1") == Task("Do the dishes")
    # --8<-- [end:test]


# --8<-- [start:delivery]
def test_a_delivery_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Thread
    from wsgiref.simple_server import make_server

    from eventsource_upstash import connect
    from eventsource_upstash.local.qstash.settings import Settings
    from eventsource_upstash.web import wsgi_app

    sites: dict[str, str] = {}
    with LocalUpstash(qstash=Settings(mapping=sites)) as upstash:
        monkeypatch.setenv("EVENTSOURCE_NOTIFY_URL", "https://app.example.com/projections")
        for name, value in upstash.environment().items():
            monkeypatch.setenv(name, value)
        app = connect("upstash:", registry)
        with make_server("127.0.0.1", 0, wsgi_app(app)) as server:
            sites["https://app.example.com"] = f"http://127.0.0.1:{server.server_port}"
            Thread(target=server.serve_forever, daemon=True).start()
            app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
            upstash.run(upstash.qstash.idle())  # delivered, verified, folded
            server.shutdown()
        assert app.projection_store.view(tasks).get("task-1") == Task("Do the dishes")
    # --8<-- [end:delivery]


# --8<-- [start:kafka]
def test_a_log_in_a_topic() -> None:
    from eventsource_upstash import App, Kafka, Memory, RestTopic

    with LocalUpstash(kafka=True) as upstash:
        kafka = upstash.kafka
        kafka.create_topic("todo", partitions=3)
        topic = RestTopic(kafka.url, "todo", username=kafka.username, password=kafka.password)
        app = App(Kafka(topic, views=Memory()), registry, None)
        app.event_store.append("task-1", TaskCreated("Do the dishes"))
        app.projector.catch_up()
        assert app.projection_store.view(tasks).get("task-1") == Task("Do the dishes")
    # --8<-- [end:kafka]


def test_the_rest(upstash: LocalUpstash) -> None:
    from eventsource_upstash import App, UpstashRedis

    app = App(UpstashRedis(upstash.redis_url, upstash.redis_token), registry, None)
    app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    # --8<-- [start:clock]
    upstash.run(upstash.qstash.advance(600))  # ten minutes later: retries, delays, schedules
    upstash.run(upstash.qstash.idle())
    # --8<-- [end:clock]
    # --8<-- [start:faults]
    upstash.faults.add("lose-answer", half="redis", command="EVALSHA", skip=1)
    executed = app.event_store.execute(task, "task-2", CreateTask("Do the shopping"))
    assert executed.receipt.retries == 1  # sent again, and found to be there already
    # --8<-- [end:faults]
    assert app.event_store.head() == 2
    # --8<-- [start:metrics]
    counted = upstash.metrics()["redis"]["total"]
    print(counted["requests"], counted["commands"])
    # --8<-- [end:metrics]
    assert counted["commands"] > counted["requests"]
