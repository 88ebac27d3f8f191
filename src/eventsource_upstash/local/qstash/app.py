"""The local QStash as one object: what the command, and a test, start."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web
from redis.asyncio import Redis

from ..discretion import LOGGER
from ..faults import Faults
from ..metering import Meter
from .broker import Broker
from .clock import Clock
from .metrics import Metrics
from .routes import application
from .settings import Settings

__all__ = ["QStashServer"]


class QStashServer:
    """A QStash for development and tests, on the loopback interface only.

    Args:
        client: A `redis.asyncio.Redis` (without `decode_responses`) of the Valkey that keeps the messages. It selects a
            database that is not the user's (`db=1`): all keys start `qstash:`. It is not closed here.
        settings: Credentials, mapping of URLs, limits.
        clock: The clock of every decision about time. Its setting outlives a restart with the messages.
        faults: What goes wrong: those of the whole local Upstash.
        meter: Where requests and messages are counted.
    """

    def __init__(
        self,
        client: Redis,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        faults: Faults | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.settings: Settings = settings or Settings()
        self.clock: Clock = clock or Clock()
        self.broker: Broker = Broker(
            client,
            self.settings,
            self.clock,
            Faults() if faults is None else faults,
            Meter() if meter is None else meter,
        )
        self.application: web.Application = application(self.broker)
        """The HTTP API, `/v2/...` and `/dev/...`, to be served by whoever likes, once `open` has returned."""
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens: what `QSTASH_URL` has to be."""
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Load what is in Valkey and begin to deliver, without listening. `start` does both."""
        await self.broker.open()

    async def start(self, port: int = 0) -> int:
        """Load what is in Valkey, begin to deliver, and listen on 127.0.0.1. Returns the port."""
        await self.open()
        # A handler whose client has gone away goes on: the service would have stored the message as well.
        self._runner = web.AppRunner(
            self.application, access_log=None, handler_cancellation=False, shutdown_timeout=1.0, logger=LOGGER
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        for address in self._runner.addresses:
            self._port = int(address[1])
        return self._port

    async def stop(self) -> None:
        """Stop listening and delivering. What was in flight is delivered again after the next start."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        with suppress(asyncio.CancelledError):
            await self.broker.close()

    def metrics(self) -> Metrics:
        """What was counted since the start, and what there is now."""
        return self.broker.metrics()

    async def reset(self) -> None:
        """Forget everything: messages, schedules, groups, queues, keys, the log. Clock, faults and numbers stay."""
        await self.broker.reset()

    async def idle(self) -> None:
        """Return when no message is due or in flight. What waits for a later time, or is paused, does not count."""
        await self.broker.dispatching.settled()

    async def advance(self, seconds: float, *, settle: bool = True) -> None:
        """Move the clock forward.

        Args:
            seconds: By how much.
            settle: Stop at each time when something becomes due, deliver it, and go on when nothing is in flight: so a
                retry that follows from a delivery on the way happens on the way, at its own time. False: jump there at
                once, and do not wait: what is in flight for longer than its timeout is then timed out.
        """
        await self.broker.advance(round(seconds * 1000), settle=settle)
