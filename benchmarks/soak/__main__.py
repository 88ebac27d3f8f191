"""`python -m benchmarks.soak [--minutes 60] [--writers 8]`: runs, and prints what came of it, also after Ctrl-C.

The exit code is 1 when the verdict is bad, or when the memory of an app process grows without bound.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.soak import report, telling
from benchmarks.soak.report import RESULT
from benchmarks.soak.results import Sample
from benchmarks.soak.running import Plan, Result, Run
from benchmarks.soak.services import DidNotStart
from benchmarks.soak.trouble import LONGEST, ROUNDS, SHORTEST
from eventsource_upstash.local.engine import find_server

RESULTS = Path("soak-results")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long writers write (3)")
    parser.add_argument("--writers", type=int, default=8, help="how many (8)")
    parser.add_argument("--apps", type=int, default=3, help="processes of the app, which all fold (3)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of all dice")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between two lines (5)")
    parser.add_argument("--folder", type=Path, help="where the results go (soak-results/ and the time)")
    parser.add_argument("--app", default="examples.todo.serve", help="what serves the app")
    options = parser.parse_args(words)
    if options.minutes <= 0 or options.writers < 1 or options.apps < 2:
        parser.error("it takes some minutes, a writer, and two processes of the app, one of which is killed")
    return options


async def run(plan: Plan) -> Result:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)

    def tell(sample: Sample, left: float) -> None:
        print(telling.line(sample, left), flush=True)

    return await Run(plan, told, tell).run()


def about(plan: Plan) -> dict[str, object]:
    """What is run, and on what."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    engine = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=False).stdout.strip()
    packages = ("aiohttp", "httpx", "msgspec", "redis", "starlette", "uvicorn")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "engine": engine,
        "packages": {name: version(name) for name in packages},
        "plan": {**asdict(plan), "folder": plan.folder.name},
    }


def main() -> int:
    options = arguments()
    folder: Path = options.folder or RESULTS / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    seconds = options.minutes * 60
    plan = Plan(
        seconds,
        options.writers,
        options.apps,
        options.seed,
        options.every,
        folder,
        options.app,
        round=min(LONGEST, max(SHORTEST, seconds / ROUNDS)),
    )
    (folder / "about.json").write_bytes(msgspec.json.format(msgspec.json.encode(about(plan))))
    print(f"seed {plan.seed}, results in {folder}", flush=True)
    try:
        result = asyncio.run(run(plan))
    except DidNotStart as error:
        print(error, file=sys.stderr)
        return 1
    (folder / RESULT).write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    if not (folder / "view.json").exists():
        print(*result.problems, sep="\n", file=sys.stderr)  # there is nothing to hold the records against
        return 1
    print("checking what was recorded", flush=True)
    code = report.main(folder)
    if code == 0:
        shutil.rmtree(folder / "valkey")  # else somebody wants to look at it
    return code


if __name__ == "__main__":
    sys.exit(main())
