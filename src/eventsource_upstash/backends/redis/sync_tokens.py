"""Sync tokens: what makes a copy of the database wait until it has seen what a caller has seen.

Writes go to one primary, plain reads to whatever copy is near; each answer carries a token that stands for the state
it was given at, and a copy that is sent the token answers from that state or a later one.

Tokens say nothing about their order, so what is known about it is kept beside them. The primary's answer to a request
holds everything that was answered before that request began: it *covers* that moment. A copy's answer covers what the
token covered that it was sent. Moments are counted, one for each beginning and each answer.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextvars import ContextVar
from typing import NamedTuple


class _Seen(NamedTuple):
    token: str
    covers: int
    at: int


_NOTHING = _Seen("", -1, -1)


class Sending(NamedTuple):
    """A request that has begun: the token to send along, empty if there is none, and what it covers."""

    token: str
    covers: int
    began: int


class SyncTokens:
    """The tokens of one database: of each caller (a thread or a task, with the tasks it begins), and of all together.

    A caller is sent on with what it saw itself, until the newest token of all is known to cover that. A late answer
    never takes a caller back, since it is nobody's but its own caller's.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a handler of the operating system's signals may interrupt its own thread here
        self._moment = 0
        self._newest = _NOTHING
        self._own: ContextVar[_Seen] = ContextVar("sync token", default=_NOTHING)
        _all.add(self)

    def begin(self) -> Sending:
        """A request begins."""
        own = self._own.get()
        with self._lock:
            self._moment += 1
            newest = self._newest
            best = newest if newest.covers >= own.at else own
            return Sending(best.token, best.covers, self._moment)

    def answered(self, sending: Sending, token: str | None, *, by_primary: bool) -> None:
        """Its answer is there.

        Args:
            sending: What `begin` answered.
            token: The answer's token, if it has one.
            by_primary: Whether the primary answered, as it does every script and every write.
        """
        if not token:
            return
        covers = sending.began if by_primary else sending.covers
        with self._lock:
            self._moment += 1
            seen = _Seen(token, covers, self._moment)
            if covers > self._newest.covers:
                self._newest = seen
        self._own.set(seen)

    def after_fork(self) -> None:
        """Let go of the lock that a thread of the parent process may hold."""
        self._lock = threading.RLock()


_all: weakref.WeakSet[SyncTokens] = weakref.WeakSet()


def _after_fork() -> None:
    for tokens in list(_all):
        tokens.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
