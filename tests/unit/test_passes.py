"""How far everybody is in the course of a catch-up, who is let go of, and what is told of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import pytest

from eventsource_upstash import LogReplaced, LogRewound, LogTrimmed, Projection, Registry
from eventsource_upstash._flow import passes
from eventsource_upstash._flow.passes import Pass, Reach
from eventsource_upstash._flow.wiring import any_of
from eventsource_upstash.domain.progress import Notes
from eventsource_upstash.ports import MAX_PAGE_BYTES, Progress, Pull, Pulled, Role


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


def test_front_and_rear_are_pulled_in_turns_and_the_front_first() -> None:
    work = Pass(Reach(projections("one"), everybody=True, building=True), None, None)
    pulls = [work.next_pull(100) for _ in range(4)]
    assert [pull.rear for pull in pulls if pull is not None] == [False, True, False, True]


@pytest.mark.parametrize(
    ("reach", "until", "settles", "serving"),
    [
        ({"everybody": True, "building": True}, None, True, False),
        ({"everybody": True, "building": True}, 5, False, False),
        ({"building": True}, None, False, False),
        ({}, None, False, True),
    ],
    ids=["everybody", "up to a position", "a rebuild", "for a read"],
)
def test_what_is_asked_of_the_views(reach: dict[str, bool], until: int | None, settles: bool, serving: bool) -> None:
    one, two = projections("one", "two")
    work = Pass(Reach((one, two), **reach), until, None)
    assert work.next_pull(100) == Pull((one.id, two.id), 100, MAX_PAGE_BYTES, settle=settles, serving=serving)
    work.leave(at(one, 3))
    assert work.next_pull(100) == Pull((two.id,), 100, MAX_PAGE_BYTES, rear=True, settle=settles, serving=serving)
    work.leave(at(two, 3))
    assert work.next_pull(100) is None


def test_who_is_let_go_of_keeps_nobody_behind_it_from_being_seen() -> None:
    one, two = projections("one", "two")
    work = Pass(Reach((one, two), everybody=True, building=True), None, None)
    builds = at(one, 9), at(one, 3, 2, Role.BUILDING), at(two, 9)
    work.take(Pulled(builds, 9, 3, []))
    work.leave(builds[1])
    assert not work.counts(builds[1])
    assert work.result().complete, "a rebuild that cannot go on holds up nobody"
    work.take(Pulled((at(one, 10), builds[1], at(two, 10)), 10, 10, []))
    assert work.serving == {one.id: 10, two.id: 10}
    assert work.result().complete


def test_a_projection_is_let_go_of_with_the_last_of_its_builds_that_is_still_there() -> None:
    one, two = projections("one", "two")
    work = Pass(Reach((one, two), everybody=True, building=True), None, None)
    building = at(one, 3, 2, Role.BUILDING)
    work.take(Pulled((at(one, 3), building, at(two, 3)), 9, 3, []))
    work.take(Pulled((at(one, 3), at(two, 3)), 9, 3, []))  # it was given up meanwhile
    work.leave(at(one, 3))
    assert list(work.open) == [two.id]
    work.take(Pulled((at(two, 4),), 9, 4, []))
    assert work.latest.keys() == {(one.id, 1), (two.id, 1)}, "who is not asked for any more is where it was"


def test_it_is_as_far_as_who_is_furthest_behind() -> None:
    one, two = projections("one", "two")
    work = Pass(Reach((one, two), everybody=True, building=True), None, None)
    for first, second in ((9, 4), (4, 9)):
        work.take(Pulled((at(one, first), at(two, second)), 9, 4, []))
        assert (work.result().position, work.result().head, work.result().complete) == (4, 9, False)


def test_a_rebuild_that_another_took_the_place_of_or_that_serves_is_not_behind() -> None:
    (one,) = projections("one")
    work = Pass(Reach((one,), everybody=True, building=True), None, None)
    for now in ((at(one, 9), at(one, 9, 3, Role.BUILDING)), (at(one, 9, 2),), (at(one, 9),)):
        work.take(Pulled((at(one, 9), at(one, 3, 2, Role.BUILDING)), 9, 3, []))
        assert not work.result().complete
        work.take(Pulled(now, 9, 9, []))
        assert work.result().complete


def test_a_deadline_that_has_come_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes.time, "monotonic", lambda: 5.0)
    (one,) = projections("one")
    found = [Pass(Reach((one,)), None, deadline).late for deadline in (4.0, 5.0, 6.0, None)]
    assert found == [True, True, False, False]
