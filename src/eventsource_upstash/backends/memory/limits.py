"""Rate limits in memory."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from ...domain.limits import Rule
from ...ports import Taken
from ..limiting import Counter, take

if TYPE_CHECKING:
    from .state import State

PURGED: Final = 2
"""How many counters that have expired are looked at for each that is written: so there are never many of them."""


class MemoryCounters:
    """Counters by name. Whoever touches them holds the lock."""

    __slots__ = ("_due", "counters")

    def __init__(self) -> None:
        self.counters: dict[str, Counter] = {}
        self._due: list[tuple[int, str]] = []  # each once; one that lasts longer by now is put back

    def get(self, key: str) -> Counter | None:
        """See `Counters.get`."""
        return self.counters.get(key)

    def put(self, key: str, counter: Counter, now_ms: int) -> None:
        """See `Counters.put`."""
        if key not in self.counters:
            heapq.heappush(self._due, (counter.expires_ms, key))
        self.counters[key] = counter
        for _ in range(PURGED):
            if self._due[0][0] > now_ms:
                return
            _, oldest = heapq.heappop(self._due)
            expires_ms = self.counters[oldest].expires_ms
            if expires_ms > now_ms:
                heapq.heappush(self._due, (expires_ms, oldest))
            else:
                del self.counters[oldest]
            if not self._due:
                return


class MemoryLimiter:
    """Counts in memory."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        """See `Limiter.take`."""
        with self._state.lock:
            return take(self._state.limits, rule, identifier, cost, now_us)
