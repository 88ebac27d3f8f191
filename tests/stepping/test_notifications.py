"""Every event is folded without waiting for a sweep, in any order of appends, deliveries, crashes and expiry.

On the reference model, whose every call is one step. The same worlds run on the real backends elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import pytest

from eventsource_upstash import Memory
from eventsource_upstash.testing import Endings, Explored, ScheduleFailed, World, explore, pausing, replay
from eventsource_upstash.testing.pausing import Pauses
from tests.stepping import broken_notices as broken
from tests.stepping.broken_notices import around
from tests.stepping.cases.every import explored
from tests.stepping.cases.notices import told
from tests.stepping.cases.places import model
from tests.stepping.model import OwingMemory, PausingApart, Watched
from tests.stepping.notified import Notified, Wishes

Note = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _quietly(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in thousands of schedules is logged as it should be, and takes most of the time."""
    caplog.set_level(logging.CRITICAL, "eventsource_upstash")


def on_the_model(wishes: Wishes) -> Callable[[], World]:
    """With a clock that goes on, which tells one call from the next."""

    def world() -> World:
        model = Watched(OwingMemory())
        notified = Notified(model, pausing(model), Pauses(after=True, inside=False), wishes)
        model.everybody = len(notified.registry.projections)
        actors, check, _ = notified.world()

        def thrifty(endings: Endings) -> None:
            assert not model.too_many, model.too_many[0]
            check(endings)
            assert not model.too_many, model.too_many[0]

        return World(actors, thrifty)

    return world


def on_the_model_apart(wishes: Wishes) -> Callable[[], World]:
    """The log here, the views elsewhere: to settle is a step of its own."""

    def world() -> World:
        stepped = PausingApart(OwingMemory(), Memory())
        return Notified(stepped.still(), stepped, Pauses(after=False, inside=False), wishes).world()

    return world


def noting(record_property: Note, explored: Explored) -> Explored:
    for name, count in explored._asdict().items():
        record_property(name, count)
    print(explored)  # noqa: T201  how many schedules there were is part of the claim
    return explored


CASES: Final = {
    "each appends twice": (Wishes(appends=(2, 2)), "none", 942),
    "two workers": (Wishes(deliveries=("next", "next")), "none", 20_916),
    "delivered again meanwhile": (Wishes(deliveries=("next", "again")), "none", 9_500),
    "a reader, a projection added late": (Wishes(late=True, reader=True), "none", 244),
    "no time for more than a page": (Wishes(appends=(2, 1), hurried=True), "none", 117),
    "a projection is stopped": (Wishes(stopped=True), "none", 22),
    "somebody crashes": (Wishes(), "a crash", 168),
    "somebody crashes, time passes": (Wishes(expires=True), "a crash", 560),
    "an answer is lost": (Wishes(), "a lost answer", 454),
    "a call is refused": (Wishes(), "a refusal", 150),
}
"""What is in the world beside the cases of the table, and how many schedules that is: every order."""


@pytest.mark.parametrize("name", CASES)
def test_every_event_is_folded(name: str, record_property: Note) -> None:
    wishes, trouble, schedules = CASES[name]
    with model() as place:
        found = noting(record_property, explored(told(wishes), place, trouble))
    assert found.schedules == schedules


def test_every_event_is_folded_by_views_elsewhere(record_property: Note) -> None:
    found = noting(record_property, explore(on_the_model_apart(Wishes())))
    assert found.schedules >= 200


# What else is wrong on purpose is caught by cases of the table.
WRONG: Final = {
    "settled though the head has moved": (
        on_the_model_apart(Wishes(prepare=around(log=broken.SettlesWhereverTheHeadIs, apart=True))),
        {"switches": 3},
    ),
    "withdrawn by the moment": (
        on_the_model(Wishes(appends=(1,), prepare=around(log=broken.WithdrawsWhatTheClockSays))),
        {"lost_answers": 1, "refusals": 1},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_protocol_is_caught(name: str, record_property: Note) -> None:
    world, bounds = WRONG[name]
    with pytest.raises(ScheduleFailed, match=r"nobody|though somebody was told|while another is outstanding") as caught:
        explore(world, **bounds)
    record_property("schedule", caught.value.schedule)
    with pytest.raises(ScheduleFailed) as again:
        replay(world, caught.value.choices, **bounds)
    assert again.value.schedule == caught.value.schedule


@pytest.mark.parametrize("appenders", [2, 8, 40])
def test_a_burst_of_a_thousand_appends_sends_at_most_three_messages(appenders: int, record_property: Note) -> None:
    backend = OwingMemory()
    notified = Notified(
        backend, pausing(backend), Pauses(after=True, inside=False), Wishes(appends=(1_000 // appenders,) * appenders)
    )
    sent = notified.burst()
    record_property("messages", sent)
    assert sent <= 3
