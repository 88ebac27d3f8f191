"""A topic in memory, over the port: each of its steps is a wait, which a test can pause, or lose the answer of."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.kafka.topic import (
    NO_HEADERS,
    Bounds,
    Fetched,
    NewRecord,
    OutOfRange,
    Record,
)
from eventsource_upstash.domain.events import FREE, Receipt
from eventsource_upstash.errors import OutcomeUnknown, Refused, TooLarge, Unavailable

T = TypeVar("T")

MAX_RECORD = 4 * 1024 * 1024


class _Partition:
    """Offsets from `low` on; None at an offset is a place where nobody sees anything."""

    def __init__(self) -> None:
        self.low = 0
        self.records: list[Record | None] = []

    @property
    def high(self) -> int:
        return self.low + len(self.records)


class MemoryTopic:
    """A topic in memory.

    Args:
        name: Its name.
        partitions: How many partitions it has.
        atomic: Whether several records can be written all or none.
        markers: Whether each write of several leaves a place that nobody sees, as a transaction does.

    Attributes:
        calls: What its clients were asked, in order: "produce", "fetch", "bounds", "partitions".
        receipt: What each of those costs.
        before: Called with the name of each step before it is done; may raise.
        after: Likewise when it is done: what it raises then is a lost answer.
    """

    def __init__(self, name: str = "todo", partitions: int = 1, *, atomic: bool = True, markers: bool = False) -> None:
        self.name = name
        self.atomic = atomic
        self.markers = markers
        self.calls: list[str] = []
        self.receipt = FREE
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.lock = threading.RLock()
        self._partitions = [_Partition() for _ in range(partitions)]

    def __repr__(self) -> str:
        return f"MemoryTopic({self.name!r}, {len(self._partitions)})"

    def client(self, port: Port) -> MemoryTopicClient:
        return MemoryTopicClient(self, port)

    def close(self) -> None:
        pass

    # What a test does to it.

    def grow(self, partitions: int) -> None:
        """Have more partitions."""
        with self.lock:
            self._partitions += [_Partition() for _ in range(partitions - len(self._partitions))]

    def recreate(self, partitions: int | None = None) -> None:
        """Delete the topic and make it anew."""
        with self.lock:
            self._partitions = [_Partition() for _ in range(partitions or len(self._partitions))]

    def truncate(self, partition: int, low: int) -> None:
        """Let go of everything below an offset, as retention does."""
        with self.lock:
            found = self._partitions[partition]
            del found.records[: low - found.low]
            found.low = low

    def gap(self, partition: int, count: int = 1) -> None:
        """Leave places that nobody sees, as transactions that were aborted do."""
        with self.lock:
            self._partitions[partition].records += [None] * count

    def compact(self, partition: int, offset: int) -> None:
        """Let go of one record in the middle, as compaction does."""
        with self.lock:
            found = self._partitions[partition]
            found.records[offset - found.low] = None

    def put(
        self,
        value: bytes | None,
        key: bytes | None = None,
        *,
        partition: int = 0,
        timestamp_ms: int = 0,
    ) -> int:
        """Write a record as somebody else would. Answers its offset."""
        with self.lock:
            found = self._partitions[partition]
            offset = found.high
            found.records.append(Record(partition, offset, timestamp_ms, key, value, NO_HEADERS))
            return offset

    def records(self, partition: int | None = None) -> list[Record]:
        """What can be seen of it."""
        chosen = self._partitions if partition is None else [self._partitions[partition]]
        return [record for found in chosen for record in found.records if record is not None]

    # What its clients do.

    def count(self) -> int:
        return len(self._partitions)

    def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        return {number: Bounds(self._at(number).low, self._at(number).high) for number in partitions}

    def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        records: list[Record] = []
        reached: dict[int, int] = {}
        ended: set[int] = set()
        for number, offset in offsets.items():
            found = self._at(number)
            if not found.low <= offset <= found.high:
                raise OutOfRange(number, offset, Bounds(found.low, found.high))
            share, room = max(1, limit // len(offsets)), max(1, max_bytes // len(offsets))
            reached[number] = offset
            for place in itertools.islice(found.records, offset - found.low, None):
                if place is not None:
                    if share == 0 or room <= 0:
                        break
                    share -= 1
                    room -= len(place.value or b"")
                    records.append(place)
                reached[number] += 1
            if reached[number] == found.high:
                ended.add(number)
        return Fetched(records, reached, frozenset(ended), self.receipt)

    def produce(self, partition: int, records: Sequence[NewRecord]) -> list[int]:
        assert self.atomic or len(records) == 1
        for record in records:
            if len(record.value) > MAX_RECORD:
                raise TooLarge(what="a record", size=len(record.value), limit=MAX_RECORD)
        found = self._at(partition)
        first = found.high
        for offset, (key, value, timestamp_ms, headers) in enumerate(records, first):
            found.records.append(Record(partition, offset, timestamp_ms, key, value, headers))
        if self.markers and len(records) > 1:
            found.records.append(None)
        return list(range(first, first + len(records)))

    def _at(self, partition: int) -> _Partition:
        if not 0 <= partition < len(self._partitions):
            raise Refused(f"topic {self.name!r} has no partition {partition}")
        return self._partitions[partition]


class MemoryTopicClient:
    def __init__(self, topic: MemoryTopic, port: Port) -> None:
        self._topic = topic
        self._port = port

    async def partitions(self) -> tuple[int, Receipt]:
        return await self._read("partitions", self._topic.count), self._topic.receipt

    async def bounds(self, partitions: Sequence[int]) -> tuple[dict[int, Bounds], Receipt]:
        return await self._read("bounds", lambda: self._topic.bounds(partitions)), self._topic.receipt

    async def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        return await self._read("fetch", lambda: self._topic.fetch(offsets, limit, max_bytes))

    async def produce(self, partition: int, records: Sequence[NewRecord]) -> tuple[list[int], Receipt]:
        return await self._call("produce", lambda: self._topic.produce(partition, records)), self._topic.receipt

    async def _read(self, name: str, work: Callable[[], T]) -> T:
        try:
            return await self._call(name, work)
        except OutcomeUnknown as lost:
            raise Unavailable(str(lost)) from lost  # a read has no outcome

    async def _call(self, name: str, work: Callable[[], T]) -> T:
        topic = self._topic

        def step() -> T:
            with topic.lock:
                topic.calls.append(name)
                topic.before(name)
                done = work()
                topic.after(name)
                return done

        step.__name__ = name  # for whoever steps it
        return await self._port.call(step)
