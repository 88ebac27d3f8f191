"""A consumer group: the brokers tell each worker which partitions are its own. Nothing is read by it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ...._io.port import Port
from ....errors import Unavailable
from .librdkafka import Log, Settings
from .meanings import FOR_GROUPS, Meanings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

WAIT: Final = 0.2
"""Seconds that a member waits at once to be told something, as long as it has nothing."""


class Member:
    """A worker as a member of a consumer group. See `Membership`.

    What is no partition goes to whoever has partition 0.

    Args:
        settings: How the cluster is reached.
        topic: The topic's name.
        group: The group's name.
        port: What waits.
    """

    def __init__(self, settings: Settings, topic: str, group: str, port: Port) -> None:
        self._settings = settings
        self._topic = topic
        self._group = group
        self._port = port
        self._meanings = Meanings(settings, topic)
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._errors: list[KafkaError] = []
        self._assigned: set[int] = set()

    async def tend(self, shares: Sequence[str]) -> frozenset[str]:
        """See `Membership.tend`. It joins when it is first called, which takes seconds; until then nothing is its own.

        Raises:
            Unavailable: The group cannot be joined.
            Refused: There are no rights to.
        """
        assigned = await self._port.call(self._told)
        return frozenset([share for share in shares if (int(share) if share.isdecimal() else 0) in assigned])

    async def leave(self) -> None:
        """See `Membership.leave`: the brokers give what it had to others at once."""
        await self._port.call(self._close)

    def _told(self) -> set[int]:
        with self._lock:
            consumer = self._consumer or self._join()
            message = consumer.poll(0 if self._assigned else WAIT)  # that is when the callbacks below are called
            error = None if message is None else message.error()
            errors, self._errors[:] = [*self._errors, *([] if error is None else [error])], []
            for each in errors:
                raised = self._meanings.refusal(each)
                if raised is not None:
                    raise raised
                if each.fatal() or each.name() in FOR_GROUPS:
                    raise Unavailable(
                        f"{self._meanings.where}: its group {self._group!r} cannot be joined: "
                        f"{self._meanings.said(each)}. A user needs the right to read the group"
                    )
            return set(self._assigned)

    def _join(self) -> Consumer:
        from confluent_kafka import Consumer, KafkaException

        try:
            self._consumer = Consumer(
                {
                    **self._settings.reading(),
                    "group.id": self._group,
                    "partition.assignment.strategy": "roundrobin",
                    "enable.partition.eof": False,
                    "error_cb": self._errors.append,
                    "logger": Log(self._settings.secrets()),
                }
            )
        except (KafkaException, ValueError, TypeError) as error:
            raise self._meanings.configuration(error) from None
        self._consumer.subscribe([self._topic], on_assign=self.given, on_revoke=self.taken, on_lost=self.taken)
        return self._consumer

    def given(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The brokers have given this member partitions. It reads nothing of them."""
        consumer.assign(partitions)
        consumer.pause(partitions)
        self._assigned = {each.partition for each in partitions}

    def taken(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The brokers take partitions back, to share them anew. What is being committed of them needs no care."""
        self._assigned -= {each.partition for each in partitions}
        consumer.unassign()

    def _close(self) -> None:
        with self._lock:
            consumer, self._consumer = self._consumer, None
            self._assigned.clear()
            if consumer is not None:
                consumer.close()
