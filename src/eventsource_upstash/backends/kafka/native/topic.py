"""`NativeTopic("host:9092", "todo")`: a topic over Kafka's own protocol."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from ...._io.port import Port
from ....domain.events import FREE, Receipt
from ....errors import Misuse, Refused
from ..topic import Bounds, Fetched, NewRecord
from .group import Member
from .librdkafka import MECHANISMS, OURS, Options, Settings, check_installed
from .meanings import Meanings
from .reader import Reader
from .readers import Readers
from .transactions import Transactors
from .writer import Writer, Writers

NO_OPTIONS: Final[Options] = MappingProxyType({})

_SERVER: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


class NativeTopic:
    """A topic over Kafka's own protocol, by the package confluent-kafka. It may hold a password, and shows it nowhere.

    A plain description, for both colours, threads and event loops: nothing is opened before it is used. A child
    process opens its own.

    Args:
        servers: Addresses of some of the cluster's brokers: `HOST:PORT,HOST:PORT`.
        topic: The topic's name. It has to be there: none is ever created.
        username: User name, where the brokers ask for one.
        password: Its password.
        mechanism: How they are shown: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Others by options.
        tls: Whether connections are encrypted.
        ca: File, or PEM text, of the authorities that sign the brokers' certificates; None for the system's.
        timeout: Seconds for one operation, whatever goes wrong meanwhile.
        group: The consumer group in which workers share the partitions; without one they agree beside the views.
        options: Further options of librdkafka's, by the names of its CONFIGURATION.md; `transactional.id` is what
            transactional ids begin with, else the topic's name.

    Raises:
        Misuse: An address, a name, a number or an option cannot be what it is to be.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        *,
        username: str | None = None,
        password: str | None = None,
        mechanism: str = "PLAIN",
        tls: bool = False,
        ca: str | None = None,
        timeout: float = 10.0,
        group: str | None = None,
        options: Options = NO_OPTIONS,
    ) -> None:
        check_installed()
        servers = ",".join([_checked_server(each) for each in servers.split(",")])
        _check_topic(topic)
        if (username is None) != (password is None):
            raise Misuse(f"topic {topic!r}: a user name and a password go together")
        if mechanism not in MECHANISMS:
            raise Misuse(f"topic {topic!r}: mechanism is one of {', '.join(MECHANISMS)}, not {mechanism[:40]!r}")
        if ca is not None and not tls:
            raise Misuse(f"topic {topic!r}: ca says whom to trust over TLS: say tls=True too")
        if not 0.1 <= timeout <= 600:
            raise Misuse(f"topic {topic!r}: timeout is a number of seconds from 0.1 to 600")
        kept = sorted(OURS.intersection(options))
        if kept:
            raise Misuse(
                f"topic {topic!r}: {', '.join(kept)} cannot be an option: an argument says it, or what the log "
                "promises hangs on it"
            )
        self._settings = Settings(servers, username, password, mechanism, tls, ca, timeout, dict(options))
        if group is not None and not _TOPIC.fullmatch(group):
            raise Misuse(f"topic {topic!r}: group is 1 to 249 letters, digits and . _ -")
        self._topic = topic
        self._group = group
        self._clients = Clients(self._settings, topic)
        weakref.finalize(self, self._clients.close)

    def __repr__(self) -> str:
        user = "" if self._settings.username is None else f", username={self._settings.username!r}"
        return f"NativeTopic({self._settings.servers!r}, {self._topic!r}{user})"

    @property
    def name(self) -> str:
        """See `Topic.name`."""
        return self._topic

    @property
    def atomic(self) -> bool:
        """See `Topic.atomic`: by a transaction."""
        return True

    def client(self, port: Port) -> NativeClient:
        """See `Topic.client`."""
        group = self._group
        member = None if group is None else partial(Member, self._settings, self._topic, group, port)
        return NativeClient(self._clients, port, member)

    def close(self) -> None:
        """See `Topic.close`."""
        self._clients.close()


