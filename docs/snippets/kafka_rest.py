"""Kafka over REST: an app whose log is a topic that is reached over HTTP."""

from __future__ import annotations

import pytest

from docs.snippets.todo import Task, TaskCreated, registry, tasks
from eventsource_upstash import App, Kafka, RestTopic, SQLite
from eventsource_upstash.local import KafkaSettings, LocalUpstash


def test_an_app(in_empty_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalUpstash(kafka=KafkaSettings(topics={"todo": 3})) as upstash:
        url, username, password = upstash.kafka.url, upstash.kafka.username, upstash.kafka.password
        # --8<-- [start:app]
        topic = RestTopic(url, "todo", dialect="upstash", username=username, password=password)
        app = App(Kafka(topic, views=SQLite("views.db")), registry, None)

        appended = app.event_store.append("task-1", TaskCreated("Do the dishes"))
        app.projector.catch_up()
        view = app.projection_store.view(tasks)
        assert view.get("task-1", at_least=appended.position) == Task("Do the dishes")
        # --8<-- [end:app]
        app.close()
        for name, value in upstash.environment().items():
            monkeypatch.setenv(name, value)
        # --8<-- [start:environment]
        topic = RestTopic.from_env()
        # --8<-- [end:environment]
        app = App(Kafka(topic, views=SQLite("views.db")), registry, None)
        # --8<-- [start:lost]
        upstash.faults.add("lose-answer", half="kafka", command="produce")
        appended = app.event_store.append("task-2", TaskCreated("Do the shopping"))
        assert appended.repeated  # it was found, and not sent again
        # --8<-- [end:lost]
        assert [recorded.event for recorded in app.event_store.read()] == [
            TaskCreated("Do the dishes"),
            TaskCreated("Do the shopping"),
        ]
        app.close()
