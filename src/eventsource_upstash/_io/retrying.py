"""Trying again: how long to wait before it, and when to give up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Final

from .port import Port

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 3.2

RANDOM: Final[Callable[[], float]] = random.SystemRandom().random
"""Not the process's own generator: instances restored from one snapshot, or forked, would all draw the same pauses."""


class Budget:
    """The time that one operation of a caller may take, with all that is tried again within it.

    Args:
        port: What pauses.
        seconds: How much time there is.
        attempts: How often it may be tried.
        clock: Seconds, as `time.monotonic` tells them.
        draw: Draws a number from 0 up to 1.
    """

    __slots__ = ("_attempts", "_clock", "_draw", "_ends", "_port", "_started", "tried")

    def __init__(
        self,
        port: Port,
        seconds: float,
        attempts: int,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = RANDOM,
    ) -> None:
        self._port = port
        self._attempts = attempts
        self._clock = clock
        self._draw = draw
        self._started = clock()
        self._ends = self._started + seconds
        self.tried: int = 0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._ends - self._clock()

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._started

    async def pause(self, at_least: float = 0.0) -> bool:
        """Wait before the next attempt: longer each time, and a random part of it, so that callers spread out.

        Args:
            at_least: Seconds that the server asked for.

        Returns:
            Whether there is another attempt. If not, it has not waited.
        """
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** max(0, self.tried - 1))
        seconds = at_least + longest * self._draw()
        if self.tried >= self._attempts or seconds >= self.left:
            return False
        await self._port.sleep(seconds)
        return self.left > 0


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float:
    """Seconds that an answer asks to wait for, by `Retry-After`: a number, or a date. 0 if it does not say."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text[:9])
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except (ValueError, TypeError, OverflowError):
        return 0.0
