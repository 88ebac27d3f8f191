"""Every event is folded without waiting for a sweep, in any order of appends, deliveries, crashes and expiry.

On the reference model, whose every call is one step. The same worlds run on the real backends elsewhere.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest

from eventsource_upstash import Memory
from eventsource_upstash.testing import Endings, Explored, ScheduleFailed, World, explore, pausing, replay
from eventsource_upstash.testing.pausing import Pauses
from tests.stepping import broken_notices as broken
from tests.stepping.broken_notices import around
from tests.stepping.model import LOST_AFTER_US, OwingMemory, PausingApart, Watched
from tests.stepping.notified import Notified, Wishes

Note = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _quietly(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in thousands of schedules is logged as it should be, and takes most of the time."""
    caplog.set_level(logging.CRITICAL, "eventsource_upstash")


def on_the_model(wishes: Wishes, *, after: bool = False, lost_after_us: float = LOST_AFTER_US) -> Callable[[], World]:
    def world() -> World:
        model = Watched(OwingMemory(lost_after_us))
        notified = Notified(model, pausing(model, after=after), Pauses(after=after, inside=False), wishes)
        model.everybody = len(notified.registry.projections)
        actors, check = notified.world()

        def thrifty(endings: Endings) -> None:
            assert not model.too_many, model.too_many[0]
            check(endings)
            assert not model.too_many, model.too_many[0]

        return World(actors, thrifty)

    return world


def on_the_model_apart(
    wishes: Wishes, *, after: bool = False, lost_after_us: float = LOST_AFTER_US
) -> Callable[[], World]:
    """The log here, the views elsewhere: to settle is a step of its own."""

    def world() -> World:
        stepped = PausingApart(OwingMemory(lost_after_us), Memory())
        return Notified(stepped.still(), stepped, Pauses(after=False, inside=False), wishes).world()

    return world


def noting(record_property: Note, explored: Explored) -> Explored:
    for name, count in explored._asdict().items():
        record_property(name, count)
    print(explored)  # noqa: T201  how many schedules there were is part of the claim
    return explored


class Case(NamedTuple):
    """A world, and how much of it is run.

    Attributes:
        wishes: What is in it.
        bounds: For `explore`; without any, every order is run.
        after: Whether there are pauses after calls too.
        least: How many schedules there are at least.
    """

    wishes: Wishes
    bounds: Mapping[str, int]
    after: bool
    least: int


CASES: Final = {
    "in every order": Case(Wishes(), {}, False, 126),
    "in every order, each appends twice": Case(Wishes(appends=(2, 2)), {}, False, 3_000),
    "in every order, delivered again": Case(Wishes(appends=(1,), deliveries=("next", "again")), {}, False, 88),
    "two workers": Case(Wishes(deliveries=("next", "next")), {"switches": 3}, False, 3_000),
    "delivered again meanwhile": Case(Wishes(deliveries=("next", "again")), {"switches": 2}, False, 800),
    "time passes": Case(Wishes(expires=True, deliveries=("next", "next")), {"switches": 1}, False, 1_500),
    "a reader, a projection added late": Case(Wishes(late=True, reader=True), {"switches": 1}, False, 300),
    "no time for more than a page": Case(Wishes(appends=(2, 1), hurried=True), {"switches": 2}, False, 140),
    "a projection is stopped": Case(Wishes(stopped=True), {"switches": 3}, False, 126),
    "somebody crashes": Case(Wishes(), {"switches": 2, "crashes": 1}, False, 400),
    "somebody crashes, time passes": Case(Wishes(expires=True), {"switches": 1, "crashes": 1}, False, 400),
    "answers and calls are lost": Case(Wishes(), {"switches": 1, "lost_answers": 1, "refusals": 1}, True, 2_500),
}


@pytest.mark.parametrize("name", CASES)
def test_every_event_is_folded(name: str, record_property: Note) -> None:
    case = CASES[name]
    explored = noting(record_property, explore(on_the_model(case.wishes, after=case.after), **case.bounds))
    assert explored.schedules >= case.least


def test_every_event_is_folded_by_views_elsewhere(record_property: Note) -> None:
    explored = noting(record_property, explore(on_the_model_apart(Wishes())))
    assert explored.schedules >= 200


class Wrong(NamedTuple):
    """A protocol with something wrong in it, and the case that has to notice."""

    case: Case
    wrong: Mapping[str, Any]
    never_lost: bool = False


HURRIED: Final = CASES["no time for more than a page"]
PLAIN: Final = CASES["in every order, each appends twice"]
LOST: Final = CASES["answers and calls are lost"]

WRONG: Final = {
    "the commit answers the head of before": Wrong(PLAIN, {"prepare": around(views=broken.AnswersTheHeadOfBefore)}),
    "settled when any one is at the head": Wrong(
        CASES["a reader, a projection added late"], {"prepare": around(views=broken.SettlesForAnybody)}
    ),
    "settled though the head has moved": Wrong(
        Case(Wishes(), {"switches": 3}, False, 0), {"prepare": around(log=broken.SettlesWhereverTheHeadIs, apart=True)}
    ),
    "held by a projection that is stopped": Wrong(
        CASES["a projection is stopped"], {"prepare": around(views=broken.WaitsForTheStopped)}
    ),
    "never lost": Wrong(CASES["somebody crashes"], {}, never_lost=True),
    "never withdrawn": Wrong(LOST, {"prepare": around(log=broken.NeverWithdraws)}),
    "withdrawn by the moment": Wrong(
        Case(Wishes(appends=(1,)), {"lost_answers": 1, "refusals": 1}, True, 0),
        {"prepare": around(log=broken.WithdrawsWhatTheClockSays)},
    ),
    "owed once only": Wrong(LOST, {"prepare": around(log=broken.OwesOnceOnly)}),
    "named by the position alone": Wrong(HURRIED, {"named": lambda position, _: f"{position}"}),
    "content with the position in the message": Wrong(HURRIED, {"endpoint": broken.ContentWithThePosition}),
    "forgets the rest when time is up": Wrong(HURRIED, {"endpoint": broken.ForgetsTheRest}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_protocol_is_caught(name: str, record_property: Note) -> None:
    case, wrong, never_lost = WRONG[name]
    wishes = case.wishes._replace(**wrong)
    make = on_the_model_apart if name == "settled though the head has moved" else on_the_model
    lost_after_us = math.inf if never_lost else LOST_AFTER_US
    world = make(wishes, after=case.after, lost_after_us=lost_after_us)
    with pytest.raises(ScheduleFailed, match=r"nobody|though somebody was told|while another is outstanding") as caught:
        explore(world, **case.bounds)
    record_property("schedule", caught.value.schedule)
    with pytest.raises(ScheduleFailed) as again:
        replay(world, caught.value.choices, **case.bounds)
    assert again.value.schedule == caught.value.schedule


@pytest.mark.parametrize("appenders", [2, 8, 40])
def test_a_burst_of_a_thousand_appends_sends_at_most_three_messages(appenders: int, record_property: Note) -> None:
    model = OwingMemory()
    notified = Notified(
        model, pausing(model), Pauses(after=True, inside=False), Wishes(appends=(1_000 // appenders,) * appenders)
    )
    sent = notified.burst()
    record_property("messages", sent)
    assert sent <= 3
