"""A schedule that comes to a state in which another one has been is not run to its end: that loses nothing."""

from __future__ import annotations

import enum
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import pytest

from eventsource_upstash import Unavailable
from eventsource_upstash.testing import Endings, Explored, Moment, Pause, World, explore
from eventsource_upstash.testing.fingerprints import fingerprint
from eventsource_upstash.testing.pausing import Pauses
from tests.searching import thorough
from tests.stepping.cases.every import CASES, explored
from tests.stepping.cases.folding import appending, catching_up, filled
from tests.stepping.cases.places import Place, Storage, kafka, memory, model, quietly, sqlite


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    with ExitStack() as stack:
        opened = (memory(), model(), sqlite(tmp_path_factory.mktemp("states")), kafka(), kafka(waits=True))
        yield {place.name: place for place in map(stack.enter_context, opened)}


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    with quietly():
        yield


def ends(case: str, place: Place, trouble: str, *, states: bool) -> tuple[set[tuple[bytes, bytes]], Explored]:
    """All that the actors of a case can be told, and all that can be left of it; and how many schedules there are."""
    found: set[tuple[bytes, bytes]] = set()

    def world(storage: Storage) -> World:
        made = CASES[case].world(storage)
        shared = made.shared or storage.shared

        def check(endings: Endings) -> None:
            found.add((fingerprint(sorted(endings.items())), fingerprint(shared())))
            made.check(endings)

        return made._replace(check=check, shared=shared)

    return found, explored(world, place, trouble, states=states)


SMALL = [
    ("two appends: under one key", "Kafka, each request", "a crash"),
    ("two appends: on one condition", "SQLite", "a lost answer and a crash"),
    ("append, catch-up", "memory", "a lost answer"),
    ("append, catch-up", "Kafka", "a crash"),
    ("two catch-ups", "memory", "a crash"),
    ("two catch-ups: by different pages", "memory", "none"),
    ("append, notify, deliver: delivered again", "model", "none"),
    ("append, notify, deliver", "model", "a crash"),
    ("two appends, notify, deliver: the flag expires", "model", "none"),
]
LARGE = [
    ("append, catch-up", "SQLite", "a lost answer and a crash"),
    ("catch-up, rebuild switch", "memory", "none"),
    ("append, notify, deliver: delivered again", "model", "a lost answer"),
    ("append, notify, deliver", "model", "a lost answer and a crash"),
]


@pytest.mark.parametrize(("case", "place", "trouble"), SMALL + (LARGE if thorough() > 1 else []))
def test_all_ends_are_found_and_all_schedules_counted(
    case: str, place: str, trouble: str, places: dict[str, Place]
) -> None:
    every, one_by_one = ends(case, places[place], trouble, states=False)
    found, by_states = ends(case, places[place], trouble, states=True)
    assert found == every
    assert one_by_one.runs == 0
    assert by_states.runs > 0
    assert by_states._replace(runs=0) == one_by_one


def test_states_are_met_again(places: dict[str, Place]) -> None:
    for case, runs, schedules in (
        ("append, notify, deliver: delivered again", 30, 108),
        ("two appends, notify, deliver: the flag expires", 58, 90),
    ):
        found = explored(CASES[case].world, places["model"], "none")
        assert (found.runs, found.schedules) == (runs, schedules)


@pytest.mark.parametrize(("seeing", "found"), [(True, 6), (False, 4)])
def test_what_is_left_out_of_a_state_shows(*, seeing: bool, found: int) -> None:
    """The comparison above can fail: who does not look at what is shared takes different states for one."""
    orders: set[str] = set()

    def world() -> World:
        pauses, order = Pauses(after=True, inside=False), [""]

        async def writing(name: str) -> None:
            async def write() -> None:
                order[0] += name

            for _ in range(2):
                await pauses.around("write", write)

        actors = {name: writing(name) for name in "ab"}
        return World(actors, lambda _: orders.add(order[0]), lambda: order if seeing else None)

    assert explore(world, merging=True).schedules == 6
    assert len(orders) == found


@pytest.mark.parametrize("name", ["memory", "model", "SQLite", "Kafka", "Kafka, each request"])
def test_whatever_is_stored_is_part_of_the_state(name: str, places: dict[str, Place]) -> None:
    stored_is_part_of_the_state(places[name])


