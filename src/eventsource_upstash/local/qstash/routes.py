"""The HTTP API as one aiohttp application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ..faults import misbehaving
from ..guarding import guard
from . import routes_dead_letters, routes_dev, routes_groups, routes_keys, routes_messages, routes_schedules
from .broker import Broker
from .errors import ApiError
from .http import BROKER, guarding, quota

__all__ = ["NOT_SERVED", "application"]

MAX_REQUEST: Final = 32 * 1024 * 1024
"""Bytes of a request at most. A message has a limit of its own; a batch carries several."""

NOT_SERVED: Final = {
    "/llm/": "no language model stands behind it",
    "/v2/workflows": "workflows are another product",
}
"""Beginnings of paths that the service answers and this does not, and why."""


def application(broker: Broker) -> web.Application:
    """The application. Its routes work once the broker is open."""
    misbehaviour = misbehaving(broker.faults, "qstash", quota=lambda: quota(broker.clock.now()))
    app = web.Application(middlewares=[guard, guarding, misbehaviour], client_max_size=MAX_REQUEST)
    app[BROKER] = broker
    for room in (routes_messages, routes_schedules, routes_groups, routes_dead_letters, routes_keys, routes_dev):
        app.add_routes(room.routes)
    app.router.add_route("*", "/{rest:.*}", _unknown)
    return app


async def _unknown(request: web.Request) -> web.StreamResponse:
    for beginning, why in NOT_SERVED.items():
        if request.path.startswith(beginning):
            raise ApiError(501, f"the local QStash does not serve {_beginning(request.path)}: {why}")
    raise ApiError(404, f"{request.method} {_beginning(request.path)} is not part of the QStash API")


def _beginning(path: str) -> str:
    """The words of a path that say what is asked for: a destination may follow, and hold a password."""
    words = path.split("/")
    return "/".join(words[:3]) + ("/…" if len(words) > 3 else "")
