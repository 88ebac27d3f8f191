"""A clock that is moved by hand, and a rate limit of either colour."""

from __future__ import annotations

from typing import Any

from eventsource_upstash import AsyncRateLimit, Limited, RateLimit
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.colours import Colour, settled

START = 1_800_000_003_500
"""In the middle of a window of ten seconds."""


class MovedClock:
    """Stands still between moves. Also what the package takes for the module `time`."""

    def __init__(self, now_ms: int = START) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms * 1_000_000

    def time(self) -> float:
        return (self.now_ms + 0.5) / 1_000  # the package cuts it off to milliseconds


class Limit:
    """A rate limit in one colour."""

    def __init__(self, colour: Colour, backend: Backend, clock: MovedClock, name: str = "posts", **rule: Any) -> None:
        kind = RateLimit if colour is Colour.BLOCKING else AsyncRateLimit
        self.colour = colour
        self.face: RateLimit | AsyncRateLimit = kind(backend, name, clock=clock, **rule)

    def check(self, identifier: str = "ada", cost: int = 1) -> Limited:
        async def check() -> Limited:
            return await settled(self.face.check(identifier, cost=cost))

        return self.colour.run(check())
