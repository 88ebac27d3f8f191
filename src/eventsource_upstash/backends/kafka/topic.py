"""The contract of a topic: what the log needs of Kafka, however it is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...ports import Membership

Headers: TypeAlias = "tuple[tuple[str, bytes | None], ...]"
"""Headers of a record, in order; a name may come more than once."""

NO_HEADERS: Final[Headers] = ()


class Record(NamedTuple):
    """A record as it stands in a topic.

    Attributes:
        partition: The partition.
        offset: Its offset there, from 0.
        timestamp_ms: When it was written, in milliseconds since 1970; 0 where that is not told.
        key: Its key.
        value: Its value; None is a tombstone.
        headers: Its headers; empty over a protocol that does not carry any.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = NO_HEADERS


class NewRecord(NamedTuple):
    """A record on its way into a topic: key, value, and when, in milliseconds since 1970."""

    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Headers = NO_HEADERS


class Bounds(NamedTuple):
    """Which offsets of a partition can be read: from `low` to below `high`."""

    low: int
    high: int


class Fetched(NamedTuple):
    """Records that were fetched.

    Attributes:
        records: The records: of each partition in the order of their offsets, the partitions in any order.
        reached: For each partition asked for, the next offset: whatever is readable below it was handed out, here or
            before. It may lie behind the last record, since transactions and compaction leave gaps.
        ended: The partitions of which nothing is left to be read at the moment.
        receipt: What it cost.
    """

    records: list[Record]
    reached: Mapping[int, int]
    ended: frozenset[int]
    receipt: Receipt = FREE


class OutOfRange(Exception):
    """Internal: an offset that was to be fetched is not there: below what is kept, or beyond the end.

    Attributes:
        partition: The partition.
        offset: The offset.
        bounds: What can be read there.
    """

    def __init__(self, partition: int, offset: int, bounds: Bounds) -> None:
        self.partition: int = partition
        self.offset: int = offset
        self.bounds: Bounds = bounds
        super().__init__(f"partition {partition} holds the offsets {bounds.low} to {bounds.high}, not {offset}")


class TopicClient(Protocol):
    """A topic, over a port.

    Every method raises:

    - `Unavailable`: it could not be reached, or asks to be asked later. Nothing was written.
    - `Refused`: no such topic, no rights, a quota; `TooLarge` for a record above the topic's limit.
    - `OutcomeUnknown`: an answer to `produce` was lost. Reads raise `Unavailable` for a lost answer.
    """

    async def partitions(self) -> tuple[int, Receipt]:
        """How many partitions the topic has now. `Refused` where there is no such topic: none is ever created."""
        ...

    async def bounds(self, partitions: Sequence[int]) -> tuple[dict[int, Bounds], Receipt]:
        """What can be read of each partition. `high` counts what is committed only."""
        ...

    async def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """Records from offsets on, inclusive, of several partitions; what is committed only.

        Answers at most about `limit` records and `max_bytes` bytes in all, at least one record if there is any, and
        does not wait for new ones. No partition is starved: each gets a share of the limit, and leaves it to the others
        where it has less.

        Raises:
            OutOfRange: An offset is not there, but for the one that is next to be written.
        """
        ...

    async def produce(self, partition: int, records: Sequence[NewRecord]) -> tuple[list[int], Receipt]:
        """Write records to a partition, in their order, all or none; answers their offsets once all replicas have them.

        Several records only where the topic is `atomic`.

        Raises:
            OutcomeUnknown: They may have been written. It is the caller's work to look before sending again.
        """
        ...


class GroupedTopic(TopicClient, Protocol):
    """A topic whose brokers share its partitions among workers."""

    def membership(self) -> Membership | None:
        """One worker as a member of the group; None where there is none."""
        ...


class Topic(Protocol):
    """A description of a topic and how it is reached. Knows no colour, and opens nothing before it is used."""

    @property
    def name(self) -> str:
        """The topic's name."""
        ...

    @property
    def atomic(self) -> bool:
        """Whether several records can be written all or none."""
        ...

    def client(self, port: Port) -> TopicClient:
        """The topic, over a port."""
        ...

    def close(self) -> None:
        """Release what it holds open, threads and all. It opens again when it is used again."""
        ...
