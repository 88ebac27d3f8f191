"""From the 2023 to-do tutorial to today: its messages where they are, or moved."""

# --8<-- [start:imports]
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from eventsource_upstash import EventStore, Misuse, connect

# --8<-- [end:imports]
import os  # isort: skip

import httpx  # isort: skip
import msgspec  # isort: skip
import pytest  # isort: skip

from eventsource_upstash import ProjectionStopped, Registry  # isort: skip
from eventsource_upstash.backends.kafka.topic import Record  # isort: skip
from examples.todo.domain import (  # isort: skip
    CreateTask,
    DeleteTask,
    Task,
    TaskCreated,
    TaskDeleted,
    TaskUpdated,
    UnknownTask,
    UpdateTask,
    history,
    new_id,
    registry,
    tasks,
)

# --8<-- [start:fold]
reading = Registry()
reading.event("create-task")(TaskCreated)  # the names that stand in the log
reading.event("update-task")(TaskUpdated)
reading.event("delete-task")(TaskDeleted)
listed = reading.projection("tasks", Task)


@listed.on(TaskCreated, key="id")
def task_created(task: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


@listed.on(TaskUpdated, key="id")
def task_updated(task: Task | None, event: TaskUpdated) -> Task | None:
    return task and replace(task, text=event.text, done=event.done)  # None where there is none


@listed.on(TaskDeleted, key="id")
def task_deleted(task: Task | None, event: TaskDeleted) -> Task | None:
    return None


# --8<-- [end:fold]


# --8<-- [start:old]
class OldTask(msgspec.Struct):
    id: str
    text: str = ""
    done: bool = False


class OldMessage(msgspec.Struct):
    type: str
    data: OldTask


KEPT = {
    "create-task": ("id", "text"),
    "update-task": ("id", "text", "done"),
    "delete-task": ("id",),
}


def old_message(record: Record) -> tuple[str, int, bytes, str] | None:
    """The event that a message of the tutorial stands for: type, version, payload, stream.

    None for what is none: half a message, which was cut off at a '#', or somebody else's.
    """
    try:
        old = msgspec.json.decode(record.value or b"", type=OldMessage)
        payload = {field: getattr(old.data, field) for field in KEPT[old.type]}
    except (msgspec.DecodeError, KeyError):
        return None
    return old.type, 1, msgspec.json.encode(payload), f"task-{old.data.id}"


# --8<-- [end:old]


def test_how_it_was_saved(tutorial: None) -> None:
    # --8<-- [start:before]
    url, topic = os.environ["UPSTASH_KAFKA_URL"], os.environ["UPSTASH_KAFKA_TOPIC"]
    login = (os.environ["UPSTASH_KAFKA_USERNAME"], os.environ["UPSTASH_KAFKA_PASSWORD"])

    def save(text: str) -> None:
        """As the tutorial does it: the event behind the URL, and no look at the answer."""
        event = json.dumps(
            {"type": "create-task", "data": {"id": "1", "text": text, "done": False}}
        )
        httpx.get(f"{url}/produce/{topic}/{event}", auth=login)

    for text in ("Do the dishes", "Wash/dry", "100%41", "Go to number #1"):
        save(text)

    asked = {"topic": topic, "partition": 0, "offset": 0}
    for message in httpx.post(f"{url}/fetch", json=asked, auth=login).json():
        print(message["value"])
    # --8<-- [end:before]
    values = [each["value"] for each in httpx.post(f"{url}/fetch", json=asked, auth=login).json()]
    assert len(values) == 3
    assert "100A" in values[1]
    assert values[2].endswith("Go to number ")


def test_today(upstash: object) -> None:
    # --8<-- [start:today]
    from eventsource_upstash import connect
    from eventsource_upstash.web import wsgi_app

    app = connect("upstash:", registry)
    view = app.projection_store.view(tasks)

    def create_task(text: str, request: str) -> Task:
        new = new_id()
        return perform(new, CreateTask(new, text), request)

    def update_task(id: str, text: str, done: bool, request: str) -> Task:
        return perform(id, UpdateTask(id, text, done), request)

    def delete_task(id: str, request: str) -> Task:
        return perform(id, DeleteTask(id), request)

    def perform(id: str, command: CreateTask | UpdateTask | DeleteTask, request: str) -> Task:
        executed = app.event_store.execute(history, f"task-{id}", command, idempotency_key=request)
        assert executed.state is not None
        return executed.state.task

    def list_tasks() -> list[Task]:
        return [task for _, task in view.items(at_least=app.event_store.head())]

    projections = wsgi_app(app)  # what QStash calls: EVENTSOURCE_NOTIFY_URL leads here
    # --8<-- [end:today]
    assert callable(projections)
    task = create_task("Wash/dry 100%41 #1", "request-1")
    assert list_tasks() == [task]
    assert update_task(task.id, task.text, True, "request-2").done
    delete_task(task.id, "request-3")
    assert list_tasks() == []
    with pytest.raises(UnknownTask):
        update_task(task.id, task.text, False, "request-4")


def old(type: str, id: str, text: str = "", done: bool = False) -> dict[str, object]:
    return {"type": type, "data": {"id": id, "text": text, "done": done}}


OLD: list[object] = [
    old("create-task", "a1", "Event 0 was skipped by the old view"),
    old("create-task", "b2", "Do the dishes"),
    '{"type":"create-task","data":{"id":"c3","text":"Buy ',  # cut off by a # in the URL
    old("update-task", "b2", "Do all the dishes", done=True),
    old("delete-task", "a1"),
    old("update-task", "a1", "An orphan"),
    {"type": "rename-list", "data": {"id": "b2"}},
    {"type": "create-task", "data": {"text": "No id"}},
    {"type": "update-task", "data": {"id": "b2", "text": 5, "done": True}},
    ["create-task"],
    old("update-task", "b2", "Do it", done=True),
]
KNOWN = [0, 1, 3, 4, 5, 10]
"""Which of them are events."""


def produce() -> None:
    """The old topic, as the tutorial's app has left it."""
    url, topic = os.environ["UPSTASH_KAFKA_URL"], os.environ["UPSTASH_KAFKA_TOPIC"]
    login = (os.environ["UPSTASH_KAFKA_USERNAME"], os.environ["UPSTASH_KAFKA_PASSWORD"])
    values = [each if isinstance(each, str) else json.dumps(each) for each in OLD]
    httpx.post(f"{url}/produce/{topic}", json=[{"value": value} for value in values], auth=login)


def test_on_kafka(tutorial: None) -> None:
    produce()
    registry = reading
    # --8<-- [start:stay]
    from eventsource_upstash import Kafka, RestTopic, UpstashRedis, connect

    topic = RestTopic.from_env()  # the tutorial's variables: UPSTASH_KAFKA_URL, ..._TOPIC, ...
    backend = Kafka(topic, views=UpstashRedis.from_env(), foreign=old_message)
    app = connect(backend, registry)
    # --8<-- [end:stay]
    # --8<-- [start:stops]
    try:
        app.projector.catch_up()
    except ProjectionStopped as stopped:
        print(stopped)  # ... event type 'kafka:foreign' at position 3 ...: it is not registered
    # --8<-- [end:stops]
    with pytest.raises(ProjectionStopped, match="'kafka:foreign' at position 3"):
        app.projector.catch_up()
    url, topic_name = os.environ["UPSTASH_KAFKA_URL"], os.environ["UPSTASH_KAFKA_TOPIC"]
    login = (os.environ["UPSTASH_KAFKA_USERNAME"], os.environ["UPSTASH_KAFKA_PASSWORD"])
    # --8<-- [start:look]
    asked = {"topic": topic_name, "partition": 0, "offset": 2}
    answer = httpx.post(f"{url}/fetch", json=asked, auth=login)
    print(answer.json()[0]["value"])  # {"type":"create-task","data":{"id":"c3","text":"Buy
    # --8<-- [end:look]
    assert answer.json()[0]["value"] == OLD[2]
    # --8<-- [start:ignore]
    registry.ignore("kafka:foreign")  # looked at: halves of messages, and nothing of ours
    app.projector.catch_up()
    # --8<-- [end:ignore]
    assert dict(app.projection_store.view(listed).items()) == {"b2": Task("b2", "Do it", done=True)}

    tasks = listed
    # --8<-- [start:decide]
    view = app.projection_store.view(tasks)

    def update_task(id: str, text: str, done: bool, request: str) -> Task:
        task = view.get(id, at_least=app.event_store.head())
        if task is None:
            raise UnknownTask
        event = TaskUpdated(id, text, done)
        appended = app.event_store.append(f"task-{id}", event, idempotency_key=request)
        updated = view.get(id, at_least=appended.position)
        assert updated is not None
        return updated

    # --8<-- [end:decide]
    assert update_task("b2", "50% / #1", True, "request-7").text == "50% / #1"
    assert update_task("b2", "50% / #1", True, "request-7").text == "50% / #1"
    assert app.event_store.head() == 12
    with pytest.raises(UnknownTask):
        update_task("tasks", "the index was under this key", False, "request-8")
    with pytest.raises(Misuse, match="fold_as"):
        app.event_store.load(history, "task-b2")


def test_to_redis(tutorial: None) -> None:
    produce()
    # --8<-- [start:move]
    from eventsource_upstash import Kafka, LogCopy, Memory, RestTopic, UpstashRedis, connect

    old = Kafka(RestTopic.from_env(), views=Memory(), foreign=old_message)
    new = UpstashRedis.from_env(namespace="todo")
    copied = LogCopy(old, new).run()
    print(copied.found, copied.copied)
    # --8<-- [end:move]
    assert copied.copied == len(OLD)
    assert LogCopy(old, new).run().found == len(OLD)
    registry.ignore("kafka:foreign")
    # --8<-- [start:moved]
    app = connect(new, registry)
    app.projector.catch_up()
    app.event_store.execute(history, "task-b2", UpdateTask("b2", done=False))
    # --8<-- [end:moved]
    view = app.projection_store.view(tasks)
    assert dict(view.items(at_least=app.event_store.head())) == {"b2": Task("b2", "Do it")}
    app.event_store.execute(history, "task-d4", CreateTask("d4", "Wash/dry #1"))
    app.event_store.execute(history, "task-d4", DeleteTask("d4"))
    assert [each.revision for each in app.event_store.read_stream("task-b2")] == [1, 2, 3, 4]
    assert next(iter(app.event_store.read())).recorded_us > 0


# --8<-- [start:import]
TYPES = {"create-task": TaskCreated, "update-task": TaskUpdated, "delete-task": TaskDeleted}


def import_events(event_store: EventStore, messages: Iterable[dict[str, Any]]) -> list[str]:
    """Append messages of the old topic, in their order.

    It can be run again, after a crash or with a longer export: what is in the log is left alone.
    Costs a request for each event.

    Args:
        event_store: The new log, which nobody else writes to yet.
        messages: As the old REST API answered them: partition, offset, timestamp and value.

    Returns:
        What could not be brought over, and why. Nothing is left out in silence.
    """
    there: set[object] = set()
    revisions: dict[str, int] = {}
    for recorded in event_store.read():
        there.add((recorded.metadata.get("partition"), recorded.metadata.get("offset")))
        revisions[recorded.stream] = recorded.revision
    problems: list[str] = []
    for message in messages:
        if (message["partition"], message["offset"]) not in there:
            problems.extend(bring_over(event_store, message, revisions))
    return problems


def bring_over(
    event_store: EventStore, message: dict[str, Any], revisions: dict[str, int]
) -> Iterator[str]:
    """Append one message, or tell what is wrong with it."""
    metadata = {name: message[name] for name in ("partition", "offset", "timestamp")}
    try:
        value = json.loads(message["value"])
        kind, data = TYPES[value["type"]], value["data"]
        event = kind(**{field.name: data[field.name] for field in fields(kind)})
        stream = f"task-{event.id}"
        revision = revisions.get(stream, 0)
        event_store.append(stream, event, expected_revision=revision, metadata=metadata)
        revisions[stream] = revision + 1
    except (ValueError, KeyError, TypeError, AttributeError, Misuse) as error:
        yield f"{message['partition']}/{message['offset']}: {error!r}: {message['value']!r}"


# --8<-- [end:import]


def message(offset: int, value: object) -> dict[str, Any]:
    text = value if isinstance(value, str) else json.dumps(value)
    time = 1679400000000 + offset
    return {"partition": 0, "offset": offset, "timestamp": time, "value": text}


EXPORT = [message(offset, value) for offset, value in enumerate(OLD)]


def test_import(in_empty_folder: None) -> None:
    Path("export.jsonl").write_text("\n".join(map(json.dumps, EXPORT)))
    app = connect("memory:", registry)
    # --8<-- [start:run]
    with Path("export.jsonl").open() as file:  # one message a line
        problems = import_events(app.event_store, map(json.loads, file))
    for problem in problems:
        print(problem)
    app.projector.catch_up()
    for key, document in app.projection_store.view(tasks).items():
        print(key, document)
    # --8<-- [end:run]
    lost = [f"0/{number}" for number in range(len(OLD)) if number not in KNOWN]
    assert [problem.partition(":")[0] for problem in problems] == lost
    view = app.projection_store.view(tasks)
    # The orphan that an update of a deleted task left in the old list is none here.
    assert dict(view.items()) == {"b2": Task("b2", "Do it", done=True)}
    recorded = list(app.event_store.read())
    assert [each.metadata["offset"] for each in recorded] == KNOWN


def test_again_and_longer() -> None:
    app = connect("memory:", registry)
    for part in (EXPORT[:4], EXPORT[:2], EXPORT, EXPORT):
        import_events(app.event_store, part)
    recorded = list(app.event_store.read())
    assert [each.metadata["offset"] for each in recorded] == KNOWN


def test_beside_the_apps_own() -> None:
    app = connect("memory:", registry)
    app.event_store.append("task-own", TaskCreated("own", "Of the new app"))
    import_events(app.event_store, EXPORT)
    import_events(app.event_store, EXPORT)
    assert app.event_store.head() == 7


def test_state_only() -> None:
    app = connect("memory:", registry)
    # --8<-- [start:state]
    old = [Task("b2", "Do all the dishes", done=True)]  # what the old list showed

    for task in old:
        events: list[object] = [TaskCreated(task.id, task.text)]
        if task.done:
            events.append(TaskUpdated(task.id, task.text, done=True))
        app.event_store.append(f"task-{task.id}", *events, expected_revision=0)
    # --8<-- [end:state]
    app.projector.catch_up()
    assert [document for _, document in app.projection_store.view(tasks).items()] == old
