"""The server itself fails: killed, paused, full. What clients were told stays true."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from eventsource_upstash import UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.history import History, Recorder
from tests.searching import thorough
from tests.wire.valkey import Valkey
from tests.wire.workload import Client, Run, judge


def killed(valkey: Valkey, running: Run) -> None:
    """Killed and restarted, again and again."""
    for part in (0.2, 0.4, 0.6, 0.8):
        running.wait(part)
        valkey.kill_and_restart()
    assert valkey.lives == 5


def killed_for_a_while(valkey: Valkey, running: Run) -> None:
    """Killed, and not there until somebody has been told so."""
    running.wait(0.3)
    valkey.kill()
    running.wait_to_meet("OutcomeUnknown", "Unavailable")
    valkey.start()


def paused(valkey: Valkey, running: Run) -> None:
    """Stopped in the middle of whatever it did: what was sent to it is done when it goes on."""
    for part in (0.25, 0.5, 0.75):
        running.wait(part)
        valkey.pause()
        running.wait_to_meet("OutcomeUnknown", "Unavailable")
        valkey.resume()


def full(valkey: Valkey, running: Run) -> None:
    """There is no room for anything any more, and then there is again."""
    running.wait(0.3)
    valkey.ask("CONFIG", "SET", "maxmemory", 1024 * 1024)
    running.wait_to_meet("Refused", times=3)
    valkey.ask("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize("seed", range(thorough()))
@pytest.mark.parametrize("trouble", [killed, killed_for_a_while, paused, full], ids=lambda each: each.__name__)
def test_every_promise_is_kept(tmp_path: Path, trouble: Callable[[Valkey, Run], None], seed: int) -> None:
    # Each answer only when it is on the disk: with less, the server itself may lose what it has acknowledged.
    with Valkey(tmp_path / "data", appendfsync="always") as valkey, LocalUpstash(engine_url=valkey.url) as upstash:

        def backend(total: float) -> UpstashRedis:
            return UpstashRedis(upstash.redis_url, upstash.redis_token, read_timeout=0.2, total_timeout=total)

        recorders = [Recorder(f"client-{number}") for number in range(3)]
        totals = (0.3, 0.6, 1.5)
        clients = [
            Client(recorder.process, backend(total), recorder, seed, colour=colour)
            for recorder, total, colour in zip(recorders, totals, cycle(Colour), strict=False)
        ]
        running = Run(clients, 30)
        with running():
            trouble(valkey, running)
        verdict = judge(History.of(*recorders), backend(20.0))
    sys.stdout.write(f"{trouble.__name__}, seed {seed}: met {dict(running.met)}\n{verdict}\n")
    verdict.raise_()
    assert verdict.counts["appends acknowledged"] > 20
