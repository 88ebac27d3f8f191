"""One local Upstash for all these tests; each works on keys, and counts as a caller, of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest

from eventsource_upstash.local import LocalUpstash


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash(kafka=True) as running:
        yield running


@pytest.fixture
def caller() -> str:
    """A name that nobody else is counted under."""
    return f"test-{uuid4().hex}"


@pytest.fixture
def key() -> str:
    """A key, and a beginning of keys, that nobody else uses."""
    return f"k:{uuid4().hex}"


class Rest:
    """The REST API by hand: what goes over the wire is what a test says."""

    def __init__(self, upstash: LocalUpstash, caller: str) -> None:
        self.upstash = upstash
        self.caller = caller
        self.client = httpx.Client(
            base_url=upstash.redis_url, headers={"Authorization": f"Bearer {upstash.token_for(caller)}"}
        )

    def post(self, body: object, path: str = "/", headers: Mapping[str, str] | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers=headers)

    def result(self, *command: object) -> Any:
        answer = self.post(command)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def error(self, *command: object) -> str:
        answer = self.post(command)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])

    def pipeline(self, *commands: object) -> list[dict[str, Any]]:
        answer = self.post(commands, "/pipeline")
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def counted(self) -> dict[str, int]:
        """What was counted for this caller."""
        return self.upstash.metrics()["redis"].get(self.caller, {})


@pytest.fixture
def rest(upstash: LocalUpstash, caller: str) -> Iterator[Rest]:
    rest = Rest(upstash, caller)
    with rest.client:
        yield rest
