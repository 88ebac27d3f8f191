"""Aggregates at speed over REST: what is counted, not how long it takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash import EventStore
from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.local import LocalUpstash
from tests.unit.test_snapshots import Add, Added, Sum, fold, summing


@pytest.fixture(scope="module")
def server() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


def backend(server: LocalUpstash, namespace: str) -> UpstashRedis:
    return UpstashRedis(server.redis_url, server.token_for(namespace), namespace=namespace)


def requests(server: LocalUpstash, namespace: str) -> int:
    return int(server.metrics()["redis"][namespace]["requests"])


@pytest.mark.parametrize("cache", [0, 10])
def test_an_aggregate_of_ten_thousand_events_is_executed_in_two_requests(server: LocalUpstash, cache: int) -> None:
    namespace = f"long-{cache}"
    the = summing(every=100)
    store = EventStore(backend(server, namespace), the.registry, cache=cache)
    for _ in range(10):
        store.append("s", *[Added(1)] * 1_000)
    store.execute(the.sums, "s", Add((1,)))  # from then on there is a snapshot
    for index in range(2, 104):  # past a multiple of 100
        before = requests(server, namespace)
        executed = store.execute(the.sums, "s", Add((1,)))
        assert requests(server, namespace) - before == executed.receipt.requests == 2
        assert executed.receipt.commands <= 12
        assert (executed.state, executed.revision) == (Sum(10_000 + index, (1, 1, 1)), 10_000 + index)
    # Another process, which has nothing.
    loaded = EventStore(backend(server, namespace), the.registry).load(the.sums, "s")
    assert loaded.receipt.requests == 1
    assert loaded.state == fold(backend(server, namespace))


def test_a_stream_that_nobody_kept_a_snapshot_of_costs_its_pages_once(server: LocalUpstash) -> None:
    the = summing(every=100)
    store = EventStore(backend(server, "once"), the.registry)
    for _ in range(3):
        store.append("s", *[Added(1)] * 1_000)
    costs = [store.load(the.sums, "s").receipt.requests for _ in range(3)]
    assert costs == [4, 1, 1]
