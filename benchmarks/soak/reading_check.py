"""Whether lists that readers saw over HTTP lack nothing, and nobody sees less than somebody before.

An answer of the app tells no checkpoint. But the text of each task is unique to one event, so that what was seen tells
between which two positions of the log the view was: from the event that made it so, and before the next one of that
task. These ranges are held against each other in real time.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from benchmarks.soak.results import Command, Doc, Fact, Look, Reading

ALL = sys.maxsize


@dataclass
class Task:
    """What the log says of one task: its states, each from a position on. Before the first there is none."""

    positions: list[int] = field(default_factory=list[int])
    states: list[Doc | None] = field(default_factory=list["Doc | None"])

    def when(self, state: Doc | None) -> Iterator[tuple[int, int]]:
        """From which position, and up to before which, the task was in a state."""
        borders = [0, *self.positions, ALL]
        for (start, end), each in zip(pairwise(borders), [None, *self.states], strict=True):
            if each == state:
                yield start, end


@dataclass(frozen=True)
class Seen:
    """A look, in positions: the view was at one of them, from `start` on and before `end`."""

    began: int
    ended: int
    start: int
    end: int
    what: str


def states(log: Iterable[Fact]) -> dict[str, Task]:
    """The tasks of a log."""
    found: dict[str, Task] = {}
    for fact in log:
        task = found.setdefault(fact.stream.removeprefix("task-"), Task())
        task.positions.append(fact.position)
        task.states.append(None if fact.deleted else Doc(fact.text, fact.done))
    return found


class Later:
    """What was appended only after a moment, as far as answers tell."""

    def __init__(self, commands: Iterable[Command]) -> None:
        told = sorted((each.began, each.position) for each in commands if each.position)
        self._began = [began for began, _ in told]
        self._lowest = list(accumulate((position for _, position in reversed(told)), min))[::-1]

    def than(self, moment: int) -> int:
        """The lowest position that was appended by a command that began after a moment."""
        index = bisect_right(self._began, moment)
        return self._lowest[index] if index < len(self._lowest) else ALL


def check_readings(
    readings: Sequence[Reading], looks: Iterable[Look], log: Sequence[Fact], commands: Iterable[Command]
) -> Iterator[str]:
    """All that is wrong with what readers saw, in words."""
    tasks, later = states(log), Later(commands)
    seen = [Seen(each.began, each.ended, each.checkpoint, each.checkpoint + 1, "the checkpoint") for each in looks]
    for reading in readings:
        high = later.than(reading.ended)
        for key, doc in reading.seen.items():
            whens = tasks.get(key, Task()).when(doc)
            fits = [(start, end) for start, end in whens if end > reading.at_least and start < high]
            if fits:  # else it never was so, or is too old: what the history's own check says
                # Of several any may be meant: together they reach from the first to the last.
                seen.append(Seen(reading.began, reading.ended, fits[0][0], fits[-1][1], f"task {key} as {doc}"))
    yield from _missing([each for each in readings if each.whole], tasks, log, later)
    yield from _going_back(seen)


def _missing(lists: Iterable[Reading], tasks: dict[str, Task], log: Sequence[Fact], later: Later) -> Iterator[str]:
    """Tasks that were there at the position asked for, and are deleted later than the list was answered, if ever."""
    there: set[str] = set()
    at = 0
    for reading in sorted(lists, key=lambda each: each.at_least):
        while at < len(log) and log[at].position <= reading.at_least:
            key = log[at].stream.removeprefix("task-")
            (there.discard if log[at].deleted else there.add)(key)
            at += 1
        high = later.than(reading.ended)
        for key in sorted(there - reading.seen.keys()):
            if not any(start < high for start, end in tasks[key].when(None) if end > reading.at_least):
                yield f"a reader ({reading.process}) asked for position {reading.at_least}, and did not see task {key}"


def _going_back(seen: Sequence[Seen]) -> Iterator[str]:
    """What a look saw that began after another one had ended is not older than what that one saw."""
    by_end = sorted(seen, key=lambda each: each.ended)
    ends = [each.ended for each in by_end]
    furthest: list[Seen] = []  # of those that had ended by then: the one that saw the most
    for each in by_end:
        furthest.append(each if not furthest or each.start >= furthest[-1].start else furthest[-1])
    for each in seen:
        before = bisect_left(ends, each.began)
        if before and (other := furthest[before - 1]).start >= each.end:
            yield (
                f"{other.what} was seen, from position {other.start} on, and after that {each.what}, which was over at "
                f"position {each.end}"
            )
