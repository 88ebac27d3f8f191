"""What the local Upstash counts: requests, billed commands, bytes, messages; in total and for each caller."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

__all__ = ["ANONYMOUS", "CALLER_HEADER", "TOTAL", "Meter", "Snapshot", "caller_name"]

CALLER_HEADER: Final = "X-Dev-Caller"
"""A request that carries this header is counted under that name. Without it, under the name after `~` in its token."""

ANONYMOUS: Final = "anonymous"
TOTAL: Final = "total"

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

Snapshot = dict[str, dict[str, int]]
"""Numbers by caller, and under `total` those of all callers together."""


def caller_name(header: str | None, behind_token: str) -> str:
    """The name under which a request is counted: that of its header, or the one behind `~` in its token."""
    name = header or behind_token
    return name if _NAME.fullmatch(name) else ANONYMOUS


class Meter:
    """Counters of one half, by caller and by name. Safe under threads.

    Each half counts `requests`, `bytes_in`, `bytes_out` (bodies only) and `errors`; Redis also `commands` (what would
    be billed), for each command `command:NAME`, and `scripts_sent`: how often a script was asked for by its SHA and not
    known, so that the client sends it next. That is how scripts are sent, and no error. Kafka counts the records
    `produced` and `fetched`, and both together as `messages`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, caller: str, numbers: Mapping[str, int]) -> None:
        """Add to the counters of a caller, and to the total."""
        if caller == TOTAL:
            caller = ANONYMOUS  # the name is taken
        with self._lock:
            mine, total = self._counts[caller], self._counts[TOTAL]
            for name, number in numbers.items():
                mine[name] += number
                total[name] += number

    def snapshot(self) -> Snapshot:
        """All counters, as they are now."""
        with self._lock:
            return {TOTAL: dict(self._counts[TOTAL])} | {
                caller: dict(counts) for caller, counts in self._counts.items() if caller != TOTAL
            }

    def reset(self) -> None:
        """Begin at zero again."""
        with self._lock:
            self._counts.clear()