class Clients:
    """What a topic holds open in a process, for both colours."""

    def __init__(self, settings: Settings, topic: str) -> None:
        meanings = Meanings(settings, topic)
        self._where = meanings.where
        self.readers: Readers = Readers(lambda: Reader(settings, topic, meanings))
        self.writers: Writers = Writers(settings, topic, meanings)
        self.transactors: Transactors = Transactors(settings, topic, meanings)

    def count(self) -> int:
        """How many partitions there are."""
        with self.readers.taken() as reader:
            return reader.count()

    def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        """What can be read of partitions."""
        with self.readers.taken() as reader:
            return reader.bounds(partitions)

    def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """Records from offsets on."""
        with self.readers.taken(offsets) as reader:
            return reader.fetch(offsets, limit, max_bytes)

    def check(self, partition: int) -> None:
        """Raise what is wrong with the topic, before anything is handed to a producer.

        A consumer is asked: a producer has a broker create what is not there, where the broker is set up so.
        """
        count = self.count()
        if partition >= count:
            raise Refused(
                f"{self._where} has {count} partitions, and no partition {partition}; nothing was written. Was it "
                "created anew, with fewer of them?"
            )

    def write_all(self, partition: int, records: Sequence[NewRecord]) -> list[int]:
        """Write several records, all or none."""
        transactors = self.transactors
        if transactors.doubtful:
            self.check(partition)
        return transactors.write(partition, records)

    def writer(self, partition: int) -> Writer:
        """A writer, to be given back, once it is known that the topic can be reached."""
        self.check(partition)
        writer = self.writers.open()
        writer.doubtful = False
        return writer

    def close(self) -> None:
        """Close all of it; what is in use, as soon as it is not."""
        self.writers.close()
        self.transactors.close()
        self.readers.close()


class NativeClient:
    """A topic over Kafka's own protocol, and a port. See `TopicClient`.

    Args:
        clients: What is open in this process.
        port: What waits.
        member: Makes a member of the topic's consumer group, where it has one.
    """

    def __init__(self, clients: Clients, port: Port, member: Callable[[], Member] | None = None) -> None:
        self._clients = clients
        self._port = port
        self._member = member

    def membership(self) -> Member | None:
        """See `GroupedTopic.membership`."""
        return None if self._member is None else self._member()

    async def partitions(self) -> tuple[int, Receipt]:
        """See `TopicClient.partitions`."""
        return await self._port.call(self._clients.count), FREE

    async def bounds(self, partitions: Sequence[int]) -> tuple[dict[int, Bounds], Receipt]:
        """See `TopicClient.bounds`."""
        return await self._port.call(partial(self._clients.bounds, partitions)), FREE

    async def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """See `TopicClient.fetch`."""
        if not offsets:
            return Fetched([], {}, frozenset())
        return await self._port.call(partial(self._clients.fetch, offsets, limit, max_bytes))

    async def produce(self, partition: int, records: Sequence[NewRecord]) -> tuple[list[int], Receipt]:
        """See `TopicClient.produce`."""
        receipt = Receipt(bytes_sent=sum([len(record.value) for record in records]))
        if len(records) != 1:
            return await self._port.call(partial(self._clients.write_all, partition, records)), receipt
        writers = self._clients.writers
        writer = writers.take()
        if writer is not None:
            writer.look()
            if writer.doubtful:
                writers.give_back(writer)
                writer = None
        if writer is None:
            writer = await self._port.call(partial(self._clients.writer, partition))
        try:
            return [await writer.write(self._port, partition, records[0])], receipt
        finally:
            writers.give_back(writer)


def _checked_server(server: str) -> str:
    server = server.strip()
    if _SERVER.fullmatch(server) is None:
        raise Misuse(
            "an address of a Kafka broker is HOST:PORT, several are joined by commas; user name and password are "
            "arguments of their own"
        )
    return server


def _check_topic(topic: str) -> None:
    if _TOPIC.fullmatch(topic) is None or topic in (".", ".."):
        raise Misuse(f"{topic[:80]!r} is no name of a topic: letters, digits, '.', '_' and '-', at most 249 of them")
