"""Measures large views, long aggregates and large logs, each in fresh processes, and makes their tables."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from benchmarks.costs_table import table
from benchmarks.measuring import median
from benchmarks.running import TMPFS, run_process
from benchmarks.table import number

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACES = {"memory": "memory", "sqlite": "SQLite", "upstash": "local Upstash"}
REBUILDS = {"sqlite": (100_000, 1_000_000), "upstash": (100_000, 200_000)}
QUICK = {"sqlite": (20_000, 100_000), "upstash": (10_000, 20_000)}

# What is measured by `large_ours.py`: the work, and its parts with their titles.
PARTS = {
    "board": {
        "commit": "fold 1,000 scores of 1,000 players",
        "top": "`top(10)`",
        "rank": "`rank(key)`",
        "page": "a page of a range, 100",
    },
    "long": {
        "load plain": "load, from all events",
        "load snapshot": "load, by a snapshot",
        "load cache": "load, by a state that the process keeps",
        "execute plain": "execute, from all events",
        "execute snapshot": "execute, by a snapshot",
        "execute cache": "execute, by a state that the process keeps",
    },
    "tagged": {
        "query": "read the 100 events with a tag",
        "condition": "append under the condition that there is no other",
        "plain": "append without a condition",
    },
}
TITLES = {
    "board": "a leaderboard of 100,000 players",
    "long": "an aggregate of 10,000 events",
    "tagged": "a log of 100,000 events",
}

Taken: TypeAlias = "tuple[float, float, float]"
"""Microseconds, requests, commands."""


@dataclass
class Large:
    """`rebuilds`: by place and size what the floor took, and what this library. `parts`: by work, place and part."""

    rebuilds: dict[tuple[str, int], tuple[dict[str, float], dict[str, float]]] = field(
        default_factory=dict[tuple[str, int], "tuple[dict[str, float], dict[str, float]]"]
    )
    parts: dict[tuple[str, str], dict[str, Taken]] = field(default_factory=dict[tuple[str, str], "dict[str, Taken]"])

    @classmethod
    def measured(cls, python: Path, turns: int, *, quick: bool) -> Large:
        """In turns, so that drift cancels; of each number the median."""
        large = cls()
        for where, sizes in (QUICK if quick else REBUILDS).items():
            for size in sizes:
                both: list[tuple[dict[str, float], dict[str, float]]] = []
                for _ in range(turns):
                    floor, ours = (_measured(python, work, where, size) for work in ("floor", "rebuild"))
                    both.append((cast("dict[str, float]", floor), cast("dict[str, float]", ours)))
                large.rebuilds[where, size] = (
                    _medians([each[0] for each in both]),
                    _medians([each[1] for each in both]),
                )
        for work in PARTS:
            for where in PLACES:
                runs = [cast("dict[str, Taken]", _measured(python, work, where, 0)) for _ in range(turns)]
                large.parts[work, where] = {part: _median_of([run[part] for run in runs]) for part in runs[0]}
        return large

    def markdown(self) -> str:
        return "\n\n".join([self._rebuilds(), *[self._parts(work) for work in PARTS]]) + "\n"

    def _rebuilds(self) -> str:
        lines = [
            [
                "rebuild",
                "floor, s",
                "ours, s",
                "ours ÷ floor",
                "processor time, ÷ floor",
                "events a second",
                "peak memory, MB",
                "the floor's",
                "database, MB",
                "with the new build",
                "requests for 1,000 events",
                "commands for 1,000 events",
            ]
        ]
        for (where, size), (floor, ours) in self.rebuilds.items():
            remote = where == "upstash"
            lines.append(
                [
                    f"{size:,} events, {PLACES[where]}",
                    number(floor["seconds"]),
                    number(ours["seconds"]),
                    number(ours["seconds"] / floor["seconds"]),
                    number(ours["cpu"] / floor["cpu"]),
                    f"{size / ours['seconds']:,.0f}",
                    number(ours["peak"]),
                    number(floor["peak"]),
                    number(ours["before"]),
                    number(ours["after"]),
                    number(ours["requests"] * 1_000 / size) if remote else "-",
                    number(ours["commands"] * 1_000 / size) if remote else "-",
                ]
            )
        return table(lines)

    def _parts(self, work: str) -> str:
        heading = [f"{TITLES[work]}, µs", *PLACES.values(), "HTTP requests", "Redis commands"]
        lines = [heading]
        for part, title in PARTS[work].items():
            times = [number(self.parts[work, where][part][0]) for where in PLACES]
            _, requests, commands = self.parts[work, "upstash"][part]
            lines.append([title, *times, f"{requests:.0f}", f"{commands:.0f}"])
        return table(lines)


def _measured(python: Path, work: str, where: str, size: int) -> object:
    print(f"{work}, {PLACES[where]}{f', {size:,}' if size else ''}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=TMPFS if TMPFS.is_dir() else None) as folder:
        done = run_process([str(python), "-m", "benchmarks.large_run", work, where, str(size), folder])
    if done.returncode:
        raise RuntimeError(f"{work} on {where} could not be measured:\n{done.stderr}")
    return json.loads(done.stdout)


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: median([run[name] for run in runs]) for name in runs[0]}


def _median_of(runs: Sequence[Taken]) -> Taken:
    times, requests, commands = (median(list(each)) for each in zip(*runs, strict=True))
    return times, requests, commands
