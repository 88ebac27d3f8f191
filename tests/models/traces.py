"""Behaviours of the model, to be done again by the real protocol: `python -m tests.models.traces` renews traces.json.

TLC walks through the model at random; of many walks those are kept that together do all that any of them does: each
action, with what it met and what became of it.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tests.models import check, told

HERE: Final = Path(__file__).parent
KEPT: Final = HERE / "traces.json"

# Log and views are beside each other, and every projection folds: so it is in the worlds in which these are done again.
WORLDS: Final = {
    "at leisure": {"Appends": "2", "Faults": "3"},
    "no time for more than a page": {"Appends": "2", "Faults": "2", "Page": "1", "Hurried": "TRUE"},
    "a reader": {"Appends": "2", "Faults": "1", "Page": "1", "Hurried": "TRUE", "Reader": "TRUE"},
    "a reader, at leisure": {"Appends": "2", "Faults": "1", "Page": "1", "Reader": "TRUE"},
}

ACTORS: Final = ("a1", "a2", "w1", "w2")


class Step(msgspec.Struct, frozen=True, array_like=True):
    """An action, and the state that it leads to.

    Attributes:
        name: The action's.
        who: The appender or the worker.
        what: The message of a delivery: its position, and how many of that position were sent before it.
        head: Of the log.
        flag: The position of what is outstanding; 0 for nothing.
        checkpoints: Of the projections.
        queue: Messages that are not answered.
        waits: What each of `ACTORS` is about to do.
    """

    name: str
    who: str
    what: tuple[int, int] | None
    head: int
    flag: int
    checkpoints: list[int]
    queue: list[tuple[int, int]]
    waits: list[str]


class Traces(msgspec.Struct, frozen=True):
    """What is kept of one world."""

    world: str
    hurried: bool
    page: int
    traces: list[list[Step]]


class Kept(msgspec.Struct, frozen=True):
    """All that is kept, and of which model."""

    model: str
    worlds: list[Traces]


class Walk(NamedTuple):
    steps: list[Step]
    does: frozenset[object]


def fingerprint() -> str:
    """Tells one text of the model from another."""
    return hashlib.sha256((HERE / "Notifications.tla").read_bytes()).hexdigest()


def kept() -> Kept:
    """The traces in the file."""
    return msgspec.json.decode(KEPT.read_bytes(), type=Kept)


def walks(constants: Mapping[str, str], count: int, depth: int = 60) -> list[Walk]:
    """Walk through a world at random."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = ["-depth", str(depth), "-simulate", f"file=walk,num={count}"]
        check.run({**constants, "Tells": "TRUE"}, (), *options, folder=folder)
        return [walk(told.states(path.read_text())) for path in sorted(folder.glob("walk_*"))]


def walk(states: Sequence[Mapping[str, Any]]) -> Walk:
    """The steps between states, and what they do."""
    steps, does = [], set[object]()
    for before, after in pairwise(states):
        name, who, what = after["act"]
        found = step(name, who, what, after)
        steps.append(found)
        at: Mapping[str, Any] = next((each[who] for each in (before["app"], before["work"]) if who in each), {})
        became = found.waits[ACTORS.index(who)] if who in ACTORS else ""
        flag = before["flag"]
        same = flag["pos"] == at.get("pos", 0)
        does.add((name, flag["pos"] > 0, flag["lost"], same, found.flag > 0, became, after["mute"]))
        does.add((name, min(len(before["queue"]), 2), len(set(found.checkpoints)), found.head > max(found.checkpoints)))
    return Walk(steps, frozenset(does))


def step(name: str, who: str, what: Any, after: Mapping[str, Any]) -> Step:
    waits = [(after["app"] | after["work"])[each]["pc"] for each in ACTORS]
    message = (what["pos"], what["at"]) if isinstance(what, dict) else None
    queue = sorted((each["pos"], each["at"]) for each in after["queue"])
    checkpoints = [at for _, at in sorted(after["cp"].items())]
    return Step(name, who, message, after["head"], after["flag"]["pos"], checkpoints, queue, waits)


def choose(found: Sequence[Walk]) -> list[Walk]:
    """Few walks that do all that the others do."""
    left = set[object]().union(*(each.does for each in found))
    chosen: list[Walk] = []
    while left:
        best = max(found, key=lambda each: len(each.does & left))
        chosen.append(best)
        left -= best.does
    return chosen


def main(count: int) -> None:
    """Renew the file."""
    worlds = []
    for name, constants in WORLDS.items():
        found = walks(constants, count)
        chosen = choose(found)
        print(f"{name}: of {len(found)} walks {len(chosen)} do all that was seen to be done")  # noqa: T201  it is a command
        page = int(constants.get("Page", "9"))
        worlds.append(Traces(name, "Hurried" in constants, page, [each.steps for each in chosen]))
    KEPT.write_bytes(msgspec.json.encode(Kept(fingerprint(), worlds)) + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
