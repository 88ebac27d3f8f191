"""The states of the streams that were used last, so that only what came since has to be read."""

from __future__ import annotations

import os
import threading
import weakref
from typing import NamedTuple, TypeAlias, TypeVar, cast

from ..domain.aggregates import Aggregate

S = TypeVar("S")

Identity: TypeAlias = tuple[int, int]
"""When an event was recorded (microseconds), and its number: no other event has both."""


class Cached(NamedTuple):
    """A state that was seen.

    Attributes:
        state: The state.
        revision: Revision of the stream that it stands for.
        last: Which event stood there: while it still does, the state is what the stream makes.
    """

    state: object
    revision: int
    last: Identity


class States:
    """The states of the last so many streams, each for one aggregate. Safe under threads; a forked child has a copy.

    Only of aggregates whose states cannot be changed: nobody gets a copy.

    Attributes:
        most: How many; 0 keeps none.
    """

    def __init__(self, most: int) -> None:
        self.most: int = most
        self.lock: threading.Lock = threading.Lock()
        self._states: dict[tuple[Aggregate[object], str], Cached] = {}  # in the order of use
        _all.add(self)

    def get(self, aggregate: Aggregate[S], stream: str) -> Cached | None:
        """The state of a stream, if it is there. It counts as used."""
        if not self.most:
            return None
        key = (cast("Aggregate[object]", aggregate), stream)
        with self.lock:
            cached = self._states.pop(key, None)
            if cached is not None:
                self._states[key] = cached
            return cached

    def put(self, aggregate: Aggregate[S], stream: str, cached: Cached) -> None:
        """Keep a state, and let go of the one that was not used for longest."""
        if not self.most or not aggregate.immutable or aggregate.personal:
            return
        key = (cast("Aggregate[object]", aggregate), stream)
        with self.lock:
            self._states.pop(key, None)
            self._states[key] = cached
            if len(self._states) > self.most:
                del self._states[next(iter(self._states))]

    def drop(self, aggregate: Aggregate[S], stream: str) -> None:
        """Let go of a state."""
        with self.lock:
            self._states.pop((cast("Aggregate[object]", aggregate), stream), None)

    def __len__(self) -> int:
        return len(self._states)


_all: weakref.WeakSet[States] = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread of the parent may have held a lock when the process was forked; nobody would ever release it here.
    # It may have been amid a change as well: what is not there is read again.
    for states in list(_all):
        states.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
