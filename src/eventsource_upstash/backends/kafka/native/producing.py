"""What both kinds of producers do alike: they are opened, are handed records, and hear what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...._io.port import Signal
from ....errors import TooLarge
from ..topic import NewRecord
from .librdkafka import Log, Settings
from .meanings import Meanings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer


class Delivery:
    """What became of a record. It is what librdkafka calls with the answer.

    Attributes:
        done: Whether the answer is there.
        offset: Where the record stands, if there was no error.
        error: What went wrong.
        abandoned: Whether nobody waits for it any more.
        signal: What wakes whoever waits for it; None where nobody does.
    """

    __slots__ = ("abandoned", "done", "error", "offset", "signal")

    def __init__(self) -> None:
        self.done: bool = False
        self.offset: int = -1
        self.error: KafkaError | None = None
        self.abandoned: bool = False
        self.signal: Signal | None = None

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Keep the answer, and wake whoever waits for it."""
        if error is not None:
            self.error = error
        else:
            self.offset = message.offset() or 0
        self.done = True
        if self.signal is not None:
            self.signal.set()


def open_producer(
    settings: Settings, meanings: Meanings, note: Callable[[KafkaError], None], transactional_id: str | None = None
) -> Producer:
    """A producer of the package's.

    Args:
        settings: How the cluster is reached.
        meanings: What errors mean.
        note: Told what goes wrong with its connections, when it is polled.
        transactional_id: Of one that has transactions.

    Raises:
        Misuse: An option is none, or has a value that cannot be.
    """
    from confluent_kafka import KafkaException, Producer

    try:
        return Producer({**settings.writing(transactional_id), "error_cb": note, "logger": Log(settings.secrets())})
    except (KafkaException, ValueError, TypeError) as error:
        raise meanings.configuration(error) from None


def hand_over(producer: Producer, topic: str, partition: int, record: NewRecord, delivery: Delivery) -> None:
    """Give a record to a producer, which sends it when it likes.

    Raises:
        BufferError: It holds as many as it may. Poll it, and hand over again.
        KafkaException: It does not take this one.
    """
    producer.produce(
        topic,
        record.value,
        record.key,
        partition,
        on_delivery=delivery,
        timestamp=record.timestamp_ms,
        headers=list(record.headers),
    )


def limit_of(settings: Settings) -> int:
    """Bytes of the largest record that the client takes."""
    return int(str(settings.options.get("message.max.bytes", 1_000_000)))


def too_large(topic: str, record: NewRecord, limit: int) -> TooLarge:
    """A record that is larger than the broker, or this client, takes."""
    size = len(record.value) + len(record.key)
    what = f"a record for topic {topic!r} (its limit is max.message.bytes there, message.max.bytes among the options)"
    return TooLarge(what=what, size=size, limit=min(limit, size - 1))
