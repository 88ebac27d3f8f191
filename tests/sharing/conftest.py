"""The backends that the views of a topic are kept in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "upstash"])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "upstash":
        local: LocalUpstash = request.getfixturevalue("upstash")
        redis = UpstashRedis(local.redis_url, local.redis_token, namespace=f"sharing-{secrets.token_hex(6)}")
        yield redis
        redis.close()
        return
    backend: Memory | SQLite = Memory() if request.param == "memory" else SQLite(tmp_path / "views.db")
    yield backend
    backend.close()
