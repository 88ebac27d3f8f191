"""Limiters that break their contract, each of which is caught; those of this package are held in `test_backends`."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource_upstash.backends.memory.limits import MemoryLimiter
from eventsource_upstash.testing import TimedLimitsContract
from eventsource_upstash.testing.colours import Colour
from tests.conformance import broken_limits as broken

GUARDS: dict[type[MemoryLimiter], tuple[str, ...]] = {
    broken.LetsOneMorePass: ("test_as_many_pass_as_the_limit_says",),
    broken.KnowsNoEnd: ("test_it_tells_when_the_window_ends",),
    broken.CountsAllAsOne: ("test_each_is_counted_by_itself",),
    broken.CountsEachOnce: (
        "test_a_request_counts_as_much_as_it_costs",
        "test_one_that_costs_more_than_is_left_does_not_pass",
    ),
    broken.CountsNoneThatMayNotPass: (
        "test_one_that_costs_more_than_is_left_does_not_pass",
        "test_rules_of_one_name_count_together",
    ),
    broken.CountsByLimit: ("test_rules_of_one_name_count_together",),
    broken.LooksThenTakes: ("test_however_many_ask_at_once_no_more_pass",),
    broken.NeverEnds: (
        "test_a_fixed_window_begins_anew_at_its_end",
        "test_a_sliding_window_weighs_the_one_before",
        "test_a_bucket_is_refilled_at_whole_windows_after_its_first_use",
    ),
    broken.SlidesNowhere: ("test_a_sliding_window_weighs_the_one_before",),
    broken.RefillsAtOnce: ("test_a_bucket_is_refilled_at_whole_windows_after_its_first_use",),
}

LOST: tuple[str, ...] = ("test_what_was_counted_stays_when_the_backend_is_closed",)
"""What notices a limiter whose counters are gone when it is opened again."""

TESTS = {name for name in dir(TimedLimitsContract) if name.startswith("test_")}


@pytest.mark.parametrize("limiter", GUARDS, ids=lambda limiter: limiter.__name__)
def test_a_broken_limiter_is_caught(limiter: type[MemoryLimiter], tmp_path: Path) -> None:
    failed = broken.Contract(limiter).run_tests(tmp_path, Colour.EVENT_LOOP, only=GUARDS[limiter])
    assert set(failed) == set(GUARDS[limiter])


def test_one_that_loses_all_when_it_is_closed_is_caught(tmp_path: Path) -> None:
    failed = broken.Contract(broken.Whole, lost=True).run_tests(tmp_path, Colour.EVENT_LOOP, only=LOST)
    assert set(failed) == set(LOST)


def test_the_same_limiter_unbroken_passes(tmp_path: Path) -> None:
    assert broken.Contract(broken.Whole).run_tests(tmp_path, Colour.EVENT_LOOP) == {}


def test_every_test_can_fail() -> None:
    assert {name for names in GUARDS.values() for name in names} | set(LOST) == TESTS
