"""The workload on a local Upstash that misbehaves: `python -m tests.history.upstash --seconds 60 --kill`."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.history.running import Ran, Run, run

FAULTS = {
    "lose-answer": 0.03,
    "lose-request": 0.03,
    "duplicate": 0.03,
    "error-500": 0.02,
    "error-429": 0.01,
    "cut-answer": 0.02,
    "delay": 0.03,
}
"""What goes wrong with how many of the requests."""


def run_on_upstash(folder: Path, seconds: float, seed: int, *, processes: int = 4, kill: bool = False) -> Ran:
    """Run the workload on a local Upstash of its own, with faults on the wire."""
    with LocalUpstash() as upstash:
        for number, (kind, probability) in enumerate(FAULTS.items()):
            upstash.faults.add(kind, half="redis", count=None, probability=probability, seed=seed + number)
        with patch.dict("os.environ", upstash.environment()):
            return run(Run(f"upstash:run-{secrets.token_hex(4)}", folder, processes, seconds, seed, kill))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ran = run_on_upstash(
            Path(folder), options.seconds, options.seed, processes=options.processes, kill=options.kill
        )
    sys.stdout.write("\n".join([f"seed {options.seed}, {ran.kills} kills", str(ran.verdict), *ran.fallen]) + "\n")
    return 0 if ran.ok else 1


if __name__ == "__main__":
    sys.exit(main())
