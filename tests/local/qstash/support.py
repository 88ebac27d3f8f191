"""A local QStash with a clock that stands still, and an app that it delivers to, on an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from aiohttp import web
from qstash import Receiver
from redis.asyncio import Redis

from eventsource_upstash.local.faults import Faults
from eventsource_upstash.local.qstash.app import QStashServer
from eventsource_upstash.local.qstash.clock import Clock
from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY, TOKEN, Settings

T = TypeVar("T")

START = 1_800_000_000_000
"""What the clock reads at first: 15 January 2027, 08:00 UTC, in milliseconds."""

APP = "https://app.example.com"
"""The public URL of the app that is delivered to."""


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@dataclass(frozen=True)
class Delivery:
    """A request that the app got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: int
    """What the clock of QStash read, in milliseconds since `START`."""

    def verified(self, url: str, body: str | None = None) -> bool:
        """Whether the official receiver takes it for genuine."""
        Receiver(CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY).verify(
            signature=self.headers["Upstash-Signature"], body=self.body.decode() if body is None else body, url=url
        )
        return True


Answering = Callable[[Delivery], web.Response]


@dataclass
class App:
    """The app: it remembers every request, and answers 200, or what it is told."""

    clock: Clock
    deliveries: list[Delivery] = field(default_factory=list)
    answering: Answering = lambda _: web.Response(text="done")
    waiting: asyncio.Event | None = None
    """Set while the app shall not answer; an answer waits until it is set."""
    arrived: asyncio.Event | None = None
    """Set when a request comes."""
    most: int = 0
    """How many requests were under way at a time, at most."""
    url: str = ""
    _now: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            delivery = Delivery(
                request.method, request.raw_path, request.headers, await request.read(), self.clock.now() - START
            )
            self.deliveries.append(delivery)
            if self.arrived is not None:
                self.arrived.set()
            if self.waiting is not None:
                await self.waiting.wait()
            return self.answering(delivery)
        finally:
            self._now -= 1

    @property
    def bodies(self) -> list[str]:
        return [delivery.body.decode() for delivery in self.deliveries]

    @property
    def times(self) -> list[float]:
        """When the requests came, in seconds since the beginning."""
        return [delivery.at / 1000 for delivery in self.deliveries]


@dataclass
class World:
    """Everything that a test needs."""

    loop: Loop
    server: QStashServer
    app: App
    faults: Faults
    http: httpx.Client

    @property
    def url(self) -> str:
        return self.server.url

    def advance(self, seconds: float, *, settle: bool = True) -> None:
        self.loop.run(self.server.advance(seconds, settle=settle))

    def idle(self) -> None:
        self.loop.run(self.server.idle())

    def publish(self, path: str = "/", body: str = "x", **headers: str) -> str:
        """Publish to the app by a plain request; headers as `upstash_delay="5s"`. Returns the id of the message."""
        answer = self.post(f"/v2/publish/{APP}{path}", body, **headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["messageId"])

    def post(self, path: str, body: str | bytes = "", **headers: str) -> httpx.Response:
        return self.http.post(path, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def fail(self, *statuses: int, headers: Mapping[str, str] | None = None) -> None:
        """Let the app answer these in turn, and 200 from then on."""
        left = list(statuses)
        self.app.answering = lambda _: (
            web.Response(status=left.pop(0), text="no", headers=headers) if left else web.Response(text="done")
        )

    def hold(self) -> Callable[[], None]:
        """Let the app answer nothing until what is returned is called."""

        async def make() -> asyncio.Event:
            return asyncio.Event()

        event = self.app.waiting = self.loop.run(make())

        def release() -> None:
            async def settle() -> None:
                event.set()

            self.app.waiting = None
            self.loop.run(settle())

        return release

    def until_arrived(self, count: int) -> None:
        """Return when the app has got so many requests, answered or not."""

        async def wait() -> None:
            while len(self.app.deliveries) < count:
                self.app.arrived = asyncio.Event()
                await self.app.arrived.wait()

        self.loop.run(wait())

    def crash(self) -> None:
        """End the server as a kill would, amid whatever it does and storing nothing more, and start another."""

        async def crash() -> None:
            old = self.server
            assert old._runner is not None
            await old.broker.dispatching.stop()
            await old._runner.cleanup()
            await old.broker._delivering.close()
            self.server = QStashServer(old.broker.store._client, old.settings, clock=Clock(), faults=self.faults)
            await self.server.start()
            self.app.clock = self.server.clock

        self.loop.run(crash())
        self.http.base_url = httpx.URL(self.server.url)

    def states(self, message: str) -> list[str]:
        """The log of a message, the oldest line first."""
        events = self.http.get("/v2/events", params={"messageId": message}).json()["events"]
        return [event["state"] for event in reversed(events)]

    def dead(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.http.get("/v2/dlq").json()["messages"]
        return messages


async def _serve(app: App) -> web.AppRunner:
    application = web.Application(client_max_size=32 * 1024 * 1024)
    application.router.add_route("*", "/{rest:.*}", app.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    app.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@contextmanager
def world(engine_url: str, *, clock: Clock | None = None, flush: bool = True, **settings: Any) -> Iterator[World]:
    """Start everything, and stop it."""
    loop = Loop()
    client = Redis.from_url(engine_url, db=1)
    clock = clock or Clock(frozen_at=START)
    faults, app = Faults(), App(clock)

    async def start() -> tuple[web.AppRunner, QStashServer]:
        if flush:
            await client.flushdb()
        runner = await _serve(app)
        server = QStashServer(client, Settings(mapping={APP: app.url}, **settings), clock=clock, faults=faults)
        await server.start()
        return runner, server

    async def stop(runner: web.AppRunner, made: World) -> None:
        await made.server.stop()
        await runner.cleanup()
        await client.aclose()

    runner, server = loop.run(start())
    try:
        # verify: there is no TLS here, and loading the certificates takes longer than most of the tests.
        token = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=server.url, headers=token, timeout=60, verify=False) as http:
            made = World(loop, server, app, faults, http)
            try:
                yield made
            finally:
                loop.run(stop(runner, made))
    finally:
        loop.close()
