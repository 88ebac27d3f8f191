"""How a request is held to a rate limit."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Final

from ..domain.events import to_datetime
from ..domain.limits import Limited, OnFailure, Rule, check_request
from ..errors import Misuse, OutcomeUnknown, Refused, Unavailable
from ..ports import Limiter, Taken

_log: Final = logging.getLogger("eventsource_upstash.limits")

SOON: Final = 1.0
"""Seconds after which whoever was turned away because the store could not be reached may try again."""


class Limiting:
    """Checks requests against one rule.

    Args:
        limiter: What counts.
        rule: The rule.
        on_failure: What becomes of a request when the store cannot count it.
        clock: Nanoseconds since 1970.

    Raises:
        Misuse: `on_failure` cannot be one.
    """

    def __init__(self, limiter: Limiter, rule: Rule, on_failure: OnFailure, clock: Callable[[], int]) -> None:
        if on_failure not in ("raise", "allow", "deny"):
            raise Misuse(f"rate limit {rule.name!r}: on_failure={on_failure!r}: it is 'raise', 'allow' or 'deny'")
        self.rule: Rule = rule
        self._limiter = limiter
        self._on_failure = on_failure
        self._clock = clock
        self._failing = False

    async def check(self, identifier: str, cost: int) -> Limited:
        """See `RateLimit.check`."""
        check_request(self.rule, identifier, cost)
        now_us = self._clock() // 1_000
        # Hashed: of bounded length in every store, whatever it holds, and no address or name stands in a key.
        digest = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        try:
            taken = await self._limiter.take(self.rule, digest, cost, now_us)
        except (Unavailable, OutcomeUnknown, Refused) as error:
            if self._on_failure == "raise":
                raise
            return self._failed(error, now_us)
        if self._failing:
            self._failing = False
            _log.info("rate limit %r: requests are counted again", self.rule.name)
        return self._limited(taken)

    def _limited(self, taken: Taken) -> Limited:
        wait_ms = max(1, taken.reset_ms - taken.now_ms)
        if self.rule.algorithm == "sliding":
            wait_ms += 1  # when the next window begins, all of this one still counts
        return Limited(
            allowed=taken.allowed,
            limit=self.rule.limit,
            remaining=taken.remaining,
            reset=to_datetime(taken.reset_ms * 1_000),
            retry_after=0.0 if taken.allowed else wait_ms / 1_000,
            receipt=taken.receipt,
        )

    def _failed(self, error: Exception, now_us: int) -> Limited:
        allowed = self._on_failure == "allow"
        if not self._failing:  # said once, until it works again
            self._failing = True
            _log.warning(
                "rate limit %r: requests cannot be counted, and %s until they can",
                self.rule.name,
                "all may pass" if allowed else "none may pass",
                exc_info=error,
            )
        return Limited(
            allowed=allowed,
            limit=self.rule.limit,
            remaining=self.rule.limit if allowed else 0,
            reset=to_datetime((now_us // 1_000 + self.rule.window_ms) * 1_000),
            retry_after=0.0 if allowed else SOON,
            counted=False,
        )
