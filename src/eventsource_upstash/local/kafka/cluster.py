"""A cluster of Kafka, asked from an event loop: what is asked blocks, in threads that end with it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Written

from ..engine import EngineUnavailable
from .admin import TIMEOUT, Admin
from .reading import Readers
from .records import (
    Bounds,
    KafkaFailed,
    Message,
    NoSuchPartition,
    NoSuchTopic,
    Outgoing,
    OutOfRange,
    Place,
    Placed,
)

__all__ = ["Cluster"]

_T = TypeVar("_T")

_ENDS_A_PRODUCER: Final = frozenset(
    {
        "_FATAL",
        "_FENCED",
        "_GAPLESS_GUARANTEE",
        "_MSG_TIMED_OUT",
        "_TIMED_OUT",
        "INVALID_PRODUCER_EPOCH",
        "OUT_OF_ORDER_SEQUENCE_NUMBER",
        "PRODUCER_FENCED",
        "UNKNOWN_PRODUCER_ID",
    }
)
"""After these its numbering has a hole, or it has none any more, which not every broker lets it mend: all that follows
would fail."""

_GLANCE: Final = 0.05
"""Seconds between two looks for records that did not come through this server."""

_THREADS: Final = 8

_MOST: Final = 500
"""Records in an answer: as many as a consumer of Apache Kafka hands out at once, unless told otherwise."""

_MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of keys and values in an answer, at most, but for one record that is larger."""


_LARGEST: Final = 1_048_588
"""Bytes of a record on its way: what a broker of Apache Kafka takes, unless told otherwise."""


