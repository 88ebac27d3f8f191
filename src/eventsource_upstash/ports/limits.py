"""The contract of a limiter: it counts requests, and says which of them may pass."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..domain.events import FREE, Receipt
from ..domain.limits import Rule


class Taken(NamedTuple):
    """What a limiter answered.

    Attributes:
        allowed: Whether the request may pass.
        remaining: How many may still pass: never below 0.
        reset_ms: When the present window ends, or the bucket gets its next tokens; milliseconds since 1970.
        now_ms: The time that it went by.
        receipt: What it cost.
    """

    allowed: bool
    remaining: int
    reset_ms: int
    now_ms: int
    receipt: Receipt = FREE


class Limiter(Protocol):
    """Counts requests by rule and identifier, as the official package `upstash-ratelimit` does.

    - "fixed": time is cut into windows; each request counts in its window, also one that may not pass.
    - "sliding": as many of the window before count as of it reaches into the last `window_ms`, rounded down. A request
      that finds no room is not counted; one that costs more than there is room for is counted, and may not pass.
    - "bucket": it begins full, and is refilled at whole windows after its first use. A request that may not pass takes
      nothing.
    """

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        """Count a request, if it may pass: one step, atomic among all who count in the same store.

        Not safe to be sent again: it would count twice.

        Args:
            rule: The rule.
            identifier: For whom it is counted: letters and digits only, of bounded length.
            cost: How much it counts.
            now_us: Microseconds since 1970. What has a clock of its own goes by that one, and answers what it said.

        Raises:
            Unavailable: It was not counted.
            OutcomeUnknown: It may have been counted.
            Refused: Rights, quota, space.
        """
        ...