def stored_is_part_of_the_state(place: Place) -> None:
    """Of any place: nothing done, an append, and a catch-up are told apart; the same once more is the same."""

    def seen() -> list[bytes]:
        storages: list[Storage] = []

        def world(storage: Storage) -> World:
            storages.append(storage)
            table = filled(storage, ended=False)
            states = [fingerprint(storage.shared())]

            async def doing() -> None:
                await appending(table)
                states.append(fingerprint(storage.shared()))
                await catching_up(table)
                states.append(fingerprint(storage.shared()))

            return World({"writer": doing()}, lambda _: found.extend(states))

        found: list[bytes] = []
        explored(world, place, "none", states=False)
        return found

    first, again = seen(), seen()
    assert len(set(first)) == 3
    assert first == again


def test_a_pause_has_to_tell_its_answer() -> None:
    async def calling() -> None:
        for _ in range(2):
            await Pause(Moment.BEFORE, "call")

    def world() -> World:
        return World({"a": calling()}, lambda _: None, lambda: None)

    with pytest.raises(TypeError, match="does not tell its answer"):
        explore(world)


@pytest.mark.parametrize("after", [True, False])
def test_what_an_actor_was_told_is_part_of_the_state(*, after: bool) -> None:
    """Two who ask, and change nothing: each order is met again, unless they were told something else."""

    def world(answers: Callable[[int], object], ends: set[object]) -> World:
        pauses, calls = Pauses(after=after, inside=False), [0]

        async def answer() -> object:
            calls[0] += 1
            told = answers(calls[0])
            if isinstance(told, Exception):
                raise told
            return told

        async def asking() -> object:
            told = []
            for _ in range(2):
                try:
                    told.append(await pauses.around("call", answer))
                except Unavailable as error:  # noqa: PERF203  each may end so
                    told.append(error)
            return repr(told)

        def check(endings: Endings) -> None:
            ends.add((endings["a"].returned, endings["b"].returned))

        return World({"a": asking(), "b": asking()}, check, lambda: None)

    def counted(answers: Callable[[int], object]) -> tuple[Explored, int]:
        ends: set[object] = set()
        return explore(lambda: world(answers, ends), merging=True), len(ends)

    same, ends_same = counted(lambda _: "as ever")
    assert (same.schedules, ends_same) == (6, 1)
    assert same.runs < 6
    for answers in (lambda number: number, lambda number: Unavailable(str(number))):
        told, ends_told = counted(answers)
        assert told.schedules == ends_told == 6


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Where(NamedTuple):
    x: int


@dataclass
class Held:
    value: object


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Structured(msgspec.Struct):
    value: object


class Number(int):
    pass


DIFFERENT: list[object] = [
    *(None, True, 1, 1.0, "1", b"1", Number(1), (), [], {}, set(), frozenset(), (1,), [1], {1}, {1: 1}, {1: 2}, {2: 1}),
    *(Colour.RED, Colour.BLUE, Where(1), Where(2), Held(1), Held(2), Slotted(1), Slotted(2), Structured(1)),
    *(Structured(2), ValueError("a"), ValueError("b"), KeyError("a"), int, str, len, print, bytearray(b"1")),
    *(functools.partial(Held, 1), functools.partial(Held, 2), [1].append, threading.Lock(), {"a": 1, "b": 2}),
    {"b": 2, "a": 1},
]


def test_fingerprints_tell_values_apart_and_objects_not() -> None:
    assert len({fingerprint(each) for each in DIFFERENT}) == len(DIFFERENT)
    for make in (lambda: Held([Slotted({1, 2}), Structured(b"x")]), threading.Lock, lambda: ValueError("a")):
        assert fingerprint(make()) == fingerprint(make())
    assert fingerprint({1, 2, 3}) == fingerprint({3, 2, 1})
    ring: list[object] = [1]
    ring.append(ring)
    assert fingerprint(ring) == fingerprint(ring)
    assert fingerprint(ring) != fingerprint([1, [1]])


def test_a_fingerprint_of_what_cannot_be_looked_into_is_refused() -> None:
    connection = sqlite3.connect(":memory:")
    for value in (connection, object(), [object()]):
        with pytest.raises(TypeError, match="cannot tell one"):
            fingerprint(value)
    connection.close()
