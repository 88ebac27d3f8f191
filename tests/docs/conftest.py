"""What the tests of the documentation share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash.local import LocalUpstash


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of its own, so that a snippet may name its files as a reader would."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def _upstash() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:
        yield running


@pytest.fixture
def upstash(_upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch) -> LocalUpstash:
    """A local Upstash, empty, and in the environment."""
    _upstash.flush()
    for name, value in _upstash.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EVENTSOURCE_NOTIFY_URL", "https://app.example.com/projections")
    return _upstash


@pytest.fixture(scope="module")
def _kafka() -> Iterator[LocalUpstash]:
    with LocalUpstash(kafka=True) as running:
        yield running


@pytest.fixture
def tutorial(_kafka: LocalUpstash, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What the tutorial's app found in its environment: Redis, and an empty topic of Kafka over REST."""
    _kafka.flush()
    topic = f"tutorial-{abs(hash(request.node.nodeid))}"
    assert _kafka.kafka.create_topic(topic)
    for name, value in _kafka.environment().items():
        if not name.startswith(("KAFKA_", "UPSTASH_KAFKA_REST_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("UPSTASH_KAFKA_TOPIC", topic)
