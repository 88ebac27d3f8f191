"""What the command tells: results, failures, and how far it is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from .._flow.copying import Copying

__all__ = ["Bar", "fail", "say"]

WIDTH: Final = 24
"""Characters of the bar itself."""

EVERY: Final = 10.0
"""Seconds between two lines, where nobody watches."""


def say(text: str) -> None:
    """Tell a result."""
    print(text, flush=True)  # noqa: T201 - what the command is for


def fail(text: str) -> int:
    """Tell a failure; answers the exit status."""
    print(f"eventsource-upstash: {text}", file=sys.stderr)  # noqa: T201 - what the command is for
    return 1


class Bar:
    """Tells how far a copy is: one line that changes on a terminal, a line now and then elsewhere.

    Args:
        stream: Where.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._phase = ""
        self._told = 0.0

    def __call__(self, at: Copying) -> None:
        """Tell it."""
        now = time.monotonic()
        if self._live:
            if at.phase != self._phase and self._phase:
                self._stream.write("\n")
            full = int(at.fraction * WIDTH)
            self._stream.write(f"\r[{'#' * full}{'.' * (WIDTH - full)}] {in_words(at)}\x1b[K")
        elif at.phase != self._phase or at.done >= at.total or now - self._told >= EVERY:
            self._told = now
            self._stream.write(f"{in_words(at)}\n")
        self._phase = at.phase
        self._stream.flush()

    def close(self) -> None:
        """End the line, so that what comes next has one of its own."""
        if self._live and self._phase:
            self._stream.write("\n")
            self._stream.flush()


def in_words(at: Copying) -> str:
    """How far a copy is: share, events, pace, and what is left."""
    words = f"{at.fraction:4.0%} {at.phase}, {at.done:,} of {at.total:,} events"
    if at.done:
        words += f", {at.rate:,.0f}/s"
    if at.remaining:
        words += f", {duration(at.remaining)} left"
    return words


def duration(seconds: float) -> str:
    """Seconds as one reads them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
