"""A local Upstash in a process of its own, so that it takes no time from whoever is measured.

`python -m benchmarks.upstash` prints where it is, as JSON, and runs until its standard input is closed. For each line
that it reads there it prints how many requests and commands there were so far.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class Upstash:
    """Where it is. `engine_url`: the real Valkey behind it. `process`: what it runs in."""

    redis_url: str
    redis_token: str
    qstash_url: str
    qstash_token: str
    engine_url: str
    process: subprocess.Popen[str] = field(repr=False)

    def spent(self) -> tuple[int, int]:
        """Requests to Redis, and commands in them, so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        requests, commands = json.loads(self.process.stdout.readline())
        return requests, commands


@contextmanager
def running() -> Generator[Upstash, None, None]:
    """Start one on free ports; it ends with the block, and with this process, however that ends."""
    command = [sys.executable, "-m", "benchmarks.upstash"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the local Upstash did not start")
        yield Upstash(**json.loads(line), process=process)
        process.stdin.close()


def main() -> None:
    from eventsource_upstash.local import LocalUpstash

    with LocalUpstash() as local:
        # No benchmark of speed waits for a delivery, and none shall be sent anywhere.
        local.faults.add("lose-delivery", count=None)
        told = {
            "redis_url": local.redis_url,
            "redis_token": local.redis_token,
            "qstash_url": local.qstash_url,
            "qstash_token": local.environment()["QSTASH_TOKEN"],
            "engine_url": local.engine_url,
        }
        print(json.dumps(told), flush=True)
        for _ in sys.stdin:
            total = local.metrics()["redis"].get("total", {})
            print(json.dumps((total.get("requests", 0), total.get("commands", 0))), flush=True)


if __name__ == "__main__":
    main()
