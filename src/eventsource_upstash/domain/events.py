"""Recorded events, what an append answers, and what an operation cost."""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Final, Generic, TypeAlias

import msgspec
from typing_extensions import TypeVar

E_co = TypeVar("E_co", covariant=True, default=object)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Expectation(enum.Enum):
    """What an append may expect of its stream, other than a revision."""

    ANY = "any revision"
    EXISTS = "an existing stream"


ANY: Final = Expectation.ANY
"""The append does not care where the stream is."""

EXISTS: Final = Expectation.EXISTS
"""The stream must hold at least one event."""

NO_STREAM: Final = 0
"""The stream must hold no event yet: revision 0."""

MAX_POSITION: Final = 2**63 - 1
"""Highest position, and highest revision, that every backend can hold."""

MAX_VERSION: Final = 2**31 - 1
"""Highest version of an event type, a projection or an aggregate that every backend and database can hold."""

NO_METADATA: Final[Mapping[str, object]] = MappingProxyType({})


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What an operation cost. Embedded backends cost nothing: all zero.

    Attributes:
        requests: HTTP requests sent, those sent again included.
        commands: Billed commands, each command inside a script counted.
        bytes_sent: Bytes of request bodies.
        bytes_received: Bytes of response bodies.
        retries: Requests that were sent again.
    """

    requests: int = 0
    commands: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    retries: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        """The sum of two costs."""
        if other is FREE:
            return self
        if self is FREE:
            return other
        return Receipt(
            self.requests + other.requests,
            self.commands + other.commands,
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.retries + other.retries,
        )


FREE: Final = Receipt()


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What an append answers.

    Attributes:
        position: Position of the last event appended; hand it to reads as `at_least=`.
        revision: Revision of the stream after the append.
        receipt: What it cost.
        repeated: True when this very append had been written before and was not written again.
        owes_notification: Whether telling whoever folds is left to this append; False while a notification is
            outstanding that covers it.
    """

    position: int
    revision: int
    receipt: Receipt = FREE
    repeated: bool = False
    owes_notification: bool = True


class CatchUp(msgspec.Struct, frozen=True):
    """What a catch-up did.

    Attributes:
        applied: How often an event was folded into a document: once for each projection, and for each of its keys.
        position: The position that every projection has reached: of a log in several partitions a `Vector`.
        head: The log's last position when it ended, likewise.
        complete: Whether every projection reached the head, or `until` where that was given.
        receipt: What it cost.
    """

    applied: int
    position: int
    head: int
    complete: bool
    receipt: Receipt = FREE


class Recorded(msgspec.Struct, Generic[E_co], frozen=True, gc=False):
    """An event in its envelope, as it stands in the log.

    Attributes:
        position: Place in the whole log, from 1, strictly increasing, possibly with gaps. In a log of several
            partitions it holds the partition and the place there, and increases within a partition.
        stream: Name of its stream.
        revision: Its number in the stream, from 1.
        type: Type name as recorded.
        version: Schema version as recorded; `event` is of the present version all the same.
        event: The event itself.
        metadata: What the appender added: correlation, causation, user.
        tags: What it can be found by.
        recorded_us: When it was recorded, in microseconds since 1970 (UTC), by the appender's clock.
        number: What its append drew at random, plus its place in the append: with the time, its identity.
    """

    position: int
    stream: str
    revision: int
    type: str
    version: int
    event: E_co
    metadata: Mapping[str, object] = NO_METADATA
    tags: tuple[str, ...] = ()
    recorded_us: int = 0
    number: int = 0

    def __reduce__(self) -> tuple[object, ...]:
        # The shared empty metadata cannot be changed, and so cannot be pickled either.
        fields = [getattr(self, name) for name in self.__struct_fields__]
        fields[self.__struct_fields__.index("metadata")] = dict(self.metadata)
        return (type(self), tuple(fields))

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded (UTC, to the microsecond), by the clock of whoever appended it."""
        return to_datetime(self.recorded_us)

    @property
    def id(self) -> str:
        """The event's id: a UUID of version 7 (RFC 9562), the same wherever and whenever it is read."""
        return event_id(self.recorded_us, self.number)


StoredEvent: TypeAlias = tuple[int, str, int, int, int, str, int, "bytes | None", "bytes | None", bytes]
"""A recorded event as a log hands it out, its contents still opaque bytes:

`(position, stream, revision, recorded_us, number, type, version, metadata, tags, payload)`

A plain tuple, because a page of rows from a database is that already, and a million of them are read to build a view.
"""

NewEvent: TypeAlias = tuple[str, int, bytes]
"""An event on its way into a log: `(type, version, payload)`."""


def to_datetime(microseconds: int) -> datetime:
    """Microseconds since 1970 as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


NUMBER_BITS: Final = 61
"""Random bits of an append's number: one less than a UUIDv7 has room for, so that counting on never overflows."""


_halves: Final = struct.Struct(">QQ").unpack


def event_id(recorded_us: int, number: int) -> str:
    """The id of the event recorded at that time (microseconds) under that number.

    Deriving the id from what is stored anyway saves drawing, storing and indexing a UUID per event. Two appends
    share an id only if they share a microsecond and 61 random bits, so a process restored from a snapshot, with its
    random state in it, does not repeat ids.
    """
    milliseconds, rest = divmod(recorded_us, 1000)
    value = (
        (milliseconds & 0xFFFF_FFFF_FFFF) << 80
        | 7 << 76
        | (rest * 4096 // 1000) << 64
        | 2 << 62
        | number & 0x3FFF_FFFF_FFFF_FFFF
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def identity_of(id: str) -> tuple[int, int] | None:
    """The time (microseconds) and the number that `event_id` made an id of; None for an id that it did not make."""
    # By hand: every event that is read from a topic comes by here, and a regular expression takes twice as long.
    try:
        made = bytes.fromhex(id.replace("-", ""))
    except ValueError:
        return None
    if len(made) != 16 or len(id) != 36 or id[8:24:5] != "----" or id != id.lower():
        return None
    high, low = _halves(made)
    parts = high & 0xFFF
    # Rounded up, which undoes the rounding down: there are more of these fractions than microseconds.
    rest = -(-parts * 1000 // 4096)
    if high >> 12 & 0xF != 7 or low >> 62 != 2 or rest * 4096 // 1000 != parts:
        return None
    return (high >> 16) * 1000 + rest, low & 0x3FFF_FFFF_FFFF_FFFF


def stored_id(row: StoredEvent) -> str:
    """The id of a stored event."""
    return event_id(row[3], row[4])
