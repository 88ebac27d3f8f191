"""`/dev/clock`, `/dev/idle`, `/dev/reset`, `/dev/metrics`: what a test asks for, and no service has."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from aiohttp import web

from .broker import Broker
from .errors import ApiError
from .http import BROKER, answer, json_body

__all__ = ["routes"]

routes: web.RouteTableDef = web.RouteTableDef()

_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(?:\d+(?:ms|[smhd]))+\Z")
_PART: Final = re.compile(r"(\d+)(ms|[smhd])")


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    """What can be done to the clock.

    Attributes:
        advance: By how much to move it: `10m`, `1d2h`, or a number of seconds.
        settle: Whether to stop at everything that becomes due on the way until it is delivered.
        frozen: Whether it stands still from now on.
        at: With `frozen`: what it then reads, in Unix milliseconds.
    """

    advance: str | float | None = None
    settle: bool = True
    frozen: bool | None = None
    at: int | None = None


@routes.get("/dev/clock")
async def get_clock(request: web.Request) -> web.Response:
    """Show the clock."""
    return _clock(request.app[BROKER])


@routes.post("/dev/clock")
async def move_clock(request: web.Request) -> web.Response:
    """Move the clock, stop it, or let it run."""
    broker = request.app[BROKER]
    asked = await json_body(request, _Clock)
    if asked.frozen is True:
        broker.clock.freeze(asked.at)
    elif asked.frozen is False:
        broker.clock.run()
    if asked.advance is not None:
        await broker.advance(_milliseconds(asked.advance), settle=asked.settle)
    await broker.keep_clock()
    return _clock(broker)


@routes.get("/dev/idle")
async def idle(request: web.Request) -> web.Response:
    """Answer when no message is due or in flight."""
    broker = request.app[BROKER]
    await broker.dispatching.settled()
    return answer({"idle": True, "waiting": len(broker.store.messages), "nextDue": broker.dispatching.next_due()})


@routes.post("/dev/reset")
async def reset(request: web.Request) -> web.Response:
    """Forget everything."""
    await request.app[BROKER].reset()
    return answer({})


@routes.get("/dev/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Show the numbers."""
    return answer(request.app[BROKER].metrics())


def _clock(broker: Broker) -> web.Response:
    return answer({"now": broker.clock.now(), "frozen": broker.clock.frozen, "offset": broker.clock.offset})


def _milliseconds(value: str | float) -> int:
    if isinstance(value, str):
        if not _DURATION.match(value):
            raise ApiError(400, f"invalid advance {value!r}: it is as in 10m, 1d2h or 500ms, or a number of seconds")
        return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if not 0 <= value < 1e9:
        raise ApiError(400, "invalid advance: the clock goes forward only")
    return round(value * 1000)
