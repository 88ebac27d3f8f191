"""Mutation testing, by its command: a mutant takes the place of the function, and what is missing fails the command."""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from eventsource_upstash.domain.positions import is_position
from tests.forking import forked, wait_for
from tests.mutants.__main__ import read_listed
from tests.mutants.judging import report
from tests.mutants.killing import BROKEN, KILLED, SURVIVED, Killing, swap, verdict_of
from tests.mutants.mutant import SOURCE, Mutant
from tests.mutants.reaching import Reach

MODULE = "domain/positions.py"


def mutant(before: str, after: str) -> Mutant:
    start = (SOURCE / MODULE).read_bytes().index(before.encode())
    return Mutant(MODULE, "is_position", f"{before} -> {after}", start, start + len(before), after, range(1), "")


def functions() -> dict[CodeType, list[FunctionType]]:
    found = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            found[each.__code__].append(each)
    return found


def test_a_mutant_takes_the_place_of_the_function() -> None:
    held = functions()
    code = is_position.__code__
    assert is_position(0)
    try:
        assert swap(mutant("position >= 0", "position > 0"), held)
        assert not is_position(0), "the function is what it was"
        assert is_position(1)
    finally:
        is_position.__code__ = code
    assert not swap(mutant("position >= 0", "position >="), held), "it is no Python"
    assert not swap(mutant("position >= 0", "position > 0"), {}), "there is no function to be the mutant"


@pytest.mark.parametrize(
    ("killed", "survived", "listed", "code"),
    [
        (9, 1, {"* is_position: 9 -> *": "no user can tell"}, 0),
        (9, 1, {}, 1),
        (9, 1, {"* is_position: 8 -> *": "another one"}, 1),
        (8, 2, {"*": "no user can tell"}, 1),
        (10, 0, {}, 0),
    ],
)
def test_the_command_fails_for_a_survivor_without_a_reason_and_for_too_many(
    killed: int, survived: int, listed: dict[str, str], code: int
) -> None:
    verdicts = ["killed"] * killed + ["survived"] * survived
    mutants = [Mutant(MODULE, "is_position", f"{at} -> None", 0, 0, "", range(1), "") for at in range(len(verdicts))]
    found = {each.name: verdict for each, verdict in zip(mutants, verdicts, strict=True)}
    assert report(mutants, found, listed) == code


def test_an_untried_mutant_is_no_killed_one() -> None:
    one = Mutant(MODULE, "is_position", "0 -> 1", 0, 0, "", range(1), "")
    assert report([one], {one.name: None}, {}) == 1


def test_only_a_failed_test_or_too_long_a_time_kills() -> None:
    assert [verdict_of(code) for code in (KILLED, SURVIVED, -27, -14, -9)] == [
        "killed", "survived", "timeout", "timeout", "broken",
    ]  # fmt: skip


def test_a_test_that_fails_without_a_mutant_as_well_kills_none(tmp_path: Path) -> None:
    one = Mutant(MODULE, "is_position", "0 -> 1", 0, 0, "", range(1), "")

    def child(code: int) -> tuple[int, int]:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(writer, b".")  # the first test has begun
            os._exit(code)
        os.close(writer)
        return pid, reader

    def check(without: int) -> None:
        told: list[tuple[str, str]] = []
        killing = Killing([one], Reach({"t": 0.0}, {}), 1.0, 1, lambda _, *rest: told.append(rest))
        killing._folder = tmp_path
        pid, reader = child(KILLED)
        again = killing._wait({pid: (one, reader, ["t"])}, lambda *_: child(without))
        assert (again, told) == (([], [("killed", "t")]) if without == SURVIVED else ([one], []))

    # In a process of its own, whose children are these only.
    wait_for(forked(lambda: check(SURVIVED)), forked(lambda: check(KILLED)), forked(lambda: check(BROKEN)))


def test_each_survivor_that_is_listed_has_a_reason() -> None:
    listed = read_listed()
    assert len(listed) > 50
    assert all(why and mutant.partition(" ")[0] for mutant, why in listed.items())
