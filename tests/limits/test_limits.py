"""Rate limits in numbers, on every backend and in both colours."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

import pytest

from eventsource_upstash import Misuse, Registry, connect, connect_async
from eventsource_upstash.domain.limits import MAX_LIMIT, MAX_WINDOW, Rule, rule_of
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.web import too_many
from tests.limits.support import START, Limit, MovedClock

ALGORITHMS = ("sliding", "fixed", "bucket")
RESET = 1_800_000_010  # where the window ends that START is in


def test_ten_in_ten_seconds_pass_and_the_eleventh_is_429(backend: Backend, clock: MovedClock, colour: Colour) -> None:
    limit = Limit(colour, backend, clock, limit=10, window=10.0)
    for number in range(1, 11):
        passed = limit.check()
        assert passed
        assert (passed.allowed, passed.limit, passed.remaining, passed.retry_after) == (True, 10, 10 - number, 0.0)
        assert passed.headers == {
            "X-RateLimit-Limit": "10",
            "X-RateLimit-Remaining": str(10 - number),
            "X-RateLimit-Reset": str(RESET),
        }
    clock.now_ms += 1_000
    refused = limit.check()
    assert not refused
    assert refused.reset == datetime.fromtimestamp(RESET, timezone.utc)
    assert refused.retry_after == 5.501, "when the next window begins, all of this one still counts"
    answer = too_many(refused)
    assert answer.status == 429
    assert answer.headers == {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(RESET),
        "retry-after": "6",
    }
    assert json.loads(answer.body) == {"status": 429, "title": "too many requests; try again in 6 s"}
    assert limit.check("bob"), "it is counted for each by itself"
    clock.now_ms += 6_000  # as it was told
    assert limit.check().allowed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_comes_back_when_told_may_pass(backend: Backend, clock: MovedClock, colour: Colour, algorithm: str) -> None:
    limit = Limit(colour, backend, clock, limit=3, window=2.5, algorithm=algorithm)
    for _ in range(3):  # several times over
        answers = [limit.check() for _ in range(4)]
        assert [answer.allowed for answer in answers][-1] is False
        clock.now_ms += math.ceil(answers[-1].retry_after * 1_000)
        assert limit.check().allowed


def test_a_sliding_window_doubles_nothing_at_its_edge(backend: Backend, clock: MovedClock) -> None:
    passed = {}
    for algorithm in ("sliding", "fixed"):
        limit = Limit(Colour.BLOCKING, backend, clock, algorithm, limit=10, window=10, algorithm=algorithm)
        clock.now_ms = RESET * 1_000 - 1
        before = sum(limit.check().allowed for _ in range(12))
        clock.now_ms += 2
        passed[algorithm] = before + sum(limit.check().allowed for _ in range(12))
    assert passed == {"sliding": 11, "fixed": 20}


def test_a_bucket_lets_those_burst_who_were_quiet(backend: Backend, clock: MovedClock, colour: Colour) -> None:
    limit = Limit(colour, backend, clock, limit=5, window=1, refill=2, algorithm="bucket")
    assert [limit.check().allowed for _ in range(6)] == [True] * 5 + [False]
    clock.now_ms += 1_000
    assert [limit.check().allowed for _ in range(3)] == [True, True, False]
    clock.now_ms += 60_000
    assert limit.check(cost=5).remaining == 0
    refused = limit.check(cost=2)
    assert (refused.allowed, refused.remaining) == (False, 0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_names_rules_and_identifiers_are_apart(backend: Backend, clock: MovedClock, algorithm: str) -> None:
    def limit(name: str, window: float = 10, algorithm: str = algorithm) -> Limit:
        return Limit(Colour.BLOCKING, backend, clock, name, limit=1, window=window, algorithm=algorithm)

    other = ALGORITHMS[ALGORITHMS.index(algorithm) - 1]
    for identifier in ("x", "X", "x:1", "é", "{x}", "x\0", "\ud800", "y" * 4_096):
        for each in (limit("a.b"), limit("a"), limit("a", 20), limit("a", 10, other)):
            assert each.check(identifier).allowed
            assert not each.check(identifier).allowed
    assert not limit("a").check("x").allowed, "what has the same name counts together"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "a:b"}, "its name has"),
        ({"name": ""}, "its name has"),
        ({"limit": 0}, "limit=0"),
        ({"limit": True}, "limit=True"),
        ({"limit": 2.0}, r"limit=2\.0"),
        ({"window": 0}, "window=0"),
        ({"window": math.nan}, "window=nan"),
        ({"window": "10"}, "window='10'"),
        ({"window": 0.0001}, "window="),
        ({"algorithm": "leaky"}, "algorithm='leaky'"),
        ({"refill": 1}, "refill= is for"),
        ({"algorithm": "bucket", "refill": 0}, "refill=0"),
        ({"on_failure": "ignore"}, "on_failure='ignore'"),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_a_wrong_rule_is_refused(backend: Backend, wrong: dict[str, Any], said: str) -> None:
    rule: dict[str, Any] = {"limit": 10, "window": 10, **wrong}
    name = rule.pop("name", "posts")
    for make in (connect, connect_async):
        app: Any = make(backend, Registry())
        with pytest.raises(Misuse, match=said):
            app.rate_limit(name, **rule)


def test_a_wrong_request_is_refused_and_not_repeated(backend: Backend, clock: MovedClock, colour: Colour) -> None:
    limit = Limit(colour, backend, clock, limit=10, window=10)
    wrong: list[tuple[Any, Any]] = [("", 1), ("x" * 4_097, 1), (None, 1), ("x", 0), ("x", 11), ("x", 1.0), ("x", True)]
    for identifier, cost in wrong:
        with pytest.raises(Misuse) as caught:
            limit.check(identifier, cost)
        assert str(caught.value).startswith("rate limit 'posts': ")
        assert "xxx" not in str(caught.value)
    assert limit.check().remaining == 9, "none of them was counted"


def test_an_app_makes_limits_on_its_backend_and_by_its_clock(clock: MovedClock) -> None:
    with connect("memory:", Registry(), clock=clock) as app:
        limit = app.rate_limit("posts", limit=1, window=10)
        assert limit.check("ada").reset.timestamp() == RESET
        assert not app.rate_limit("posts", limit=1, window=10).check("ada")
        clock.now_ms += 20_000
        assert limit.check("ada")
        assert repr(limit) == "RateLimit('posts')"


def test_one_that_may_pass_is_not_turned_away(clock: MovedClock) -> None:
    with connect("memory:", Registry()) as app, pytest.raises(Misuse, match="may pass"):
        too_many(app.rate_limit("posts", limit=1, window=1).check("ada"))


def test_the_start_is_inside_a_window() -> None:
    assert 0 < START % 10_000 < 9_000


def test_a_rule_may_be_asked_to_answer_within_less_than_a_second() -> None:
    assert rule_of("api", 1, 0.001, "sliding", None, 0.001) == Rule("api", 1, 1, "sliding", 1, 0.001)
    widest = rule_of("api", MAX_LIMIT, MAX_WINDOW, "bucket", MAX_LIMIT, 5)
    assert widest == Rule("api", MAX_LIMIT, MAX_WINDOW * 1_000, "bucket", MAX_LIMIT, 5.0)
    with pytest.raises(Misuse, match=f"^rate limit 'api': limit={MAX_LIMIT + 1}: it is a whole number from 1 to"):
        rule_of("api", MAX_LIMIT + 1, 1.0, "sliding", None, 1)
    with pytest.raises(Misuse, match=f"^rate limit 'api': window={MAX_WINDOW + 1}: it is a number of seconds from"):
        rule_of("api", 1, MAX_WINDOW + 1, "sliding", None, 1)
    for timeout in (0, -0.5, math.inf, math.nan):
        with pytest.raises(Misuse, match=r"^rate limit 'api': timeout=.*: it is a number of seconds above 0$"):
            rule_of("api", 1, 1.0, "sliding", None, timeout)
