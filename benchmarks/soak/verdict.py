"""What is true of a run, by its folder: `python -m benchmarks.soak.verdict FOLDER` says it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.soak.reading_check import check_readings, states
from benchmarks.soak.results import Command, Doc, Fact, Look, Reading, lines


def check_repeats(commands: Sequence[Command]) -> Iterator[str]:
    """A request that was sent again under its key is told what it was told before."""
    for command in commands:
        if command.again is not None and command.again != command.position:
            yield (
                f"{command.action} {command.mark!r} was told position {command.position}, and {command.again} when it "
                "was sent again under its key"
            )


def check_list(shown: dict[str, Doc | None], log: Sequence[Fact]) -> Iterator[str]:
    """The list at the end is what the whole log makes."""
    wanted = {id: task.states[-1] for id, task in states(log).items() if task.states[-1] is not None}
    for id in sorted({*shown, *wanted}):
        if shown.get(id) != wanted.get(id):
            yield f"task {id} is {shown.get(id)} in the list, and the log makes it {wanted.get(id)}"


def check_log(commands: Sequence[Command], log: Sequence[Fact]) -> Iterator[str]:
    found: dict[str, list[int]] = {}
    revisions: dict[str, int] = {}
    last = 0
    for fact in log:
        mark = f"{fact.stream} deleted" if fact.deleted else fact.text
        found.setdefault(mark, []).append(fact.position)
        if fact.position <= last:
            yield f"position {fact.position} after {last}"
        last = fact.position
        if fact.revision != revisions.get(fact.stream, 0) + 1:
            yield f"revision {fact.revision} of {fact.stream}"
        revisions[fact.stream] = fact.revision
    for c in commands:
        mark = f"{c.stream} deleted" if c.action == "delete" else c.mark
        at = found.pop(mark, [])
        if len(at) > 1:
            yield f"twice: {mark} {at}"
        if c.outcome == "ok" and at != [c.position]:
            yield f"{c} is at {at}"
        if c.outcome == "refused" and at:
            yield f"{c} refused and at {at}"
    for mark in found:
        yield f"nobody's: {mark}"


def main(folder: Path) -> None:
    log, commands = list(lines(folder, "log", Fact)), list(lines(folder, "commands", Command))
    shown = msgspec.json.decode((folder / "view.json").read_bytes(), type=dict[str, Doc | None])
    readings, looks = list(lines(folder, "readings", Reading)), list(lines(folder, "looks", Look))
    print(len(log), len(commands), len(shown), len(readings), len(looks))
    for each in (
        *check_log(commands, log),
        *check_repeats(commands),
        *check_list(shown, log),
        *check_readings(readings, looks, log, commands),
    ):
        print(each)


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
