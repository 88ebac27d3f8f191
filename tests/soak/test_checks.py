"""The checks that the soak has of its own: each is silent about what is right, and finds what is wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.soak.lives import leaks, lives
from benchmarks.soak.reading_check import check_readings
from benchmarks.soak.results import Command, Doc, Fact, Look, Reading, Sample, Writing
from benchmarks.soak.telling import processes
from benchmarks.soak.verdict import judge

LOG = [
    Fact(1, "task-a", 1, "a one"),
    Fact(2, "task-b", 1, "b one"),
    Fact(3, "task-a", 2, "a two", done=True),
    Fact(4, "task-b", 2, "", deleted=True),
    Fact(5, "task-c", 1, "c one"),
]
COMMANDS = [
    Command("w0", "task-a", "a one", "create", 10, 11, "ok", 1),
    Command("w1", "task-b", "b one", "create", 20, 21, "ok", 2, again=2),
    Command("w0", "task-a", "a two", "complete", 30, 31, "ok", 3),
    Command("w1", "task-b", "deleted", "delete", 40, 41, "ok", 4),
    Command("w1", "task-b", "b late", "rename", 45, 46, "refused"),
    Command("w0", "task-c", "c one", "create", 50, None, "unknown"),
    Command("w0", "task-d", "d one", "create", 52, None, "unknown"),
]
A1, A2, B1, C1 = Doc("a one", False), Doc("a two", True), Doc("b one", False), Doc("c one", False)
READINGS = [
    Reading("weak", 12, 15, 0, {"a": A1}),
    Reading("at least", 22, 25, 2, {"a": A1, "b": B1}, whole=True),
    Reading("strong", 32, 35, 3, {"a": A2, "b": B1}, whole=True),
    Reading("weak", 42, 44, 0, {"b": None}),
    Reading("at least", 60, 65, 4, {"a": A2, "c": C1}, whole=True),
]
LOOKS = [Look(12, 13, 1, 1), Look(33, 34, 3, 3), Look(61, 62, 5, 5)]
LIST = {"a": A2, "c": C1}


def told(readings: list[Reading] = READINGS, looks: list[Look] = LOOKS) -> list[str]:
    return list(check_readings(readings, looks, LOG, COMMANDS))


def test_what_is_right_is_no_matter() -> None:
    assert told() == []


def test_a_list_that_lacks_a_task() -> None:
    assert told([Reading("strong", 32, 35, 3, {"b": B1}, whole=True)], []) == [
        "a reader (strong) asked for position 3, and did not see task a"
    ]
    # Deleted by what may have begun before the answer was there.
    assert told([Reading("strong", 32, 42, 3, {"a": A2}, whole=True)], []) == []
    # Deleted by what began only later.
    assert told([Reading("strong", 32, 35, 3, {"a": A2}, whole=True)], []) == [
        "a reader (strong) asked for position 3, and did not see task b"
    ]


def test_less_than_somebody_saw_before() -> None:
    (found,) = told([Reading("weak", 32, 33, 0, {"a": A2}), Reading("weak", 34, 35, 0, {"a": A1})], [])
    assert "over at position 3" in found
    assert told([Reading("weak", 32, 34, 0, {"a": A2}), Reading("weak", 33, 35, 0, {"a": A1})], []) == []
    (found,) = told([Reading("weak", 32, 33, 0, {"a": A2})], [Look(34, 35, 3, 2)])
    assert found.startswith("task a as Doc(text='a two', done=True) was seen, from position 3 on")
    (found,) = told([Reading("weak", 34, 35, 0, {"a": A1})], [Look(32, 33, 3, 3)])
    assert found.startswith("the checkpoint was seen, from position 3 on")


def kept(
    folder: Path,
    commands: list[Command] = COMMANDS,
    log: list[Fact] = LOG,
    shown: dict[str, Doc] = LIST,
    readings: list[Reading] = READINGS,
    looks: list[Look] = LOOKS,
) -> set[str]:
    """What is found wrong with a folder of this."""
    folder.mkdir()
    for name, records in (("commands", commands), ("log", log), ("readings", readings), ("looks", looks)):
        writing = Writing(folder, name)
        for record in records:
            writing.add(record)
        writing.close()
    (folder / "view.json").write_bytes(msgspec.json.encode(shown))
    return {violation.check for violation in judge(folder).violations}


def test_each_promise_is_judged(tmp_path: Path) -> None:
    replace = msgspec.structs.replace
    late = replace(COMMANDS[4], outcome="refused", mark="a two", stream="task-a")
    cases: dict[str, tuple[set[str], dict[str, object]]] = {
        "right": (set(), {}),
        "lost": ({"no acknowledged append is missing"}, {"commands": [*COMMANDS, late_ok()]}),
        "twice": (
            {"each append took effect once and whole"},
            {"log": [*LOG, Fact(6, "task-c", 2, "c one")]},
        ),
        "in another order than in time": (
            {"each stream is linearizable", "positions are unique and increase"},
            {"log": [Fact(1, "task-a", 1, "a two", done=True), LOG[1], Fact(3, "task-a", 2, "a one"), *LOG[3:]]},
        ),
        "refused, and there": (
            {"what failed has left nothing"},
            {"commands": [each if each.mark != "a two" else late for each in COMMANDS]},
        ),
        "another view": (
            {"a view is the fold of the log up to its checkpoint"},
            {"shown": {"a": A1, "c": C1}},
        ),
        "older than asked for": (
            {"a read of a view answers what it was asked for"},
            {"readings": [*READINGS, Reading("strong", 32, 33, 3, {"a": A1})]},
        ),
        "a checkpoint goes back": (
            {"checkpoints never go back", "readers see all, and never less"},
            {"looks": [*LOOKS, Look(63, 64, 5, 4)]},
        ),
        "told otherwise": (
            {"a request sent again is told the same"},
            {"commands": [replace(each, again=9) if each.again else each for each in COMMANDS]},
        ),
        "a list that lacks a task": (
            {"readers see all, and never less"},
            {"readings": [*READINGS, Reading("strong", 70, 71, 5, {"a": A2}, whole=True)]},
        ),
    }
    for number, (name, (expected, changes)) in enumerate(cases.items()):
        found = kept(tmp_path / str(number), **changes)
        assert found >= expected, name
        assert bool(found) == bool(expected), name


def late_ok() -> Command:
    return Command("w2", "task-e", "e one", "create", 55, 56, "ok", 6)


def sample(at: float, **held: float) -> Sample:
    found = {f"{name.replace('_', '-')} 1": {"rss": rss, "fds": 9, "threads": 2} for name, rss in held.items()}
    return Sample(at, 0, 0, {}, found, 0)


def test_only_an_app_that_grows_is_a_leak() -> None:
    steady = lives(sample(minute, valkey=100 + 10 * minute, app_0=60) for minute in range(60))
    growing = lives(sample(minute, valkey=100, app_0=60 + 10 * minute) for minute in range(60))
    assert (leaks(steady), leaks(growing)) == (False, True)
    assert "| app-0 | 1 | 60, 650, 650 | 9 | 2 | +10.000 MiB a minute: **without bound** |" in processes(growing)
