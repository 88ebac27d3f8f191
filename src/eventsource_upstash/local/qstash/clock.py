"""The clock that every decision about time goes through, and that a test can move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Clock"]


class Clock:
    """Unix time in milliseconds: the machine's, moved by an offset; or frozen, and moved only by hand.

    Args:
        frozen_at: Freeze it at this time (Unix milliseconds). Else it runs.
    """

    def __init__(self, *, frozen_at: int | None = None) -> None:
        self._offset = 0
        self._frozen = frozen_at
        self._listeners: list[Callable[[], None]] = []

    @property
    def frozen(self) -> bool:
        """Whether it stands still until it is moved."""
        return self._frozen is not None

    @property
    def offset(self) -> int:
        """Milliseconds that it is ahead of the machine's clock. What it is frozen at counts too."""
        return self.now() - _machine()

    def now(self) -> int:
        """Unix milliseconds."""
        return _machine() + self._offset if self._frozen is None else self._frozen

    def seconds_until(self, when: int) -> float | None:
        """Seconds of real time until it reads `when`, at least 0. None: never by itself, since it is frozen."""
        left = when - self.now()
        if left <= 0:
            return 0.0
        return None if self._frozen is not None else left / 1000

    def move_to(self, when: int) -> None:
        """Set it forward to `when` (Unix milliseconds). It never goes back: an earlier time changes nothing."""
        if self._frozen is not None:
            self._frozen = max(self._frozen, when)
        else:
            self._offset += max(0, when - self.now())
        self._tell()

    def freeze(self, at: int | None = None) -> None:
        """Stop it, at this time or where it is."""
        self._frozen = self.now() if at is None else at
        self._tell()

    def run(self) -> None:
        """Let it run on from where it is."""
        if self._frozen is not None:
            self._offset = self._frozen - _machine()
            self._frozen = None
            self._tell()

    def restore(self, offset: int, frozen: int | None) -> None:
        """Set it as it was before a restart."""
        self._offset, self._frozen = offset, frozen
        self._tell()

    def saved(self) -> tuple[int, int | None]:
        """What `restore` takes."""
        return self._offset, self._frozen

    def listen(self, moved: Callable[[], None]) -> Callable[[], None]:
        """Have `moved` called whenever it was set. Returns how to end that."""
        self._listeners.append(moved)

        def forget() -> None:
            with suppress(ValueError):
                self._listeners.remove(moved)

        return forget

    async def reach(self, when: int) -> None:
        """Suspend until it reads `when` (Unix milliseconds) or later."""
        moved = asyncio.Event()
        forget = self.listen(moved.set)
        try:
            while self.now() < when:
                moved.clear()
                seconds = self.seconds_until(when)
                # asyncio.TimeoutError is another class than the builtin one before Python 3.11.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(moved.wait(), seconds)
        finally:
            forget()

    def _tell(self) -> None:
        for moved in tuple(self._listeners):
            moved()


def _machine() -> int:
    return time.time_ns() // 1_000_000
