"""Orders to a porter, and crashes, lost answers, refusals, other workers at any step: each is done once, in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from eventsource_upstash import Memory, Misuse, OutcomeUnknown, Unavailable
from eventsource_upstash.ports import Backend, Message
from eventsource_upstash.testing.colours import Colour, Face
from eventsource_upstash.testing.conformance.desk import Asked, Booked, Carrier, Closed, Desk, Died, Interrupted, Opened
from tests.conformance import broken_repeats as repeats
from tests.conformance import broken_views as views
from tests.conformance.broken_log import BrokenLog
from tests.conformance.broken_views import BrokenViews
from tests.searching import examples

DOORS = ("a", "b")
STEPS = 30
"""More than there are in a catch-up of a few events."""


class Order(NamedTuple):
    """A door is asked for something."""

    door: str
    wants: tuple[str, ...]


class Trouble(NamedTuple):
    """A worker comes to grief at a step, before or after it is done."""

    what: str
    step: int
    after: bool


ORDERS = st.builds(
    Order, st.sampled_from(DOORS), st.lists(st.sampled_from(["send", "book", "open", "close"]), max_size=4).map(tuple)
)
TROUBLES = st.builds(
    Trouble, st.sampled_from(["dies", "loses", "is refused", "is overtaken"]), st.integers(1, STEPS), st.booleans()
)
SCENARIOS = st.lists(st.one_of(ORDERS, TROUBLES), max_size=14)


class Works:
    """A desk, its log and its workers."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.desk = Desk()
        self.taken: list[Message] = []
        self.asked: list[Order] = []

    def face(self, backend: Backend, carrier: Carrier) -> Face:
        return Face(Colour.BLOCKING, backend, self.desk.registry, carrier)

    async def catch_up(self) -> None:
        assert (await self.face(self.backend, Carrier(self.taken)).catch_up()).complete

    async def ask(self, order: Order) -> None:
        await self.face(self.backend, Carrier([])).append("asked", Asked(order.door, " ".join(order.wants)))
        self.asked.append(order)

    async def work(self, trouble: Trouble) -> None:
        async def die() -> None:
            raise Died

        async def lose() -> None:
            raise OutcomeUnknown("on purpose")

        async def refuse() -> None:
            raise Unavailable("on purpose")

        kinds: dict[str, tuple[Callable[[], Awaitable[None]], bool]] = {
            "dies": (die, trouble.after),
            "loses": (lose, True),
            "is refused": (refuse, False),
            "is overtaken": (self.catch_up, trouble.after),
        }
        what, after = kinds[trouble.what]
        backend = Interrupted(self.backend, trouble.step, what, after=after)
        with suppress(Died, OutcomeUnknown, Unavailable):
            await self.face(backend, Carrier(self.taken, backend.around)).catch_up()

    async def check(self) -> None:
        """Each door is where its orders, one after the other, bring it; each message and booking is there, in turn."""
        await self.catch_up()
        face = self.face(self.backend, Carrier([]))
        log = [each.event for each in await face.read_stream("asked")]
        assert len(log) == len(self.asked)
        for door in DOORS:
            wants = [want for order in self.asked if order.door == door for want in order.wants]
            moves: list[object] = []
            for want in wants:
                is_open = bool(moves) and isinstance(moves[-1], Opened)
                if want in {"open", "close"} and is_open != (want == "open"):
                    moves.append(Opened() if want == "open" else Closed())
            assert [each.event for each in await face.read_stream(door)] == moves
            booked = [each.event for each in await face.read_stream(f"book-{door}")]
            assert len(booked) == wants.count("book")
            decisions = [each.decision for each in booked if isinstance(each, Booked)]
            assert decisions == sorted(decisions)
        sent: dict[str, bytes] = {}
        for message in self.taken:
            assert sent.setdefault(message.id, message.body) == message.body, "an event was decided on twice"
        asked = await face.read_stream("asked")
        expected = [
            f"porter-{recorded.id}-{ordinal}"
            for recorded, order in zip(asked, self.asked, strict=True)
            for ordinal, want in enumerate(order.wants)
            if want == "send"
        ]
        assert sorted(sent) == sorted(expected)
        for door in DOORS:
            of = {recorded.id for recorded, order in zip(asked, self.asked, strict=True) if order.door == door}
            mine = [each for each in expected if each.removeprefix("porter-").rpartition("-")[0] in of]
            assert [each for each in sent if each in set(mine)] == mine, "first sent in turn"


async def play(backend: Backend, scenario: list[Order | Trouble]) -> None:
    works = Works(backend)
    for each in scenario:
        if isinstance(each, Order):
            await works.ask(each)
        else:
            await works.work(each)
    await works.check()


@given(SCENARIOS)
@settings(max_examples=examples(120))
def test_whatever_happens_each_reaction_is_done_once_and_in_turn(scenario: list[Order | Trouble]) -> None:
    Colour.BLOCKING.run(play(Memory(), scenario))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda: BrokenLog(repeats.ForgetsKeys), id="ForgetsKeys"),
        pytest.param(lambda: BrokenViews(views.ForgetsNotes), id="ForgetsNotes"),
        pytest.param(lambda: BrokenViews(views.IgnoresTheCheckpoint), id="IgnoresTheCheckpoint"),
    ],
)
def test_the_property_finds_a_broken_backend(broken: Callable[[], Backend]) -> None:
    @given(SCENARIOS)
    @settings(max_examples=300, phases=[Phase.generate], database=None, derandomize=True)
    def holds(scenario: list[Order | Trouble]) -> None:
        Colour.BLOCKING.run(play(broken(), scenario))

    with pytest.raises((AssertionError, Misuse)):  # what would take a view back, the views beneath refuse
        holds()
