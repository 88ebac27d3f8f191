"""A real Valkey that is killed, paused, filled up, followed by a replica, and set back to an older file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from eventsource_upstash.local.engine import find_server
from eventsource_upstash.local.keeping import keep, release


class Valkey:
    """It answers under one URL through all its lives, and keeps everything in its append-only file.

    Args:
        data: Folder of the file.
        options: More of its configuration.
    """

    def __init__(self, data: Path, **options: str) -> None:
        self.data = data
        self.options = options
        self.lives = 0
        self._socket = Path(tempfile.mkdtemp(prefix="wire-"))
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Valkey:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper is not None and self._keeper.poll() is None:
            self.signal(signal.SIGCONT)
            release(self._keeper, timeout=15)
        shutil.rmtree(self._socket, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"unix://{self._socket}/s"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=f"{self._socket}/s", decode_responses=True)

    def ask(self, *command: str | int) -> Any:
        with self.client as client:
            return client.execute_command(*command)

    def start(self) -> None:
        self._socket.mkdir(exist_ok=True)
        self.data.mkdir(exist_ok=True)
        options = {
            "port": "0",
            "bind": "127.0.0.1",
            "unixsocket": f"{self._socket}/s",
            "dir": str(self.data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "repl-diskless-sync-delay": "0",
            "logfile": f"{self.data}/log",
            **self.options,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._keeper = keep(self._socket, "KILL", [find_server(), *words])
        while True:
            try:
                if self.ask("PING"):
                    break
            except redis.RedisError:
                assert self._keeper.poll() is None, (self.data / "log").read_text()
                time.sleep(0.005)
        self.pid = int(self.ask("INFO", "server")["process_id"])
        self.lives += 1

    def listen(self) -> str:
        """Have it listen on a port of this machine as well, for a replica."""
        while True:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = str(free.getsockname()[1])
            try:
                self.ask("CONFIG", "SET", "port", port)
            except redis.ResponseError:  # somebody was faster
                continue
            return port

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        assert self._keeper is not None
        self.signal(signal.SIGKILL)
        self._keeper.wait()
        self._keeper.communicate()

    def kill_and_restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def copy(self, to: Path) -> None:
        """The file as it is at this moment, amid whatever goes on: as a backup of a running disk would have it."""
        shutil.copytree(self.data / "appendonlydir", to)

    def restart_with(self, copy: Path) -> None:
        """As after a restore: everything since that copy is gone."""
        self.kill()
        shutil.rmtree(self.data / "appendonlydir")
        shutil.copytree(copy, self.data / "appendonlydir")
        self.start()
