"""Records are read by consumers that are kept for the next who reads. Every call blocks."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Received

from .admin import TIMEOUT
from .records import Message, Place

__all__ = ["Readers"]

_POLL: Final = 0.5
"""Seconds in which it is seen that the time is up."""


class Readers:
    """As many consumers as there ever were readers at once; safe under threads. None is a member of a group.

    Args:
        settings: Of the client.
    """

    def __init__(self, settings: Mapping[str, str | int]) -> None:
        self._settings = settings
        self._idle: queue.LifoQueue[Consumer] = queue.LifoQueue()

    def close(self) -> None:
        """Close those that nobody uses."""
        while not self._idle.empty():
            self._idle.get().close()

    def read(self, places: Mapping[Place, tuple[int, int]], most: int, max_bytes: int) -> list[Message]:
        """Records from an offset to below another one, of each partition; all that there are, or as many as may be."""
        try:
            consumer = self._idle.get_nowait()
        except queue.Empty:
            consumer = self._consumer()
        try:
            found = _read(consumer, places, max(1, most // len(places)), max_bytes)
            consumer.unassign()
        except BaseException:
            consumer.close()
            raise
        self._idle.put(consumer)
        return found

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self._settings,
                "group.id": "local-upstash",  # it wants one
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                # The next reader waits behind the last request of the one before, which nobody needs any more.
                "fetch.wait.max.ms": 1,
            }
        )


def _read(consumer: Consumer, places: Mapping[Place, tuple[int, int]], share: int, max_bytes: int) -> list[Message]:
    found: dict[Place, list[Message]] = {place: [] for place in places}
    reading, size, deadline = set(places), 0, time.monotonic() + TIMEOUT
    consumer.list_topics(timeout=TIMEOUT)  # else it finds a topic that is new to it only a second later
    consumer.assign([TopicPartition(*place, offset) for place, (offset, _) in places.items()])
    while reading and size < max_bytes and time.monotonic() < deadline:
        received = consumer.poll(_POLL)
        if received is None:
            continue
        error, place = received.error(), Place(received.topic() or "", received.partition() or 0)
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - so it is called
                raise KafkaException(error)
            reading.discard(place)
        elif place in reading:
            message = _message(place, received)
            if size and size + message.size > max_bytes:
                break
            found[place].append(message)
            size += message.size
            if len(found[place]) >= share or message.offset + 1 >= places[place][1]:
                reading.discard(place)
    return [message for messages in found.values() for message in messages]


def _message(place: Place, received: Received) -> Message:
    offset = received.offset()
    assert offset is not None, "only an error has none"
    headers = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in _headers(received))
    return Message(*place, offset, received.timestamp()[1], received.key(), received.value(), headers)


def _headers(received: Received) -> Iterable[tuple[str, str | bytes | None]]:
    headers = received.headers() or ()
    return headers.items() if isinstance(headers, Mapping) else headers
