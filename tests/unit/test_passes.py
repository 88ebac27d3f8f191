"""How far everybody is in the course of a catch-up, who is let go of, and what is told of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import pytest

from eventsource_upstash import LogReplaced, LogRewound, LogTrimmed, Projection, Registry
from eventsource_upstash._flow.passes import Pass, Reach
from eventsource_upstash._flow.wiring import any_of
from eventsource_upstash.domain.progress import Notes
from eventsource_upstash.ports import Progress, Pulled, Role


@dataclass(frozen=True)
class Seen:
    times: int


def projections(*names: str, on_error: Literal["stop", "park", "skip"] = "stop") -> list[Projection[object]]:
    registry = Registry()
    return [any_of(registry.projection(name, Seen, on_error=on_error)) for name in names]


def at(projection: Projection[object], position: int, generation: int = 1, role: Role = Role.SERVING) -> Progress:
    return Progress(projection.id, generation, position, role=role, notes=Notes(mark="its own"))


def test_all_whose_log_was_replaced_are_let_go_of_and_nobody_else() -> None:
    one, ahead, two = projections("one", "ahead", "two")
    work = Pass(Reach((one, ahead, two), everybody=True, building=True), None, None)
    work.take(Pulled((at(one, 3), at(ahead, 5), at(two, 3)), 9, 3, [], mark="another one"))
    assert list(work.open) == [ahead.id]
    assert work.serving == {ahead.id: 5}
    assert isinstance(work.trouble, LogReplaced)
    assert (work.trouble.projection, work.trouble.checkpoint, work.trouble.head) == ("two", 3, 9)


def test_all_who_are_ahead_of_the_log_are_let_go_of_and_nobody_else() -> None:
    one, there, two = projections("one", "there", "two")
    work = Pass(Reach((one, there, two), everybody=True, building=True), None, None)
    work.take(Pulled((at(one, 12), at(there, 9), at(two, 11)), 9, 9, []))
    assert list(work.open) == [there.id]
    trouble = work.trouble
    assert isinstance(trouble, LogRewound)
    assert (trouble.projection, trouble.checkpoint, trouble.head) == ("two", 11, 9)


def test_all_to_whom_what_comes_next_is_lost_are_let_go_of_and_named(caplog: pytest.LogCaptureFixture) -> None:
    one, ahead, two = projections("one", "ahead", "two")
    work = Pass(Reach((one, ahead, two), everybody=True, building=True), None, None)
    lost = LogTrimmed(topic="game", partition=0, first=3, last=4)
    builds = (at(one, 3), at(one, 3, 2, Role.BUILDING), at(ahead, 5), at(two, 3))
    work.take(Pulled(builds, 9, 3, [], lost=lost))
    assert list(work.open) == [ahead.id]
    assert work.serving == {one.id: 3, ahead.id: 5, two.id: 3}
    assert work.trouble is lost
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert caplog.messages == [f"{name} v1, at position 3, cannot go on: {lost}" for name in ("one", "one", "two")]


def test_a_rebuild_that_is_at_the_head_is_all_that_was_to_be_done() -> None:
    (one,) = projections("one")
    for place, complete in ((9, True), (8, False)):
        work = Pass(Reach((one,), building=True), None, None)
        work.take(Pulled((at(one, 9), at(one, place, 2, Role.BUILDING)), 9, 9, []))
        assert work.rebuilt == {(one.id, 2): place}
        assert (work.result().position, work.result().complete) == (9, complete)


def test_those_who_have_met_the_goal_are_let_go_of_where_not_everybody_is_asked_for() -> None:
    one, two = projections("one", "two")
    work = Pass(Reach((one, two), everybody=True, building=True), 5, None)
    work.take(Pulled((at(one, 5), at(two, 4)), 9, 4, []))
    assert list(work.open) == [two.id]
    settling = Pass(Reach((one, two), everybody=True, building=True), None, None)
    settling.take(Pulled((at(one, 9), at(two, 4)), 9, 4, []))
    assert list(settling.open) == [one.id, two.id]


@pytest.mark.parametrize(("on_error", "parks"), [("stop", False), ("skip", False), ("park", True)])
def test_whose_events_are_parked(on_error: Literal["stop", "park", "skip"], parks: bool) -> None:
    (one,) = projections("one", on_error=on_error)
    assert Pass(Reach((one,)), None, None).parking == ({one.id} if parks else set())
