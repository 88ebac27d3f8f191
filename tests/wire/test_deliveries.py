"""Messages on a bad wire, deliveries lost, doubled, late, out of order, wrongly signed: in the end all is folded."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from eventsource_upstash import App, QStash, Schedules, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.faults import DELIVERY_FAULTS
from eventsource_upstash.local.qstash.settings import Settings
from eventsource_upstash.testing.history import History, Recorder, Verdict
from eventsource_upstash.testing.proxy import FaultyProxy, Seeded
from eventsource_upstash.web import Endpoint
from tests.qstash.receiving import PUBLIC, Site
from tests.searching import thorough
from tests.wire.test_histories import QUICK
from tests.wire.workload import Client, Run, domain, judge

SECONDS = {"deliver-late": 400.0, "sign-skewed": -4000.0}


class Delivered(NamedTuple):
    verdict: Verdict
    running: Run
    folded: bool
    struck: dict[str, int]
    statuses: list[int]


def run(seed: int, *, steps: int = 25, silent: bool = False) -> Delivered:
    """Clients append and notify, and nobody folds but the endpoint, when a message is delivered to it.

    Args:
        seed: Of all dice.
        steps: How many each client takes.
        silent: Whether no message ever arrives.
    """
    with (
        Site() as site,
        LocalUpstash(qstash=Settings(mapping={PUBLIC: site.url}, strict=True)) as upstash,
        FaultyProxy(upstash.redis_url, faults=Seeded(seed, probability=0.2, kinds=QUICK, seconds=0.1)) as redis,
        FaultyProxy(upstash.qstash_url, faults=Seeded(seed, probability=0.4, kinds=QUICK, seconds=0.1)) as messages,
    ):

        def backend(url: str) -> UpstashRedis:
            return UpstashRedis(url, upstash.redis_token, read_timeout=0.5, total_timeout=2.0)

        environ = {**upstash.environment(), "QSTASH_URL": messages.url}
        qstash = QStash.from_env(f"{PUBLIC}/projections", environ=environ, namespace="events")
        endpoint = Endpoint(App(backend(redis.url), domain().registry, qstash))
        site.answer = endpoint.handle
        direct = QStash.from_env(f"{PUBLIC}/projections", environ=upstash.environment(), namespace="events")
        Schedules(direct).ensure_sweep()
        if silent:
            upstash.faults.add("lose-delivery", half="qstash", count=None)
        faults = [
            upstash.faults.add(kind, half="qstash", count=6, probability=0.3, seed=seed, seconds=SECONDS.get(kind, 1.0))
            for kind in DELIVERY_FAULTS
        ]
        recorders = [Recorder(f"client-{number}") for number in range(2)]
        clients = [Client(each.process, backend(redis.url), each, seed, notifier=qstash) for each in recorders]
        running = Run(clients, steps)
        with running():
            for part in (0.2, 0.4, 0.6, 0.8):
                running.wait(part)
                upstash.run(upstash.qstash.advance(120))
        for proxy in (redis, messages):
            proxy.settle()
            proxy.faults = None
        upstash.run(upstash.qstash.advance(7200))
        upstash.run(upstash.qstash.idle())
        looking = App(backend(upstash.redis_url), domain().registry, None)
        (status,) = looking.projection_store.status()
        folded = (status.checkpoint, status.lag) == (looking.event_store.head(), 0)
        struck = {each.kind: each.struck for each in faults}
        for proxy in (redis, messages):
            for kind, times in proxy.struck.items():
                struck[kind] = struck.get(kind, 0) + times
        verdict = judge(History.of(*recorders), backend(upstash.redis_url))
        return Delivered(verdict, running, folded, struck, site.statuses)


@pytest.mark.parametrize("seed", range(thorough()))
def test_everything_is_folded_in_the_end(seed: int) -> None:
    verdict, running, folded, struck, statuses = run(seed)
    told = ", ".join(f"{kind} {times}" for kind, times in sorted(struck.items()) if times)
    met = dict(running.met)
    sys.stdout.write(f"deliveries, seed {seed}: struck: {told}; met {met}; answered {statuses}\n{verdict}\n")
    verdict.raise_()
    assert folded
    assert sum(struck[kind] > 0 for kind in DELIVERY_FAULTS) >= 4
    assert sum(times for kind, times in struck.items() if kind not in DELIVERY_FAULTS) >= 5
    assert 401 in statuses or not (struck["sign-with-wrong-key"] or struck["sign-skewed"])


def test_a_message_that_never_arrives_is_noticed() -> None:
    verdict, _, folded, _, statuses = run(0, steps=5, silent=True)
    assert verdict.ok
    assert not folded
    assert statuses == []
