"""A request that reaches the server twice, the second time after others have written: it takes effect once."""

from __future__ import annotations

import time
from itertools import count

import pytest

from eventsource_upstash import ANY, EXISTS, App, Expectation, UpstashRedis
from eventsource_upstash.backends.redis import log
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.proxy import FaultyProxy, Listed, Strike
from tests.unit.todo import TaskCreated, todo

_numbers = count(1)


def written(upstash: LocalUpstash, kind: str, ahead: float, expected: Expectation = ANY) -> list[str]:
    """What is in the log when the first of two appenders, whose clock is ahead, had one of its requests arrive late."""
    namespace = f"late-{next(_numbers)}"

    def appender(url: str, ahead: float) -> App:
        backend = UpstashRedis(url, upstash.redis_token, namespace=namespace)
        return App(backend, todo().registry, None, clock=lambda: time.time_ns() + int(ahead * 1e9))

    with FaultyProxy(upstash.redis_url) as proxy:
        one, other = appender(proxy.url, ahead), appender(upstash.redis_url, 0)
        other.event_store.append("tasks", TaskCreated("0", "x"))
        proxy.faults = Listed([Strike(kind, 3600.0)])
        one.event_store.append("tasks", TaskCreated("1", "x"), expected_revision=expected)
        other.event_store.append("tasks", TaskCreated("2", "x"))
        proxy.settle()
        other.event_store.append("tasks", TaskCreated("3", "x"))
        assert proxy.struck == {kind: 1}
    return [each.event.id for each in other.event_store.read_stream("tasks") if isinstance(each.event, TaskCreated)]


@pytest.mark.parametrize("kind", ["late-request", "late-duplicate"])
@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0], ids=["behind", "alike", "ahead"])
@pytest.mark.parametrize("expected", [ANY, EXISTS], ids=["any", "exists"])
def test_a_late_request_takes_effect_once(
    upstash: LocalUpstash, kind: str, ahead: float, expected: Expectation
) -> None:
    """Whatever the clocks say; and the event before it in the stream may be older, since it was longer on its way."""
    assert written(upstash, kind, ahead, expected) == ["0", "1", "2", "3"]


def test_it_is_noticed_if_only_the_last_event_is_looked_at(
    upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = log.APPEND.text.replace("number_of(youngest) < number_of(identity) then", "true then")
    assert text != log.APPEND.text
    monkeypatch.setattr(log, "APPEND", Script("append", text))
    assert written(upstash, "late-duplicate", 3600.0) == ["0", "1", "2", "1", "3"]
