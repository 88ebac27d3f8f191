"""The contracts that a backend fulfils: `Log`, `Views` and `Notices`.

Whoever writes a backend reads this file, and then runs `eventsource_upstash.testing` against it: each sentence here
is held by a test there.

A backend knows no colour. It is a plain description (`Memory()`, `SQLite("todo.db")`), which opens its log and its
views over a port; every wait of theirs goes through that port. All contents are opaque bytes to it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ._io.port import Port, Signal
from .domain.events import FREE, Appended, Expectation, NewEvent, Receipt, StoredEvent
from .domain.projections import ProjectionId, Stopped
from .domain.queries import AppendCondition, Query

__all__ = [
    "MAX_PAGE_BYTES",
    "MAX_PAGE_EVENTS",
    "Append",
    "AppendCondition",
    "Appended",
    "Backend",
    "Commit",
    "Committed",
    "Conflict",
    "KeyReused",
    "Listed",
    "Log",
    "NoticeTransport",
    "Notices",
    "Outcome",
    "Page",
    "Port",
    "Progress",
    "ProjectionId",
    "Pull",
    "Pulled",
    "Query",
    "Receipt",
    "Signal",
    "Snapshot",
    "Stopped",
    "StoredEvent",
    "StreamPage",
    "Unmet",
    "Unverified",
    "Verifier",
    "Views",
]

MAX_PAGE_EVENTS = 1_000
"""Most events in a page that is asked for without a limit."""

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page ends with the event that reaches this many bytes of payload. It always holds at least one event."""


class Snapshot(NamedTuple):
    """The state of an aggregate at a revision of its stream, so that not every event of it has to be read again.

    Attributes:
        name: Which aggregate, and which version of its state: a snapshot is found only under the name it was kept under.
        revision: Revision of the stream that it stands for.
        state: The encoded state.
    """

    name: str
    revision: int
    state: bytes


class Append(msgspec.Struct, frozen=True, gc=False):
    """Events to be appended to one stream, all or none.

    Attributes:
        stream: The stream's name, checked.
        expected: Revision that the stream has to be at, or `ANY`, or `EXISTS`.
        events: The events, encoded: at least one.
        recorded_us: When, in microseconds since 1970 (UTC).
        number: Number of the first event; the following ones count on. With the time it identifies this append: the
            same append sent again has the same one.
        metadata: Encoded metadata of each event, or None.
        tags: Encoded tags of all events alike, or a list of those of each, or None.
        key: The caller's idempotency key, or None.
        digest: Digest of stream and events, to tell a repeat under the key from another append; empty without a key.
        notifies: Whether the caller sends the notification, should this append owe it.
        condition: What else has to hold, in the step that writes, or None.
        snapshot: To be kept in the same step, of the stream as this append leaves it; or None.
    """

    stream: str
    expected: int | Expectation
    events: Sequence[NewEvent]
    recorded_us: int
    number: int
    metadata: bytes | None = None
    tags: bytes | Sequence[bytes | None] | None = None
    key: str | None = None
    digest: bytes = b""
    notifies: bool = False
    condition: AppendCondition | None = None
    snapshot: Snapshot | None = None


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """The stream is not where the append expected it. Nothing was written.

    Attributes:
        actual: The stream's revision; 0 means that there is none.
        missed: Events after the expected revision (where that is a number), in order, at most one page.
        complete: Whether `missed` reaches up to `actual`.
        receipt: What it cost.
    """

    actual: int
    missed: list[StoredEvent]
    complete: bool
    receipt: Receipt = FREE


class Unmet(msgspec.Struct, frozen=True, gc=False):
    """An event that the append's condition excludes came after the condition's position. Nothing was written.

    Attributes:
        position: Position of one such event.
        receipt: What it cost.
    """

    position: int
    receipt: Receipt = FREE


class KeyReused(msgspec.Struct, frozen=True, gc=False):
    """The idempotency key was used before, for other events. Nothing was written."""

    receipt: Receipt = FREE


class Page(NamedTuple):
    """Events read from the log, in order.

    Attributes:
        events: The events.
        head: The log's last position when they were read.
        receipt: What it cost.
        reached: Where the next page goes on, when the events are those of a query: all that match up to there have been
            handed out. None stands for the last event's position, or the head where there is none.
    """

    events: list[StoredEvent]
    head: int
    receipt: Receipt = FREE
    reached: int | None = None


class StreamPage(NamedTuple):
    """Events read from one stream, in order.

    Attributes:
        events: The events.
        revision: The stream's revision when they were read; 0 means that there is none.
        receipt: What it cost.
        snapshot: The snapshot that the events follow, if one was asked for and is there.
    """

    events: list[StoredEvent]
    revision: int
    receipt: Receipt = FREE
    snapshot: Snapshot | None = None


