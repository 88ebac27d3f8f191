"""The contract of a log: one ordered log of events, in streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from ..domain.events import FREE, Appended, Expectation, NewEvent, Receipt, StoredEvent
from ..domain.queries import AppendCondition, Query

MAX_PAGE_EVENTS: Final = 1_000
"""Most events in a page that is asked for without a limit."""

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends with the event that reaches this many bytes of payload. It always holds at least one event."""

MAX_SNAPSHOT_BYTES: Final = 1024 * 1024
"""No larger state is kept as a snapshot: it goes along with an append, and with a page."""


class Snapshot(NamedTuple):
    """The state of an aggregate at a revision of its stream, so that not every event of it has to be read again.

    Attributes:
        name: which aggregate and version of its state. A snapshot is found only under the name that it was kept under.
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
        tags: Tags of all events alike, or a list of those of each, or None for none: a JSON array of strings. Handed
            out as they came, and decoded (`codec.decode_tags`) for what finds events by them.
        key: The caller's idempotency key, or None.
        digest: Digest of stream and events, to tell a repeat under the key from another append; empty without a key.
        notifies: Whether the caller sends the notification, should this append owe it.
        condition: What else has to hold, in the step that writes, or None. Its query holds names of types, as recorded.
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
        reached: Where the next page goes on, when the events are those of a query, or the log has gaps or partitions
            (then with every page, a `Vector` where there are several): all that match up to there have been handed out.
            None stands for the last event's position, or the head where there is none.
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
        means that `after` is at or beyond the head, unless `reached` is above it; with one, `reached` says how far was
        looked, by what is found under types and tags and without reading what does not match (a topic of Kafka, which
        has no index, is read all the same): it is above `after` while that is below the head. In a log of several
        partitions (`PartitionedLog`) an event's position as `after` has the other partitions read from their beginning,
        and pages hold these in the order of time as far as they are there.
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
        """Keep a snapshot of a stream, instead of the one of that name.

        Unless that one is of a later revision; one that the stream has not reached (it was taken back) does not count.
        """
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


@runtime_checkable
class AppendsMany(Protocol):
    """What a log may have besides, where one step can hold many appends: for whoever copies a whole log."""

    async def append_many(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        """Several appends, each as `Log.append` does it, in their order; as many in one step as it can hold.

        Answers what each of them would have answered by itself, for the first or several of them, and none after one
        that is not `Appended`. What is not answered is not written: whoever goes on begins there.

        Each but the first has to come right after the one before: where it has a condition, that is about the position
        that the one before is to have.

        Raises:
            EventSourceError: As `Log.append`, of all of them: none is written, or of none it is known.
        """
        ...
