"""The log over a topic."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from ...domain.events import ANY, FREE, Appended, Receipt
from ...domain.positions import MAX_PARTITIONS, Vector, partition_of, place_of, position_at, vector
from ...errors import Misuse
from ...ports import (
    Append,
    Conflict,
    KeyReused,
    Membership,
    Page,
    Query,
    Snapshot,
    StreamPage,
    Unmet,
)
from .appending import Appending
from .partitioner import partition_for
from .reading import Reading, Shelf
from .records import Records
from .topic import Bounds, GroupedTopic, TopicClient

_log: Final = logging.getLogger("eventsource_upstash.kafka")

PARTITIONS_KNOWN_FOR: Final = 60.0
"""Seconds after which it is asked again how many partitions there are. A reader asks whenever it has fetched all."""


class Known:
    """What one process knows of a topic, until it asks again. Shared by all its logs, under threads too.

    Attributes:
        partitions: How many partitions there are; 0 before it was asked.
        highs: The end of each partition when somebody looked last.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.partitions: int = 0
        self.highs: dict[int, int] = {}
        self._clock = clock
        self._asked = 0.0

    @property
    def fresh(self) -> bool:
        """Whether the number of partitions is no older than one may go by."""
        return self.partitions > 0 and self._clock() - self._asked < PARTITIONS_KNOWN_FOR

    def found(self, topic: str, partitions: int) -> None:
        """Take down how many partitions there are."""
        if self.partitions and partitions != self.partitions:
            _log.warning(
                "topic %s has %d partitions, and had %d: streams may go on in another partition than they began in; "
                "new partitions are read from their beginning, and events are merged by the time they were recorded",
                topic,
                partitions,
                self.partitions,
            )
        self.partitions, self._asked = partitions, self._clock()


