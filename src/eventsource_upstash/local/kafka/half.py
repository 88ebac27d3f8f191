"""Kafka over REST as a part of the local Upstash: its broker, its application, and what the page shows of it."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import web

from ..engine import EngineUnavailable
from ..faults import Faults
from ..metering import Meter
from .broker import Broker

if TYPE_CHECKING:
    from .cluster import Cluster
    from .groups import Groups
    from .showing import Showing

__all__ = ["KafkaHalf", "KafkaSettings"]

_CLIENT: Final = "confluent_kafka"
_USERNAME: Final = "local_development_user"
_PASSWORD: Final = "local_development_password"  # noqa: S105 - fixed and public, as those of the other parts


class KafkaSettings(NamedTuple):
    """How Kafka over REST is set up.

    Attributes:
        broker: Where one runs, `HOST:PORT`; None starts one of our own, in memory, and stops it at the end.
        port: Where the REST API listens; 0 picks a free port.
        topics: Topics to create, where they are not there yet: their names and numbers of partitions.
    """

    broker: str | None = None
    port: int = 0
    topics: Mapping[str, int] = MappingProxyType({})


class KafkaHalf:
    """Kafka over REST; nothing of its client is imported before it starts.

    Args:
        settings: How it is set up.

    Attributes:
        meter: Counts its requests and messages.
        port: Where it listens, once it does.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.meter: Meter = Meter()
        self.port: int = settings.port
        self._broker = Broker() if settings.broker is None else None
        self._address = settings.broker or ""
        self._topics = dict(settings.topics)
        self._cluster: Cluster | None = None
        self._groups: Groups | None = None
        self._showing: Showing | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the broker, if it is to be one of our own.

        Raises:
            EngineUnavailable: A package is missing, or it does not start.
        """
        if importlib.util.find_spec(_CLIENT) is None:
            raise EngineUnavailable(
                "Kafka over REST needs confluent-kafka, which is not installed: "
                "pip install 'eventsource-upstash[local-kafka]'"
            )
        if self._broker is not None:
            self._broker.start()
            self._address = self._broker.address

    def stop(self) -> None:
        """Stop the broker, if it is one of our own."""
        if self._broker is not None:
            self._broker.stop()

    async def open(self, faults: Faults) -> web.Application:
        """Connect, and answer the application.

        Raises:
            EngineUnavailable: Nobody answers there.
        """
        from .app import Login, create_app
        from .cluster import Cluster
        from .groups import Groups
        from .showing import Showing

        self._loop = asyncio.get_running_loop()
        cluster = Cluster(self._address, bundled=self._broker is not None)
        self._cluster = cluster
        await cluster.open()
        for topic, partitions in self._topics.items():
            await cluster.create(topic, partitions)
        self._groups = Groups(cluster)
        self._showing = Showing(cluster)
        login = Login(_USERNAME, _PASSWORD)
        return create_app(cluster, self._groups, meter=self.meter, faults=faults, login=login)

    async def close(self) -> None:
        """Let go of the broker."""
        if self._groups is not None:
            await self._groups.close()
            self._groups = None
        if self._cluster is not None:
            await self._cluster.close()
            self._cluster = None

    async def shown(self) -> dict[str, object]:
        """What the page shows: topics, their partitions, and the last records."""
        assert self._showing is not None, "open it first"
        return await self._showing.state()

    def create_topic(self, name: str, partitions: int = 1) -> bool:
        """Create a topic, from another thread than the server's; False if there is one of that name."""
        assert self._cluster is not None, "start it first"
        assert self._loop is not None, "start it first"
        return asyncio.run_coroutine_threadsafe(self._cluster.create(name, partitions), self._loop).result()

    @property
    def in_memory(self) -> bool:
        """Whether the broker is one of our own, which forgets everything when it stops."""
        return self._broker is not None

    @property
    def bootstrap_servers(self) -> str:
        """The broker itself, for clients of Kafka's own protocol; see `Broker` for what ours does otherwise."""
        return self._address

    @property
    def url(self) -> str:
        """For UPSTASH_KAFKA_REST_URL: in the shape that Upstash had."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def confluent_url(self) -> str:
        """For KAFKA_REST_URL: in the shape of Confluent's REST Proxy, v2 and v3."""
        return f"{self.url}/confluent"

    @property
    def username(self) -> str:
        """For UPSTASH_KAFKA_REST_USERNAME; good for both shapes."""
        return _USERNAME

    @property
    def password(self) -> str:
        """For UPSTASH_KAFKA_REST_PASSWORD; good for both shapes."""
        return _PASSWORD

    def environment(self) -> dict[str, str]:
        """The variables that an app finds it by."""
        found = {
            "UPSTASH_KAFKA_REST_URL": self.url,
            "UPSTASH_KAFKA_REST_USERNAME": _USERNAME,
            "UPSTASH_KAFKA_REST_PASSWORD": _PASSWORD,
            # As the tutorial has them.
            "UPSTASH_KAFKA_URL": self.url,
            "UPSTASH_KAFKA_USERNAME": _USERNAME,
            "UPSTASH_KAFKA_PASSWORD": _PASSWORD,
            "KAFKA_REST_URL": self.confluent_url,
            "KAFKA_REST_USERNAME": _USERNAME,
            "KAFKA_REST_PASSWORD": _PASSWORD,
        }
        for topic in [*self._topics][:1]:
            found |= {"UPSTASH_KAFKA_TOPIC": topic, "KAFKA_TOPIC": topic}
        return found
