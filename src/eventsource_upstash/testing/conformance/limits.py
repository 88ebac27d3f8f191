"""The contract of a limiter: how many pass, who is counted with whom, and what a window's end changes."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from ...domain.limits import MAX_WINDOW, Algorithm, Rule
from ...ports import Limiter, Taken
from .kit import Contract, Lab, in_colour

ALGORITHMS: Sequence[Algorithm] = ("sliding", "fixed", "bucket")

WINDOW_MS: int = MAX_WINDOW * 1_000
"""Over a year: no test meets its end by the clock of a service."""

SLACK_MS: int = 60_000
"""What may pass between two looks at a clock."""

NOW_MS: int = 1_700_000_003_500
"""In the middle of a window of ten seconds."""

TEN_SECONDS: int = 10_000

CALLERS = 4


def rule(algorithm: Algorithm, limit: int = 3, window_ms: int = WINDOW_MS, refill: int = 1) -> Rule:
    """A rule."""
    return Rule("posts", limit, window_ms, algorithm, refill, 5.0)


async def take(lab: Lab, given: Rule, identifier: str = "ada", cost: int = 1, now_ms: int = NOW_MS) -> Taken:
    """What a check of it is answered."""
    return await lab.backend.limiter(lab.colour.port).take(given, identifier, cost, now_ms * 1_000)


async def passed(lab: Lab, given: Rule, count: int, now_ms: int = NOW_MS) -> list[bool]:
    """Which of so many requests pass."""
    return [(await take(lab, given, now_ms=now_ms)).allowed for _ in range(count)]


class LimitsCounting(Contract):
    """How many pass."""

    @in_colour
    async def test_as_many_pass_as_the_limit_says(self, lab: Lab) -> None:
        for algorithm in ALGORITHMS:
            answers = [await take(lab, rule(algorithm)) for _ in range(5)]
            assert [each.allowed for each in answers] == [True, True, True, False, False], algorithm
            assert [each.remaining for each in answers] == [2, 1, 0, 0, 0], algorithm

    @in_colour
    async def test_it_tells_when_the_window_ends(self, lab: Lab) -> None:
        for algorithm in ALGORITHMS:
            for answer in [await take(lab, rule(algorithm)) for _ in range(5)]:
                # A limiter may look at its own clock, a moment after the answer's.
                assert answer.now_ms < answer.reset_ms <= answer.now_ms + WINDOW_MS + SLACK_MS, algorithm
                assert algorithm == "bucket" or answer.reset_ms % WINDOW_MS == 0, algorithm

    @in_colour
    async def test_each_is_counted_by_itself(self, lab: Lab) -> None:
        for algorithm in ALGORITHMS:
            given = rule(algorithm, 1)
            others = (replace(given, name="likes"), replace(given, window_ms=WINDOW_MS // 2))
            assert await passed(lab, given, 2) == [True, False], algorithm
            assert [(await take(lab, given, each)).allowed for each in ("bob", "ad", "adab")] == [True] * 3, algorithm
            assert [(await take(lab, each)).allowed for each in others] == [True, True], algorithm

    @in_colour
    async def test_a_request_counts_as_much_as_it_costs(self, lab: Lab) -> None:
        for algorithm in ALGORITHMS:
            answer = await take(lab, rule(algorithm, 5), cost=3)
            assert (answer.allowed, answer.remaining) == (True, 2), algorithm
            assert await passed(lab, rule(algorithm, 5), 3) == [True, True, False], algorithm

    @in_colour
    async def test_one_that_costs_more_than_is_left_does_not_pass(self, lab: Lab) -> None:
        for algorithm in ALGORITHMS:
            await take(lab, rule(algorithm, 5), cost=4)
            answer = await take(lab, rule(algorithm, 5), cost=2)
            assert (answer.allowed, answer.remaining) == (False, 0), algorithm
            # A bucket gives nothing away, and in a window it is used up.
            assert await passed(lab, rule(algorithm, 5), 2) == [algorithm == "bucket", False], algorithm

    @in_colour
    async def test_rules_of_one_name_count_together(self, lab: Lab) -> None:
        windows: Sequence[Algorithm] = ("sliding", "fixed")
        for algorithm in windows:
            assert await passed(lab, rule(algorithm, 2), 3) == [True, True, False], algorithm
            answer = await take(lab, rule(algorithm, 4))
            # Of those who did not pass, a fixed window counts each, a sliding one none.
            assert (answer.allowed, answer.remaining) == (True, 0 if algorithm == "fixed" else 1), algorithm

    @in_colour
    async def test_what_was_counted_stays_when_the_backend_is_closed(self, lab: Lab) -> None:
        for algorithm in ALGORITHMS:
            await passed(lab, rule(algorithm), 2)
        lab.reopen()
        for algorithm in ALGORITHMS:
            assert await passed(lab, rule(algorithm), 2) == [True, False], algorithm

    @in_colour
    async def test_however_many_ask_at_once_no_more_pass(self, lab: Lab) -> None:
        limiters = [lab.another().limiter(lab.colour.port) for _ in range(CALLERS)]
        for algorithm in ALGORITHMS:

            async def ask(limiter: Limiter, given: Rule) -> int:
                return sum([(await limiter.take(given, "ada", 1, NOW_MS * 1_000)).allowed for _ in range(3)])

            callers = [partial(ask, each, rule(algorithm, 7)) for each in limiters]
            assert sum(await lab.colour.together(callers)) == 7, algorithm


class LimitsInTime(Contract):
    """What the end of a window changes."""

    @in_colour
    async def test_a_fixed_window_begins_anew_at_its_end(self, lab: Lab) -> None:
        given = rule("fixed", 2, TEN_SECONDS)
        (first, *_) = [await take(lab, given) for _ in range(3)]
        assert (first.now_ms, first.reset_ms) == (NOW_MS, 1_700_000_010_000)
        assert await passed(lab, given, 1, first.reset_ms - 1) == [False]
        assert await passed(lab, given, 3, first.reset_ms) == [True, True, False]

    @in_colour
    async def test_a_sliding_window_weighs_the_one_before(self, lab: Lab) -> None:
        given = rule("sliding", 4, TEN_SECONDS)
        reset_ms = 1_700_000_010_000
        assert await passed(lab, given, 5) == [True] * 4 + [False]
        assert await passed(lab, given, 1, reset_ms) == [False]  # all of the window before still counts
        assert await passed(lab, given, 2, reset_ms + 1) == [True, False]
        assert await passed(lab, given, 3, reset_ms + TEN_SECONDS // 2) == [True, False, False]
        assert await passed(lab, given, 5, reset_ms + 3 * TEN_SECONDS) == [True] * 4 + [False]

    @in_colour
    async def test_a_bucket_is_refilled_at_whole_windows_after_its_first_use(self, lab: Lab) -> None:
        given = rule("bucket", 5, TEN_SECONDS, refill=2)
        answers = [await take(lab, given) for _ in range(6)]
        assert {each.reset_ms for each in answers} == {NOW_MS + TEN_SECONDS}
        assert await passed(lab, given, 1, NOW_MS + TEN_SECONDS - 1) == [False]
        assert await passed(lab, given, 3, NOW_MS + TEN_SECONDS) == [True, True, False]
        assert await passed(lab, given, 5, NOW_MS + 3 * TEN_SECONDS + 7) == [True] * 4 + [False]
        assert (await take(lab, given, now_ms=NOW_MS + 3 * TEN_SECONDS + 7)).reset_ms == NOW_MS + 4 * TEN_SECONDS
        assert await passed(lab, given, 6, NOW_MS + 99 * TEN_SECONDS) == [True] * 5 + [False]
