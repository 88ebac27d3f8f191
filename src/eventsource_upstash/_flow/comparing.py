"""Two logs, side by side: whether they hold the same, and where they begin to differ."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final, TypeAlias, TypeVar, cast

import msgspec

from .._io.port import Port
from ..domain.events import FREE, Appended, Receipt, StoredEvent, stored_id
from ..errors import Unavailable, told_position
from ..ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    Append,
    AppendsMany,
    Backend,
    Conflict,
    KeyReused,
    Page,
    PartitionedLog,
    Unmet,
)

T = TypeVar("T")

APART: Final = 50_000
"""Events that a log of several partitions may hand out earlier or later than the other log does, at most."""

PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between attempts, where a log cannot be reached. The backend has tried several times before each of them."""

PATIENCE: Final = 30.0
"""Seconds after which no other attempt is made, since an attempt may take long itself (ten seconds, on Kafka)."""

_FIELDS: Final = {5: "type", 6: "version", 7: "metadata", 8: "tags", 9: "payload"}
_MODULUS: Final = 1 << 128
_FACTOR: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so that what is multiplied by it loses nothing

Waiting: TypeAlias = "dict[tuple[str, int, int], tuple[StoredEvent, int]]"
"""Events by stream and id, each with its fingerprint, in the order in which they were read."""


class Contents(msgspec.Struct, frozen=True):
    """What a log holds, in short.

    Attributes:
        events: How many events.
        digest: A digest of them, 32 hexadecimal digits: of each its stream and its number there, id, type, version,
            metadata, tags and payload. The order of events within a stream makes a difference to it; the order in
            which those of several streams follow each other does not, since a log of several partitions has none.
    """

    events: int
    digest: str


class Compared(msgspec.Struct, frozen=True):
    """What the comparison of two logs came to.

    Attributes:
        source: What the one holds, up to the position that was copied.
        destination: What the other one holds.
        difference: Where they begin to differ, in words; None where they hold the same, and in the same order, if each
            of them has one.
    """

    source: Contents
    destination: Contents
    difference: str | None = None

    @property
    def equal(self) -> bool:
        """Whether they hold the same."""
        return self.difference is None


