"""Several processes on one file, and processes that are killed: nothing acknowledged is lost or applied twice."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventsource_upstash import Recorded, connect
from tests.faults.processes import run, start
from tests.unit.todo import Task, TaskCompleted, TaskCreated, todo

# Appends its tasks to one stream, each at the revision that it knows, and goes on from what the conflict tells it.
APPENDS_WITH_RETRIES = """
import sys
from eventsource_upstash import ConcurrencyError, connect
from tests.unit.todo import TaskCreated, todo

_, path, name, count = sys.argv
conflicts = revision = 0
with connect(f"sqlite:{path}", todo().registry) as app:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(count)):
        while True:
            try:
                appended = app.event_store.append(
                    "tasks", TaskCreated(f"{name}-{number:03}", "x"), expected_revision=revision
                )
            except ConcurrencyError as conflict:
                assert conflict.actual == revision + len(conflict.events), conflict
                revision = conflict.actual
                conflicts += 1
            else:
                revision = appended.revision
                break
print(conflicts, flush=True)
"""


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stdout.readline() == "ready\n"


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), err
    return out


def test_two_processes_append_to_one_stream(tmp_path: Path) -> None:
    path, count = tmp_path / "log.db", 60
    with ExitStack() as stack:
        writers = [stack.enter_context(start(APPENDS_WITH_RETRIES, str(path), name, str(count))) for name in "ab"]
        for writer in writers:
            ready(writer)
        for writer in writers:
            go(writer)
        for writer in writers:
            ended(writer)
    with connect(f"sqlite:{path}", todo().registry) as app:
        recorded = list(app.event_store.read_stream("tasks"))
        assert [each.revision for each in recorded] == list(range(1, 2 * count + 1))
        assert [each.position for each in recorded] == list(range(1, 2 * count + 1))
        ids = [each.event.id for each in recorded if isinstance(each.event, TaskCreated)]
        for name in "ab":
            assert [id_ for id_ in ids if id_.startswith(name)] == [f"{name}-{number:03}" for number in range(count)]
        assert len({each.id for each in recorded}) == 2 * count


# The first use of a file, by several at the same moment.
OPENS_AND_APPENDS = """
import sys
from eventsource_upstash import connect
from tests.unit.todo import TaskCreated, todo

print("ready", flush=True)
sys.stdin.readline()
with connect(f"sqlite:{sys.argv[1]}", todo().registry) as app:
    app.event_store.append("tasks", TaskCreated(sys.argv[2], "x"))
"""


def test_several_processes_create_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    names = [str(number) for number in range(6)]
    with ExitStack() as stack:
        writers = [stack.enter_context(start(OPENS_AND_APPENDS, str(path), name)) for name in names]
        for writer in writers:
            ready(writer)
        for writer in writers:
            go(writer)
        for writer in writers:
            ended(writer)
    with connect(f"sqlite:{path}", todo().registry) as app:
        ids = {each.event.id for each in app.event_store.read() if isinstance(each.event, TaskCreated)}
        assert ids == set(names)


# Several projectors on one view: whoever loses writes nothing.
CATCHES_UP = """
import sys
from eventsource_upstash import Projector, connect
from tests.unit.todo import todo

with connect(f"sqlite:{sys.argv[1]}", todo().registry) as app:
    projector = Projector(app.event_store, app.projection_store, page_size=7)
    print("ready", flush=True)
    sys.stdin.readline()
    print(projector.catch_up().applied, flush=True)
"""


def test_several_processes_fold_into_one_view(tmp_path: Path) -> None:
    path, count = tmp_path / "log.db", 1000
    with connect(f"sqlite:{path}", todo().registry) as app:
        app.event_store.append("tasks", *(TaskCreated(f"{number:04}", "x") for number in range(count)))
    with ExitStack() as stack:
        projectors = [stack.enter_context(start(CATCHES_UP, str(path))) for _ in range(3)]
        for projector in projectors:
            ready(projector)
        for projector in projectors:
            go(projector)
        applied = [int(ended(projector)) for projector in projectors]
    assert sum(applied) == count, "each event was applied by exactly one of them"
    the = todo()
    with connect(f"sqlite:{path}", the.registry) as app:
        assert app.projection_store.view(the.tasks).count() == count


# Appends, and catches up now and then, until it is killed. Each line was acknowledged.
APPENDS_UNTIL_KILLED = """
import sys
from eventsource_upstash import Projector, connect
from tests.unit.todo import TaskCompleted, TaskCreated, todo

_, path, first, every = sys.argv
app = connect(f"sqlite:{path}", todo().registry)
projector = Projector(app.event_store, app.projection_store, page_size=3)
number = int(first)
while True:
    name = f"{number:06}"
    app.event_store.append("tasks", TaskCreated(name, "x"), TaskCompleted(name), idempotency_key=name)
    print(name, flush=True)
    number += 1
    if number % int(every) == 0:
        projector.catch_up()
