"""A topic over each dialect as a log, held to the contracts of what it can do; `upstash` over a real broker as well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from eventsource_upstash import Memory, Signal
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Port
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.rest.topic import RestClient
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.conformance import BarePromisesContract
from eventsource_upstash.testing.conformance.log_appending import LogAppending, LogRepeating
from eventsource_upstash.testing.conformance.log_capabilities import LogCapabilities
from eventsource_upstash.testing.conformance.log_concurrency import LogConcurrency
from eventsource_upstash.testing.conformance.log_querying import LogQuerying
from eventsource_upstash.testing.conformance.log_reading import LogKeeping, LogReading
from eventsource_upstash.testing.conformance.notifying import LogSettling
from eventsource_upstash.testing.conformance.promises import EveryOperationHasAPrice
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.rest.double import SERVERS, Server, doubled

T = TypeVar("T")


class Through:
    """A port whose requests are answered in this process, each by a wait of the port within."""

    def __init__(self, inner: Port, server: Server) -> None:
        self.inner = inner
        self.server = server

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await self.inner.call(lambda: self.server.answer(request))

    async def call(self, work: Callable[[], T]) -> T:
        return await self.inner.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        await self.inner.sleep(0, wake, since)


class InThisProcess:
    """A topic over a dialect, behind whatever port it is used by."""

    def __init__(self, topic: MemoryTopic, dialect: Dialect) -> None:
        self.name = topic.name
        self.atomic = False
        self._described, self._server = doubled(topic, dialect)[0], SERVERS[dialect](topic)

    def client(self, port: Port) -> RestClient:
        return self._described.client(Through(port, self._server))

    def close(self) -> None:
        self._described.close()


class OverRest(LogCapabilities, LogRepeating, LogKeeping):
    anew = True

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        assert receipt.requests >= 1
        assert (receipt.commands, receipt.retries) == (0, 0)


class OnDoubles(OverRest, LogAppending, LogReading):
    """What several callers make of it, step by step, is in `test_every_order`."""

    dialect: Dialect

    @pytest.fixture(autouse=True)
    def topics(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SERVERS[self.dialect], "MOST", 500)  # as many as the real ones hand out
        self.opened: dict[Path, tuple[MemoryTopic, Memory]] = {}

    def open_backend(self, folder: Path) -> Backend:
        topic, views = self.opened.setdefault(folder, (MemoryTopic(atomic=False), Memory()))
        return Kafka(InThisProcess(topic, self.dialect), views=views)


class TestUpstash(OnDoubles, LogQuerying, LogSettling, LogConcurrency, BarePromisesContract):
    dialect = "upstash"


class TestConfluent(OnDoubles):
    dialect = "confluent"


class TestConfluentV3(OnDoubles):
    dialect = "confluent-v3"


class TestRedpanda(OnDoubles):
    dialect = "redpanda"


class TestUpstashOverABroker(OverRest, EveryOperationHasAPrice):
    @pytest.fixture(autouse=True)
    def _served(self, rest_server: LocalUpstash) -> None:
        self.server = rest_server
        self.views: dict[str, Memory] = {}

    def open_backend(self, folder: Path) -> Backend:
        half = self.server.kafka
        name = f"conformance-{hashlib.sha256(str(folder).encode()).hexdigest()[:24]}"
        if name not in self.views:
            assert half.create_topic(name, 1)
        topic = RestTopic(half.url, name, username=half.username, password=half.password)
        return Kafka(topic, views=self.views.setdefault(name, Memory()))
