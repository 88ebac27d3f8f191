"""Rate limits: the rule, what a check of it answers, and the headers that say so."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final, Literal, cast

import msgspec

from ..errors import Misuse
from .events import FREE, Receipt
from .names import NAMESPACE_RULE, is_namespace

Algorithm = Literal["sliding", "fixed", "bucket"]
OnFailure = Literal["raise", "allow", "deny"]

MAX_LIMIT: Final = 1_000_000_000
MAX_WINDOW: Final = 366 * 86_400
"""Seconds. Its milliseconds, twice over, are whole numbers for every engine."""

MAX_IDENTIFIER: Final = 4_096
"""Characters of what a check is counted for. It is kept as a hash, so this only bounds the work."""


class Rule(msgspec.Struct, frozen=True):
    """How many may pass in which time.

    Attributes:
        name: What is limited. Rules of one name, algorithm and window count together.
        limit: How many pass in a window; for a bucket, how many tokens it holds.
        window_ms: The window's length in milliseconds; for a bucket, the time between two refills.
        algorithm: How it is counted.
        refill: How many tokens a bucket gets in a window.
        timeout: Seconds that a check may take on a service.
    """

    name: str
    limit: int
    window_ms: int
    algorithm: Algorithm
    refill: int
    timeout: float


class Limited(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a rate limit answered. It is true when the request may pass.

    Attributes:
        allowed: Whether the request may pass.
        limit: How many may pass in a window.
        remaining: How many may still pass.
        reset: When the present window ends, or the bucket gets its next tokens (UTC).
        retry_after: Seconds until then, for a request that may not pass; 0.0 for one that may.
        counted: False when the store could not be reached, and `on_failure` decided.
        receipt: What the check cost; where only the service knows it exactly, at most.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: datetime
    retry_after: float
    counted: bool = True
    receipt: Receipt = FREE

    def __bool__(self) -> bool:
        return self.allowed  # an `if limit.check(...)` that always passed would be a hole

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say so: X-RateLimit-Limit, -Remaining, -Reset (seconds since 1970), and Retry-After.

        Times are whole seconds, rounded up; Retry-After stands there only when the request may not pass.
        """
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset.timestamp())),
        }
        if not self.allowed:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return headers


def rule_of(name: str, limit: int, window: float, algorithm: Algorithm, refill: int | None, timeout: float) -> Rule:
    """A rule, checked. Raises `Misuse`."""
    if not isinstance(cast("object", name), str) or not is_namespace(name):
        raise Misuse(f"rate limit {name!r}: its name has {NAMESPACE_RULE}")
    if algorithm not in ("sliding", "fixed", "bucket"):
        raise Misuse(f"rate limit {name!r}: algorithm={algorithm!r}: it is 'sliding', 'fixed' or 'bucket'")
    if refill is not None and algorithm != "bucket":
        raise Misuse(f"rate limit {name!r}: refill= is for algorithm='bucket'; a window starts anew by itself")
    refill = limit if refill is None else refill
    for what, number in (("limit", limit), ("refill", refill)):
        if type(number) is not int or not 1 <= number <= MAX_LIMIT:
            raise Misuse(f"rate limit {name!r}: {what}={number!r}: it is a whole number from 1 to {MAX_LIMIT}")
    if type(cast("object", window)) not in (int, float) or not 0.001 <= window <= MAX_WINDOW:
        raise Misuse(f"rate limit {name!r}: window={window!r}: it is a number of seconds from 0.001 to {MAX_WINDOW}")
    if type(cast("object", timeout)) not in (int, float) or not 0 < timeout < math.inf:
        raise Misuse(f"rate limit {name!r}: timeout={timeout!r}: it is a number of seconds above 0")
    return Rule(name, limit, round(window * 1_000), algorithm, refill, float(timeout))


def check_request(rule: Rule, identifier: str, cost: int) -> None:
    """Refuse what cannot be counted. Raises `Misuse`, which does not repeat the identifier: it may be personal."""
    if not isinstance(cast("object", identifier), str) or not 1 <= len(identifier) <= MAX_IDENTIFIER:
        raise Misuse(f"rate limit {rule.name!r}: an identifier is a string of 1 to {MAX_IDENTIFIER} characters")
    if type(cost) is not int or not 1 <= cost <= rule.limit:
        raise Misuse(
            f"rate limit {rule.name!r}: cost={cost!r}: it is a whole number from 1 to the limit, {rule.limit}; more "
            "could never pass"
        )
