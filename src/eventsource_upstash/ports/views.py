"""The contract of views: the documents that events are folded into, and how far they are."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ..domain.events import FREE, Receipt, StoredEvent
from ..domain.projections import ProjectionId, Stopped


class Progress(msgspec.Struct, frozen=True):
    """How far a projection's view is.

    Attributes:
        projection: Which.
        generation: Which build of the view.
        checkpoint: Position that it has reached; 0 before the first event.
        stopped: Why it does not go on, if it does not.
    """

    projection: ProjectionId
    generation: int
    checkpoint: int
    stopped: Stopped | None = None


class Pull(NamedTuple):
    """What to pull: how far some projections are, and the page that comes next for them.

    The page is the one after the highest of their checkpoints that is still below the head, so that a new projection
    with the whole log before it holds up nobody who is nearly there; or with `rear`, after the lowest.

    With `settle`, these are all the projections that can go on: if every one of them is at the head, then the
    notification that was outstanding is settled, in the same step (see `Log.settle`).
    """

    projections: Sequence[ProjectionId]
    limit: int
    max_bytes: int
    rear: bool = False
    settle: bool = False


class Pulled(NamedTuple):
    """What was pulled.

    Attributes:
        progress: One entry per projection asked for, in that order.
        head: The log's last position.
        after: The checkpoint that `events` follow; equal to the head when there is nothing to do.
        events: The page.
        receipt: What it cost.
    """

    progress: tuple[Progress, ...]
    head: int
    after: int
    events: list[StoredEvent]
    receipt: Receipt = FREE


class Commit(NamedTuple):
    """What a page of events made of one view: written whole, or not at all.

    Attributes:
        projection: Which.
        generation: The build that was read.
        expected: The checkpoint that was read.
        checkpoint: The checkpoint to move to: `expected`, to note a stop only, or above it.
        documents: Changed documents by key; None deletes.
        stopped: Why the projection does not go on, or None to say that it does.
        created: Keys of `documents` that were not there when they were loaded; None where that is not known. Since the
            commit takes effect only on the checkpoint that was read, a backend may rely on it.
    """

    projection: ProjectionId
    generation: int
    expected: int
    checkpoint: int
    documents: Mapping[str, bytes | None]
    stopped: Stopped | None = None
    created: Collection[str] | None = None


class Outcome(enum.Enum):
    """What became of a commit. Only the first one wrote anything."""

    COMMITTED = "committed"
    ALREADY = "already there"
    """The view is at the commit's checkpoint: it was committed before, by this caller or another."""
    AHEAD = "ahead"
    """The view is beyond the commit's checkpoint."""
    MISMATCH = "mismatch"
    """The view is neither where it was read nor where it would be put."""
    SUPERSEDED = "superseded"
    """Another generation of the view is in place."""


class Committed(NamedTuple):
    """What became of some commits.

    Attributes:
        outcomes: One per commit, in their order. Each stands for itself: one that lost does not hold up the others.
        pulled: What comes next, read after the commits were in, if it was asked for.
        receipt: What it cost.
    """

    outcomes: tuple[Outcome, ...]
    pulled: Pulled | None
    receipt: Receipt = FREE


class Listed(NamedTuple):
    """Documents of a view, in order of their keys.

    Attributes:
        documents: Key and document of each.
        more: Whether there may be others behind them; False where there are none.
        receipt: What it cost.
    """

    documents: list[tuple[str, bytes]]
    more: bool
    receipt: Receipt = FREE


class Views(Protocol):
    """Documents of projections, and how far each projection is.

    Opened with the log that they are folded from: a backend that holds both reads both in one step.
    """

    async def pull(self, pull: Pull) -> Pulled:
        """How far projections are, and the page that comes next for them. A projection never seen is at 0."""
        ...

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """Write documents and checkpoints, each commit in one atomic step, and pull what comes next.

        A commit takes effect only if generation and checkpoint are what it expects, and writes nothing otherwise.
        Commits of one projection in one call are taken in their order: each meets what those before it have left.

        Raises:
            Misuse: A checkpoint below the one expected: a view is never taken back. None of it was written.
            Unavailable: None of it was written.
            OutcomeUnknown: The answer was lost. Sending it again is safe.
            TooLarge: More bytes than one step can take; nothing was sent. Fewer events make a smaller commit.
            Refused: Rights, quota, space.
        """
        ...

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """How far projections are, in the order asked, and the log's last position."""
        ...

    async def load(
        self, wanted: Sequence[tuple[ProjectionId, Sequence[str]]]
    ) -> tuple[list[dict[str, bytes]], Receipt]:
        """The documents that a page touches, of each projection those under its keys that exist, in one step.

        As they are where commits are made, never from a copy that lags behind: what is folded over them is written.
        """
        ...

    async def get_many(self, projection: ProjectionId, keys: Sequence[str]) -> tuple[dict[str, bytes], Receipt]:
        """The documents under those keys that exist."""
        ...

    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        """Documents by key, in order of the key's characters, after a key (exclusive) or from the first.

        Bounded as `Log.read`: fewer than `limit` does not mean the end. A page that says `more` holds at least one.
        """
        ...

    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        """How many documents there are."""
        ...