class Cluster:
    """A cluster, or the broker of our own.

    What Kafka refuses is raised as `KafkaFailed`.

    Args:
        address: Where it is, `HOST:PORT`; several with commas between them.
        bundled: It is the broker of our own: its known faults are worked round.
    """

    def __init__(self, address: str, *, bundled: bool) -> None:
        self.address: str = address
        self.id: str = ""
        self._bundled = bundled
        # What librdkafka would write to standard error is answered to whoever asked.
        self._settings: dict[str, str | int] = {"bootstrap.servers": address, "log_level": 0}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="local-upstash-kafka")
        self._admin: Admin
        self._readers = Readers(self._settings)
        self._producer: Producer
        self._former: list[Producer] = []  # of which somebody still waits for answers
        self._ended = threading.Event()
        self._polling: threading.Thread | None = None
        self._arrived = asyncio.Event()

    async def open(self) -> None:
        """Connect.

        Raises:
            EngineUnavailable: Nobody answers there.
        """
        try:
            await self._run(self._open)
        except (KafkaFailed, OSError) as error:
            raise EngineUnavailable(f"no Kafka broker answers at {self.address}: {error}") from error

    def _open(self) -> None:
        self._knock()
        self._admin = Admin(self._settings, bundled=self._bundled)
        self.id = self._admin.cluster()
        self._producer = self._new_producer()
        self._polling = threading.Thread(target=self._poll, name="local-upstash-kafka-written", daemon=True)
        self._polling.start()

    def _new_producer(self) -> Producer:
        settings: dict[str, str | int | bool] = {
            **self._settings,
            "enable.idempotence": True,
            "linger.ms": 0,
            "partitioner": "murmur2_random",  # Kafka's own, so that other producers agree
            # The broker of our own tells ends of partitions wrong after larger ones, wherever it runs: see `Broker`.
            "batch.num.messages": 1,
            "message.max.bytes": _LARGEST,
            "message.timeout.ms": int(TIMEOUT * 1000),
        }
        return Producer(settings)

    def _knock(self) -> None:
        """See that somebody listens: the client goes on trying for long where nobody does, and does not say why."""
        for number, address in enumerate(addresses := self.address.split(","), 1):
            host, _, port = address.strip().rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), TIMEOUT).close()
                return
            except OSError:
                if number == len(addresses):
                    raise

    def _poll(self) -> None:
        while not self._ended.is_set():
            self._producer.poll(0.1)
            for producer in list(self._former):
                producer.poll(0)
                if not len(producer):
                    self._former.remove(producer)

    async def close(self) -> None:
        """Let go of everything, threads and connections."""
        await self._run(self._close)
        self._threads.shutdown()

    def _close(self) -> None:
        if self._polling is not None:
            for producer in (self._producer, *self._former):
                producer.flush(2.0)
            self._ended.set()
            self._polling.join()
            self._polling = None
        self._readers.close()

    async def _run(self, work: Callable[..., _T], *given: object) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        except KafkaException as error:
            raise KafkaFailed.of(error) from error
        except Late as error:
            raise KafkaFailed("_TIMED_OUT", f"no answer within {TIMEOUT:.0f} seconds", retriable=True) from error

    async def topics(self) -> dict[str, int]:
        """The topics by name, and how many partitions each has."""
        return await self._run(self._admin.topics)

    async def create(self, topic: str, partitions: int) -> bool:
        """Create a topic. False if there is one of that name."""
        try:
            await self._run(self._admin.create, topic, partitions)
        except KafkaFailed as error:
            if error.name == "TOPIC_ALREADY_EXISTS":
                return False
            raise
        return True

    async def check(self, places: Iterable[tuple[str, int | None]]) -> dict[str, int]:
        """See that these topics, and the partitions that are not None, are there; answers `topics`.

        Raises:
            NoSuchTopic: One is not.
            NoSuchPartition: One is not.
        """
        topics = await self.topics()
        for topic, partition in places:
            if topic not in topics:
                raise NoSuchTopic(topic)
            if partition is not None and not 0 <= partition < topics[topic]:
                raise NoSuchPartition(Place(topic, partition), topics[topic])
        return topics

    async def bounds(self, places: Iterable[Place]) -> dict[Place, Bounds]:
        """What can be read of each partition."""
        return await self._run(self._admin.bounds, list(places))

    async def at_time(self, places: Iterable[Place], timestamp: int) -> dict[Place, int]:
        """The first offset of each partition whose record was written then or later, in Unix milliseconds; else -1."""
        asked = list(places)
        if not self._bundled:
            return await self._run(self._admin.at_time, asked, timestamp)
        # The broker of our own answers the beginning, whatever the time: so the records are looked through.
        return {place: await self._first_since(place, timestamp) for place in asked}

    async def _first_since(self, place: Place, timestamp: int) -> int:
        offset = (await self.bounds([place]))[place].low
        while found := await self.fetch({place: offset}):
            for message in found:
                if message.timestamp >= timestamp:
                    return message.offset
            offset = found[-1].offset + 1
        return -1

    async def produce(self, records: Sequence[Outgoing]) -> list[Placed | KafkaFailed]:
        """Write records, in order; answers for each where it is, or why it is not."""
        producer = self._producer
        waiting = [asyncio.wrap_future(self._send(record)) for record in records]
        answers = [await each for each in waiting]
        if any(isinstance(each, KafkaFailed) and each.name in _ENDS_A_PRODUCER for each in answers):
            self._replace(producer)
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
        return answers

    def _replace(self, producer: Producer) -> None:
        """Go on with a new producer, if nobody has done so yet."""
        if self._producer is producer:
            self._producer = self._new_producer()
            self._former.append(producer)

    def _send(self, record: Outgoing) -> Future[Placed | KafkaFailed]:
        answer: Future[Placed | KafkaFailed] = Future()

        def told(error: KafkaError | None, written: Written) -> None:
            if error is not None:
                answer.set_result(KafkaFailed.of(error))
            else:
                placed = Placed(record.topic, written.partition() or 0, written.offset() or 0, written.timestamp()[1])
                answer.set_result(placed)

        try:
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                -1 if record.partition is None else record.partition,
                on_delivery=told,
                timestamp=record.timestamp or 0,
                headers=[*record.headers],
            )
        except KafkaException as error:
            answer.set_result(KafkaFailed.of(error))
        except BufferError as error:
            answer.set_result(KafkaFailed("_QUEUE_FULL", str(error), retriable=True))
        return answer

    async def fetch(
        self, offsets: Mapping[Place, int], *, wait: float = 0.0, most: int = _MOST, max_bytes: int = _MOST_BYTES
    ) -> list[Message]:
        """Records from these offsets on, of several partitions, in the order of each.

        Args:
            offsets: Where to begin, by partition.
            wait: Seconds to wait for a record, where there is none.
            most: Records to answer. Each partition gets an equal share.
            max_bytes: Bytes to answer, keys and values; at least one record, if there is any.

        Raises:
            OutOfRange: What is asked for is not kept any more.
        """
        until = time.monotonic() + wait
        while True:
            arrived = self._arrived
            bounds = await self.bounds(offsets)
            there: dict[Place, tuple[int, int]] = {}
            for place, offset in offsets.items():
                if offset < bounds[place].low:
                    raise OutOfRange(place, offset, bounds[place])
                if offset < bounds[place].high:
                    there[place] = offset, bounds[place].high
            if there and (found := await self._run(self._readers.read, there, most, max_bytes)):
                return found
            left = until - time.monotonic()
            if left <= 0 or not offsets:
                return []
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(arrived.wait(), min(left, _GLANCE))

    async def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        """The offsets that a group has committed; a partition of which it has committed none is not there."""
        return await self._run(self._admin.committed, group, list(places))

    async def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Note how far a group has come: the next offset of each partition."""
        if offsets:
            await self._run(self._admin.commit, group, dict(offsets))
