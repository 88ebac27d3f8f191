"""What is written to and read from a cluster, and what can go wrong with it."""

from __future__ import annotations

from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException

from ...backends.kafka.topic import Bounds, Headers

__all__ = [
    "Bounds",
    "KafkaFailed",
    "Message",
    "NoSuchPartition",
    "NoSuchTopic",
    "OutOfRange",
    "Outgoing",
    "Place",
    "Placed",
]


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Outgoing(NamedTuple):
    """A record to be written; partition and time are left to Kafka where they are None."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp: int | None = None

    @property
    def size(self) -> int:
        """Bytes of its key, value and headers."""
        headers = sum(len(name.encode()) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


class Placed(NamedTuple):
    """Where a record was written, and when, in Unix milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Message(NamedTuple):
    """A record as it stands in a partition."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def place(self) -> Place:
        """Its partition."""
        return Place(self.topic, self.partition)

    @property
    def size(self) -> int:
        """Bytes of its key and value."""
        return len(self.key or b"") + len(self.value or b"")


class KafkaFailed(Exception):
    """Kafka answered an error, or nothing.

    Attributes:
        name: The error's name, as in Kafka's protocol: `MSG_SIZE_TOO_LARGE`. Those that start with `_` are the
            client's own.
        retriable: Whether to ask again can help.
    """

    def __init__(self, name: str, text: str, *, retriable: bool = False) -> None:
        super().__init__(text)
        self.name: str = name
        self.retriable: bool = retriable

    @classmethod
    def of(cls, error: KafkaError | KafkaException) -> KafkaFailed:
        """As the client told it."""
        told: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
        return cls(told.name(), told.str(), retriable=told.retriable() or told.name() in _RETRIABLE)


_RETRIABLE: Final = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_MSG_TIMED_OUT", "_QUEUE_FULL"})


class NoSuchTopic(Exception):
    """There is no such topic. None is ever created by being asked for."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic!r}. Topics are not created by being used: dev --topic {topic}")
        self.topic: str = topic


class NoSuchPartition(Exception):
    """The topic has no such partition."""

    def __init__(self, place: Place, partitions: int) -> None:
        super().__init__(
            f"topic {place.topic!r} has no partition {place.partition}: it has {partitions}, counted from 0"
        )


class OutOfRange(Exception):
    """What was asked for is not kept any more."""

    def __init__(self, place: Place, offset: int, bounds: Bounds) -> None:
        super().__init__(
            f"offset {offset} of partition {place.partition} of topic {place.topic!r} is not kept any more: "
            f"the first that is there is {bounds.low}"
        )
        self.place: Place = place
