"""Keys in memory."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...ports import Keys, SubjectKey


class MemoryKeys:
    """A key store in this process, gone with it, and all that was sealed with its keys: for tests.

    Safe under threads. Each `MemoryKeys()` is a store of its own; what uses the same object shares it.
    """

    def __init__(self) -> None:
        self._keys = _Keys()

    def __repr__(self) -> str:
        return "MemoryKeys()"

    def keys(self, port: Port) -> Keys:
        """Its keys."""
        return self._keys

    def close(self) -> None:
        """Nothing is held open. The keys stay while the object does."""


class _Keys:
    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self._kept: dict[str, SubjectKey | None] = {}
        self._readmitted: set[str] = set()
        _stores.add(self)

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """See `Keys.create_many`."""
        with self.lock:
            for subject in self._readmitted.intersection(offered):
                self._readmitted.remove(subject)
                del self._kept[subject]
            return {subject: self._kept.setdefault(subject, key) for subject, key in offered.items()}, FREE

    async def get_many(self, subjects: Sequence[str]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """See `Keys.get_many`."""
        with self.lock:
            return {subject: self._kept[subject] for subject in subjects if subject in self._kept}, FREE

    async def forget(self, subject: str) -> Receipt:
        """See `Keys.forget`."""
        with self.lock:
            self._kept[subject] = None
            self._readmitted.discard(subject)
        return FREE

    async def readmit(self, subject: str) -> Receipt:
        """See `Keys.readmit`."""
        with self.lock:
            if subject in self._kept and self._kept[subject] is None:
                self._readmitted.add(subject)
        return FREE


_stores: weakref.WeakSet[_Keys] = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread of the parent may have held a lock when the process was forked; nobody would ever release it here.
    for store in list(_stores):
        store.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
