"""The idempotent producer of a topic: one for all threads and tasks of a process, whose records share batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from ...._io.port import Port, Signal
from ....errors import OutcomeUnknown
from ..topic import NewRecord
from .forking import register
from .librdkafka import Settings
from .meanings import TOO_LARGE, Meanings
from .producing import Delivery, hand_over, limit_of, open_producer, too_large

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

GRACE: Final = 3.0
"""Seconds after its time is over within which librdkafka says what became of a record: it looks once a second."""

SLICE: Final = 0.25
"""Seconds that whoever sees to the answers waits for one at once."""


class Writer:
    """A producer, and those who wait for its answers.

    librdkafka hands answers to whoever asks for them (`poll`). One of those who wait does so, for all: it wakes the
    others as their answers come, and when it has its own, it leaves the work to another. So nobody needs a thread of
    ours, and one who writes alone waits for nobody.

    Args:
        settings: How the cluster is reached.
        topic: The topic's name.
        meanings: What errors mean.
    """

    def __init__(self, settings: Settings, topic: str, meanings: Meanings) -> None:
        from confluent_kafka import KafkaException

        self._topic = topic
        self._timeout = settings.timeout
        self._meanings = meanings
        self._failure: type[KafkaException] = KafkaException
        self._seeing_to_it = threading.Lock()
        self._waiting: deque[Delivery] = deque()
        self._limit = limit_of(settings)
        self.users: int = 0
        self.retired: bool = False
        self.doubtful: bool = True
        """Whether nothing says that the cluster can be reached: it is asked before anything is handed over."""
        self.producer: Producer = open_producer(settings, meanings, self._note)

    def prepare(self) -> None:
        """Have it get its number from the cluster now: left alone, it looks for a connection every half second.

        librdkafka asks for the number when metadata come over a connection that was there before: with the second ones.
        The topic has to be there, since a producer may have it created.
        """
        with suppress(self._failure):  # whoever writes will see
            for _ in range(2):
                self.producer.list_topics(self._topic, timeout=SLICE)

    def _note(self, error: KafkaError) -> None:
        self.doubtful = True
        if error.fatal():
            self.retired = True

    def look(self) -> None:
        """Have librdkafka say what happened to its connections meanwhile."""
        self.producer.poll(0)

    def close(self) -> None:
        """Close the producer, threads and all. Whatever nobody waits for any more is dropped.

        By letting go of it, which takes no time: its own `close` waits for brokers, for ever if they are away.
        """
        self.producer.purge(blocking=False)
        del self.producer

    async def write(self, port: Port, partition: int, record: NewRecord) -> int:
        """Write a record; answers its offset. Raises as `TopicClient.produce`."""
        deadline = time.monotonic() + self._timeout + GRACE
        delivery = Delivery()
        while not self._hand_over(partition, record, delivery):
            await port.call(partial(self.producer.poll, SLICE))  # its queue is full
            if time.monotonic() > deadline:
                raise self._meanings.reading(None)
        await self._see_to(port, delivery, deadline)
        if not delivery.done:
            raise self._meanings.unknown("nothing is known of it")
        if delivery.error is None:
            self.doubtful = False
            return delivery.offset
        if delivery.error.name() in TOO_LARGE:
            raise too_large(self._topic, record, self._limit)
        meaning = self._meanings.writing(delivery.error)
        if isinstance(meaning, OutcomeUnknown):
            # Its numbering has a hole now, which not every broker lets it mend: the next record is another producer's.
            self.retired = True
        raise meaning

    def _hand_over(self, partition: int, record: NewRecord, delivery: Delivery) -> bool:
        """Give a record to the producer. False: it takes no more just now."""
        try:
            hand_over(self.producer, self._topic, partition, record, delivery)
        except BufferError:
            return False
        except self._failure as failure:
            error: KafkaError = failure.args[0]
            if error.name() in TOO_LARGE:
                raise too_large(self._topic, record, self._limit) from None
            self.retired = self.retired or error.fatal()
            raise self._meanings.handing_over(error) from None
        return True

    async def _see_to(self, port: Port, delivery: Delivery, deadline: float) -> None:
        """Wait for an answer; see to those of the others if nobody else does."""
        while not delivery.done and (remaining := deadline - time.monotonic()) > 0:
            if not self._seeing_to_it.acquire(blocking=False):
                await self._wait(port, delivery, remaining)
                continue
            try:
                await port.call(partial(self._poll, delivery, deadline))
            finally:
                self._seeing_to_it.release()
                self._leave()

    async def _wait(self, port: Port, delivery: Delivery, seconds: float) -> None:
        """Wait until its answer is there, or it is its turn to see to the answers."""
        signal = delivery.signal = delivery.signal or Signal()
        seen = signal.count
        # First this, then a look at who sees to the answers, and at its own; whoever has them looks the other way
        # round.
        self._waiting.append(delivery)
        if delivery.done or not self._seeing_to_it.locked():
            return
        try:
            await port.sleep(seconds, signal, seen)
        except BaseException:
            delivery.abandoned = True
            self._leave()  # it may have been its turn
            raise

    def _poll(self, delivery: Delivery, deadline: float) -> None:
        poll = self.producer.poll
        while not delivery.done and time.monotonic() < deadline:
            poll(SLICE)

    def _leave(self) -> None:
        """Have another one see to the answers."""
        waiting = self._waiting
        while waiting:
            try:
                other = waiting.popleft()
            except IndexError:
                return
            if other.signal is not None and not other.done and not other.abandoned:
                other.signal.set()
                return


class Writers:
    """The writer of a topic in this process, opened when it is first needed, and anew when it has broken.

    Args:
        settings: How the cluster is reached.
        topic: The topic's name.
        meanings: What errors mean.
    """

    def __init__(self, settings: Settings, topic: str, meanings: Meanings) -> None:
        self._settings = settings
        self._topic = topic
        self._meanings = meanings
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._all: set[Writer] = set()
        register(self)

    def take(self) -> Writer | None:
        """The writer that is open, to be given back; None where there is none yet."""
        with self._lock:
            writer = self._writer
            if writer is not None and not writer.retired:
                writer.users += 1
                return writer
            return None

    def open(self) -> Writer:
        """A writer, to be given back."""
        with self._lock:
            writer = self._writer
            if writer is None or writer.retired:
                writer = self._writer = Writer(self._settings, self._topic, self._meanings)
                self._all.add(writer)
                writer.prepare()
            writer.users += 1
            return writer

    def give_back(self, writer: Writer) -> None:
        """Say that somebody is done with a writer. The last one closes it, if it has broken or was closed."""
        with self._lock:
            writer.users -= 1
            if not writer.retired or writer.users or writer not in self._all:
                return
            self._all.discard(writer)
        writer.close()

    def close(self) -> None:
        """Close it, as soon as nobody uses it. The next record opens another."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is None:
                return
            writer.retired = True
            if writer.users:
                return
            self._all.discard(writer)
        writer.close()

    def after_fork(self) -> list[object]:
        """See `forking.Holder`."""
        clients: list[object] = [writer.producer for writer in self._all]
        self._lock = threading.Lock()
        self._writer = None
        self._all = set()
        return clients
