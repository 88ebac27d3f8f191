"""Runs a row: each measurement in a fresh process, the contestants in turns: drift cancels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environments import EVENTSOURCE_PY, EVENTSOURCING, KAFKA, OWN, ROOT, UPSTASH, Environment
from benchmarks.measuring import median
from benchmarks.rows import FLOOR, IMPORTS, JSON, MSGSPEC, OURS, PY, REST_IMPORTS, Row

ENVIRONMENTS: dict[str, Environment] = {
    FLOOR: OWN,
    OURS: OWN,
    JSON: EVENTSOURCING,
    MSGSPEC: EVENTSOURCING,
    PY: EVENTSOURCE_PY,
}
TMPFS = Path("/dev/shm")


@dataclass
class Cell:
    """What one contestant did in one row."""

    values: list[float] = field(default_factory=list[float])
    caveat: str | None = None
    cannot: str | None = None

    @property
    def value(self) -> float | None:
        return median(self.values) if self.values else None

    @property
    def spread(self) -> float:
        """How far apart the runs were, from the lowest to the highest, as a part of the median."""
        return (max(self.values) - min(self.values)) / (self.value or 1) if self.values else 0


def run_row(row: Row, contestants: dict[str, str | None], times: int, quick: bool) -> dict[str, Cell]:
    """`contestants`: each with the reason why it cannot take part at all, or None."""
    cells = {name: Cell(cannot=reason) for name, reason in contestants.items()}
    for turn in range(times):
        for name, cell in cells.items():
            if cell.cannot is None:
                _progress(f"{row.title}: {turn + 1} of {times}, {name}")
                measure_once(row, name, quick, cell)
    _progress("")
    return cells


def measure_once(row: Row, name: str, quick: bool, cell: Cell) -> None:
    environment = UPSTASH if row.over_rest else KAFKA if row.on_kafka else ENVIRONMENTS[name]
    python = str(environment.python)
    if row.measure == "import":
        try:
            cell.values.append(import_time(python, (REST_IMPORTS if row.over_rest else IMPORTS)[name]))
        except ImportError as failure:
            cell.cannot = f"failed: {failure}"
        return
    size = row.quick if quick else row.size
    size = min(size, row.fewer.get(name, size))
    if not size:
        cell.cannot = "would take too long"
        return
    with tempfile.TemporaryDirectory(dir=None if row.on_disk else _tmpfs()) as folder:
        who = f"rest-{name}" if row.over_rest else f"kafka-{name}" if row.on_kafka else name
        command = [python, "-m", "benchmarks.worker", who, row.measure, str(size), folder]
        done = run_process(command)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        cell.cannot = "failed: " + (last[0] if last else f"exit code {done.returncode}")
        print(done.stderr, file=sys.stderr)
        return
    answer: dict[str, str | float | None] = json.loads(done.stdout)
    value = answer.get("value")
    if isinstance(value, float):
        cell.values.append(value)
    cell.caveat = _text(answer.get("caveat"))
    cell.cannot = _text(answer.get("cannot"))


def import_time(python: str, statement: str) -> float:
    """Milliseconds that a fresh interpreter takes for it, above those for nothing at all."""
    differences: list[float] = []
    for _ in range(6):
        nothing = _wall(python, "pass")
        differences.append(_wall(python, statement) - nothing)
    # The first one may still be compiling, or reading from the disk.
    return median(differences[1:]) * 1e3


def _wall(python: str, code: str) -> float:
    started = time.perf_counter()
    done = run_process([python, "-c", code])
    if done.returncode:
        raise ImportError(done.stderr.strip().rpartition("\n")[2])
    return time.perf_counter() - started


def run_process(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one of the benchmarks' processes to its end."""
    # The benchmarks are found through the working directory, the library through its installation.
    # A machine that is told to keep no bytecode would compile this library at each import, and not
    # the peers, which pip has compiled.
    environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _tmpfs() -> Path | None:
    return TMPFS if TMPFS.is_dir() else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
