"""The event-loop face of rate limits."""

from __future__ import annotations

import time
from collections.abc import Callable

from .._flow.limiting import Limiting
from .._io.event_loop import PORT
from ..domain.limits import Algorithm, Limited, OnFailure, rule_of
from ..ports import Backend


class AsyncRateLimit:
    """A rate limit: how many requests of one caller pass in which time. Made by `app.rate_limit`.

    On Upstash the official package `upstash-ratelimit` counts (extra `ratelimit`); in memory and on SQLite the same is
    counted here, with the same answers. Rules of one name, algorithm and window count together, in every process that
    uses the same backend.

    Args:
        backend: Where it is counted.
        name: What is limited: 1 to 64 letters, digits and `. _ -`, with a letter or digit first.
        limit: How many pass in a window; for a bucket, how many tokens it holds.
        window: Seconds; for a bucket, the time between two refills.
        algorithm: "sliding" weighs the window before against the present one, so that no burst at the edge of two
            windows doubles the limit; "fixed" counts each window for itself, and is the cheapest; "bucket" gives
            `refill` tokens in each window, up to `limit`, so that who was quiet may burst.
        refill: Tokens that a bucket gets in a window; without it `limit`.
        on_failure: What becomes of a request when the store cannot be reached, or refuses to count: "raise" the error,
            "allow" it or "deny" it. It is logged once, until it works again.
        timeout: Seconds that a check may take on Upstash.
        clock: Nanoseconds since 1970 (UTC), as `time.time_ns` tells them. On Upstash the package reads the time itself.

    Raises:
        Misuse: An argument cannot be one; or the backend needs a package that is not installed.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        *,
        limit: int,
        window: float,
        algorithm: Algorithm = "sliding",
        refill: int | None = None,
        on_failure: OnFailure = "raise",
        timeout: float = 5.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        rule = rule_of(name, limit, window, algorithm, refill, timeout)
        self.flow: Limiting = Limiting(backend.limiter(PORT), rule, on_failure, clock)

    def __repr__(self) -> str:
        return f"AsyncRateLimit({self.flow.rule.name!r})"

    async def check(self, identifier: str, *, cost: int = 1) -> Limited:
        """Count a request, and say whether it may pass.

        Args:
            identifier: Whose request it is: an address, a user, a key, or one word for all. It is kept as a hash, so
                what it holds is nowhere to be read.
            cost: How much the request counts, up to the limit. One that costs more than is left does not pass; except
                in a bucket it may use up what is left.

        Returns:
            Whether it may pass, how many more may, and when to come again. Its truth is `allowed`.

        Raises:
            Misuse: The identifier is empty or longer than 4,096 characters, or the cost cannot be one.
            Unavailable: It was not counted; later it may work. Only with on_failure="raise".
            OutcomeUnknown: It may have been counted; asked again, it counts again. Likewise.
            Refused: A token, a right, a quota, space. Likewise.

        Cost: one step. On Upstash 1 request, and up to 5 commands ("sliding"), 3 ("fixed"), 4 ("bucket"); one that may
        not pass 3, 2 and 2.
        """
        return await self.flow.check(identifier, cost)
