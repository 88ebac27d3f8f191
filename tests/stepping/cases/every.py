"""Every case: what runs against what, where, and with which troubles; and how many schedules that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from eventsource_upstash.testing import Explored, World, explore
from tests.searching import thorough
from tests.stepping.cases import appends, folding, notices, reactors
from tests.stepping.cases.drawing import by_turns
from tests.stepping.cases.places import CUT, KAFKA, MEMORY, MODEL, REDIS, SQLITE, TOLD, TOPIC, Place, Storage

COUNTS: Final = Path(__file__).with_name("counts.json")

TROUBLES: Final[Mapping[str, Mapping[str, int]]] = {
    "none": {},
    "a lost answer": {"lost_answers": 1},
    "a crash": {"crashes": 1},
    "a refusal": {"refusals": 1},
    "a lost answer and a crash": {"lost_answers": 1, "crashes": 1},
}

# What CI runs: those of which there are so few. All of them with THOROUGH=2 or more, and by the command.
QUICK: Final = {MEMORY: 30, MODEL: 30, SQLITE: 6, KAFKA: 8, TOPIC: 8, REDIS: 5, CUT: 2, TOLD: 5}

# And these: the notification protocol in its scripts.
ALSO: Final = {
    ("append, notify, deliver", "a lost answer"),
    ("append, notify, deliver", "a crash"),
    ("append, notify, deliver", "a refusal"),
    ("append, notify, deliver: delivered again", "none"),
    ("append, notify, deliver: a page at a time", "none"),
    ("append, notify, deliver: a projection added, a reader", "none"),
    ("two appends, notify, deliver", "none"),
    ("two appends, notify, deliver: the flag expires", "none"),
}


class Case(NamedTuple):
    """Actors, and the places that they are stepped in.

    Attributes:
        world: Made anew for each schedule.
        places: Where.
    """

    world: Callable[[Storage], World]
    places: tuple[str, ...]


ALL: Final = (MEMORY, SQLITE, KAFKA, REDIS, CUT)
TELLING: Final = (MODEL, TOLD)
REACTING: Final = (MEMORY, SQLITE, KAFKA, TOLD)
STREAMS: Final = (MEMORY, SQLITE, REDIS, CUT)

CASES: Final[Mapping[str, Case]] = {
    "two appends: at one revision": Case(appends.two_appends(appends.EXPECTED), STREAMS),
    "two appends: under one key": Case(appends.two_appends(appends.KEYED), (MEMORY, SQLITE, TOPIC, REDIS, CUT)),
    "two appends: under two keys, at one revision": Case(appends.two_appends(appends.EXPECTED_AND_KEYED), STREAMS),
    "two appends: on one condition": Case(appends.two_appends(appends.CONDITION), STREAMS),
    "two appends: at any revision, one clock behind": Case(
        appends.two_appends(appends.SLOW_CLOCK), (MEMORY, SQLITE, TOPIC, REDIS, CUT)
    ),
    "append, catch-up": Case(folding.folding(folding.append_and_catch_up), ALL),
    "append, catch-up: by pages": Case(folding.folding(folding.append_and_catch_up_by_pages), ALL),
    "two catch-ups": Case(folding.folding(folding.two_catch_ups), ALL),
    "two catch-ups: by different pages": Case(folding.folding(folding.two_catch_ups_by_pages), ALL),
    "two catch-ups: a document ends": Case(folding.folding(folding.two_catch_ups, ended=True), (MEMORY, SQLITE, REDIS)),
    "catch-up, rebuild switch": Case(folding.folding(folding.catch_up_and_rebuild), ALL),
    "append, rebuild switch": Case(folding.folding(folding.append_and_rebuild), ALL),
    "rebuild: by pages": Case(folding.folding(folding.rebuild_by_pages), ALL),
    "append, notify, deliver": Case(notices.told(notices.ONE), TELLING),
    "append, notify, deliver: delivered again": Case(notices.told(notices.AGAIN), TELLING),
    "append, notify, deliver: a page at a time": Case(notices.told(notices.HURRIED), TELLING),
    "append, notify, deliver: a projection stopped": Case(notices.told(notices.STOPPED), TELLING),
    "append, notify, deliver: a projection added, a reader": Case(notices.told(notices.LATE), TELLING),
    "two appends, notify, deliver": Case(notices.told(notices.TWO), TELLING),
    "two appends, notify, deliver: the flag expires": Case(notices.told(notices.EXPIRING), TELLING),
    "reactor: appends": Case(reactors.reacting("append"), REACTING),
    "reactor: executes": Case(reactors.reacting("execute"), (MEMORY, SQLITE, TOLD)),
    "reactor: sends": Case(reactors.reacting("send"), REACTING),
    "two reactors: append": Case(reactors.reacting("append", workers=2), REACTING),
    "two reactors: send": Case(reactors.reacting("send", workers=2), REACTING),
}


def explored(world: Callable[[Storage], World], place: Place, trouble: str, *, states: bool = True) -> Explored:
    """Run every schedule of a world; up to where its state is known, unless it is to be without `states`."""

    def fresh() -> World:
        storage = place.fresh()
        made = world(storage)
        return made._replace(shared=made.shared or storage.shared) if states else made._replace(shared=None)

    with by_turns() as turns:
        return explore(lambda: turns(fresh), merging=True, **TROUBLES[trouble])


def count(case: str, place: Place, trouble: str, *, states: bool = True) -> Explored:
    """Run every schedule of a cell. See `explored`."""
    return explored(CASES[case].world, place, trouble, states=states)


class Cell(NamedTuple):
    """A cell of the table."""

    case: str
    place: str
    trouble: str


def cells() -> Iterator[Cell]:
    """All of them, in the order of the table."""
    for name, case in CASES.items():
        for place in case.places:
            for trouble in TROUBLES:
                yield Cell(name, place, trouble)


def known() -> dict[Cell, int]:
    """How many schedules each cell has."""
    return {Cell(*key.split(" | ")): number for key, number in json.loads(COUNTS.read_text()).items()}


def quick(*places: str) -> list[tuple[Cell, int]]:
    """The cells that CI runs, of some places; all of them where time is taken for a thorough search."""
    return [
        (cell, number)
        for cell, number in known().items()
        if cell.place in places
        and (number <= QUICK[cell.place] or (cell.place == TOLD and cell[::2] in ALSO) or thorough() > 1)
    ]
