"""Limiters that each break one rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from eventsource_upstash import Memory
from eventsource_upstash.backends.memory.limits import MemoryLimiter
from eventsource_upstash.backends.memory.state import State
from eventsource_upstash.domain.limits import Rule
from eventsource_upstash.ports import Backend, Limiter, Port, Taken
from eventsource_upstash.testing import BackendWrapper, TimedLimitsContract
from eventsource_upstash.testing.colours import Colour

WINDOW_MS = 10_000


class Broken(BackendWrapper):
    """A backend with that limiter, over counters that outlive it."""

    def __init__(self, memory: Memory, broken: Callable[[State], Limiter]) -> None:
        super().__init__(memory)
        self._limiter = broken(memory._state)

    def limiter(self, port: Port) -> Limiter:
        return self._limiter


class Contract(TimedLimitsContract):
    def __init__(self, broken: Callable[[State], Limiter], *, lost: bool = False) -> None:
        self._broken = broken
        self._lost = lost
        self._kept: dict[Path, Memory] = {}

    def open_backend(self, folder: Path) -> Backend:
        memory = Memory() if self._lost else self._kept.setdefault(folder, Memory())
        return Broken(memory, self._broken)


class Whole(MemoryLimiter):
    """Nothing is broken."""


class LetsOneMorePass(MemoryLimiter):
    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return await super().take(replace(rule, limit=rule.limit + 1), identifier, cost, now_us)


class KnowsNoEnd(MemoryLimiter):
    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return (await super().take(rule, identifier, cost, now_us))._replace(reset_ms=now_us // 1_000)


class CountsAllAsOne(MemoryLimiter):
    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return await super().take(rule, "all", cost, now_us)


class CountsEachOnce(MemoryLimiter):
    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return await super().take(rule, identifier, 1, now_us)


class CountsNoneThatMayNotPass(MemoryLimiter):
    """As a bucket does, also in a window."""

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        kept = dict(self._state.limits.counters)
        taken = await super().take(rule, identifier, cost, now_us)
        if not taken.allowed:
            self._state.limits.counters.update(kept)
        return taken


class CountsByLimit(MemoryLimiter):
    """A rule of another limit counts by itself."""

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return await super().take(rule, f"{identifier}{rule.limit}", cost, now_us)


class LooksThenTakes(MemoryLimiter):
    """It looks what is counted, waits, and then counts on from there, whatever it is by now."""

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        seen = dict(self._state.limits.counters)
        await Colour.EVENT_LOOP.breathe()
        self._state.limits.counters.update(seen)
        return await super().take(rule, identifier, cost, now_us)


class NeverEnds(MemoryLimiter):
    """What is counted, is counted for good."""

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return await super().take(rule, identifier, cost, 1_700_000_003_500_000)


class SlidesNowhere(MemoryLimiter):
    """A sliding window that begins anew at its end."""

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        if rule.algorithm == "sliding":
            rule = replace(rule, algorithm="fixed")
        return await super().take(rule, identifier, cost, now_us)


class RefillsAtOnce(MemoryLimiter):
    """A bucket that is full again after its first window."""

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        return await super().take(replace(rule, refill=rule.limit), identifier, cost, now_us)
