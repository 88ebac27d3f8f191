"""Worker: catch up again and again in a process that stays up, at each wake and after each pause."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from .._io.port import Port, Signal
from ..errors import EventSourceError, Misuse

if TYPE_CHECKING:
    from .catching_up import CatchingUp
    from .parting import Shift

_log: Final = logging.getLogger("eventsource_upstash.projector")

MAX_PAUSE: Final = 30.0
"""Longest pause, in seconds, of a worker whose folding keeps failing."""


async def run(
    catching_up: CatchingUp, shift: Shift | None, port: Port, wake: Signal, stop: Signal, poll_interval: float
) -> None:
    """See `Projector.run`. Ends when `stop` is raised.

    Args:
        catching_up: What folds.
        shift: What folds instead, and shares the partitions with other workers, where the log is in partitions.
        port: What waits.
        wake: Ends a pause.
        stop: Ends it.
        poll_interval: Seconds between two looks at the log.

    Raises:
        Misuse: The interval is none.
    """
    check_poll_interval(poll_interval)
    failing = 0
    told: str | None = None
    stop.listen(wake.set, 0)
    while True:
        # Read before the look at `stop` and at the log: what is set from here on ends the sleep below at once.
        seen = wake.count
        if stop.raised:
            if shift is not None:
                await shift.end()
            return
        try:
            if shift is None:
                await catching_up.catch_up(None, None)
            elif await shift.go():
                continue
        except Exception as error:  # whatever it is, the worker stays: the next try may do
            failing += 1
            if str(error) != told:  # the same trouble once more is not news
                told = str(error)
                _log.error("%s", error, exc_info=error.__cause__ or not isinstance(error, EventSourceError))
        else:
            failing = 0
            told = None
        await port.sleep(pause_after(failing, poll_interval) if failing else poll_interval, wake, seen)


def pause_after(failures: int, seconds: float) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, up to `MAX_PAUSE`."""
    return min(MAX_PAUSE, seconds * 2.0 ** min(failures, 10))


def check_poll_interval(seconds: float) -> None:
    """Refuse what is no pause between two looks at the log. Raises `Misuse`."""
    if not seconds > 0:  # NaN is not either
        raise Misuse(f"poll_interval={seconds!r}: it is a number of seconds above 0")
