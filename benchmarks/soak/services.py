"""The processes of a run: Valkey, the local Upstash, the apps. Started, killed, started again, and ended for sure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

from eventsource_upstash.local.engine import find_server
from examples.todo.serve_upstash import end, read, tied

NAMESPACE = "soak"
PATIENCE = 60.0
"""Seconds that a process may take until it answers."""

FOREIGN = ("EVENTSOURCE_NOTIFY_URL", "QSTASH_TOPIC", "QSTASH_REGION", "EVENTSOURCE_NAMESPACE")
"""Variables of a real Upstash, perhaps, which this has nothing to do with."""


class DidNotStart(Exception):
    """A process of the run ended, or said nothing, before it could be used."""


class Service:
    """One process, over all its lives.

    Attributes:
        name: What it is called in the results.
        lives: How often it was started.
        up: Set while it can be used.
    """

    def __init__(self, name: str, words: Sequence[str], log: Path, variables: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.lives = 0
        self.up = asyncio.Event()
        self._words = list(words)
        self._log = log
        self._variables = dict(variables or {})
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Start it, and return when it can be used. Raises `DidNotStart`."""
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                env={**environment, **self._variables, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for us; we stop it in our own time
                preexec_fn=tied(),
            )
        try:
            await asyncio.wait_for(self._ready(self._process), PATIENCE)
        except asyncio.TimeoutError as error:
            await self.stop()
            raise DidNotStart(f"{self.name} did not start in {PATIENCE:.0f} s") from error
        self.lives += 1
        self.up.set()

    async def _ready(self, process: Process) -> None:
        """Wait until it says that it can be used."""
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            await process.wait()
            raise DidNotStart(f"{self.name} ended at once: see {self._log}")
        self.said(line.decode())

    def said(self, line: str) -> None:
        """Take what the first line tells."""

    async def kill(self) -> None:
        """`kill -9`, and nothing else."""
        self.up.clear()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """End it in order."""
        self.up.clear()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)  # it may stand still
            await end(self._process)

    def pause(self) -> None:
        """Have it stand still."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)


class Valkey(Service):
    """A real one, whose every write is in its append-only file before it is answered."""

    def __init__(self, folder: Path) -> None:
        data = folder / "valkey"
        data.mkdir(parents=True, exist_ok=True)
        self.socket = data / "s"
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",  # with "everysec", a kill could take a write that was answered
            "maxmemory-policy": "noeviction",
            "logfile": str(folder / "valkey.log"),
            "daemonize": "no",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        super().__init__("valkey", [find_server(), *words], folder / "valkey.log")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self.socket}"

    async def _ready(self, process: Process) -> None:
        while process.returncode is None:
            if (await ask(self.socket, b"PING")).startswith(b"+PONG"):  # not while it is still loading
                return
            await asyncio.sleep(0.02)
        raise DidNotStart("Valkey ended at once")

    async def keys(self) -> int:
        """How many keys it has: growth by data is told from a leak by it."""
        found = re.match(rb":(\d+)", await ask(self.socket, b"DBSIZE"))
        return int(found[1]) if found else 0


async def ask(socket: Path, command: bytes) -> bytes:
    """The first line of what Valkey answers to a word; empty where it does not."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return b""
    try:
        writer.write(command + b"\r\n")
        return await asyncio.wait_for(reader.readline(), 5)
    except (OSError, asyncio.TimeoutError):
        return b""
    finally:
        writer.close()


class Upstash(Service):
    """The local Upstash, over that Valkey."""

    def __init__(self, folder: Path, engine_url: str) -> None:
        self._file = folder / "environment"
        words = [sys.executable, "-m", "eventsource_upstash.cli", "dev", "--redis-port", "0", "--qstash-port", "0"]
        words += ["--redis-url", engine_url, "--env-file", str(self._file)]
        super().__init__("upstash", words, folder / "upstash.log")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it is found by."""
        return read(self._file)

    def environment_of(self, caller: str) -> dict[str, str]:
        """The same for a caller whose commands are counted apart."""
        found = self.environment
        return {**found, "UPSTASH_REDIS_REST_TOKEN": f"{found['UPSTASH_REDIS_REST_TOKEN']}~{caller}"}


class App(Service):
    """One process of the to-do app.

    Attributes:
        port: Where it listens; None while it does not.
    """

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], module: str) -> None:
        self.port: int | None = None
        self.since = time.monotonic()
        variables = {"PORT": "0", "TODO_BACKEND": f"upstash:{NAMESPACE}", **environment}
        super().__init__(name, [sys.executable, "-m", module], folder / f"{name}.log", variables)

    def said(self, line: str) -> None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise DidNotStart(f"{self.name} said {line!r}")
        self.port = int(found[1])
        self.since = time.monotonic()

    async def kill(self) -> None:
        self.port = None
        await super().kill()

    async def stop(self) -> None:
        self.port = None
        await super().stop()
