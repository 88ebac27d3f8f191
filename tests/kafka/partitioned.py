"""A log in partitions, in memory: what the library makes of positions and vectors, without a broker.

It does what `backends/kafka/log.py` does over a topic, as far as positions go, and more at will: it grows, leaves gaps,
and answers pages that end early.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.backends.kafka.views import open_views
from eventsource_upstash.backends.memory.backend import Memory
from eventsource_upstash.backends.rules import bounded
from eventsource_upstash.domain.events import ANY, FREE, Appended, Receipt, StoredEvent
from eventsource_upstash.domain.positions import Vector, partition_of, place_of, position_at, vector
from eventsource_upstash.errors import Misuse
from eventsource_upstash.ports import (
    Append,
    Backend,
    Capabilities,
    Conflict,
    KeyReused,
    Limiter,
    Log,
    Mailbox,
    Page,
    Port,
    Query,
    Snapshot,
    StreamPage,
    Unmet,
    Views,
)
from tests.kafka.memory_topic import MemoryTopic

APART: Final = Capabilities(expected_revisions=False, conditions=False, streams=False, partitions=True)


class Partitions:
    """The rows of a log by partition; None is a gap, as a transaction leaves one."""

    def __init__(self, count: int) -> None:
        self.rows: list[list[StoredEvent | None]] = [[] for _ in range(count)]
        self.keys: dict[str, tuple[bytes, str, Appended]] = {}
        self.window: int | None = None
        self.lock = threading.RLock()

    def grow(self, count: int) -> None:
        """More partitions: streams go elsewhere from now on."""
        self.rows += [[] for _ in range(count - len(self.rows))]

    def gap(self, partition: int, places: int = 1) -> None:
        """Places at the end of a partition that nobody is handed out."""
        self.rows[partition] += [None] * places

    @property
    def count(self) -> int:
        """How many partitions there are."""
        return len(self.rows)

    def forget(self, position: int) -> None:
        """One event is there no more, as compaction would have it."""
        self.rows[partition_of(position)][place_of(position) - 1] = None

    def recreate(self) -> None:
        """The same topic, made anew."""
        self.rows = [[] for _ in self.rows]

    def partition_of(self, stream: str) -> int:
        """Which partition the events of a stream go to now."""
        return crc32(stream.encode()) % len(self.rows)

    @property
    def head(self) -> int:
        """How far the log goes: a number for one partition."""
        places = [len(rows) for rows in self.rows]
        return places[0] if len(places) == 1 else Vector(places)

    @property
    def events(self) -> list[StoredEvent]:
        """All events, by partition."""
        return [row for rows in self.rows for row in rows if row is not None]


class PartitionedLog:
    """Reads and appends."""

    def __init__(self, partitions: Partitions) -> None:
        self._state = partitions

    def membership(self) -> None:
        """Nobody tells workers which partitions are their own."""

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`."""
        state = self._state
        if append.expected is not ANY or append.condition is not None:
            raise Misuse("a log in partitions has no expected revisions and no conditions")
        with state.lock:
            if append.key is not None and (known := state.keys.get(append.key)) is not None:
                if known[:2] != (append.digest, append.stream):
                    return KeyReused()
                return Appended(known[2].position, known[2].revision, repeated=True)
            partition = state.partition_of(append.stream)
            rows = state.rows[partition]
            for index, (type_, version, payload) in enumerate(append.events):
                tags = append.tags if append.tags is None or isinstance(append.tags, bytes) else append.tags[index]
                place = len(rows) + 1
                rows.append(
                    (
                        position_at(partition, place),
                        append.stream,
                        place,
                        append.recorded_us,
                        append.number + index,
                        type_,
                        version,
                        append.metadata,
                        tags,
                        payload,
                    )
                )
            appended = Appended(position_at(partition, len(rows)), len(rows))
            if append.key is not None:
                state.keys[append.key] = (append.digest, append.stream, appended)
            return appended

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`."""
        known = self._state.keys.get(key)
        if known is None:
            return FREE
        if known[1] != stream:
            return KeyReused()
        return Appended(known[2].position, known[2].revision, repeated=True)

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`: the partitions merged by time, up to where nothing older can come later."""
        assert query is None
        state = self._state
        with state.lock:
            start = vector(after)
            ends: list[int] = []
            found: list[list[StoredEvent]] = []
            for number, rows in enumerate(state.rows):
                first = start.at(number)
                window = rows[first:] if state.window is None else rows[first : first + state.window]
                ends.append(first + len(window))
                found.append([row for row in window if row is not None])
            dry = [len(rows) > end for rows, end in zip(state.rows, ends, strict=True)]
            merged: list[StoredEvent] = []
            left = [list(rows) for rows in found]
            # Up to where a partition has nothing more in its window, and something behind it: that may be older.
            while any(left) and not any(more and not rows for more, rows in zip(dry, left, strict=True)):
                merged.append(min([rows for rows in left if rows], key=lambda rows: rows[0][3]).pop(0))
            page = bounded(merged[:limit], max_bytes)
            reached: dict[int, int] = {}
            for number, end in enumerate(ends):
                given = [row[0] for row in page if partition_of(row[0]) == number]
                if len(found[number]) == len(given):
                    reached[number] = end
                elif given:
                    reached[number] = place_of(given[-1])
            there = start.moved(reached)
            one = len(state.rows) == 1
            return Page(page, state.head, FREE, there.at(0) if one else there)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """See `Log.read_stream`."""
        raise Misuse("a log in partitions reads no stream by itself")

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """See `Log.keep`."""
        raise Misuse("a log in partitions keeps no snapshots")

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`."""
        return self._state.head, FREE

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`."""
        return await self.head()

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`."""
        return FREE


class Partitioned:
    """A backend: a log in partitions, and views wherever they are kept.

    Attributes:
        partitions: What is in the log.
    """

    public = False
    capabilities = APART

    def __init__(self, count: int, views: Backend | None = None) -> None:
        self.partitions: Partitions = Partitions(count)
        self.inner: Backend = Memory() if views is None else views

    def __repr__(self) -> str:
        return f"Partitioned({self.partitions.count}, {self.inner!r})"

    def log(self, port: Port) -> Log:
        """Its log."""
        return PartitionedLog(self.partitions)

    def views(self, port: Port, log: Log) -> Views:
        """Its views."""
        return open_views(self.inner, port, log)

    def mailbox(self, port: Port) -> Mailbox | None:
        """See `Backend.mailbox`."""
        return self.inner.mailbox(port)

    def limiter(self, port: Port) -> Limiter:
        """See `Backend.limiter`."""
        return self.inner.limiter(port)

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `Backend.check`."""
        return ()

    def close(self) -> None:
        """See `Backend.close`."""
        self.inner.close()


