"""Several records all or none: producers with a transactional id, each with one transaction at a time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..topic import NewRecord
from .forking import register
from .librdkafka import Settings
from .meanings import TOO_LARGE, Meanings
from .producing import Delivery, hand_over, limit_of, open_producer, too_large

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, KafkaException, Producer

MOST: Final = 4
"""Producers of a process: so many transactions at a time, and others wait for one of them."""

CLEAN_UP: Final = 2.0
"""Seconds for giving up what has failed already; the coordinator does it itself when its time is over."""


class Transactor:
    """One transactional producer. One thread at a time uses it.

    Its id is its own: another producer of the same id would shut it out. So nothing of an earlier one is waited for,
    and whatever that left open, the coordinator gives up when its time is over.

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
        self._limit = limit_of(settings)
        self._errors: list[KafkaError] = []
        self._ready = False
        self.broken: bool = False
        """Whether it is of no further use."""
        prefix = str(settings.options.get("transactional.id", topic))
        own = f"{prefix}.{secrets.token_hex(12)}"
        self.producer: Producer = open_producer(settings, meanings, self._errors.append, own)

    def close(self) -> None:
        """Close the producer, threads and all. See `Writer.close`."""
        self.producer.purge(blocking=False)
        del self.producer

    def write(self, partition: int, records: Sequence[NewRecord]) -> list[int]:
        """Write records, all or none; answers their offsets. Raises as `TopicClient.produce`."""
        deadline = time.monotonic() + self._timeout
        self._errors.clear()
        self.broken = True  # until it is seen to be fine
        self._begin(deadline)
        deliveries: list[Delivery] = []
        try:
            for record in records:
                deliveries.append(Delivery())
                self._hand_over(partition, record, deliveries[-1], deadline)
            self._flush(deadline)
            self._check(deliveries, records)
        except BaseException:
            self._abort()
            raise
        self._commit(deadline)
        self.broken = False
        return [delivery.offset for delivery in deliveries]

    def _begin(self, deadline: float) -> None:
        while not self._ready:
            try:
                self.producer.init_transactions(min(max(deadline - time.monotonic(), 0.001), 1.0))
                self._ready = True
            except self._failure as failure:  # noqa: PERF203  each try waits for an answer
                self._give_up(failure, deadline)
        try:
            self.producer.begin_transaction()
        except self._failure as failure:
            raise self._meanings.handing_over(failure.args[0]) from None

    def _give_up(self, failure: KafkaException, deadline: float) -> None:
        """Raise what a failure to begin means, unless it is worth another try."""
        error: KafkaError = failure.args[0]
        self.producer.poll(0)
        refusals = [self._meanings.refusal(error), *map(self._meanings.connecting, self._errors)]
        for refusal in refusals:
            if refusal is not None:
                raise refusal from None
        if not error.retriable() or time.monotonic() >= deadline:
            raise self._meanings.handing_over(error) from None

    def _hand_over(self, partition: int, record: NewRecord, delivery: Delivery, deadline: float) -> None:
        while True:
            try:
                hand_over(self.producer, self._topic, partition, record, delivery)
                return
            except BufferError:  # noqa: PERF203  it holds as many as it may: first some have to go out
                self.producer.poll(min(max(deadline - time.monotonic(), 0.001), 1.0))
                if time.monotonic() >= deadline:
                    raise self._meanings.reading(None) from None  # nothing of it is committed
            except self._failure as failure:
                error: KafkaError = failure.args[0]
                if error.name() in TOO_LARGE:
                    raise too_large(self._topic, record, self._limit) from None
                raise self._meanings.handing_over(error) from None

    def _flush(self, deadline: float) -> None:
        while self.producer.flush(min(max(deadline - time.monotonic(), 0.001), 1.0)):
            if time.monotonic() >= deadline:
                raise self._meanings.reading(None)  # nothing of it is committed: nothing was written

    def _check(self, deliveries: Sequence[Delivery], records: Sequence[NewRecord]) -> None:
        for delivery, record in zip(deliveries, records, strict=True):
            if delivery.error is not None and delivery.error.name() in TOO_LARGE:
                raise too_large(self._topic, record, self._limit)
        for delivery in deliveries:
            if delivery.error is not None:
                raise self._meanings.handing_over(delivery.error)

    def _commit(self, deadline: float) -> None:
        while True:
            try:
                self.producer.commit_transaction(min(max(deadline - time.monotonic(), 0.001), 1.0))
                return
            except self._failure as failure:  # noqa: PERF203  each try waits for an answer
                error: KafkaError = failure.args[0]
                if error.txn_requires_abort():
                    self._abort()
                    raise self._meanings.handing_over(error) from None
                if not error.retriable() or time.monotonic() >= deadline:
                    raise self._meanings.unknown(self._meanings.said(error)) from None

    def _abort(self) -> None:
        """Give the transaction up. Where that fails, so is the producer, and the coordinator does it later."""
        try:
            self.producer.abort_transaction(CLEAN_UP)
            self.broken = False
        except self._failure:
            self.broken = True


class Transactors:
    """The transactional producers of this process: taken for one transaction, used again.

    Args:
        settings: How the cluster is reached.
        topic: The topic's name.
        meanings: What errors mean.
    """

    def __init__(self, settings: Settings, topic: str, meanings: Meanings) -> None:
        self._settings = settings
        self._topic = topic
        self._meanings = meanings
        self._generation = 0
        self.doubtful: bool = True
        """Whether nothing says that the cluster can be reached."""
        self._begin()
        register(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._room = threading.Semaphore(MOST)
        self._turns: dict[int, threading.Lock] = {}
        self._idle: list[Transactor] = []
        self._used: set[Transactor] = set()

    def write(self, partition: int, records: Sequence[NewRecord]) -> list[int]:
        """Write records, all or none. Raises as `TopicClient.produce`."""
        # One after the other in a partition, so that the events of one append stand together there.
        turn, room = self._turn(partition), self._room
        if not turn.acquire(timeout=self._settings.timeout):
            raise self._meanings.reading(None)
        if not room.acquire(timeout=self._settings.timeout):
            turn.release()
            raise self._meanings.reading(None)
        try:
            transactor, generation = self._take()
            self.doubtful = True
            try:
                offsets = transactor.write(partition, records)
            finally:
                self._give_back(transactor, generation)
            self.doubtful = False
            return offsets
        finally:
            room.release()
            turn.release()

    def _turn(self, partition: int) -> threading.Lock:
        with self._lock:
            turn = self._turns.get(partition)
            if turn is None:
                turn = self._turns[partition] = threading.Lock()
            return turn

    def _take(self) -> tuple[Transactor, int]:
        with self._lock:
            transactor = self._idle.pop() if self._idle else None
            if transactor is not None:
                self._used.add(transactor)
                return transactor, self._generation
        transactor = Transactor(self._settings, self._topic, self._meanings)
        with self._lock:
            self._used.add(transactor)
            return transactor, self._generation

    def _give_back(self, transactor: Transactor, generation: int) -> None:
        with self._lock:
            if transactor not in self._used:  # it is the parent process's
                return
            self._used.discard(transactor)
            if not transactor.broken and generation == self._generation:
                self._idle.append(transactor)
                return
        transactor.close()

    def close(self) -> None:
        """Close those that nobody uses; the others as soon as they are given back. The next one opens another."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
        for transactor in idle:
            transactor.close()

    def after_fork(self) -> list[object]:
        """See `forking.Holder`."""
        clients: list[object] = [each.producer for each in (*self._idle, *self._used)]
        self._begin()
        return clients
