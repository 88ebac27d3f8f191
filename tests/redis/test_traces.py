"""The Redis backend does as the TLA+ model of notifications: behaviours of the model are done again over the wire."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import upstash_redis

from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.backends.redis.keys import Keys
from eventsource_upstash.local import LocalUpstash
from tests.models import traces
from tests.searching import thorough
from tests.stepping import broken_notices as broken
from tests.stepping.broken_notices import around
from tests.stepping.notified import Wishes
from tests.stepping.traced import Traced

Note = Callable[[str, object], None]
Follow = Callable[[list[traces.Step], Wishes], None]

KEPT: Final = traces.kept()
EVERY: Final = max(1, 40 // thorough())


@pytest.fixture
def follow(upstash: LocalUpstash, caplog: pytest.LogCaptureFixture) -> Iterator[Follow]:
    """Does a trace again, in a namespace that nobody has used."""
    caplog.set_level(logging.CRITICAL, "eventsource_upstash")
    run, numbers = secrets.token_hex(6), itertools.count()

    def following(trace: list[traces.Step], wishes: Wishes) -> None:
        namespace = f"{run}-{next(numbers)}"
        notice = Keys(namespace).notice
        backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace)
        Traced(backend, lambda: int((client.get(notice) or "0").partition(" ")[0]), wishes).run(trace)

    with upstash_redis.Redis(upstash.redis_url, upstash.redis_token, allow_telemetry=False) as client:
        yield following


@pytest.mark.parametrize("world", KEPT.worlds, ids=lambda world: world.world)
def test_redis_does_as_the_model(world: traces.Traces, follow: Follow, record_property: Note) -> None:
    chosen = world.traces[::EVERY]
    record_property("traces", len(chosen))
    assert chosen
    for trace in chosen:
        follow(trace, Wishes(hurried=world.hurried, page=world.page))


def test_what_is_never_withdrawn_does_not(follow: Follow) -> None:
    world = KEPT.worlds[0]
    trace = next(each for each in world.traces if any(step.name == "Withdraw" and not step.flag for step in each))
    with pytest.raises(AssertionError, match="and the model has"):
        follow(trace, Wishes(prepare=around(log=broken.NeverWithdraws)))
