"""Cold starts: a fresh interpreter until its first request over REST has been answered.

Without TLS and on this machine: a real first request takes two or three round trips more, for everybody.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measuring import Contestant, median
from benchmarks.rows import FLOOR, OURS, QSTASH_SDK, REDIS_SDK
from benchmarks.upstash import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.measuring import Job

FOLDER = Path(__file__).resolve().parent / "cold"
PROGRAMS = {
    f"rest-{FLOOR}": "by_hand",
    f"rest-{OURS}": "with_ours",
    f"rest-{REDIS_SDK}": "with_upstash_redis",
    f"rest-{QSTASH_SDK}": "with_qstash",
}
TIMES = 6


def first_request(name: str, _job: Job) -> float:
    """Milliseconds above those of an interpreter that does nothing."""
    program = [sys.executable, str(FOLDER / f"{PROGRAMS[name]}.py")]
    nothing = [sys.executable, "-c", "pass"]
    differences: list[float] = []
    with running() as upstash:
        environment = {
            **os.environ,
            "UPSTASH_REDIS_REST_URL": upstash.redis_url,
            "UPSTASH_REDIS_REST_TOKEN": upstash.redis_token,
            "QSTASH_URL": upstash.qstash_url,
            "QSTASH_TOKEN": upstash.qstash_token,
        }
        for _ in range(TIMES):
            before = wall(nothing, environment)
            differences.append(wall(program, environment) - before)
    # The first one may still be compiling, or reading from the disk; and it makes the server compile the script.
    return median(differences[1:]) * 1e3


def wall(command: list[str], environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True)
    return time.perf_counter() - started


def contestant(name: str) -> Contestant:
    return Contestant(
        measures={"cold": partial(first_request, name)},
        caveats={"cold": "one plain command or one message, where the others run a script"},
    )
