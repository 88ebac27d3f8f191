"""A transport of either colour behind blocking methods, on a port whose sleeps take no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from eventsource_upstash import Receipt, Signal
from eventsource_upstash._io import blocking, event_loop
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Port
from eventsource_upstash.backends.redis.transport import HttpTransport, Script
from tests.faults.driving import Colour
from tests.faults.transport.server import TOKEN

T = TypeVar("T")

SCRIPT = Script("write", "#!lua flags=allow-key-locking\nreturn redis.call('SET', KEYS[1], ARGV[1])")


class Clocked:
    """A port whose sleeps take no time: they move the clock.

    Attributes:
        now: The clock, in seconds.
        slept: Each sleep.
    """

    def __init__(self, inner: Port) -> None:
        self.inner = inner
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await self.inner.send(request)

    async def call(self, work: Callable[[], T]) -> T:
        return await self.inner.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Said(Clocked):
    """A port that answers by itself: one of `answers` for each request, which takes `takes` seconds."""

    def __init__(self, *answers: HttpResponse | Exception, takes: float = 0.0) -> None:
        super().__init__(blocking.PORT)
        self.answers = list(answers)
        self.takes = takes
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        self.now += self.takes
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def stepped(colour: Colour, coroutine: Coroutine[Any, Any, T]) -> T:
    return blocking.run(coroutine) if colour == "blocking" else asyncio.run(coroutine)


class Driven:
    """A transport to a server, each call of which runs to its end."""

    def __init__(self, colour: Colour, url: str, **options: Any) -> None:
        self.colour = colour
        self.port = Clocked(blocking.PORT if colour == "blocking" else event_loop.PORT)
        options.setdefault("draw", lambda: 0.5)
        self.transport = HttpTransport(self.port, url, TOKEN, clock=self.port.clock, **options)

    def command(self, *command: str | int) -> tuple[object, Receipt]:
        return stepped(self.colour, self.transport.command(*command))

    def script(
        self, keys: Sequence[str], args: Sequence[str | int], again: Sequence[str | int] | None = None
    ) -> tuple[object, Receipt]:
        return stepped(self.colour, self.transport.script(SCRIPT, keys, args, again=again))
