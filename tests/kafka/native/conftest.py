"""Topics on the broker of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventsource_upstash import NativeTopic
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker


@pytest.fixture
def opened(broker: Broker) -> Iterator[Callable[..., NativeTopic]]:
    """Opens a topic of the test's own, or the one that is named, on the broker; closed when the test ends."""
    topics: list[NativeTopic] = []

    def open_topic(name: str | None = None, *, partitions: int = 1, **settings: Any) -> NativeTopic:
        settings = {"options": ONE_RECORD_A_BATCH, "timeout": 10.0, **settings}
        topics.append(NativeTopic(broker.address, name or broker.topic(partitions), **settings))
        return topics[-1]

    yield open_topic
    for topic in topics:
        topic.close()
