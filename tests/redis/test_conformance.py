"""The Redis backend, held to the contracts, over the local Upstash's REST API."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import LogContract, PromisesContract, ViewsContract


def namespace_of(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:24]


class OnUpstash:
    upstash: LocalUpstash

    @pytest.fixture(autouse=True)
    def _running(self, upstash: LocalUpstash) -> None:
        self.upstash = upstash

    def open_backend(self, folder: Path) -> Backend:
        return UpstashRedis(self.upstash.redis_url, self.upstash.redis_token, namespace=namespace_of(folder))

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        assert receipt.requests >= 1
        assert receipt.commands >= receipt.requests


class TestUpstashRedis(OnUpstash, LogContract, ViewsContract, PromisesContract):
    pass
