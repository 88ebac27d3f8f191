"""The local Upstash as one object: a Valkey, Redis over REST, QStash, and Kafka if wanted, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from aiohttp import web
from redis.asyncio import Redis

from .dev import Dev
from .discretion import LOGGER
from .engine import Engine
from .faults import Faults, Half
from .kafka.half import KafkaHalf, KafkaSettings
from .metering import Meter, Snapshot
from .qstash.app import QStashServer
from .qstash.clock import Clock
from .qstash.settings import Settings
from .redis.app import Tokens, create_app
from .redis.commands import Limits
from .redis.execution import Execution
from .redis.wire import Address

__all__ = ["LocalUpstash", "PortTaken"]

_T = TypeVar("_T")

DEFAULT_TOKENS: Final = Tokens("local_development_token", "local_development_read_only_token")
"""Fixed, as QStash's are, so that an environment file stays right over a restart. They open nothing but this server."""


_QSTASH_DATABASE: Final = 1
"""Of an engine of our own: FLUSHDB on the app's database, which is 0, loses no message."""


class PortTaken(Exception):
    """Another program listens on the port that was asked for.

    Attributes:
        half: Whose port it is: that of `redis_port`, `qstash_port` or `kafka_port`.
    """

    def __init__(self, half: Half, port: int, reason: str | None) -> None:
        super().__init__(f"port {port} is taken: {reason}. Choose another as {half}_port, or 0 for a free one")
        self.half: Half = half
        self.port: int = port


