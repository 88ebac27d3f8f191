"""Reactors over a backend: each event is decided on once, and what was decided is done once, by whoever gets to it."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest

from ...domain.events import Recorded
from ...errors import OutcomeUnknown, ReactorStopped, Unavailable
from ...ports import Message
from ..colours import Face, settled
from .desk import EVERYTHING, Asked, Booked, Carrier, Closed, Desk, Died, Interrupted, Opened
from .kit import Contract, Lab, in_colour

KEYS = 130
"""More than are looked through at once."""


async def check(face: Face, desk: Desk, taken: list[Message]) -> None:
    """Whatever happened: of each event one decision, and of what was decided everything, once."""
    log = await face.read()
    asked = [each for each in log if isinstance(each.event, Asked)]
    bodies: dict[str, set[bytes]] = {}
    for message in taken:
        bodies.setdefault(message.id, set()).add(message.body)
    assert set(bodies) == {f"porter-{each.id}-0" for each in asked}, "each message at least once, under its own id"
    assert all(len(each) == 1 for each in bodies.values()), "an event was decided on twice"
    booked = {each.stream: each.event for each in log if isinstance(each.event, Booked)}
    assert Counter(each.stream for each in log if isinstance(each.event, Booked)) == Counter(
        [f"book-{_door(each)}" for each in asked]
    ), "an append was not done once"
    for each in asked:
        assert bodies[f"porter-{each.id}-0"] == {b"%d" % booked[f"book-{_door(each)}"].decision}
    assert not [each for each in log if isinstance(each.event, Closed)], "a command was decided on again, too late"
    assert Counter(each.stream for each in log if isinstance(each.event, Opened)) == Counter(
        [_door(each) for each in asked]
    ), "a command was not executed once"
    status = await settled(face.app.reactions.status(desk.porter))
    assert (status.state, status.pending, status.failed) == ("current", 0, 0)


def _door(recorded: Recorded[object]) -> str:
    assert isinstance(recorded.event, Asked)
    return recorded.event.door


async def events(face: Face, stream: str) -> list[object]:
    """The events of a stream."""
    return [each.event for each in await face.read_stream(stream)]


class ReactionsOnce(Contract):
    """Decided once, done once, whoever is overtaken, dies, or hears no answer."""

    @in_colour
    async def test_a_reactor_decides_and_acts_once_although_another_worker_overtakes_it_at_any_step(
        self, lab: Lab
    ) -> None:
        desk, taken = Desk(), list[Message]()
        face = lab.face(desk.registry, Carrier(taken))

        async def overtake() -> None:
            assert (await lab.face(desk.registry, Carrier(taken), lab.backend).catch_up()).complete

        for step in itertools.count(1):
            await face.append("asked", Asked(f"door-{step}", EVERYTHING))
            slow = Interrupted(lab.backend, step, overtake, after=False)
            await lab.face(desk.registry, Carrier(taken, slow.around), slow).catch_up()
            if slow.calls < step:
                break
        await face.catch_up()
        await check(face, desk, taken)

    @in_colour
    async def test_a_reactor_decides_and_acts_once_although_workers_die_and_answers_are_lost_at_any_step(
        self, lab: Lab
    ) -> None:
        desk, taken = Desk(), list[Message]()
        face = lab.face(desk.registry, Carrier(taken))

        async def lose() -> None:
            raise OutcomeUnknown("the answer was lost on purpose")

        async def die() -> None:
            raise Died

        for step in itertools.count(1):
            await face.append("asked", Asked(f"door-{step}", EVERYTHING))
            unlucky = [Interrupted(lab.backend, step, each, after=True) for each in (die, lose)]
            for backend in unlucky:
                with suppress(Died, OutcomeUnknown):
                    await lab.face(desk.registry, Carrier(taken, backend.around), backend).catch_up()
            assert (await lab.face(desk.registry, Carrier(taken), lab.another()).catch_up()).complete
            if unlucky[0].calls < step:
                break
        await check(face, desk, taken)

    @in_colour
    async def test_a_reactor_acts_on_everything_that_a_worker_left_over(self, lab: Lab) -> None:
        desk, taken = Desk(), list[Message]()

        async def die() -> None:
            raise Died

        dying = Interrupted(lab.backend, "messages.publish", die, after=False)
        face = lab.face(desk.registry, Carrier(taken, dying.around), dying)
        await face.append("asked", *(Asked(f"door-{number}", "send") for number in range(KEYS)))
        with pytest.raises(Died):
            await face.catch_up()
        assert not taken
        face = lab.face(desk.registry, Carrier(taken), lab.another())
        assert (await settled(face.app.reactions.status(desk.porter))).pending == KEYS
        assert (await face.catch_up()).complete
        assert len({message.id for message in taken}) == len(taken) == KEYS
        assert (await settled(face.app.reactions.status(desk.porter))).pending == 0

    @in_colour
    async def test_a_reactor_does_not_act_again_when_views_are_built_anew_and_storage_is_opened_again(
        self, lab: Lab
    ) -> None:
        desk, taken = Desk(), list[Message]()
        face = lab.face(desk.registry, Carrier(taken))
        await face.append("asked", *(Asked(f"door-{number}", EVERYTHING) for number in range(3)))
        assert (await face.catch_up()).complete
        lab.reopen()
        desk = Desk(version=2)
        face = lab.face(desk.registry, Carrier(taken))
        assert (await face.catch_up()).complete
        assert (await settled(face.app.projector.rebuild(desk.seen))).complete
        assert (await face.catch_up()).complete
        assert desk.decisions == 0
        assert len(taken) == 3
        await check(face, desk, taken)

    @in_colour
    async def test_a_reactor_does_not_react_to_what_was_before_it_counts(self, lab: Lab) -> None:
        before, taken = Desk(), list[Message]()
        face = lab.face(before.registry)
        await face.append("asked", Asked("history", "send"), Asked("history", "send"))
        (*_, last) = await face.read()
        desk = Desk(since=last.recorded_at + timedelta(microseconds=1))
        face = lab.face(desk.registry, Carrier(taken))
        await face.append("asked", Asked("door-1", EVERYTHING), Asked("door-2", EVERYTHING))
        assert (await face.catch_up()).complete
        assert desk.decisions == len(taken) == 2
        assert await events(face, "door-2") == [Opened()]


class ReactionsInOrder(Contract):
    """Each key in order; what fails holds up as much as `on_error` says."""

    @in_colour
    async def test_a_reactor_keeps_the_order_of_a_key_and_holds_up_no_other(self, lab: Lab) -> None:
        desk, taken = Desk(), list[Message]()
        carrier = Carrier(taken)
        carrier.error = Unavailable("no network, on purpose")
        face = lab.face(desk.registry, carrier)
        wants = [("a", "send book"), ("b", "book"), ("a", "book"), ("b", "book"), ("a", "send")]
        await face.append("asked", *(Asked(*each) for each in wants))
        with pytest.raises(Unavailable, match="on purpose"):
            await face.catch_up()
        assert await events(face, "book-b") == [Booked(2), Booked(4)]
        assert await events(face, "book-a") == [], "what comes after it under its key waits"
        carrier.error = None
        assert (await lab.face(desk.registry, carrier, lab.another()).catch_up()).complete
        assert await events(face, "book-a") == [Booked(1), Booked(3)]
        assert [message.body for message in taken] == [b"1", b"5"]

    @in_colour
    async def test_a_reactor_stops_at_what_cannot_be_done_and_views_go_on(self, lab: Lab) -> None:
        desk, taken = Desk(), list[Message]()
        desk.jammed = True
        face = lab.face(desk.registry, Carrier(taken))
        first = await face.append("asked", Asked("a", "jam send"), Asked("b", "book"))
        for _ in range(2):
            with pytest.raises(ReactorStopped) as raised:
                await lab.face(desk.registry, Carrier(taken), lab.another()).catch_up()
            stopped = raised.value
            assert (stopped.reactor, stopped.position, stopped.result.complete) == ("porter", first.position - 1, True)
            status = await settled(face.app.reactions.status(desk.porter))
            assert (status.state, status.pending, status.failed) == ("stopped", 2, 1)
            assert not taken
            assert await events(face, "book-b") == [], "nothing more of a stopped reactor is carried out"
        assert await face.count(desk.seen) == 2
        desk.jammed = False
        assert (await face.catch_up()).complete
        assert len(taken) == len(await events(face, "book-b")) == 1
        status = await settled(face.app.reactions.status(desk.porter))
        assert (status.state, status.pending, status.failed, status.stopped) == ("current", 0, 0, None)

    @in_colour
    async def test_a_reactor_sets_a_key_aside_until_it_is_retried_or_given_up(self, lab: Lab) -> None:
        desk = Desk("park")
        desk.jammed = True
        face = lab.face(desk.registry, Carrier([]))
        await face.append("asked", Asked("a", "jam book"), Asked("b", "book"), Asked("c", "jam book"))
        assert (await face.catch_up()).complete
        assert [len(await events(face, f"book-{key}")) for key in "abc"] == [0, 1, 0]
        found = face.app.reactions.pending(desk.porter)
        pending = list(found) if isinstance(found, Iterator) else [each async for each in found]
        assert [(each.key, each.kind, bool(each.error), each.attempts) for each in pending] == [
            ("a", "execute", True, 1),
            ("a", "append", False, 0),
            ("c", "execute", True, 1),
            ("c", "append", False, 0),
        ]
        again = await settled(face.app.reactions.retry(desk.porter))
        assert (again.done, again.left, sorted(again.failed)) == (0, 2, ["a", "c"])
        assert (await settled(face.app.reactions.discard(desk.porter, key="c"))).left == 1
        desk.jammed = False
        assert (await face.catch_up()).complete
        assert [len(await events(face, f"book-{key}")) for key in "abc"] == [0, 1, 1], "what comes after it goes on"
        again = await settled(face.app.reactions.retry(desk.porter, key="a"))
        assert (again.done, again.left) == (2, 0)
        assert [len(await events(face, f"book-{key}")) for key in "abc"] == [1, 1, 1]
        assert [len(await events(face, key)) for key in "ac"] == [1, 0], "what was given up is never done"
        status = await settled(face.app.reactions.status(desk.porter))
        assert (status.pending, status.failed) == (0, 0)

    @in_colour
    async def test_a_reactor_passes_over_what_cannot_be_done_and_notes_it(self, lab: Lab) -> None:
        desk = Desk("skip")
        desk.jammed = True
        face = lab.face(desk.registry, Carrier([]))
        asked = await face.append("asked", Asked("a", "book"), Asked("a", "jam book"), Asked("b", "jam"))
        assert (await face.catch_up()).complete
        assert await events(face, "book-a") == [Booked(1), Booked(2)]
        skipped = await settled(face.app.projector.skipped(desk.porter.outbox))
        assert sorted((each.position, each.key) for each in skipped) == [
            (asked.position - 1, "a"),
            (asked.position, "b"),
        ]
        status = await settled(face.app.reactions.status(desk.porter))
        assert (status.state, status.pending, status.failed, status.skipped) == ("current", 0, 0, 2)
