"""What a contestant is, and how its time and memory are taken. Runs in each one's environment."""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias


@dataclass(frozen=True)
class Job:
    """One measurement in one fresh process: how many events, and an empty folder to work in."""

    size: int
    folder: Path


Measure: TypeAlias = "Callable[[Job], float]"


@dataclass(frozen=True)
class Contestant:
    """`caveats`: rows where it does less than the others. `cannot`: those it cannot do, and why."""

    measures: dict[str, Measure]
    caveats: dict[str, str] = field(default_factory=dict[str, str])
    cannot: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Clock:
    seconds: float = 0.0

    def us(self, count: int) -> float:
        return self.seconds * 1e6 / count


@contextmanager
def clock(timer: Callable[[], float] = time.perf_counter) -> Generator[Clock, None, None]:
    """Time the block. The collector stays on, as in life, but never scans what was made before."""
    gc.collect()
    gc.freeze()
    spent = Clock()
    started = timer()
    yield spent
    spent.seconds = timer() - started


@dataclass
class Memory:
    bytes: int = 0


@contextmanager
def memory_kept() -> Generator[Memory, None, None]:
    """Bytes that Python allocated in the block and that are still held at its end."""
    gc.collect()
    tracemalloc.start()
    kept = Memory()
    before, _ = tracemalloc.get_traced_memory()
    yield kept
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept.bytes = after - before


@dataclass
class Peak:
    megabytes: float = 0.0


@contextmanager
def peak_memory() -> Generator[Peak, None, None]:
    """How far the process's memory rose above where it stood before the block (Linux only)."""
    gc.collect()
    # Writing 5 resets the high-water mark, which otherwise remembers the imports.
    Path("/proc/self/clear_refs").write_text("5")
    peak = Peak()
    before = _kilobytes("VmRSS")
    yield peak
    peak.megabytes = max(0, _kilobytes("VmHWM") - before) / 1024


def _kilobytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise OSError(f"no {name} in /proc/self/status")


def in_another_process(work: Callable[[], object]) -> None:
    """Prepare in a fork, so that none of its memory is in the process that is measured."""
    child = os.fork()
    if not child:
        failed = 1
        try:
            work()
            failed = 0
        finally:
            os._exit(failed)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("the preparation failed")


def median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
