"""Whatever goes wrong on the wire, the history of all who took part keeps every promise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import count, cycle

import pytest

from eventsource_upstash import UpstashRedis
from eventsource_upstash.backends.redis import commits
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.history import History, Recorder, Verdict
from eventsource_upstash.testing.proxy import KINDS, Faults, FaultyProxy, Listed, Seeded, Strike
from tests.searching import thorough
from tests.wire.workload import Client, Noted, Run, judge

_numbers = count(1)

QUICK = sorted(set(KINDS) - {"quota", "error-429"})
"""The kinds that no client waits a second for."""


def run(
    upstash: LocalUpstash,
    faults: Faults,
    seed: int,
    *,
    steps: int = 30,
    clocks: Sequence[float] = (0.0, 0.0, 0.0),
    careless: bool = False,
    total: float = 1.5,
) -> tuple[Verdict, Run, FaultyProxy]:
    namespace = f"history-{next(_numbers)}"

    def backend(url: str, total: float) -> UpstashRedis:
        return UpstashRedis(url, upstash.redis_token, namespace=namespace, read_timeout=0.5, total_timeout=total)

    recorders = [Recorder(f"client-{number}") for number in range(len(clocks))]
    with FaultyProxy(upstash.redis_url, faults=faults) as proxy:
        clients = [
            Client(
                recorder.process,
                backend(proxy.url, total),
                recorder,
                seed,
                ahead=ahead,
                careless=careless,
                colour=colour,
            )
            for recorder, ahead, colour in zip(recorders, clocks, cycle(Colour), strict=False)
        ]
        running = Run(clients, steps)
        with running():
            pass
        proxy.settle()
    return judge(History.of(*recorders), backend(upstash.redis_url, 20.0)), running, proxy


def told(verdict: Verdict, running: Run, proxy: FaultyProxy, seed: int) -> str:
    struck = ", ".join(f"{kind} {times}" for kind, times in sorted(proxy.struck.items()))
    return f"seed {seed}: {proxy.requests} requests, struck: {struck}; met: {dict(running.met)}\n{verdict}\n"


@pytest.mark.parametrize("seed", range(thorough()))
def test_every_promise_is_kept_on_a_bad_wire(upstash: LocalUpstash, seed: int) -> None:
    clocks = ((0.0, 5.0, -5.0), (0.0, 0.0, 0.0))[seed % 2]
    verdict, running, proxy = run(
        upstash, Seeded(seed, probability=0.25, kinds=QUICK, seconds=0.3), seed, clocks=clocks
    )
    sys.stdout.write(told(verdict, running, proxy, seed))
    verdict.raise_()
    assert sum(proxy.struck.values()) > 15
    assert len(proxy.struck) > 6
    assert verdict.counts["appends acknowledged"] > 15


def test_who_sends_again_without_a_key_is_caught(upstash: LocalUpstash) -> None:
    faults = Seeded(1, probability=1.0, kinds=["lose-answer", "cut-answer", "error-502"])
    verdict, running, _ = run(upstash, faults, 1, steps=5, careless=True, total=0.3)
    assert running.met["OutcomeUnknown"]
    assert any("twice" in str(each) or "once" in str(each) for each in verdict.violations), str(verdict)


def late_commit(upstash: LocalUpstash) -> Verdict:
    """One folds, and all that it has sent arrives once more when another has folded what came next."""
    namespace = f"history-{next(_numbers)}"
    recorders = [Recorder("one"), Recorder("other")]
    with FaultyProxy(upstash.redis_url) as proxy:
        one, other = (
            Client(recorder.process, UpstashRedis(url, upstash.redis_token, namespace=namespace), recorder, 1)
            for url, recorder in zip((proxy.url, upstash.redis_url), recorders, strict=True)
        )
        one.store.append("one", Noted("first/1"), mark="first")
        proxy.faults = Listed([Strike("late-duplicate", 3600.0)] * 10)
        one.catch_up()
        assert proxy.struck
        other.store.append("two", Noted("second/1"), mark="second")
        other.catch_up()
        proxy.settle()
    return judge(History.of(*recorders), UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace))


def test_a_commit_that_arrives_late_writes_nothing(upstash: LocalUpstash) -> None:
    late_commit(upstash).raise_()


def test_a_commit_that_does_not_compare_its_checkpoint_is_caught(
    upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = commits.COMMIT.text.replace("build.checkpoint == commit.expected", "true")
    assert text != commits.COMMIT.text
    monkeypatch.setattr(commits, "COMMIT", Script("commit", text))
    verdict = late_commit(upstash)
    assert any("view" in str(each) for each in verdict.violations), str(verdict)
