"""A topic on a real broker, as a log: the contracts of what it can do, and the promises.

Every order of steps is tried on a topic in memory: here a step is what a thread of librdkafka's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Kafka, Memory, NativeTopic, Receipt
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.conformance import (
    AtomicContract,
    BarePromisesContract,
    FreeNotificationsContract,
    Lab,
    in_colour,
)
from eventsource_upstash.testing.conformance.log_appending import LogAppending, LogRepeating
from eventsource_upstash.testing.conformance.log_capabilities import LogCapabilities
from eventsource_upstash.testing.conformance.log_concurrency import LogConcurrency
from eventsource_upstash.testing.conformance.log_reading import LogKeeping, LogReading
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker

# Where a partition holds many small batches, this broker takes longer to find what is to be fetched than it is told to
# wait, and answers nothing.
OPTIONS = {**ONE_RECORD_A_BATCH, "message.max.bytes": 4_000_000, "fetch.wait.max.ms": 20}


class OnABroker:
    """Topics by folder, which outlive the backend object."""

    partitions = 1
    anew = True
    beside = False

    @pytest.fixture(autouse=True)
    def topics(self, broker: Broker) -> Iterator[None]:
        self.broker = broker
        self.names: dict[Path, tuple[str, Memory]] = {}
        self.backends: list[Kafka] = []
        yield
        for backend in self.backends:
            backend.close()

    def open_backend(self, folder: Path) -> Backend:
        if folder not in self.names:
            self.names[folder] = (self.broker.topic(self.partitions), Memory())
        name, views = self.names[folder]
        topic = NativeTopic(self.broker.address, name, timeout=100, options=OPTIONS)
        self.backends.append(Kafka(topic, views=views))
        return self.backends[-1]

    @staticmethod
    def check_receipt(action: str, receipt: Receipt) -> None:
        assert (receipt.requests, receipt.commands, receipt.retries) == (0, 0, 0), action


class TestOnePartition(
    OnABroker,
    LogCapabilities,
    LogAppending,
    LogRepeating,
    LogReading,
    LogKeeping,
    LogConcurrency,
    AtomicContract,
    FreeNotificationsContract,
    BarePromisesContract,
):
    """One partition is a log as any other."""

    @in_colour
    async def test_head_is_the_last_position(self, lab: Lab) -> None:
        """Or the mark of a transaction behind it."""
        assert (await lab.log.head())[0] == 0
        appended = await lab.append("a", b"1")
        assert (await lab.log.head())[0] == appended.position
        appended = await lab.append("b", b"1", b"2")
        assert (await lab.log.head())[0] == appended.position + 1


class TestThreePartitions(OnABroker, LogAppending):
    """What does not go by one order of positions holds in several partitions as well."""

    partitions = 3
