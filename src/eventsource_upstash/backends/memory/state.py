"""What the memory backend holds, and the lock that makes each step of it atomic."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, TypeAlias

from ...domain.events import Appended, StoredEvent
from ...domain.projections import ProjectionId
from ...ports import Snapshot
from ..builds import Builds
from .index import Index
from .indexes import Build

if TYPE_CHECKING:
    from .limits import MemoryCounters
    from .mailbox import Mail

Kind: TypeAlias = "tuple[str, int, bytes | None, bytes | None]"
"""Type, version, metadata and tags: shared by the rows that have the same, because that is what most rows have."""

Row: TypeAlias = tuple[str, int, int, int, Kind, bytes]
"""Stream, revision, recorded_us, number, kind, payload. The position is its place in the list."""


class State:
    """Events, documents and checkpoints. Whoever touches them holds the lock.

    Attributes:
        conditional: What the appends under a condition answered, by their number and time.
    """

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.rows: list[Row] = []
        self.streams: dict[str, list[int]] = {}
        self.kinds: dict[str, Kind] = {}
        self.keys: dict[str, tuple[bytes, str, Appended]] = {}
        self.snapshots: dict[tuple[str, str], Snapshot] = {}
        self.conditional: dict[tuple[int, int], Appended] = {}
        self.index: Index = Index()
        self.builds: dict[ProjectionId, Builds] = {}
        self.documents: dict[tuple[ProjectionId, int], Build] = {}
        self._mail: Mail | None = None
        self._limits: MemoryCounters | None = None
        _states.add(self)

    @property
    def mail(self) -> Mail:
        """The messages, for those who have any. Whoever asks holds the lock."""
        if self._mail is None:
            from .mailbox import Mail

            self._mail = Mail()
        return self._mail

    @property
    def limits(self) -> MemoryCounters:
        """The counters of rate limits, for those who have any. Whoever asks holds the lock."""
        if self._limits is None:
            from .limits import MemoryCounters

            self._limits = MemoryCounters()
        return self._limits

    def stored(self, start: int, end: int) -> list[StoredEvent]:
        """Rows from one position (exclusive) to another (inclusive) as a log hands them out."""
        return [
            (position, stream, revision, recorded_us, number, type_, version, metadata, tags, payload)
            for position, (
                stream,
                revision,
                recorded_us,
                number,
                (type_, version, metadata, tags),
                payload,
            ) in enumerate(self.rows[start:end], start + 1)
        ]


_states: weakref.WeakSet[State] = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread of the parent may have held a lock when the process was forked; nobody would ever release it here.
    for state in list(_states):
        state.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
