"""A topic as a log, held to the contracts of what it can do; and the library's promises over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource_upstash import Memory
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import ViewsContract
from eventsource_upstash.testing.conformance import (
    AtomicContract,
    BareLogContract,
    BarePromisesContract,
    FreeNotificationsContract,
)
from eventsource_upstash.testing.conformance.log_appending import LogAppending, LogRepeating
from eventsource_upstash.testing.conformance.log_capabilities import LogCapabilities
from tests.kafka.memory_topic import MemoryTopic


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
