"""A local Upstash with Kafka over REST, over the broker of the run; and one whose faults hurt nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsource_upstash.local import KafkaSettings, LocalUpstash
from tests.kafka.broker import Broker


@pytest.fixture(scope="session")
def rest_server(broker: Broker) -> Iterator[LocalUpstash]:
    with LocalUpstash(kafka=KafkaSettings(broker.address)) as running:
        yield running
