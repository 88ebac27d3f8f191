"""`RestTopic(url, name)`: a topic of Kafka that is reached over HTTP."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ...._io.addresses import check_base_url, host_of, take_credentials
from ...._io.port import Port
from ....domain.events import Receipt
from ....errors import Misuse
from ..topic import Bounds, Fetched, NewRecord
from .confluent import Confluent
from .confluent_v3 import ConfluentV3
from .redpanda import Redpanda
from .settings import DIALECTS, GROUP, Dialect, read_environment
from .speaking import Memory, Speaker
from .transport import RestTransport, one_record
from .upstash import Upstash

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_TEXT: Final = re.compile(r"[ -~]*")


class RestTopic:
    """A topic over HTTP, for functions that hold no connection. It holds a password, and shows it nowhere.

    A plain description, for both colours, threads and event loops: nothing is opened before it is used. What a dialect
    cannot do is in the guide "Kafka over REST".

    Args:
        url: The API's base URL. User name and password may stand in it: they are taken out of it.
        name: The topic's name. It has to exist.
        dialect: What the server speaks.
        username: For Basic authentication, instead of the URL's.
        password: Likewise.
        partitions: How many partitions the topic has, where the server does not tell (`redpanda`): without it they are
            searched for. With it, a topic that grows goes unnoticed.
        group: The consumer group that consumers are made in (`confluent`, `confluent-v3`). None ever joins it.
        cluster: The cluster's id (`confluent-v3`); without it, it is asked for once.
        connect_timeout: Seconds until a connection is there.
        read_timeout: Seconds that the server may be silent.
        total_timeout: Seconds for one operation, with everything that is tried again.

    Raises:
        Misuse: An argument cannot be what it is to be. The message repeats neither URL nor password.
    """

    atomic = False

    def __init__(  # noqa: PLR0913  # options of one service, each given by name
        self,
        url: str,
        name: str,
        *,
        dialect: Dialect = "upstash",
        username: str | None = None,
        password: str | None = None,
        partitions: int | None = None,
        group: str = GROUP,
        cluster: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        total_timeout: float = 20.0,
    ) -> None:
        bare, user, secret = take_credentials(url)
        self._url = check_base_url("the URL of Kafka's REST API", bare)
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise Misuse("the name of a topic is 1 to 249 letters, digits and . _ -")
        if dialect not in DIALECTS:
            raise Misuse(f"dialect={str(dialect)[:40]!r}: the dialects are {', '.join(DIALECTS)}")
        if partitions is not None and (type(partitions) is not int or partitions < 1):
            raise Misuse("partitions is a number from 1, or None to find out")
        if not _NAME.fullmatch(group) or (cluster and not _NAME.fullmatch(cluster)):
            raise Misuse("group and cluster are 1 to 249 letters, digits and . _ -")
        if not min(connect_timeout, read_timeout, total_timeout) > 0:
            raise Misuse("connect_timeout, read_timeout and total_timeout are numbers of seconds above 0")
        user = user if username is None else username
        secret = secret if password is None else password
        if bool(user) != bool(secret):
            raise Misuse("user name and password of Kafka's REST API: give both, or neither")
        if not _TEXT.fullmatch(user + secret) or ":" in user:
            raise Misuse("user name and password of Kafka's REST API are plain characters, and the name has no ':'")
        self._name = name
        self._dialect: Dialect = dialect
        encoded = base64.b64encode(f"{user}:{secret}".encode()).decode()
        self._authorization = f"Basic {encoded}" if user else ""
        self._secrets = (secret, encoded) if user else ()
        self._partitions = partitions
        self._group = group
        self._timeouts = (connect_timeout, read_timeout, total_timeout)
        self._memory = Memory(cluster or "")

    @classmethod
    def from_env(cls, name: str | None = None, *, environ: Mapping[str, str] | None = None) -> RestTopic:
        """From the environment, as the consoles and the tutorial of 2023 name it.

        The URL from KAFKA_REST_URL, UPSTASH_KAFKA_REST_URL or UPSTASH_KAFKA_URL, the first that is set;
        KAFKA_REST_DIALECT, by default `confluent` for the first of these and `upstash` for the others; user name and
        password from KAFKA_REST_USERNAME and KAFKA_REST_PASSWORD, UPSTASH_KAFKA_REST_USERNAME and
        UPSTASH_KAFKA_REST_PASSWORD, UPSTASH_KAFKA_USERNAME and UPSTASH_KAFKA_PASSWORD, or the URL; the topic from
        KAFKA_TOPIC or UPSTASH_KAFKA_TOPIC; KAFKA_REST_PARTITIONS, KAFKA_REST_GROUP and KAFKA_REST_CLUSTER, where the
        dialect wants them.

        Args:
            name: The topic, instead of the environment's.
            environ: Instead of `os.environ`.

        Raises:
            Misuse: Names every variable that is missing or malformed.
        """
        found = os.environ if environ is None else environ
        told = read_environment(found, name)
        if told.problems:
            raise Misuse("Kafka over REST: " + "; ".join(told.problems))
        return cls(
            told.url,
            told.name,
            dialect=told.dialect,
            username=told.username,
            password=told.password,
            partitions=told.partitions,
            group=told.group,
            cluster=told.cluster,
        )

    def __repr__(self) -> str:
        return f"RestTopic({host_of(self._url)!r}, {self._name!r}, dialect={self._dialect!r})"

    @property
    def name(self) -> str:
        """The topic's name."""
        return self._name

    @property
    def dialect(self) -> Dialect:
        """What the server speaks."""
        return self._dialect

    def client(self, port: Port) -> RestClient:
        """See `Topic.client`."""
        transport = RestTransport(
            port,
            self._url,
            host_of(self._url),
            self._authorization,
            secrets=self._secrets,
            timeouts=self._timeouts,
        )
        return RestClient(transport, self._name, self._speaker(transport))

    def _speaker(self, transport: RestTransport) -> Speaker:
        if self._dialect == "redpanda":
            return Redpanda(transport, self._name, self._memory, self._partitions or 0)
        if self._dialect == "upstash":
            return Upstash(transport, self._name)
        if self._dialect == "confluent":
            return Confluent(transport, self._name, self._group)
        return ConfluentV3(transport, self._name, self._group, self._memory)

    def close(self) -> None:
        """See `Topic.close`. Nothing is held open: connections are the port's."""


