"""Workers that are killed at random points, on a bad wire: nothing acknowledged is lost, nothing is folded twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from eventsource_upstash import UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.history import History, Verdict
from eventsource_upstash.testing.proxy import FaultyProxy, Seeded
from tests.faults.processes import start
from tests.searching import thorough
from tests.wire.test_histories import QUICK
from tests.wire.workload import judge

_numbers = count(1)

WORKER = """
import sys
from eventsource_upstash import UpstashRedis
from eventsource_upstash.testing.history import Recorder
from tests.wire.workload import Client

_, url, token, namespace, path, name, life = sys.argv
backend = UpstashRedis(url, token, namespace=namespace, read_timeout=0.5, total_timeout=1.5)
client = Client(f"{name}-{life}", backend, Recorder(name, path), int(life))
while True:
    client.step()
    print("step", flush=True)
"""


def run(upstash: LocalUpstash, folder: Path, seed: int, *, lives: int, probability: float = 0.15) -> Verdict:
    """Two workers at once, each killed after some steps, and another begun in its place."""
    dice, namespace = random.Random(seed), f"workers-{next(_numbers)}"
    faults = Seeded(seed, probability=probability, kinds=QUICK, seconds=0.1)
    with FaultyProxy(upstash.redis_url, faults=faults) as proxy:
        for life in range(lives):
            with ExitStack() as stack:
                processes: list[subprocess.Popen[str]] = []
                for name in ("worker-1", "worker-2"):
                    arguments = (proxy.url, upstash.redis_token, namespace, str(folder / f"{name}.jsonl"), name)
                    processes.append(stack.enter_context(start(WORKER, *arguments, str(life))))
                for process in processes:
                    assert process.stdout is not None
                    for _ in range(dice.randrange(6, 12)):
                        assert process.stdout.readline() == "step\n"
                    until = proxy.requests + dice.randrange(1, 4)
                    while proxy.requests < until:
                        time.sleep(0.0005)
                    process.send_signal(signal.SIGKILL)  # amid whatever it does now
                for process in processes:
                    _, errors = process.communicate()
                    assert (process.returncode, errors) == (-signal.SIGKILL, "")
        proxy.settle()
        struck = dict(proxy.struck)
    assert struck
    verdict = judge(History.read(folder), UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace))
    sys.stdout.write(f"workers, seed {seed}: {2 * lives} killed; struck: {struck}\n{verdict}\n")
    return verdict


@pytest.mark.parametrize("seed", range(thorough()))
def test_a_worker_is_killed_at_any_point(upstash: LocalUpstash, tmp_path: Path, seed: int) -> None:
    verdict = run(upstash, tmp_path, seed, lives=1 if thorough() == 1 else 8)
    verdict.raise_()
    assert verdict.counts["processes"] == 2
    assert verdict.counts["appends acknowledged"] >= 2