class KafkaLog:
    """A topic as a `PartitionedLog`: a stream's events are in the partition of its name, and are merged by time.

    Positions of events are numbers (`domain.positions`). Where the topic has one partition, so is how far somebody has
    read; where it has several, that is a `Vector`.

    Args:
        client: The topic.
        name: Its name.
        atomic: Whether several records can be written all or none.
        records: Makes events of records.
        beginning: Before these places nothing is missed.
        known: What the process knows of the topic.
    """

    def __init__(
        self, client: TopicClient, name: str, *, atomic: bool, records: Records, beginning: Vector, known: Known
    ) -> None:
        self._client = client
        self._name = name
        self._records = records
        self._beginning = beginning
        self._known = known
        self._appending = Appending(client, name, atomic=atomic, records=records)
        self._shelf = Shelf()

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`. 1 request; under a key the last places of the partition are read first.

        Raises:
            Misuse: It expects a revision, or has a condition; or it has several events, and they could not be written
                all or none.
        """
        _check(append)
        partition, receipt = await self._partition_for(append.stream)
        answer = await self._appending.append(append, partition, self._known.highs.get(partition, 0))
        if not isinstance(answer, Appended):
            return KeyReused(receipt + answer.receipt)
        self._was_there(answer.position)
        return answer if receipt is FREE else _paid(answer, receipt)

    async def append_many(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        """See `AppendsMany.append_many`: those that follow each other in one partition, in one transaction.

        Over REST, which has none, one append at a time; so it is with one under a key.
        """
        partition, receipt = await self._partition_for(appends[0].stream)
        some: list[Append] = []
        for append in appends:
            if append.key is not None or partition_for(append.stream, self._known.partitions) != partition:
                break
            _check(append)
            some.append(append)
        if not some:
            return [await self.append(appends[0])]
        answers = await self._appending.append_many(some, partition, self._known.highs.get(partition, 0))
        self._was_there(answers[-1].position)
        return [*answers[:-1], _paid(answers[-1], receipt)]

    async def _partition_for(self, stream: str) -> tuple[int, Receipt]:
        partitions, receipt = (self._known.partitions, FREE) if self._known.fresh else await self.partitions()
        return partition_for(stream, partitions), receipt

    def _was_there(self, position: int) -> None:
        partition, place = partition_of(position), place_of(position)
        self._known.highs[partition] = max(place, self._known.highs.get(partition, 0))

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`: within the last places of the stream's partition."""
        partition, receipt = await self._partition_for(stream)
        answer = await self._appending.recall(stream, key, partition)
        if isinstance(answer, Receipt):
            return receipt + answer
        if isinstance(answer, KeyReused):
            return KeyReused(receipt + answer.receipt)
        return _paid(answer, receipt)

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`. With a query all events are read, and those that it means handed out.

        `reached` says always where the page ends: a number where there is one partition, else a `Vector`. A page may be
        empty though there is something after `after` that is no event.

        Raises:
            LogTrimmed: What comes next is not kept any more.
        """
        receipt, asked = FREE, False
        start = vector(after)
        if self._known.partitions <= _partition(after):
            _, receipt = await self.partitions()
            asked = True
            if self._known.partitions <= _partition(after):  # nobody was ever there: beyond the head
                head, cost = await self.head()
                return Page([], head, receipt + cost)

        async def look(*, ended: bool) -> tuple[dict[int, int], Receipt] | None:
            if not ended and self._known.fresh:
                return None
            partitions, cost = await self.partitions()
            return self._offsets(range(partitions), start), cost

        reading = self._reading(self._offsets(range(self._known.partitions), start), receipt)
        await reading.read(limit, max_bytes, query, None if asked else look)
        highs = await reading.highs()
        reached = start.moved(reading.offsets())
        return Page(reading.rows, self._told(highs), reading.receipt, self._told(reached))

    def partition_of(self, stream: str, partitions: int) -> int:
        """See `PartitionedLog.partition_of`."""
        return partition_for(stream, partitions)

    def membership(self) -> Membership | None:
        """See `PartitionedLog.membership`: of a topic that is a `GroupedTopic`."""
        client = cast("GroupedTopic", self._client)
        return client.membership() if hasattr(client, "membership") else None

    def part(self, partition: int) -> Part:
        """See `PartitionedLog.part`."""
        return Part(self, partition)

    async def read_part(
        self, partition: int, after: int, limit: int, max_bytes: int, query: Query | None = None
    ) -> Page:
        """See `Part.read`."""
        start = Vector().moved({partition: 0 if not after else _place_in(partition, after)})
        reading = self._reading(self._offsets([partition], start), FREE)
        await reading.read(limit, max_bytes, query)
        high = (await reading.highs()).at(partition)
        offset = reading.offsets()[partition]
        return Page(reading.rows, _end(partition, high), reading.receipt, _end(partition, offset))

    def _offsets(self, partitions: Iterable[int], start: Vector) -> dict[int, int]:
        return {partition: max(start.at(partition), self._beginning.at(partition)) for partition in partitions}

    def _reading(self, offsets: dict[int, int], receipt: Receipt) -> Reading:
        return Reading(self._client, self._name, self._records, self._shelf, self._known.highs, offsets, receipt)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """Raises `Misuse`: a stream cannot be read without its whole partition."""
        raise Misuse(
            f"stream {stream!r}: on Kafka a stream cannot be read by itself, since it lies among all the others of its "
            "partition. Fold it into a view, and read that with at_least=; Redis and SQLite read streams"
        )

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """Raises `Misuse`: there are no snapshots of what cannot be loaded."""
        raise Misuse(
            f"stream {stream!r}: on Kafka there are no snapshots, since no stream is loaded from there. Fold it into a "
            "view, and read that with at_least=; Redis and SQLite have snapshots"
        )

    async def partitions(self) -> tuple[int, Receipt]:
        """See `PartitionedLog.partitions`: as many as there are now.

        Raises:
            Misuse: More than positions have room for.
        """
        partitions, receipt = await self._client.partitions()
        if partitions > MAX_PARTITIONS:
            raise Misuse(f"topic {self._name!r} has {partitions} partitions; at most {MAX_PARTITIONS} can be read")
        self._known.found(self._name, partitions)
        return partitions, receipt

    async def bounds(self, partitions: Sequence[int] | None = None) -> tuple[dict[int, Bounds], Receipt]:
        """What can be read of each partition now, or of some."""
        receipt = FREE
        if partitions is None:
            count, receipt = await self.partitions()
            partitions = range(count)
        bounds, cost = await self._client.bounds(partitions)
        self._known.highs.update({partition: each.high for partition, each in bounds.items()})
        return bounds, receipt + cost

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`. A `Vector` where the topic has several partitions."""
        bounds, receipt = await self.bounds()
        return self._told(Vector().moved({partition: each.high for partition, each in bounds.items()})), receipt

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`: a topic does not know what is outstanding, so each append sends its notification."""
        return await self.head()

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`: nothing is outstanding."""
        return FREE

    def _told(self, reached: Vector) -> int:
        """How far somebody has come: as a number where there is one partition."""
        return reached.at(0) if self._known.partitions == 1 and len(reached.places) <= 1 else reached


class Part:
    """One partition of a topic as a log of its own: its positions are those of its events, numbers all of them.

    What is read after 0 begins with the partition. For whoever folds a partition alone; appends go to the whole log.

    Attributes:
        partition: Which.
    """

    def __init__(self, whole: KafkaLog, partition: int) -> None:
        self._whole = whole
        self.partition: int = partition

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`."""
        return await self._whole.append(append)

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`."""
        return await self._whole.recall(stream, key)

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`; `reached` says always where the page ends."""
        return await self._whole.read_part(self.partition, after, limit, max_bytes, query)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """Raises `Misuse`, as the whole does."""
        return await self._whole.read_stream(stream, after_revision, limit, max_bytes, snapshot)

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """Raises `Misuse`, as the whole does."""
        return await self._whole.keep(stream, snapshot)

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`: the end of the partition."""
        bounds, receipt = await self._whole.bounds([self.partition])
        return _end(self.partition, bounds[self.partition].high), receipt

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`."""
        return await self.head()

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`."""
        return FREE


def _end(partition: int, places: int) -> int:
    """Where somebody is who has so many places of a partition behind: at 0 before the first."""
    return position_at(partition, places) if places else 0


def _partition(after: int) -> int:
    """The last partition that a position has a place in."""
    return max(0, len(after.places) - 1) if isinstance(after, Vector) else partition_of(after)


def _place_in(partition: int, after: int) -> int:
    if isinstance(after, Vector):
        return after.at(partition)
    if partition_of(after) != partition:
        raise Misuse(f"position {after} is in partition {partition_of(after)}, and not in partition {partition}")
    return place_of(after)


def _check(append: Append) -> None:
    """Refuse what cannot be compared. Raises `Misuse`."""
    if append.expected is not ANY or append.condition is not None:
        raise Misuse(
            f"append to stream {append.stream!r}: Kafka compares nothing when it writes, so there are no expected "
            "revisions and no conditions; Redis and SQLite have them"
        )


def _paid(answer: Appended, receipt: Receipt) -> Appended:
    """An answer that has cost more."""
    return Appended(
        answer.position, answer.revision, answer.receipt + receipt, answer.repeated, answer.owes_notification
    )