class RestClient:
    """A topic over HTTP and a port. See `TopicClient`."""

    def __init__(self, transport: RestTransport, topic: str, speaker: Speaker) -> None:
        self._transport = transport
        self._topic = topic
        self._speaker = speaker

    async def partitions(self) -> tuple[int, Receipt]:
        """See `TopicClient.partitions`."""
        call = self._transport.call(f"partitions of topic {self._topic!r}")
        return await self._speaker.partitions(call), call.receipt()

    async def bounds(self, partitions: Sequence[int]) -> tuple[dict[int, Bounds], Receipt]:
        """See `TopicClient.bounds`."""
        call = self._transport.call(f"bounds of topic {self._topic!r}")
        return await self._speaker.bounds(call, partitions), call.receipt()

    async def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """See `TopicClient.fetch`."""
        call = self._transport.call(f"records of topic {self._topic!r}")
        return await self._speaker.fetch(call, offsets, limit, max_bytes)

    async def produce(self, partition: int, records: Sequence[NewRecord]) -> tuple[list[int], Receipt]:
        """See `TopicClient.produce`."""
        one_record(len(records))
        asking = self._transport.call(f"append to topic {self._topic!r}")
        await self._speaker.prepare(asking)
        call = self._transport.call(f"append to topic {self._topic!r}, partition {partition}", writes=True)
        offset = await self._speaker.produce(call, partition, records[0])
        return [offset], asking.receipt() + call.receipt()
