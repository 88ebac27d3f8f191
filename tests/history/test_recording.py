"""What is recorded: by a process that lives, by one that is killed, and by the faces."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from eventsource_upstash import ConcurrencyError, EventStore, Memory, OutcomeUnknown, ProjectionStore, Projector
from eventsource_upstash.testing.history import History, Recorder, View, check, entries
from tests.forking import forked
from tests.unit.todo import Task, TaskCompleted, TaskCreated, todo


def outcomes(history: History) -> list[str]:
    return [each.answer.outcome for each in history.operations]


def test_the_faces_record_by_themselves() -> None:
    the, backend, recorder = todo(), Memory(), Recorder("p")
    plain = EventStore(backend, the.registry)
    views = ProjectionStore(backend, the.registry)
    store, projector = recorder.event_store(plain), recorder.projector(Projector(plain, views))
    reader = recorder.projection_store(views)
    token = store.append("task-1", TaskCreated("1", "x"), TaskCompleted("1"), expected_revision=0).position
    with pytest.raises(ConcurrencyError):
        store.append("task-1", TaskCreated("1", "x"), expected_revision=0)
    assert [each.revision for each in store.read_stream("task-1", after_revision=1)] == [2]
    assert [each.position for each in store.read(limit=1)] == [1]
    assert store.head() == 2
    assert reader.view(the.tasks).get("1") is None
    assert reader.view(the.tasks).get("1", at_least=token) == Task("1", "x", done=True)
    assert projector.catch_up().complete
    assert reader.checkpoint(the.tasks) == 2

    def fold(document: object, entry: object) -> object:
        event = getattr(entry, "event", None)
        return Task("1", "x", done=isinstance(event, TaskCompleted))

    view = View("tasks", 2, dict(views.view(the.tasks).items()), fold, lambda entry: ["1"])
    history = History.of(recorder)
    check(history, entries(plain.read()), [view]).raise_()
    told = [str(each) for each in history.operations]
    assert told[1].endswith("expecting 0 -> conflict: at revision 2")
    assert [each.partition(" -> ")[2] for each in told[2:5]] == [
        f"1 events: 2: {entries(plain.read())[1].mark}",
        f"1 events: 1: {entries(plain.read())[0].mark}",
        "2",
    ]
    assert told[-3:] == [
        "p: '1' of view 'tasks', at least at 2 -> {'id': '1', 'text': 'x', 'done': True}",
        "p: catch up -> at 2, complete",
        "p: checkpoint of 'tasks' -> 2",
    ]


def test_an_app_is_recorded_from_outside(tmp_path: Path) -> None:
    with Recorder("p", tmp_path / "p.jsonl") as recorder:
        with recorder.append("s", "a") as call:
            call.ok(revision=1)
        with recorder.append("s", "b", expected_revision=0) as call:
            call.conflict()
        with recorder.append("s", "c") as call:
            call.failed()
            call.unknown()  # too late
        with pytest.raises(RuntimeError, match="has not said how the call ended"), recorder.append("s", "d"):
            pass
        with pytest.raises(OutcomeUnknown), recorder.append("s", "e"):
            raise OutcomeUnknown("it")
        with pytest.raises(KeyboardInterrupt), recorder.append("s", "f"):
            raise KeyboardInterrupt
        with recorder.read_stream("s") as read:
            read.ok([(1, "a")])
        with recorder.read_log() as read:
            read.ok([(1, "a")])
        with recorder.head() as head:
            head.ok(1)
        with recorder.catch_up() as caught_up:
            caught_up.ok(position=1, complete=True)
        with recorder.checkpoint("tasks") as checkpoint:
            checkpoint.ok(1)
        with recorder.view("tasks", "1", at_least=1) as view:
            view.ok({"id": "1"})
    with pytest.raises(ValueError, match="is closed"):
        recorder.head().__enter__()
    history = History.read(tmp_path)
    assert outcomes(history) == ["ok", "conflict", "failed", "unknown", "unknown", "unknown", *["ok"] * 6]
    assert history.operations == History.of(recorder).operations
    assert [each.returned is None for each in history.operations[:6]] == [False, False, False, True, True, True]


def test_what_a_killed_process_had_begun_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"

    def work() -> None:
        recorder = Recorder("p", path)
        with recorder.append("s", "a") as call:
            call.ok(position=1, revision=1)
        recorder.append("s", "b").__enter__()
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(2):
        os.waitpid(forked(work), 0)
        with path.open("ab") as file:
            file.write(b'{"record":"invok')  # and it was cut off amid a line
    history = History.read(tmp_path)
    assert [(str(each), each.returned is None) for each in history.operations] == [
        ("p: append 'a' to 's', expecting any -> revision 1, position 1", False),
        ("p: append 'b' to 's', expecting any -> unknown", True),
    ]


def test_a_file_that_was_cut_off_amid_a_life_is_none(tmp_path: Path) -> None:
    with Recorder("p", tmp_path / "p.jsonl") as recorder, recorder.append("s", "a") as call:
        call.ok()
    lines = recorder.path.read_bytes().splitlines() if recorder.path else []
    (tmp_path / "p.jsonl").write_bytes(b"\n".join([lines[0], lines[1][:20], lines[2]]))
    with pytest.raises(ValueError, match=r"p.jsonl:2 is no record"):
        History.read(tmp_path)


def test_the_tries_of_one_append_are_one_operation() -> None:
    recorder, other = Recorder("p"), Recorder("q")
    with recorder.append("s", "a", expected_revision=0) as call:
        call.unknown()
    with other.append("s", "a", expected_revision=0) as call:
        call.ok(position=1, revision=1)
    (only,) = History.of(recorder, other).operations
    assert (only.process, only.answer.revision) == ("p", 1)
    with other.append("s", "a", expected_revision=0) as call:
        call.ok(position=2, revision=2)
    assert len(History.of(recorder, other).operations) == 2, "it was told of two places"
    with other.append("s", "b", expected_revision=0) as call:
        call.conflict(actual=1)
    with recorder.append("s", "b", expected_revision=0) as call:
        call.unknown()
    assert outcomes(History.of(recorder, other))[-1] == "unknown"
    with other.append("t", "b") as call:
        call.failed()
    with pytest.raises(ValueError, match="two different appends have one mark"):
        History.of(recorder, other)
