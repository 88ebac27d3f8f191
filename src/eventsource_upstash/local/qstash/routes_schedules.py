"""`/v2/schedules`."""

from __future__ import annotations

from aiohttp import web

from .errors import ApiError
from .http import BROKER, agent_of, answer, empty, headers_of, tail
from .options import check_name, parse_options
from .publishing import Draft
from .views import schedule_view

__all__ = ["routes"]

routes: web.RouteTableDef = web.RouteTableDef()


@routes.get("/v2/schedules")
async def list_schedules(request: web.Request) -> web.Response:
    """List all of them."""
    return answer([schedule_view(schedule) for schedule in request.app[BROKER].store.schedules])


@routes.get("/v2/schedules/{id}")
async def get_schedule(request: web.Request) -> web.Response:
    """Show one."""
    return answer(schedule_view(request.app[BROKER].scheduling.known(request.match_info["id"])))


@routes.delete("/v2/schedules/{id}")
async def delete_schedule(request: web.Request) -> web.Response:
    """Delete one. What it has published stays."""
    broker = request.app[BROKER]
    broker.store.schedules.drop(broker.scheduling.known(request.match_info["id"]).id)
    await broker.store.flush()
    return empty()


async def pause(request: web.Request) -> web.Response:
    """Let its times go by without effect."""
    return await _pause(request, paused=True)


async def resume(request: web.Request) -> web.Response:
    """Let its times count again."""
    return await _pause(request, paused=False)


# The description says POST; the SDKs send PATCH.
for _method in ("POST", "PATCH"):
    routes.route(_method, "/v2/schedules/{id}/pause")(pause)
    routes.route(_method, "/v2/schedules/{id}/resume")(resume)


@routes.post("/v2/schedules/{destination:.+}")
async def create_schedule(request: web.Request) -> web.Response:
    """Make one, or give the one of this id new settings."""
    broker = request.app[BROKER]
    headers = headers_of(request)
    cron = request.headers.get("Upstash-Cron")
    if not cron:
        raise ApiError(400, "Upstash-Cron header is required")
    name = request.headers.get("Upstash-Schedule-Id")
    queue = request.headers.get("Upstash-Queue-Name")
    draft = Draft(
        tail(request, 2),
        await request.read(),
        parse_options(headers),
        queue=check_name("queue name", queue) if queue else None,
        caller=request.remote or "",
        agent=agent_of(request),
    )
    broker.publishing.check(draft)
    schedule = broker.scheduling.create(draft, cron, check_name("schedule id", name) if name else None)
    await broker.store.flush()
    return answer({"scheduleId": schedule.id})


async def _pause(request: web.Request, *, paused: bool) -> web.Response:
    broker = request.app[BROKER]
    broker.scheduling.pause(request.match_info["id"], paused=paused)
    await broker.store.flush()
    return empty()
