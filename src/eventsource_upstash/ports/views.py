"""The contract of views: the documents that events are folded into, and how far they are."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from ..domain.events import FREE, Receipt, StoredEvent
from ..domain.indexes import Entries
from ..domain.projections import NO_NOTES, Notes, ProjectionId, Stopped
from ..errors import LogTrimmed

NO_BUILDS: Final[Mapping[ProjectionId, int]] = MappingProxyType({})
NO_ENTRIES_OF: Final[Mapping[str, Entries]] = MappingProxyType({})
NO_RECORDS: Final[Mapping[str, bytes | None]] = MappingProxyType({})


class Role(enum.Enum):
    """What a build of a view is there for."""

    SERVING = "serving"
    """Readers are answered from it, and catch-up brings it up to the head."""
    BUILDING = "building"
    """A rebuild: catch-up brings it up to the head, and then it serves."""
    KEPT = "kept"
    """It has served. It stays where it is, for going back."""
    DROPPED = "dropped"
    """Its documents are being deleted. Nobody folds it, reads it, or goes back to it."""


class Progress(msgspec.Struct, frozen=True):
    """How far a build of a projection's view is.

    Attributes:
        projection: Which projection.
        generation: Which build of its view, counted from 1; a number is never used again.
        checkpoint: Position that it has reached; 0 before the first event.
        edition: Commits to it since it reached that checkpoint that have not moved it. Checkpoint and edition together
            name one state of the build.
        role: What it is there for.
        met: Whether it has ever met the head. Of what serves only the first build can be one that has not.
        notes: What else is known of it.
        parts: Of a view that is kept in parts, how far those are that were looked at, by partition. The library's own:
            no backend knows of it.
    """

    projection: ProjectionId
    generation: int
    checkpoint: int
    edition: int = 0
    role: Role = Role.SERVING
    met: bool = False
    notes: Notes = NO_NOTES
    parts: tuple[tuple[int, Progress], ...] = ()

    @property
    def stopped(self) -> Stopped | None:
        """Why it does not go on, if it does not."""
        return self.notes.stopped


class Pull(NamedTuple):
    """What to pull: how far some projections are, and the page that comes next for them.

    The builds of these projections that serve or are building are looked at. The page is the one after the highest of
    their checkpoints that is still below the head, so that a new projection with the whole log before it holds up
    nobody who is nearly there; or with `rear`, after the lowest.

    With `settle`, these are all the builds that can go on: if every one of them is at the head, then the notification
    that was outstanding is settled, in the same step (see `Log.settle`).

    Attributes:
        projections: Which.
        limit: Most events in the page.
        max_bytes: The page ends with the event that reaches so many bytes of payload.
        rear: Whether the page follows the lowest checkpoint.
        settle: Whether a notification is settled.
        aside: A build of a projection that does not count, by its generation, since it cannot go on.
        serving: Whether only the builds that serve count: the others are answered, but no page is chosen for them.
    """

    projections: Sequence[ProjectionId]
    limit: int
    max_bytes: int
    rear: bool = False
    settle: bool = False
    aside: Mapping[ProjectionId, int] = NO_BUILDS
    serving: bool = False


class Pulled(NamedTuple):
    """What was pulled.

    Attributes:
        progress: For each projection asked for, in that order, the build that serves, then the one that is building if
            there is one.
        head: The log's last position.
        after: The checkpoint that `events` follow; equal to the head when there is nothing to do.
        events: The page.
        receipt: What it cost.
        mark: Id of the event at `after`, empty where there is none: of views that are kept elsewhere than the log, to
            see whether it is theirs. None where they are beside each other, or nothing was read.
        reached: How far the page reaches in a log whose pages may end behind their last event, or hold none though
            there is something after `after` (which is of nobody's concern): the checkpoint of whoever has folded all of
            it. None stands for the position of the last event. Always there where `after` is a vector.
        lost: Why there is no page after `after`, where what comes next there is not kept any more: whoever is there
            cannot go on, and holds up nobody else.
    """

    progress: tuple[Progress, ...]
    head: int
    after: int
    events: list[StoredEvent]
    receipt: Receipt = FREE
    mark: str | None = None
    reached: int | None = None
    lost: LogTrimmed | None = None


class Wanted(NamedTuple):
    """What is to be loaded of a build: documents by their keys, records by their names."""

    projection: ProjectionId
    generation: int
    keys: Sequence[str]
    records: Sequence[str] = ()


class Stored(NamedTuple):
    """What was loaded of a build.

    Attributes:
        documents: By key, those that exist; whether they have ended or not.
        entries: By key, of those documents that have any.
        records: By name, those that exist.
    """

    documents: dict[str, bytes]
    entries: dict[str, Entries]
    records: dict[str, bytes]


class Commit(NamedTuple):
    """What a page of events made of one build of a view: written whole, or not at all.

    Attributes:
        projection: Which.
        generation: The build that was read.
        expected: The checkpoint that was read.
        checkpoint: The checkpoint to move to: `expected` to stay there, or above it.
        documents: Changed documents by key; None deletes.
        notes: What is to be kept with the checkpoint; takes the place of what was.
        created: Keys of `documents` that were not there when they were loaded; None where that is not known. Since the
            commit takes effect only on what was read, a backend may rely on it.
        edition: The edition that was read.
        entries: What the documents that are put are found by, of those that are found by anything.
        before: What the documents of `documents` were found by, as loaded.
        records: Changed records by name; None deletes. They are written with the documents, and are none: no listing,
            count or index knows them.
        head: The log's last position as the caller knows it, for views that are not beside their log; None where it
            does not: then the build has not met it.
    """

    projection: ProjectionId
    generation: int
    expected: int
    checkpoint: int
    documents: Mapping[str, bytes | None]
    notes: Notes = NO_NOTES
    created: Collection[str] | None = None
    edition: int = 0
    entries: Mapping[str, Entries] = NO_ENTRIES_OF
    before: Mapping[str, Entries] = NO_ENTRIES_OF
    records: Mapping[str, bytes | None] = NO_RECORDS
    head: int | None = None


class Outcome(enum.Enum):
    """What became of a commit. Only the first one wrote anything."""

    COMMITTED = "committed"
    ALREADY = "already there"
    """The build is at the commit's checkpoint, but not as it was read: it was committed before, by this caller or
    another."""
    AHEAD = "ahead"
    """The build is beyond the commit's checkpoint."""
    MISMATCH = "mismatch"
    """The build is neither where it was read nor where it would be put."""
    SUPERSEDED = "superseded"
    """The build neither serves nor is building any more."""


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


class Got(NamedTuple):
    """Documents that were read by their keys.

    Attributes:
        documents: By key, those that exist and have not ended.
        progress: How far the build is that they are from, as of the same moment.
        head: The log's last position as of that moment, or None where the views are not beside their log.
        receipt: What it cost.
    """

    documents: dict[str, bytes]
    progress: Progress
    head: int | None
    receipt: Receipt = FREE


class Listed(NamedTuple):
    """Documents of a view in an order.

    Attributes:
        documents: Key and document of each that has not ended.
        more: Whether there may be others behind them; False where there are none.
        progress: How far the build is that they are from, as of the same moment.
        head: The log's last position as of that moment, or None where the views are not beside their log.
        last: Where the page ends, to be handed to the next one as `after`: index value (empty in the order of keys) and
            key; None where there was nothing. Documents that have ended may be passed over, so it may lie behind the
            last document.
        receipt: What it cost.
    """

    documents: list[tuple[str, bytes]]
    more: bool
    progress: Progress
    head: int | None
    last: tuple[str, str] | None = None
    receipt: Receipt = FREE


class Counted(msgspec.Struct, frozen=True):
    """How many there are.

    Attributes:
        count: How many; None for the rank of a document that does not stand in the index.
        total: How many there are in the whole range, for a rank.
        progress: How far the build is that was counted in, as of the same moment.
        head: The log's last position as of that moment, or None where the views are not beside their log.
        receipt: What it cost.
    """

    count: int | None
    total: int
    progress: Progress
    head: int | None
    receipt: Receipt = FREE


class Ended(NamedTuple):
    """Documents that have ended, and are still stored.

    Attributes:
        documents: By key, in order of their ends, what each is found by.
        progress: How far the build is that they are in, as of the same moment.
        receipt: What it cost.
    """

    documents: dict[str, Entries]
    progress: Progress
    receipt: Receipt = FREE


class Span(msgspec.Struct, frozen=True):
    """A part of an index: the entries from one value to another, in order of value and then of key.

    Attributes:
        index: The index's name.
        low: Lowest value, inclusive, encoded.
        high: Highest value, inclusive, encoded.
        before: Of the highest value only the entries whose keys come before this one; None for all. Only to be counted.
    """

    index: str
    low: str
    high: str
    before: str | None = None


class Views(Protocol):
    """Documents of projections, and how far each projection is.

    A projection's view is a build of it: one serves, another may be building beside it, others may be kept. Documents,
    entries and records belong to one build. A projection never seen is served by build 1, at 0, without documents.

    Opened with the log that they are folded from: a backend that holds both reads both in one step.

    What is read for a query is of the build that serves, and a document that has ended by `now_us` (microseconds since
    1970) is not in it: not in what is got or listed, and in no count.
    """

    async def pull(self, pull: Pull) -> Pulled:
        """How far projections are, and the page that comes next for them."""
        ...

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """Write documents, entries, records, notes and checkpoints, each commit in one atomic step; pull what is next.

        A commit takes effect only if the build is serving or building, and its checkpoint and edition are what the
        commit expects; it writes nothing otherwise. One that moves the checkpoint begins with edition 0 there, one that
        stays there makes the next edition. Commits of one build in one call are taken in their order: each meets what
        those before it have left.

        A build that is at or beyond the log's head with the commit has met it. In the same step one that is building
        takes the place of the one that serves, which is kept then. Where the head is only what the caller knows, it
        does so only if it is not behind the one that serves.

        Raises:
            Misuse: A checkpoint below the one expected: a view is never taken back. None of it was written.
            Unavailable: None of it was written.
            OutcomeUnknown: The answer was lost. Sending it again is safe.
            TooLarge: More bytes than one step can take. Fewer events make a smaller commit.
            Refused: Rights, quota, space.
        """
        ...

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """How far each build of projections is, and the log's last position.

        In the order asked; of each projection the build that serves, then the one that is building, then the others
        from the newest to the oldest.
        """
        ...

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        """The documents and records that a page touches, of each build, in one step.

        As they are where commits are made, never from a copy that lags behind: what is folded over them is written.
        """
        ...

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """The documents under those keys that exist.

        Args:
            projection: Which view.
            keys: Which documents.
            now_us: The time.
            primary: Whether it has to be as of what was committed before, and not from a copy that lags behind.
        """
        ...

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """Documents by key, in order of the key's characters, after a key (exclusive) or from the first.

        As they are where commits are made; so are `find` and `rank`. Bounded as `Log.read`: fewer than `limit` does not
        mean the end. A page that says `more` has gone on from `after`: `last` says how far.
        """
        ...

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        """Documents in a span of an index, in its order or backwards, after a place in it; bounded as `items`.

        The place need not exist any more: what comes behind it in the order is answered.
        """
        ...

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """How many documents there are, or how many stand in a span of an index; `primary` as for `get_many`."""
        ...

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """How many documents in a span of an index come before the one with that key; None if it is not among them."""
        ...

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """The documents of the build that serves which had ended by then, those first that ended first.

        As they are where commits are made: whoever deletes them commits on the progress that is answered.
        """
        ...

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        """The records of those names that exist, of the build that serves."""
        ...

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        """Begin another build beside the one that serves; or answer the one that is building already."""
        ...

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        """Let a build that is kept take the place of the one that serves, which is kept then.

        Takes effect only if the builds are what is said, and answers whether it did. A second call finds it done, and
        answers the same.
        """
        ...

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        """Delete a build that is kept or building, a part of it in each call, and answer whether it is gone.

        From the first call on nobody folds it or goes back to it. A build that is not there is gone.

        Args:
            projection: Which.
            generation: Which of its builds.
            records: Names of its records.
            limit: Most documents to be deleted in this call.
            serving: Whether it may be the one that serves: the projection begins anew then, with the next generation.

        Raises:
            Misuse: It is the one that serves, and `serving` was not said.
        """
        ...