class Side:
    """One of two logs, with patience: what cannot be reached is tried again for half a minute.

    Args:
        backend: Where it is.
        port: What waits.
        name: What messages call it.

    Attributes:
        many: Whether it takes many appends in one step.
        receipt: What it has cost so far.
    """

    def __init__(self, backend: Backend, port: Port, name: str) -> None:
        self.log = backend.log(port)
        self.capabilities = backend.capabilities
        self.name = name
        self.many = isinstance(self.log, AppendsMany)
        self.receipt: Receipt = FREE
        self._port = port

    async def head(self) -> int:
        """The last position."""
        head, receipt = await self.patiently(self.log.head)
        self.receipt += receipt
        return head

    async def page(self, after: int) -> Page:
        """The page after a position."""
        page = await self.patiently(partial(self.log.read, after, MAX_PAGE_EVENTS, MAX_PAGE_BYTES))
        self.receipt += page.receipt
        return page

    async def append(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        """Append, in order, up to the first in the way: in one step where the log takes `many`.

        `OutcomeUnknown` is the caller's.
        """
        if isinstance(self.log, AppendsMany) and len(appends) > 1:
            answers = await self.patiently(partial(self.log.append_many, appends))
        else:
            answers = [await self.patiently(partial(self.log.append, appends[0]))]
        for answer in answers:
            self.receipt += answer.receipt
        return answers

    async def arranged(self, groups: Sequence[list[StoredEvent]]) -> list[list[StoredEvent]]:
        """Groups of events in the order in which they are best appended: where there are partitions, each by itself."""
        if not (self.many and self.capabilities.partitions and self.capabilities.atomic_appends):
            return list(groups)
        log = cast("PartitionedLog", self.log)
        partitions, receipt = await self.patiently(log.partitions)
        self.receipt += receipt
        return sorted(groups, key=lambda rows: log.partition_of(rows[0][1], partitions))

    async def patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do a step, again and again while it is `Unavailable`, for a while."""
        began = time.monotonic()
        for pause in PAUSES:
            try:
                return await step()
            except Unavailable:  # noqa: PERF203  # to try again is what it does
                if time.monotonic() - began > PATIENCE:
                    raise
                await self._port.sleep(pause)
        return await step()


class Reading:
    """Reads a log page by page, from its beginning.

    Args:
        side: Which.
        until: Position beyond which nothing is handed out.

    Attributes:
        after: Position up to which everything was handed out.
        head: The log's last position, as of the last page.
        ended: Whether nothing was left when it was last read, or `until` is reached.
    """

    def __init__(self, side: Side, until: int | None = None) -> None:
        self.side = side
        self._until = until
        self.after: int = 0
        self.head: int = 0
        self.ended: bool = False

    async def page(self) -> list[StoredEvent]:
        """The next events; none where the log ends at the moment, and perhaps where it has a gap."""
        until = self._until
        if until is not None and self.after >= until:
            self.ended = True
            return []
        page = await self.side.page(self.after)
        self.head = page.head
        rows = page.events
        reached = page.reached if page.reached is not None else rows[-1][0] if rows else self.after
        self.ended = not rows and int(reached) <= int(self.after)
        self.after = reached
        return rows if until is None or reached <= until else [row for row in rows if row[0] <= until]


class Fingerprints:
    """Fingerprints of a log's events, made as they are read from its beginning.

    Where the log does not count the revisions of a stream, each stream costs some 150 bytes of memory.
    """

    def __init__(self, side: Side) -> None:
        from hashlib import blake2b  # brings OpenSSL along: only for those who compare

        self._hash = blake2b
        self._counts = side.capabilities.expected_revisions
        self._seen: dict[int, int] = {}

    def __call__(self, row: StoredEvent) -> int:
        """The fingerprint of the next event: of all of it that a copy keeps, and of its number in its stream."""
        _, stream, revision, recorded_us, number, type_, version, metadata, tags, payload = row
        if not self._counts:
            own = hash(stream)  # 64 bits, and the same ones for both sides of one comparison
            revision = self._seen[own] = self._seen.get(own, 0) + 1
        sizes = f"{-1 if metadata is None else len(metadata)} {-1 if tags is None else len(tags)}"
        digest = self._hash(
            f"{stream}\0{revision}\0{recorded_us}\0{number}\0{type_}\0{version}\0{sizes}\0".encode(), digest_size=16
        )
        digest.update(metadata or b"")
        digest.update(tags or b"")
        digest.update(payload)
        return int.from_bytes(digest.digest(), "big")


async def contents(side: Side, until: int | None, tell: Callable[[int], None]) -> tuple[Contents, int]:
    """What a log holds, up to a position where one is given; and a digest of the order of all. Reads all of it.

    Args:
        side: Which.
        until: The position, inclusive.
        tell: Called after each page with how many events it held.
    """
    reading, fingerprint = Reading(side, until), Fingerprints(side)
    events = total = order = 0
    while not reading.ended:
        rows = await reading.page()
        for row in rows:
            mark = fingerprint(row)
            total += mark
            order = (order * _FACTOR + mark) % _MODULUS
        events += len(rows)
        tell(len(rows))
    return Contents(events, f"{total % _MODULUS:032x}"), order


class Pairing:
    """Reads two logs beside each other, and pairs off the events that both hold, by stream and id.

    Two logs that count positions hold their events in one order. A log of several partitions has an order in each of
    them only, so an event waits for its other half there, for a while.

    Args:
        source: The one log.
        destination: The other log: all that it holds is to be in the source.
        exact: Whether everything of an event has to agree, and not only its stream and id.

    Attributes:
        left: Events of the source without another half, in order: what the destination lacks of what was read.
        paired: How many pairs there were.
    """

    def __init__(self, source: Reading, destination: Reading, *, exact: bool = False) -> None:
        self.source = source
        self.destination = destination
        self.left: Waiting = {}
        self.paired: int = 0
        self._right: Waiting = {}
        self._marks = [Fingerprints(each.side) for each in (source, destination)] if exact else None
        self._one_order = in_one_order(source.side, destination.side)

    async def pair(self, tell: Callable[[int], None]) -> str | None:
        """Read the destination to its end, and the source as far as that takes.

        Args:
            tell: Called after each page with how many more pairs there are.

        Returns:
            What the destination holds and the source does not, in words; None where all of it was paired off.
        """
        source, destination, left, right = self.source, self.destination, self.left, self._right
        while right or not destination.ended:
            if not destination.ended and (source.ended or len(right) <= len(left)):
                twice = self._add(right, await destination.page(), 1)
            else:
                twice = self._add(left, await source.page(), 0)
            if twice is not None:
                return twice
            before = self.paired
            trouble = self._match()
            tell(self.paired - before)
            if trouble is None and right and (source.ended or len(left) > APART):
                row, _ = next(iter(right.values()))
                trouble = f"{destination.side.name} holds {what(row)}, which {source.side.name} does not hold there"
            if trouble is not None:
                return trouble
        return None

    async def lacking(self) -> str | None:
        """What the destination lacks first, in words, after all that it holds was paired off; None for nothing."""
        while not self.left and not self.source.ended:
            self._add(self.left, await self.source.page(), 0)
        for row, _ in self.left.values():
            return f"{self.destination.side.name} lacks {what(row)}"
        return None

    def _add(self, waiting: Waiting, rows: list[StoredEvent], side: int) -> str | None:
        """Let events wait for their other halves. Answers in words where one waits already."""
        mark = None if self._marks is None else self._marks[side]
        for row in rows:
            key = row[1], row[3], row[4]
            if key in waiting:
                return f"{(self.source, self.destination)[side].side.name} holds {what(row)} twice"
            waiting[key] = row, 0 if mark is None else mark(row)
        return None

    def _match(self) -> str | None:
        """Pair off what waits on both sides. Answers in words where two do not agree."""
        left, right = self.left, self._right
        if not self._one_order:
            for key in (
                [key for key in right if key in left]
                if len(right) < len(left)
                else [key for key in left if key in right]
            ):
                (row, mine), (other, its) = left.pop(key), right.pop(key)
                if mine != its:
                    return self._apart(row, other)
                self.paired += 1
            return None
        same = 0
        for (key, (row, mine)), (its_key, (other, its)) in zip(left.items(), right.items(), strict=False):
            if key != its_key:
                return (
                    f"{self.destination.side.name} holds {what(other)} where {self.source.side.name} holds {what(row)}"
                )
            if mine != its:
                return self._apart(row, other)
            same += 1
        for waiting in (left, right):
            kept = dict(islice(waiting.items(), same, None))  # to delete what stands first one by one takes long
            waiting.clear()
            waiting.update(kept)
        self.paired += same
        return None

    def _apart(self, row: StoredEvent, other: StoredEvent) -> str:
        fields = [name for place, name in _FIELDS.items() if row[place] != other[place]] or ["order in its stream"]
        return f"{what(row)} differs in {self.destination.side.name}, by its {' and its '.join(fields)}"


def what(row: StoredEvent) -> str:
    """An event in words, without what it says."""
    return f"the event {row[5]!r} {stored_id(row)} of stream {row[1]!r} (position {told_position(row[0])})"


async def compare(source: Side, destination: Side, until: int | None, tell: Callable[[int], None]) -> Compared:
    """Read two logs, and compare all that they hold; the source up to a position where one is given."""
    one, order = await contents(source, until, tell)
    other, its = await contents(destination, None, tell)
    difference: str | None = None
    if one != other or (order != its and in_one_order(source, destination)):
        pairing = Pairing(Reading(source, until), Reading(destination), exact=True)
        difference = await pairing.pair(_silently) or await pairing.lacking() or "one of them was written to meanwhile"
    return Compared(one, other, difference)


def in_one_order(*sides: Side) -> bool:
    """Whether the events of all these logs stand in one order, and not in that of each partition only."""
    return not any(side.capabilities.partitions for side in sides)


def _silently(_: int) -> None:
    """Tell nobody."""
