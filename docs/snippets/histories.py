"""Checking histories: record what processes do, and check what they leave."""

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from docs.snippets.todo import Task, TaskCompleted, TaskCreated, registry, tasks
from eventsource_upstash import ConcurrencyError, SQLite, connect

# --8<-- [start:record]
from eventsource_upstash.testing.history import History, Recorder, check, entries


def work(name: str, folder: Path) -> None:
    recorder = Recorder(name, folder / f"{name}.jsonl")
    with recorder, connect(SQLite(folder / "todo.db"), registry) as app:
        store = recorder.event_store(app.event_store)
        projector = recorder.projector(app.projector)
        view = recorder.projection_store(app.projection_store).view(tasks)
        for number in range(20):
            stream = f"task-{number}"
            with suppress(ConcurrencyError):  # the other one was quicker
                store.append(stream, TaskCreated("Do the dishes!"), expected_revision=0)
            position = store.append(stream, TaskCompleted()).position
            view.get(stream, at_least=position)
        projector.catch_up()


# --8<-- [end:record]


def test_two_writers(tmp_path: Path) -> None:
    folder = tmp_path
    # --8<-- [start:check]
    writers = [threading.Thread(target=work, args=(name, folder)) for name in ("left", "right")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    with connect(SQLite(folder / "todo.db"), registry) as app:
        verdict = check(History.read(folder), log=entries(app.event_store.read()))
    print(verdict)
    verdict.raise_()
    # --8<-- [end:check]
    assert verdict.counts["appends acknowledged"] == 60


# --8<-- [start:view]
from eventsource_upstash.testing.history import Entry, View  # noqa: E402


def fold(document: object, entry: Entry) -> object:
    if isinstance(entry.event, TaskCreated):
        return Task(entry.event.text)
    return replace(document, done=True) if isinstance(document, Task) else None


def keys(entry: Entry) -> list[str]:
    return [entry.stream]


# --8<-- [end:view]


def test_a_view(tmp_path: Path) -> None:
    folder = tmp_path
    work("left", folder)
    with connect(SQLite(folder / "todo.db"), registry) as app:
        # --8<-- [start:views]
        (status,) = app.projection_store.status()
        documents = dict(app.projection_store.view(tasks).items())
        view = View("tasks", status.checkpoint, documents, fold, keys)
        log = entries(app.event_store.read())
        verdict = check(History.read(folder), log, views=[view])
        # --8<-- [end:views]
    verdict.raise_()


def test_an_app_from_outside() -> None:
    class Answer:
        status_code = 200
        revision = 1

    def post(url: str, headers: dict[str, str]) -> Answer:
        assert (url, headers) == ("/tasks/1", {"Idempotency-Key": "writer-1"})
        return Answer()

    recorder = Recorder("writer")
    # --8<-- [start:http]
    with recorder.append("task-1", mark="writer-1", expected_revision=0) as call:
        answer = post("/tasks/1", headers={"Idempotency-Key": "writer-1"})
        if answer.status_code == 200:
            call.ok(revision=answer.revision)
        elif answer.status_code == 409:
            call.conflict()
        elif answer.status_code == 400:
            call.failed()
        else:
            call.unknown()
    # --8<-- [end:http]
    (operation,) = History.of(recorder).operations
    assert operation.answer.revision == 1


# --8<-- [start:plans]
from hypothesis import given, settings  # noqa: E402

from eventsource_upstash import Memory  # noqa: E402
from eventsource_upstash.testing.history import Plan, plans, run_plan  # noqa: E402


@settings(max_examples=10, deadline=None)
@given(plan=plans())
def test_my_backend_keeps_its_promises(plan: Plan) -> None:
    backend = Memory()  # yours
    run_plan(plan, lambda: backend).raise_()


# --8<-- [end:plans]
