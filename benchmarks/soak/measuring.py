"""What a run measures: times in a histogram that never grows, what each process holds, and whether that grows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import psutil

STEPS = 40
"""Steps of a histogram in which a time becomes e times as long: a percentile is exact to 3 %."""

FLOOR = 0.0005
"""Seconds; what is shorter is all one."""

MIB = 1024 * 1024

MINUTES_TO_JUDGE = 10.0
"""How long a life has to be before its memory is judged: before that, what is loaded once looks like growth."""

MOST_GROWTH = 8.0
"""MiB that the second half of a life may grow by, whatever it is."""

MOST_SHARE = 0.1
"""The same, as a part of what the process holds."""

SLOWING = 0.5
"""What fills up grows slower and slower. A leak in the last quarter grows more than this, as fast as in the third."""

POINTS = 120
"""Samples that a slope is taken from; of more, medians of as many pieces are taken."""


class Histogram:
    """Times by their size, in steps that grow with it: a few hundred numbers at most, however many times."""

    def __init__(self) -> None:
        self.count = 0
        self.highest = 0.0
        self._steps: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.highest = max(self.highest, seconds)
        self._steps[math.ceil(STEPS * math.log(max(seconds, FLOOR) / FLOOR))] += 1

    def percentile(self, part: float) -> float:
        """Seconds that this part of all stays below, from 0 to 100; 0 where there is none."""
        wanted = self.count * part / 100
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if seen >= wanted:
                return min(self.highest, FLOOR * math.exp(step / STEPS))
        return self.highest

    def told(self) -> dict[str, float]:
        """What is shown of it, in seconds."""
        shown = {f"p{part}": round(self.percentile(part), 4) for part in (50, 95, 99)}
        return {**shown, "max": round(self.highest, 4), "count": self.count}


def held_by(pid: int) -> dict[str, float] | None:
    """What a process holds: resident memory in MiB, file descriptors, threads. None when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            memory = process.memory_info().rss / MIB
            return {"rss": round(memory, 2), "fds": process.num_fds(), "threads": process.num_threads()}
    except psutil.Error:
        return None


@dataclass(frozen=True)
class Growth:
    """How the memory of a process went over the second half of its life.

    Attributes:
        first: MiB of the first sample of the life.
        last: MiB of the last one.
        per_minute: MiB, by the median of all slopes: a few samples far off do not move it.
        grown: MiB over the half.
        leak: Whether it grows without bound, by the rule of `growth`.
    """

    first: float
    last: float
    per_minute: float
    grown: float
    leak: bool


def growth(minutes: Sequence[float], mib: Sequence[float]) -> Growth | None:
    """Judge the memory of one process over one life. None where the life was too short to tell.

    It grows without bound if over the second half of its life it grew by more than `MOST_GROWTH` and by more than
    `MOST_SHARE` of what it holds, and in the last quarter still more than `SLOWING` times as fast as in the third.

    Args:
        minutes: When each sample was taken.
        mib: Resident memory, of each.
    """
    if len(minutes) < 8 or minutes[-1] - minutes[0] < MINUTES_TO_JUDGE:
        return None
    middle, last = (minutes[0] + (minutes[-1] - minutes[0]) * part for part in (0.5, 0.75))
    samples = list(zip(minutes, mib, strict=True))
    half = [each for each in samples if each[0] >= middle]
    slope = _slope(half)
    grown = slope * (half[-1][0] - half[0][0])
    much = grown > MOST_GROWTH and grown > MOST_SHARE * median(memory for _, memory in half)
    third, fourth = [each for each in half if each[0] < last], [each for each in half if each[0] >= last]
    return Growth(mib[0], mib[-1], slope, grown, leak=much and _slope(fourth) > SLOWING * _slope(third))


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    """MiB a minute: the median of the slopes between any two (Theil and Sen)."""
    size = math.ceil(len(samples) / POINTS)
    pieces = [samples[start : start + size] for start in range(0, len(samples), size)]
    points = [(median(at for at, _ in piece), median(value for _, value in piece)) for piece in pieces]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    return median(slopes) if slopes else 0.0
