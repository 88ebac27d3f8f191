"""What a soak says of times and of memory: held to series whose truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from benchmarks.soak.measuring import Histogram, growth

HOUR = [minute / 12 for minute in range(12 * 60)]


def series(shape: Callable[[float], float], noise: float = 1.0) -> list[float]:
    dice = random.Random(1)
    return [shape(minute) + dice.uniform(-noise, noise) for minute in HOUR]


@pytest.mark.parametrize(
    "shape",
    [
        lambda minute: 60.0,
        lambda minute: 60 + 40 * (1 - math.exp(-minute / 10)),  # fills up: caches, pools, arenas
        lambda minute: 60 + 3 * math.sqrt(minute),  # slower and slower, and little
        lambda minute: 60 + (minute % 7) * 3,  # collected now and then
        lambda minute: 60 if minute < 35 else 90,  # one large thing, once
        lambda minute: 90 - minute / 2,
        lambda minute: 500 + minute,  # 30 MiB over the half, of 500: fragmentation
    ],
)
def test_what_stays_within_bounds_is_no_leak(shape: Callable[[float], float]) -> None:
    judged = growth(HOUR, series(shape))
    assert judged is not None
    assert not judged.leak


@pytest.mark.parametrize(
    "shape",
    [
        lambda minute: 60 + minute,  # steady
        lambda minute: 60 + minute / 2 + (minute % 7) * 2,  # under what is collected
        lambda minute: 60 if minute < 20 else 60 + (minute - 20),  # begins late
        lambda minute: 60 + minute**2 / 60,  # faster and faster
        lambda minute: 500 + 3 * minute,
    ],
)
def test_what_grows_on_is_a_leak(shape: Callable[[float], float]) -> None:
    judged = growth(HOUR, series(shape))
    assert judged is not None
    assert judged.leak
    assert judged.per_minute > 0


def test_a_short_life_is_not_judged() -> None:
    assert growth(HOUR[:100], series(lambda minute: 60 + 10 * minute)[:100]) is None
    assert growth([], []) is None


def test_a_few_samples_far_off_move_nothing() -> None:
    memory = series(lambda minute: 60.0)
    memory[-20:] = [900.0] * 20
    judged = growth(HOUR, memory)
    assert judged is not None
    assert not judged.leak


def test_percentiles_are_near_the_truth_and_take_no_room() -> None:
    dice = random.Random(2)
    times = [dice.lognormvariate(-2, 1.5) for _ in range(20_000)]
    histogram = Histogram()
    for seconds in times:
        histogram.add(seconds)
    times.sort()
    for part in (1, 50, 95, 99, 99.9):
        exact = times[math.ceil(len(times) * part / 100) - 1]
        assert exact * 0.97 <= histogram.percentile(part) <= exact * 1.03
    assert histogram.percentile(100) == times[-1]
    assert len(histogram._steps) < 500


def test_a_histogram_of_nothing() -> None:
    assert Histogram().told() == {"p50": 0, "p95": 0, "p99": 0, "max": 0, "count": 0}
    histogram = Histogram()
    histogram.add(0)
    assert histogram.percentile(99) == 0
