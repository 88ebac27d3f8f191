"""Rate limits where no service counts: the algorithms of the package `upstash-ratelimit`, over counters of any kind.

A test holds them to the package's own answers. Whoever calls holds the lock, or the transaction.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..domain.limits import Rule
from ..ports import Taken


class Counter(NamedTuple):
    """What is kept of one window, or of one bucket.

    Attributes:
        number: Requests counted, or tokens left.
        since_ms: When a bucket was refilled last; 0 for a window.
        expires_ms: From when on it says nothing any more.
    """

    number: int
    since_ms: int
    expires_ms: int


class Counters(Protocol):
    """Counters by name."""

    def get(self, key: str) -> Counter | None:
        """One of them, also one that has expired."""
        ...

    def put(self, key: str, counter: Counter, now_ms: int) -> None:
        """Keep it, and do away with some that have expired."""
        ...


def take(counters: Counters, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
    """See `Limiter.take`."""
    key = f"{rule.algorithm}-{rule.window_ms}:{rule.name}:{identifier}"
    count = {"fixed": _fixed, "sliding": _sliding, "bucket": _bucket}[rule.algorithm]
    return count(counters, rule, key, cost, now_us // 1_000)


def _live(counters: Counters, key: str, now_ms: int) -> Counter | None:
    found = counters.get(key)
    return None if found is None or found.expires_ms <= now_ms else found


def _count(counters: Counters, key: str, cost: int, now_ms: int, lasts_ms: int) -> int:
    found = _live(counters, key, now_ms)
    counter = Counter(cost, 0, now_ms + lasts_ms) if found is None else found._replace(number=found.number + cost)
    counters.put(key, counter, now_ms)
    return counter.number


def _fixed(counters: Counters, rule: Rule, key: str, cost: int, now_ms: int) -> Taken:
    window = now_ms // rule.window_ms
    number = _count(counters, f"{key}:{window}", cost, now_ms, rule.window_ms)
    return Taken(number <= rule.limit, max(0, rule.limit - number), (window + 1) * rule.window_ms, now_ms)


def _sliding(counters: Counters, rule: Rule, key: str, cost: int, now_ms: int) -> Taken:
    window, into = divmod(now_ms, rule.window_ms)
    reset_ms = (window + 1) * rule.window_ms
    current = _live(counters, f"{key}:{window}", now_ms)
    before = _live(counters, f"{key}:{window - 1}", now_ms)
    # In floating point, and rounded, as the package's script does it.
    weighted = int((1 - into / rule.window_ms) * before.number) if before else 0
    if weighted + (current.number if current else 0) >= rule.limit:
        return Taken(False, 0, reset_ms, now_ms)
    number = _count(counters, f"{key}:{window}", cost, now_ms, 2 * rule.window_ms + 1_000)
    remaining = rule.limit - number - weighted
    return Taken(remaining >= 0, max(0, remaining), reset_ms, now_ms)


def _bucket(counters: Counters, rule: Rule, key: str, cost: int, now_ms: int) -> Taken:
    found = _live(counters, key, now_ms)
    tokens, since_ms = (found.number, found.since_ms) if found else (rule.limit, now_ms)
    if now_ms >= since_ms + rule.window_ms:
        refills = (now_ms - since_ms) // rule.window_ms
        tokens = min(rule.limit, tokens + refills * rule.refill)
        since_ms += refills * rule.window_ms
    reset_ms = since_ms + rule.window_ms
    if tokens < cost:
        return Taken(False, 0, reset_ms, now_ms)
    left = tokens - cost
    lasts_ms = -(-(rule.limit - left) // rule.refill) * rule.window_ms
    counters.put(key, Counter(left, since_ms, now_ms + lasts_ms), now_ms)
    return Taken(True, left, reset_ms, now_ms)
