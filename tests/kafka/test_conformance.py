"""A topic as a log, held to the contracts of what it can do; and the library's promises over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Memory, NativeTopic, Receipt, SQLite
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import ViewsContract
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.conformance import (
    AtomicContract,
    BareLogContract,
    BarePromisesContract,
    Contract,
    FreeNotificationsContract,
    Lab,
)
from eventsource_upstash.testing.conformance.log_appending import LogAppending, LogRepeating
from eventsource_upstash.testing.conformance.log_atomic import LogAtomic
from eventsource_upstash.testing.conformance.log_capabilities import LogCapabilities
from eventsource_upstash.testing.conformance.log_reading import LogKeeping, LogReading
from eventsource_upstash.testing.conformance.promises import EveryOperationHasAPrice, NothingIsLost
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker
from tests.kafka.memory_topic import MemoryTopic


class OneColour(Contract):
    """For what is slow. What is the same in every set-up, the topic in memory shows in both colours."""

    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        with self._lab(Colour.BLOCKING, tmp_path) as lab:
            yield lab


class OnATopic:
    """Topics by folder, which outlive the backend object."""

    partitions = 1
    atomic = True
    markers = False
    anew = True
    beside = False

    @pytest.fixture(autouse=True)
    def topics(self) -> None:
        self.opened: dict[Path, tuple[MemoryTopic, Memory]] = {}

    def open_backend(self, folder: Path) -> Backend:
        made = (MemoryTopic("todo", self.partitions, atomic=self.atomic, markers=self.markers), Memory())
        topic, views = self.opened.setdefault(folder, made)
        return Kafka(topic, views=views)


class TestOnePartition(
    OnATopic, BareLogContract, AtomicContract, FreeNotificationsContract, ViewsContract, BarePromisesContract
):
    """One partition is a log as any other."""

    waits = False


class TestOnePartitionWithoutTransactions(OnATopic, BareLogContract, BarePromisesContract):
    """As over REST, where nothing makes several records one."""

    atomic = False
    waits = False


class TestThreePartitions(OnATopic, LogCapabilities, LogAppending, LogRepeating, AtomicContract, BarePromisesContract):
    """What does not go by one order of positions holds in several partitions as well."""

    partitions = 3
    markers = True


class TestOverABroker(
    OneColour,
    LogCapabilities,
    LogAppending,
    LogRepeating,
    LogReading,
    LogKeeping,
    LogAtomic,
    NothingIsLost,
    EveryOperationHasAPrice,
):
    """A topic of a real broker, over Kafka's own protocol: what a topic in memory may not have."""

    beside = False
    broker: Broker

    @pytest.fixture(autouse=True)
    def _running(self, broker: Broker) -> None:
        self.broker = broker
        self.topics: dict[Path, str] = {}

    def open_backend(self, folder: Path) -> Backend:
        if folder not in self.topics:
            self.topics[folder] = self.broker.topic(1)
        options = {**ONE_RECORD_A_BATCH, "message.max.bytes": 4_000_000}
        topic = NativeTopic(self.broker.address, self.topics[folder], timeout=100, options=options)
        return Kafka(topic, views=SQLite(folder / "views.db"))

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        assert (receipt.requests, receipt.commands) == (0, 0)
        assert receipt.bytes_sent or action != "append"
