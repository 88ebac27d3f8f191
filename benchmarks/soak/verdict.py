"""What is true of a run, by the folder that it has left.

`eventsource_upstash.testing.history` checks the commands, the checkpoints, and each task that a reader saw; whole
lists, and that nobody sees less than somebody before, `benchmarks.soak.reading_check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.soak.reading_check import check_readings
from benchmarks.soak.results import Command, Doc, Fact, Look, Reading, lines
from eventsource_upstash.testing.history import Answer, Entry, History, Operation, Verdict, View, Violation, check
from eventsource_upstash.testing.history.records import AppendCall, CheckpointCall, HeadCall, ViewCall
from examples.todo.domain import tasks

OUTCOMES = {"ok": "ok", "refused": "failed", "unknown": "unknown"}


def judge(folder: Path) -> Verdict:
    """Check a run."""
    commands, readings = list(lines(folder, "commands", Command)), list(lines(folder, "readings", Reading))
    looks, log = list(lines(folder, "looks", Look)), list(lines(folder, "log", Fact))
    shown = msgspec.json.decode((folder / "view.json").read_bytes(), type=dict[str, Doc])
    operations = (*map(appended, commands), *seen(readings), *looked(looks))
    view = View(tasks.name, log[-1].position if log else 0, shown, fold, keys_of)
    verdict = check(History(operations), map(entry_of, log), [view])
    further = [
        *(Violation("a request sent again is told the same", told) for told in check_repeats(commands)),
        *(
            Violation("readers see all, and never less", told)
            for told in check_readings(readings, looks, log, commands)
        ),
    ]
    lists = sum(each.whole for each in readings)
    repeats = sum(each.again is not None for each in commands)
    counts = {**verdict.counts, "whole lists": lists, "requests sent again though answered": repeats}
    return Verdict([*verdict.violations, *further], counts)


def appended(command: Command) -> Operation:
    """A command as the history has it."""
    call = AppendCall(command.stream, mark_of(command.stream, command.mark))
    if command.outcome == "ok" and command.position:
        return Operation(command.process, call, command.began, command.ended, Answer("ok", position=command.position))
    if command.outcome == "unknown":
        return Operation(command.process, call, command.began, None, Answer("unknown"))
    return Operation(command.process, call, command.began, command.ended, Answer("failed"))


def seen(readings: Iterable[Reading]) -> Iterator[Operation]:
    """Each task that a reader saw."""
    for each in readings:
        for key, doc in each.seen.items():
            answer = Answer("ok", document=msgspec.to_builtins(doc))
            yield Operation(
                each.process, ViewCall(tasks.name, key, each.at_least or None), each.began, each.ended, answer
            )


def looked(looks: Iterable[Look]) -> Iterator[Operation]:
    """What the watcher saw."""
    for each in looks:
        for call, position in ((HeadCall(), each.head), (CheckpointCall(tasks.name), each.checkpoint)):
            yield Operation("watcher", call, each.began, each.ended, Answer("ok", position=position))


def entry_of(fact: Fact) -> Entry:
    """An event of the log as the history has it."""
    mark = mark_of(fact.stream, "deleted" if fact.deleted else fact.text)
    return Entry(fact.position, fact.stream, fact.revision, mark, fact)


def mark_of(stream: str, mark: str) -> str:
    """A deletion has no text, but each task is deleted by one append at most."""
    return f"{stream} deleted" if mark == "deleted" else mark


def task_of(stream: str) -> str:
    """The id of a stream's task."""
    return stream.removeprefix("task-")


def keys_of(entry: Entry) -> list[str]:
    """Of the task that an event is about."""
    return [task_of(entry.stream)]


def fold(document: object, entry: Entry) -> object:
    """What an event makes of a task: said anew, not by the app's own handlers."""
    assert isinstance(entry.event, Fact)
    if entry.event.deleted or (document is None and entry.revision > 1):
        return None
    return Doc(entry.event.text, entry.event.done)


def check_repeats(commands: Sequence[Command]) -> Iterator[str]:
    """A request that was sent again under its key is told what it was told before."""
    for command in commands:
        if command.again is not None and command.again != command.position:
            yield (
                f"{command.action} {command.mark!r} was told position {command.position}, and {command.again} when it "
                "was sent again under its key"
            )