class LocalUpstash:
    """An Upstash for development and tests, on this machine only.

        with LocalUpstash() as upstash:
            redis = Redis(url=upstash.redis_url, token=upstash.redis_token)

    Starting takes a tenth of a second or so; a test suite shares one, with a namespace for each test.

    Args:
        redis_port: Port of Redis over REST; 0 picks a free one.
        qstash_port: Port of QStash; 0 picks a free one.
        kafka: Kafka over REST: True has it, over a broker that is started here and keeps everything in memory; or how
            it is set up.
        engine_url: A running Redis or Valkey to use, `redis://...`; None starts one, and stops it at the end.
        data: Folder that keeps the data of the engine started here; None keeps nothing.
        key_locking: Whether scripts may ask to lock only their keys. Without, the flag is refused, as by a plain Redis.
        limits: Sizes that are refused.
        tokens: What callers of Redis have to show. A token may be followed by `~` and a name: its requests are counted
            under that name.
        qstash: How QStash is set up: its credentials, its mapping of public URLs to local ones.
        clock: The clock of QStash; a test moves it, by `run(upstash.qstash.advance(60))`.
    """

    def __init__(
        self,
        *,
        redis_port: int = 0,
        qstash_port: int = 0,
        kafka: bool | KafkaSettings = False,
        engine_url: str | None = None,
        data: Path | None = None,
        key_locking: bool = True,
        limits: Limits | None = None,
        tokens: Tokens = DEFAULT_TOKENS,
        qstash: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._ports = (redis_port, qstash_port)
        settings = KafkaSettings() if kafka is True else kafka
        self._kafka = KafkaHalf(settings) if settings else None
        self._engine_url = engine_url
        self._engine = None if engine_url is not None else Engine(data)
        self._key_locking = key_locking
        self._limits = limits or Limits()
        self._tokens = tokens
        self._meters = {"redis": Meter(), "qstash": Meter()}
        if self._kafka is not None:
            self._meters["kafka"] = self._kafka.meter
        self._settings = qstash or Settings()
        self._clock = clock or Clock()
        self._qstash: QStashServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._redis_port = self._qstash_port = 0
        self._runners: list[web.AppRunner] = []
        self.faults: Final = Faults()
        """What goes wrong: `faults.add("lose-answer", command="EVAL")`."""

    def __enter__(self) -> LocalUpstash:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything, and return when it answers.

        Raises:
            EngineUnavailable: There is no Valkey or no broker, or it does not start.
            PortTaken: A port is taken.
        """
        assert self._thread is None, "it runs already"
        try:
            if self._engine is not None:
                self._engine.start()
            if self._kafka is not None:
                self._kafka.start()
        except BaseException:
            self.stop()
            raise
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(started,), name="local-upstash", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, and return when it has."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._loop is not None and self._stopping is not None:
                with contextlib.suppress(RuntimeError):  # its loop is closed when it could not start
                    self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()
        if self._engine is not None:
            self._engine.stop()
        if self._kafka is not None:
            self._kafka.stop()

    def _work(self, started: Future[None]) -> None:
        asyncio.run(self._serve(started))

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            try:
                await self._open(stack)
            except BaseException as error:
                started.set_exception(error)
                return
            started.set_result(None)
            await self._stopping.wait()

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        address = Address.parse(self.engine_url)
        execution = Execution(address, self.faults, self._limits, key_locking=self._key_locking)
        stack.push_async_callback(execution.close)
        await execution.table()  # the engine is there, and lets us in
        database = address.database if self._engine is None else _QSTASH_DATABASE
        # redis-py leaves the types of its keywords open.
        client: Redis = Redis.from_url(self.engine_url, db=database)  # pyright: ignore[reportUnknownMemberType]
        stack.push_async_callback(client.aclose)
        self._qstash = QStashServer(
            client, self._settings, clock=self._clock, faults=self.faults, meter=self._meters["qstash"]
        )
        await self._qstash.open()
        stack.push_async_callback(self._qstash.stop)
        dev = Dev(self.faults, self._meters, self._qstash, self._kafka)
        app = create_app(execution, meter=self._meters["redis"], faults=self.faults, tokens=self._tokens)
        apps = [app, self._qstash.application]
        if self._kafka is not None:
            stack.push_async_callback(self._kafka.close)
            apps.append(await self._kafka.open(self.faults))
        for each in apps:
            each.middlewares.insert(1, dev.middleware)  # behind the guard
        if self._kafka is not None:
            self._kafka.port = await self._listen(stack, apps[-1], "kafka", self._kafka.port)
        self._redis_port = await self._listen(stack, app, "redis", self._ports[0])
        self._qstash_port = await self._listen(stack, self._qstash.application, "qstash", self._ports[1])

    async def _listen(self, stack: contextlib.AsyncExitStack, app: web.Application, half: Half, port: int) -> int:
        # Listening on 127.0.0.1 and nowhere else.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            listener.close()
            raise PortTaken(half, port, error.strerror) from error
        # What was asked is done, even if the asker has gone: as at the service.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=2.0, logger=LOGGER)
        await runner.setup()
        self._runners.append(runner)
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener, backlog=1024).start()
        return int(listener.getsockname()[1])

    def run(self, work: Coroutine[object, object, _T]) -> _T:
        """Run a coroutine in the server's event loop, from another thread, and give its result."""
        assert self._loop is not None, "start it first"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def engine_url(self) -> str:
        """Where the real Valkey or Redis is."""
        if self._engine_url is not None:
            return self._engine_url
        assert self._engine is not None
        return self._engine.url

    @property
    def redis_url(self) -> str:
        """For UPSTASH_REDIS_REST_URL."""
        return f"http://127.0.0.1:{self._redis_port}"

    @property
    def redis_token(self) -> str:
        """For UPSTASH_REDIS_REST_TOKEN."""
        return self._tokens.full

    @property
    def read_only_token(self) -> str:
        """For callers that may only read."""
        return self._tokens.read_only

    @property
    def qstash_url(self) -> str:
        """For QSTASH_URL."""
        return f"http://127.0.0.1:{self._qstash_port}"

    @property
    def qstash(self) -> QStashServer:
        """QStash itself, to be used in its event loop: see `run`."""
        assert self._qstash is not None, "start it first"
        return self._qstash

    @property
    def kafka(self) -> KafkaHalf:
        """Kafka over REST: its addresses, its credentials, its topics."""
        assert self._kafka is not None, "LocalUpstash(kafka=True) has it"
        return self._kafka

    def environment(self) -> dict[str, str]:
        """The variables that an app finds this Upstash by."""
        found = {
            "UPSTASH_REDIS_REST_URL": self.redis_url,
            "UPSTASH_REDIS_REST_TOKEN": self.redis_token,
            "QSTASH_URL": self.qstash_url,
            "QSTASH_TOKEN": self._settings.token,
            "QSTASH_CURRENT_SIGNING_KEY": self._settings.current_key,
            "QSTASH_NEXT_SIGNING_KEY": self._settings.next_key,
        }
        return found if self._kafka is None else found | self._kafka.environment()

    def token_for(self, caller: str) -> str:
        """A token whose requests are counted under a name (letters, digits, `._-`)."""
        return f"{self._tokens.full}~{caller}"

    def metrics(self) -> Mapping[str, Snapshot]:
        """What was counted, by half and caller: see `Meter`."""
        return {half: meter.snapshot() for half, meter in self._meters.items()}

    def reset_metrics(self) -> None:
        """Count from zero."""
        for meter in self._meters.values():
            meter.reset()

    def hang_up(self) -> None:
        """Close all connections of clients, as a service does with those that were idle for long."""
        self.run(self._hang_up())

    async def _hang_up(self) -> None:
        for runner in self._runners:
            for connection in runner.server.connections if runner.server is not None else ():
                if connection.transport is not None:
                    connection.transport.close()

    def flush(self) -> None:
        """Empty the database and behave again; the counters stay, and so do topics of Kafka."""
        self.faults.clear()
        self.run(self._flush())

    async def _flush(self) -> None:
        execution = Execution(Address.parse(self.engine_url), self.faults, self._limits, key_locking=self._key_locking)
        try:
            await execution.run((b"FLUSHDB",), read_only=False)
        finally:
            await execution.close()
