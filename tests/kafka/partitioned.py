"""A log in partitions, in memory: what the library makes of positions and vectors, without a broker.

It does what `backends/kafka/log.py` does over a topic, as far as positions go, and more at will: it grows, leaves gaps,
and answers pages that end early.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from eventsource_upstash.backends.kafka.views import open_views
from eventsource_upstash.backends.memory.backend import Memory
from eventsource_upstash.backends.rules import bounded
from eventsource_upstash.domain.events import ANY, FREE, Appended, Receipt, StoredEvent
from eventsource_upstash.domain.positions import Vector, position_at, vector
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
            found: list[StoredEvent] = []
            safe: float = float("inf")
            for number, rows in enumerate(state.rows):
                first = start.at(number)
                window = rows[first:] if state.window is None else rows[first : first + state.window]
                here = [row for row in window if row is not None]
                ends.append(max(first, first + len(window)))
                if len(rows) > first + len(window):
                    safe = min(safe, here[-1][3] if here else -1)
                found += here
            merged = sorted([row for row in found if row[3] <= safe], key=_when)
            page = bounded(merged[:limit], max_bytes)
            reached: dict[int, int] = {}
            for number, end in enumerate(ends):
                mine = [row[0] for row in found if row[0] in _places(number)]
                given = [row[0] for row in page if row[0] in _places(number)]
                if len(mine) == len(given):
                    reached[number] = end
                elif given:
                    reached[number] = given[-1] - position_at(number, 0)
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
        self.partitions = Partitions(count)
        self.inner: Backend = Memory() if views is None else views

    def __repr__(self) -> str:
        return f"Partitioned({len(self.partitions.rows)}, {self.inner!r})"

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


def _when(row: StoredEvent) -> tuple[int, int]:
    return row[3], row[0]


def _places(partition: int) -> range:
    return range(position_at(partition, 1), position_at(partition + 1, 0))


def positions(rows: Sequence[StoredEvent]) -> list[int]:
    """The positions of rows."""
    return [row[0] for row in rows]
