"""The worlds of the notification protocol on the Redis backend: every request over the wire is a step."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest

from eventsource_upstash import Memory
from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import ScheduleFailed, World, explore, pausing
from eventsource_upstash.testing.pausing import Pauses
from tests.conformance.separate import SeparateViews
from tests.stepping import broken_notices as broken
from tests.stepping.broken_notices import around
from tests.stepping.notified import Notified, Wishes

Note = Callable[[str, object], None]


class Case(NamedTuple):
    """A world, how much of it is run, whether answers can be lost, and how many schedules there are at least."""

    wishes: Wishes
    bounds: Mapping[str, int]
    after: bool
    least: int


CASES: Final = {
    "in every order": Case(Wishes(), {}, False, 100),
    "delivered again": Case(Wishes(appends=(1,), deliveries=("next", "again")), {"switches": 1}, False, 20),
    "time passes, somebody crashes": Case(Wishes(appends=(1,), expires=True), {"switches": 1, "crashes": 1}, False, 40),
    "a projection added late": Case(Wishes(appends=(1,), late=True, reader=True), {"switches": 1}, False, 20),
    "no time for more than a page": Case(
        Wishes(appends=(2,), hurried=True, deliveries=("next", "next")), {"switches": 2}, False, 20
    ),
    "a projection is stopped": Case(Wishes(stopped=True), {"switches": 1}, False, 10),
    "answers and requests are lost": Case(
        Wishes(appends=(1,)), {"switches": 0, "lost_answers": 1, "refusals": 1}, True, 40
    ),
}


@pytest.fixture
def opened(upstash: LocalUpstash, caplog: pytest.LogCaptureFixture) -> Callable[[], UpstashRedis]:
    """Opens a namespace that nobody has used."""
    caplog.set_level(logging.CRITICAL, "eventsource_upstash")
    run, numbers = secrets.token_hex(6), itertools.count()
    return lambda: UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=f"{run}-{next(numbers)}")


def on_redis(opened: Callable[[], Backend], wishes: Wishes, *, after: bool) -> Callable[[], World]:
    def world() -> World:
        return notified(opened(), wishes, after=after).world()

    # The server is sent the scripts once. A schedule is the same every time.
    notified(opened(), Wishes(), after=False).once()
    return world


def notified(backend: Backend, wishes: Wishes, *, after: bool) -> Notified:
    pauses = Pauses(after=after, inside=True, outside=False)
    return Notified(backend, pausing(backend, after=after, inside=True, outside=False), pauses, wishes)


@pytest.mark.parametrize("name", CASES)
def test_every_event_is_folded(name: str, opened: Callable[[], UpstashRedis], record_property: Note) -> None:
    case = CASES[name]
    explored = explore(on_redis(opened, case.wishes, after=case.after), **case.bounds)
    for what, count in explored._asdict().items():
        record_property(what, count)
    print(explored)  # noqa: T201  how many schedules there were is part of the claim
    assert explored.schedules >= case.least


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        ("answers and requests are lost", {"prepare": around(log=broken.NeverWithdraws)}),
        ("no time for more than a page", {"endpoint": broken.ContentWithThePosition}),
    ],
    ids=["never withdrawn", "content with the position in the message"],
)
def test_a_wrong_protocol_is_caught(case: str, wrong: Mapping[str, Any], opened: Callable[[], UpstashRedis]) -> None:
    wishes, bounds, after, _ = CASES[case]
    with pytest.raises(ScheduleFailed, match=r"nobody"):
        explore(on_redis(opened, wishes._replace(**wrong), after=after), **bounds)


def test_every_event_is_folded_by_views_elsewhere(opened: Callable[[], UpstashRedis], record_property: Note) -> None:
    explored = explore(on_redis(lambda: SeparateViews(opened(), Memory()), Wishes(), after=False), switches=2)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 50


def test_a_burst_of_a_thousand_appends_sends_at_most_three_messages(
    opened: Callable[[], UpstashRedis], record_property: Note
) -> None:
    wishes = Wishes(appends=(125,) * 8)
    messages = notified(opened(), wishes, after=False).burst()
    record_property("messages", messages)
    assert messages <= 3