"""


@pytest.mark.parametrize("every", [1, 4, 1_000_000], ids=["folding always", "folding often", "never folding"])
def test_a_process_that_is_killed_while_it_writes(tmp_path: Path, every: int) -> None:
    path = tmp_path / "log.db"
    acknowledged: list[str] = []
    for life in range(6):
        with start(APPENDS_UNTIL_KILLED, str(path), str(life * 100_000), str(every)) as process:
            assert process.stdout
            lines = [process.stdout.readline().strip() for _ in range(5 + 13 * life)]
            process.send_signal(signal.SIGKILL)
            rest, error = process.communicate()
            assert (process.returncode, error) == (-signal.SIGKILL, "")
        acknowledged += [*lines, *rest.split()]
        holds_what_was_acknowledged(path, acknowledged, catch_up=life % 2 == 1)


def holds_what_was_acknowledged(path: Path, acknowledged: list[str], *, catch_up: bool) -> None:
    the = todo()
    with connect(f"sqlite:{path}", the.registry) as app:
        recorded = list(app.event_store.read())
        revisions = [each.revision for each in recorded]
        assert revisions == list(range(1, len(recorded) + 1))
        created = [each.event.id for each in recorded if isinstance(each.event, TaskCreated)]
        assert len(recorded) == 2 * len(created), "both events of an append are there, or neither"
        missing = set(acknowledged) - set(created)
        assert not missing
        assert len(created) == len(set(created))
        (status,) = app.projection_store.status()
        view = app.projection_store.view(the.tasks)
        assert dict(view.items()) == fold(recorded[: status.checkpoint]), "the view is the fold of the log, up to there"
        if catch_up:
            app.projector.catch_up()
            assert dict(view.items()) == {each: Task(each, "x", done=True) for each in created}
        again = app.event_store.append("tasks", *[each.event for each in recorded[:2]], idempotency_key=created[0])
        assert again.repeated, "the key is kept in the same step as its events"


def fold(recorded: list[Recorded[object]]) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for each in recorded:
        assert isinstance(each.event, (TaskCreated, TaskCompleted))
        tasks[each.event.id] = Task(each.event.id, "x", done=isinstance(each.event, TaskCompleted))
    return tasks


WORKER_UNTIL_KILLED = """
import sys
from eventsource_upstash import connect
from tests.unit.todo import TaskCreated, todo

_, path, first = sys.argv
app = connect(f"sqlite:{path}", todo().registry)
with app.worker(poll_interval=3600):
    for number in range(int(first), sys.maxsize):
        app.event_store.append("tasks", TaskCreated(f"{number:06}", "x"))
        print(number, flush=True)
"""


def test_a_process_that_is_killed_while_its_worker_folds(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    last = -1
    for _ in range(3):
        with start(WORKER_UNTIL_KILLED, str(path), str(last + 1)) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(100)]
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
        last = int("".join([*lines, rest]).split()[-1])
        the = todo()
        with connect(f"sqlite:{path}", the.registry) as app:
            created = [each.event.id for each in app.event_store.read() if isinstance(each.event, TaskCreated)]
            assert created[: last + 1] == [f"{number:06}" for number in range(last + 1)]
            last = len(created) - 1
            (status,) = app.projection_store.status()
            keys = [key for key, _ in app.projection_store.view(the.tasks).items()]
            assert keys == created[: status.checkpoint]


CRASHES_IN_A_HANDLER = """
import os, sys
from eventsource_upstash import connect
from tests.unit.todo import Task, TaskCreated, todo

the = todo()
crashing = the.registry.projection("crashing", Task)

@crashing.on(TaskCreated)
def created(task, event):
    if event.id == "3":
        os._exit(7)
    return Task(event.id, event.text)

app = connect(f"sqlite:{sys.argv[1]}", the.registry)
app.event_store.append("tasks", *(TaskCreated(str(number), "x") for number in range(5)))
try:
    app.projector.catch_up()
finally:
    os._exit(1)
"""


def test_a_process_that_ends_within_a_handler(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with start(CRASHES_IN_A_HANDLER, str(path)) as process:
        process.communicate()
        assert process.returncode == 7
    the = todo()
    with connect(f"sqlite:{path}", the.registry) as app:
        assert app.event_store.head() == 5, "what was appended is there"
        assert app.projection_store.view(the.tasks).count() == 0
        assert app.projector.catch_up().applied == 5
        assert app.projection_store.view(the.tasks).count() == 5


def test_programs_say_nothing_when_all_is_well(tmp_path: Path) -> None:
    # Guards the tests above: a program that warns or fails is noticed.
    assert run("print('x')") == "x\n"
    with pytest.raises(AssertionError, match="exit 1"):
        run("raise SystemExit('no')")
    with pytest.raises(AssertionError, match="ResourceWarning"):
        run(f"import sqlite3\nopen({str(tmp_path / 'x')!r}, 'w')")
