"""What the local Upstash counts: requests, billed commands, bytes, messages; in total and for each caller."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Final

__all__ = ["ANONYMOUS", "CALLER_HEADER", "Meter", "Snapshot"]

CALLER_HEADER: Final = "X-Dev-Caller"
"""A request that carries this header is counted under that name. Without it, the name after `~` in its token."""

ANONYMOUS: Final = "anonymous"

Snapshot = dict[str, dict[str, int]]
"""Numbers by caller, and under `total` for all of them together."""


class Meter:
    """Counters of one half, by caller and name. Safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, caller: str, **numbers: int) -> None:
        """Add to the counters of a caller, and to the total."""
        with self._lock:
            for counts in (self._counts[caller], self._counts["total"]):
                for name, number in numbers.items():
                    counts[name] += number

    def snapshot(self) -> Snapshot:
        """All counters, as they are now."""
        with self._lock:
            return {caller: dict(counts) for caller, counts in self._counts.items()}

    def reset(self) -> None:
        """Begin at zero again."""
        with self._lock:
            self._counts.clear()