class TopicPartitions:
    """What can be done to a topic in memory, as to `Partitions`. Its pages end where they end: there is no window."""

    def __init__(self, topic: MemoryTopic) -> None:
        self.topic = topic
        self.window: int | None = None

    def grow(self, count: int) -> None:
        self.topic.grow(count)

    def gap(self, partition: int, places: int = 1) -> None:
        self.topic.gap(partition, places)

    @property
    def count(self) -> int:
        return self.topic.count()

    def forget(self, position: int) -> None:
        self.topic.compact(partition_of(position), place_of(position) - 1)

    def recreate(self) -> None:
        self.topic.recreate()

    def trim(self, partition: int, offset: int) -> None:
        """Retention deletes everything below an offset."""
        self.topic.truncate(partition, offset)


class Topical(Kafka):
    """The same over `KafkaLog`, and a topic in memory."""

    def __init__(self, count: int, views: Backend | None = None) -> None:
        topic = MemoryTopic(partitions=count)
        super().__init__(topic, views=Memory() if views is None else views)
        self.partitions: TopicPartitions = TopicPartitions(topic)


Apart = Partitioned | Topical
"""A backend whose log is in partitions."""


def positions(rows: Sequence[StoredEvent]) -> list[int]:
    """The positions of rows."""
    return [row[0] for row in rows]
