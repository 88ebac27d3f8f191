"""The readers of a topic in this process: taken for one step, kept where they are, used again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from ..topic import OutOfRange
from .forking import register
from .reader import Reader

KEPT: Final = 2
"""Readers that are kept open though nobody uses them: one that catches up, say, and one that reads elsewhere."""


class Readers:
    """Readers that are open. From any thread.

    Args:
        opened: Opens one.
    """

    def __init__(self, opened: Callable[[], Reader]) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._idle: list[Reader] = []  # those used last at the end
        self._used: set[Reader] = set()
        self._closed: set[Reader] = set()
        register(self)

    @contextmanager
    def taken(self, offsets: Mapping[int, int] | None = None) -> Generator[Reader]:
        """A reader for one step: one that stands at these offsets, if there is any.

        One that failed is not used again.
        """
        reader = self._take(offsets)
        fine = False
        try:
            yield reader
            fine = True
        except OutOfRange:
            fine = True
            raise
        finally:
            self._give_back(reader, fine=fine)

    def _take(self, offsets: Mapping[int, int] | None) -> Reader:
        with self._lock:
            reader = self._choose(offsets)
            if reader is not None:
                self._idle.remove(reader)
                self._used.add(reader)
                return reader
        reader = self._opened()
        with self._lock:
            self._used.add(reader)
        return reader

    def _choose(self, offsets: Mapping[int, int] | None) -> Reader | None:
        if not self._idle:
            return None
        if offsets is None:
            return self._idle[-1]
        best = max(self._idle, key=lambda each: each.suits(offsets))
        if best.suits(offsets) or len(self._idle) + len(self._used) >= KEPT:
            return best if best.suits(offsets) else self._idle[0]
        fresh = [each for each in self._idle if not each.begun]
        return fresh[0] if fresh else None

    def _give_back(self, reader: Reader, *, fine: bool) -> None:
        with self._lock:
            if reader not in self._used:  # it is the parent process's
                return
            self._used.remove(reader)
            retired = reader in self._closed
            self._closed.discard(reader)
            if fine and not retired and len(self._idle) < KEPT:
                self._idle.append(reader)
                return
        reader.close()

    def close(self) -> None:
        """Close those that nobody uses; the others as soon as they are given back. The next step opens another."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._closed |= self._used
        for reader in idle:
            reader.close()

    def after_fork(self) -> list[object]:
        """See `forking.Holder`."""
        clients: list[object] = [reader.consumer for reader in (*self._idle, *self._used)]
        self._lock = threading.Lock()
        self._idle = []
        self._used = set()
        self._closed = set()
        return clients
