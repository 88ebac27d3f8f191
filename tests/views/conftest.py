"""Each backend that has views, in both colours."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from tests.views.support import COLOURS, Colour


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    return cast("Colour", request.param)


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend: Memory | SQLite = Memory() if request.param == "memory" else SQLite(tmp_path / "views.db")
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "upstash"])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A backend; Upstash Redis too, where a test asks for what only the whole way down can show."""
    if request.param == "upstash":
        local: LocalUpstash = request.getfixturevalue("upstash")
        redis = UpstashRedis(local.redis_url, local.redis_token, namespace=f"views-{secrets.token_hex(6)}")
        yield redis
        redis.close()
        return
    backend: Memory | SQLite = Memory() if request.param == "memory" else SQLite(tmp_path / "views.db")
    yield backend
    backend.close()
