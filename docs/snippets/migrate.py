"""Bringing the events of the 2023 to-do application over."""

# --8<-- [start:imports]
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eventsource_upstash import EventStore, Misuse, connect

# --8<-- [end:imports]
from examples.todo.domain import (  # isort: skip
    Task,
    TaskCreated,
    TaskDeleted,
    TaskUpdated,
    registry,
    tasks,
)

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
        event = TYPES[value.pop("type")](**value)
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


EXPORT = [
    message(0, {"type": "create-task", "id": "a1", "text": "Event 0 was skipped by the old view"}),
    message(1, {"type": "create-task", "id": "b2", "text": "Do the dishes"}),
    message(2, '{"type":"create-task","id":"c3","text":"Buy '),  # cut off by a # in the URL
    message(3, {"type": "update-task", "id": "b2", "text": "Do all the dishes", "done": True}),
    message(4, {"type": "delete-task", "id": "a1"}),
    message(5, {"type": "update-task", "id": "a1", "text": "An orphan", "done": False}),
    message(6, {"type": "rename-list", "id": "b2"}),
    message(7, {"type": "create-task", "id": "d4"}),
    message(8, {"type": "update-task", "id": "b2", "text": 5, "done": True}),
    message(9, ["create-task"]),
    message(10, {"type": "update-task", "id": "b2", "text": "Do it", "done": True}),
]


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
    assert [problem.partition(":")[0] for problem in problems] == [
        "0/2",
        "0/6",
        "0/7",
        "0/8",
        "0/9",
    ]
    view = app.projection_store.view(tasks)
    # The orphan that an update of a deleted task left in the old list is none here.
    assert dict(view.items()) == {"b2": Task("b2", "Do it", done=True)}
    recorded = list(app.event_store.read())
    assert [each.metadata["offset"] for each in recorded] == [0, 1, 3, 4, 5, 10]


def test_again_and_longer() -> None:
    app = connect("memory:", registry)
    for part in (EXPORT[:4], EXPORT[:2], EXPORT, EXPORT):
        import_events(app.event_store, part)
    recorded = list(app.event_store.read())
    assert [each.metadata["offset"] for each in recorded] == [0, 1, 3, 4, 5, 10]


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
