"""Kafka over REST by hand, on the one local Upstash of these tests; each works on topics of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from eventsource_upstash.local import KafkaSettings, LocalUpstash

_numbers = itertools.count(1)


class Kafka:
    """Requests as a test says them, in either shape."""

    def __init__(self, upstash: LocalUpstash, caller: str) -> None:
        self.upstash = upstash
        self.caller = caller
        self.half = upstash.kafka
        self.login = (self.half.username, f"{self.half.password}~{caller}")
        self.client = httpx.Client(base_url=self.half.url, auth=self.login, timeout=30)

    def topic(self, partitions: int = 1) -> str:
        """A topic that nobody else uses."""
        name = f"topic-{next(_numbers)}"
        assert self.half.create_topic(name, partitions)
        return name

    def get(self, path: str, **headers: str) -> Any:
        answer = self.client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code in {200, 204}, answer.text
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        """The answer to a request that is not carried out, which tells its status as well."""
        answer = self.client.request(method, path, json=body, headers=headers)
        told = answer.json()
        assert answer.status_code >= 400, told
        if "/confluent" in path:
            return answer.status_code, told["error_code"], told["message"]
        assert told["status"] == answer.status_code
        return answer.status_code, told["error"]

    def values(self, topic: str, offset: int = 0, partition: int = 0) -> list[str]:
        """What is in a partition, from an offset on."""
        asked = {"topic": topic, "partition": partition, "offset": offset, "timeout": 0}
        return [message["value"] for message in self.post("/fetch", asked)]

    def counted(self) -> dict[str, int]:
        """What was counted for this caller."""
        return self.upstash.metrics()["kafka"].get(self.caller, {})


@pytest.fixture
def kafka(upstash: LocalUpstash, caller: str) -> Iterator[Kafka]:
    kafka = Kafka(upstash, caller)
    with kafka.client:
        yield kafka


@pytest.fixture(scope="session")
def faulty(upstash: LocalUpstash) -> Iterator[LocalUpstash]:
    """One of its own, so that nobody else is struck; over the same broker."""
    with LocalUpstash(kafka=KafkaSettings(upstash.kafka.bootstrap_servers)) as running:
        yield running


@pytest.fixture
def struck(faulty: LocalUpstash, caller: str) -> Iterator[Kafka]:
    kafka = Kafka(faulty, caller)
    with kafka.client:
        yield kafka
    faulty.faults.clear()