class Log(Protocol):
    """One ordered log of events, in streams."""

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """Write events to a stream, in one step: all of them at once, or none.

        In this order:

        1. If `key` was used before: with the same digest, answer what that append answered, `repeated`; with another,
           `KeyReused`. Write nothing.
        2. If the stream is not where `expected` says: when the events after the expected revision are this very
           append's (same number and time), answer where they are, `repeated`; else `Conflict`. Write nothing.
        3. If an event that `condition` is about stands after its position: when this very append is there (same number
           and time), answer where, `repeated`; else `Unmet`. Write nothing.
        4. Write the events, with consecutive revisions and increasing positions above every position handed out before,
           and in the same step the key with its answer, and the snapshot.

        A position becomes readable only when every lower one is: a reader who has seen position P will never find an
        event at or below P that was not there before.

        A log whose notifications cost money remembers in the same step that one is *outstanding*: raised for a position
        by the append that answered `owes_notification`, and not settled yet (see `settle`). While it is, further
        appends owe none; after a while it counts as lost, and the next append owes one again. A log for which a
        notification costs nothing answers `owes_notification` always.

        Raises:
            Unavailable: Nothing was written; later it may work.
            OutcomeUnknown: The answer was lost.
            Refused: Rights, quota, size, space.
        """
        ...

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """What the append to that stream under that idempotency key answered, `repeated`.

        `KeyReused` when the key was used for another stream; what the look cost, and nothing else, when there was none.
        """
        ...

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """Events of the whole log after a position, exclusive, in order of position; with a query only those it means.

        Answers at most `limit` events, and ends with the event that reaches `max_bytes` of payload; but at least one
        event if there is any. A log in several parts may end a page where a part ends. Without a query an empty page
        means that `after` is at or beyond the head; with one, `reached` says how far was looked, by what is found under
        types and tags and without reading what does not match: it is above `after` while that is below the head.
        """
        ...

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """Events of one stream after a revision, exclusive, in order; bounded as `read`. No stream: no events.

        With the name of a snapshot that is there, for a revision above `after_revision` and not beyond the stream's:
        the snapshot, and the events after it.
        """
        ...

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """Keep a snapshot of a stream, instead of the one of that name, unless that one is of a later revision."""
        ...

    async def head(self) -> tuple[int, Receipt]:
        """The last position of the log, 0 when it is empty."""
        ...

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """Nobody has anything left to fold up to `position`: where that is the head, no notification is outstanding.

        Answers the head, in the same step: where it is beyond `position`, the notification stays outstanding, and
        whoever settles has to fold on. That is why none is missed: an append before this step is seen in the head, an
        append after it owes a notification.
        """
        ...

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """The notification that an append owed was not sent: it is outstanding no longer, if it still was.

        Args:
            position: What the append answered.
            raised_us: When it was raised: the append's `recorded_us`.
        """
        ...


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


class Backend(Protocol):
    """A description of where log and views are. Knows no colour, and opens nothing before it is used."""

    @property
    def public(self) -> bool:
        """Whether notifications arrive over the open network, so that the endpoint has to verify them."""
        ...

    def log(self, port: Port) -> Log:
        """Its log, over a port."""
        ...

    def views(self, port: Port, log: Log) -> Views:
        """Its views, over a port, folded from that log."""
        ...

    async def check(self, port: Port) -> tuple[str, ...]:
        """A look at what it stands on, before anything depends on it.

        Answers what is doubtful, in words; raises what would fail.
        """
        ...

    def close(self) -> None:
        """Release what it holds open. It opens again when it is used again."""
        ...


class Notices(Protocol):
    """Carries notifications: hints that the log reached a position. They may be lost, doubled or late."""

    async def send(self, position: int, raised_us: int) -> Receipt:
        """Tell whoever folds that the log reached a position.

        Args:
            position: The position.
            raised_us: When this notification was raised, in microseconds since 1970. With the position it names the
                notification: a carrier that drops repeats drops those of the same one only.
        """
        ...


class NoticeTransport(Protocol):
    """A description of how notifications travel. Knows no colour."""

    @property
    def signal(self) -> Signal | None:
        """What a worker in this process can sleep on, where notifications stay in the process."""
        ...

    def notices(self, port: Port) -> Notices:
        """The carrier, over a port."""
        ...

    def verifier(self, public_url: str | None) -> Verifier | None:
        """What tells that a delivery came this way; None where nothing can come from outside.

        Args:
            public_url: The URL that deliveries are addressed to, where the transport does not know it.

        Raises:
            Misuse: It cannot, as it is configured.
        """
        ...

    async def check(self, port: Port) -> tuple[str, ...]:
        """A look at what it stands on: answers what is doubtful, in words; raises what would fail."""
        ...


class Unverified(Exception):
    """Raised by a verifier: the request is not from whom it has to be. The message is logged, never sent."""


class Verifier(Protocol):
    """Tells whether a notification that arrives over the open network is genuine."""

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        """Return if it is, raise `Unverified` with the reason if it is not.

        Args:
            headers: The request's, names in lower case.
            body: The raw bytes, as they were signed.
            url: The whole URL, as the sender addressed it.
        """
        ...
