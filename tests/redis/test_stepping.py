"""The worlds of the notification protocol on the Redis backend: every request over the wire is a step."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable

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
from tests.stepping.cases.every import explored
from tests.stepping.cases.notices import HURRIED, ONE, told
from tests.stepping.cases.places import quietly, redis
from tests.stepping.notified import Notified, Wishes

Note = Callable[[str, object], None]


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


@pytest.mark.parametrize(
    ("wishes", "trouble"),
    [
        (ONE._replace(prepare=around(log=broken.NeverWithdraws)), "a refusal"),
        (HURRIED._replace(endpoint=broken.ContentWithThePosition), "none"),
    ],
    ids=["never withdrawn", "content with the position in the message"],
)
def test_a_wrong_protocol_is_caught(wishes: Wishes, trouble: str, upstash: LocalUpstash) -> None:
    """What is right over Redis: see the cases."""
    with quietly(), redis(upstash, told=True) as place, pytest.raises(ScheduleFailed, match=r"nobody"):
        explored(told(wishes), place, trouble)


def test_every_event_is_folded_by_views_elsewhere(opened: Callable[[], UpstashRedis], record_property: Note) -> None:
    found = explore(on_redis(lambda: SeparateViews(opened(), Memory()), Wishes(), after=False), switches=1)
    record_property("schedules", found.schedules)
    assert found.schedules == 36


def test_a_burst_of_a_thousand_appends_sends_at_most_three_messages(
    opened: Callable[[], UpstashRedis], record_property: Note
) -> None:
    wishes = Wishes(appends=(125,) * 8)
    messages = notified(opened(), wishes, after=False).burst()
    record_property("messages", messages)
    assert messages <= 3
