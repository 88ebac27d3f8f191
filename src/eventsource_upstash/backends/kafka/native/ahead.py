"""What a reader has of each partition, ahead of what was asked for, and how a page is shared out among them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from ....domain.events import Receipt
from ..topic import Fetched, Record


class Partition:
    """Where a reader is in a partition.

    Attributes:
        records: What came, from `start` on; what was handed out too, until the next fetch says how far it went.
        size: Bytes of their values.
        start: The least offset that the next fetch can go on from.
        next: Offset after everything that came, gaps included.
        high: The end of the partition, as last asked for.
        assigned: Whether the consumer knows of it.
        running: Whether the consumer fetches it.
        lost: Whether the offset that is next is not there any more.
    """

    __slots__ = ("assigned", "high", "lost", "next", "records", "running", "size", "start")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.size: int = 0
        self.start: int = -1
        self.next: int = -1
        self.high: int = -1
        self.assigned: bool = False
        self.running: bool = False
        self.lost: bool = False

    @property
    def left(self) -> int:
        """How many offsets are still to come, up to the end that is known."""
        return self.high - self.next

    def at(self, offset: int) -> bool:
        """Whether it can go on from an offset without a seek."""
        return 0 <= self.start <= offset <= self.next

    def forward(self, offset: int) -> None:
        """Let go of what lies before an offset."""
        self.start = offset
        if not self.records or self.records[0].offset >= offset:
            return
        if self.records[-1].offset < offset:
            self.records = []
            self.size = 0
            return
        gone = bisect_left(self.records, offset, key=_offset)
        self.size -= sum(map(_size, self.records[:gone]))
        del self.records[:gone]

    def move(self, offset: int, high: int) -> None:
        """Go on from elsewhere."""
        self.records.clear()
        self.size = 0
        self.start = self.next = offset
        self.high = high
        self.lost = False

    def full(self, limit: int, max_bytes: int) -> bool:
        """Whether it has so many records, or bytes."""
        return len(self.records) >= limit or (self.size >= max_bytes and bool(self.records))

    def take(self, limit: int, max_bytes: int) -> list[Record]:
        """Records to be handed out: at least one, if there is any."""
        taken = self.records[:limit]
        if self.size > max_bytes:
            size = 0
            for count, record in enumerate(taken, 1):
                size += _size(record)
                if size >= max_bytes:
                    return taken[:count]
        return taken


def _offset(record: Record) -> int:
    return record.offset


def _size(record: Record) -> int:
    return len(record.value or b"")


def share_of(partitions: Mapping[int, Partition], limit: int, max_bytes: int) -> tuple[int, int]:
    """How many records, and bytes, each partition has a right to: those that have less leave it to the others."""
    count = len(partitions)
    done = [(len(each.records), each.size) for each in partitions.values() if each.left <= 0]
    for records, size in sorted(done):
        if count == 1 or records > limit // count:
            break
        limit -= records
        max_bytes -= size
        count -= 1
    return max(limit // count, 1), max(max_bytes // count, 1)


def hand_out(partitions: Mapping[int, Partition], fresh: set[int], limit: int, max_bytes: int) -> Fetched:
    """What there is, as much as fits; those that have least first, so that they leave their share to the others."""
    records: list[Record] = []
    reached: dict[int, int] = {}
    ended: list[int] = []
    size, count = 0, len(partitions)
    for number, partition in sorted(partitions.items(), key=lambda each: len(each[1].records)):
        taken = partition.take(max((limit - len(records)) // count, 1), max((max_bytes - size) // count, 1))
        count -= 1
        whole = len(taken) == len(partition.records)
        size += partition.size if whole else sum(map(_size, taken))
        records += taken
        if not whole:
            reached[number] = taken[-1].offset + 1
            continue
        reached[number] = partition.next
        if partition.left <= 0 and number in fresh:
            ended.append(number)
    return Fetched(records, reached, frozenset(ended), Receipt(bytes_received=size))
