"""Rate limits in Redis: counted by the official package `upstash-ratelimit`, over this library's transport.

The package brings the algorithms, their scripts and the names of the keys. What it would leave open is closed by what
carries its scripts: timeouts, errors by remedy, no client that belongs to one event loop, and nothing sent again that
may have been counted. The package reads the caller's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import replace

from ...domain.events import FREE, Receipt
from ...domain.limits import Rule
from ...errors import Misuse
from ...ports import Taken
from .answered import checked
from .keys import Keys
from .scripts import Script
from .transport import Transport

if TYPE_CHECKING:
    from upstash_ratelimit import FixedWindow, SlidingWindow, TokenBucket
    from upstash_redis.asyncio import Redis


_LAST_MS: Final = 253_402_214_400_000
"""The last day of the year 9999, in milliseconds since 1970."""


@checked("take")
class RedisLimiter:
    """Counts in Redis.

    Raises:
        Misuse: The package is not installed.
    """

    def __init__(self, transport: Transport, keys: Keys) -> None:
        try:
            from upstash_ratelimit.asyncio import Ratelimit
            from upstash_ratelimit.utils import now_ms
        except ImportError as error:
            raise Misuse(
                "rate limits on Upstash need the official package (extra `ratelimit`): pip install upstash-ratelimit"
            ) from error
        self._ratelimit = Ratelimit
        self._now_ms = now_ms
        self._transport = transport
        self._keys = keys

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        """See `Limiter.take`. By the package's own clock, which is the caller's."""
        carrier = _Carrier(self._transport, rule)
        prefix = self._keys.limit(rule.algorithm, rule.window_ms, rule.name)
        ratelimit = self._ratelimit(cast("Redis", carrier), _limiter_of(rule), prefix)
        now_ms = self._now_ms()
        answer = await ratelimit.limit(identifier, cost)
        receipt = replace(carrier.receipt, commands=carrier.receipt.commands + carrier.calls(cost))
        reset_ms = round(answer.reset * 1_000)
        if not 0 <= reset_ms <= _LAST_MS:
            raise ValueError("no moment that a calendar has")
        return Taken(answer.allowed, answer.remaining, reset_ms, now_ms, receipt)


class _Carrier:
    """What the package uses of a client: one call, which it awaits. It waits by the port, so it serves both colours."""

    def __init__(self, transport: Transport, rule: Rule) -> None:
        self._transport = transport
        self._rule = rule
        self._answer: object = None
        self.receipt: Receipt = FREE

    async def eval(self, script: str, keys: Sequence[str], args: Sequence[int]) -> object:
        """Run a script once: a second time would count twice."""
        self._answer, self.receipt = await self._transport.script(
            _script(script), keys, args, once=True, total_timeout=self._rule.timeout
        )
        return self._answer

    def calls(self, cost: int) -> int:
        """How many commands the script called, beside itself. A sliding window does not tell: at most."""
        match self._rule.algorithm:
            case "fixed":
                return 2 if self._answer == cost else 1
            case "sliding":
                return 2 if self._answer == -1 and cost == 1 else 4
            case "bucket":
                remaining, _ = cast("tuple[int, int]", self._answer)
                return 1 if remaining < 0 else 3


@cache
def _script(text: str) -> Script:
    return Script("ratelimit", text)


def _limiter_of(rule: Rule) -> FixedWindow | SlidingWindow | TokenBucket:
    from upstash_ratelimit import FixedWindow, SlidingWindow, TokenBucket

    match rule.algorithm:
        case "fixed":
            return FixedWindow(rule.limit, rule.window_ms, "ms")
        case "sliding":
            return SlidingWindow(rule.limit, rule.window_ms, "ms")
        case "bucket":
            return TokenBucket(rule.limit, rule.refill, rule.window_ms, "ms")
