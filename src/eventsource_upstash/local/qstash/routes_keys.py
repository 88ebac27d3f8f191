"""`/v2/keys`, `/v2/flowControl`, `/v2/globalParallelism`."""

from __future__ import annotations

from aiohttp import web

from .errors import ApiError
from .http import BROKER, answer, empty
from .options import check_name
from .records import FlowKey

__all__ = ["routes"]

routes: web.RouteTableDef = web.RouteTableDef()


@routes.get("/v2/keys")
async def get_keys(request: web.Request) -> web.Response:
    """Show the signing keys."""
    keys = request.app[BROKER].keys()
    return answer({"current": keys.current, "next": keys.next})


@routes.post("/v2/keys/rotate")
async def rotate_keys(request: web.Request) -> web.Response:
    """Make the next signing key the current one, and a new one the next."""
    broker = request.app[BROKER]
    keys = broker.rotate()
    await broker.store.flush()
    return answer({"current": keys.current, "next": keys.next})


@routes.get("/v2/globalParallelism")
async def get_global_parallelism(request: web.Request) -> web.Response:
    """Show how many deliveries are under way, and may be."""
    broker = request.app[BROKER]
    return answer({"parallelismMax": broker.settings.max_in_flight, "parallelismCount": broker.dispatching.in_flight})


@routes.get("/v2/flowControl")
async def list_flow_keys(request: web.Request) -> web.Response:
    """List all flow control keys."""
    broker = request.app[BROKER]
    return answer([broker.flow.describe(key) for key, _ in broker.store.flow_keys.items()])


@routes.get("/v2/flowControl/{key}")
async def get_flow_key(request: web.Request) -> web.Response:
    """Show one."""
    return answer(request.app[BROKER].flow.describe(request.match_info["key"]))


@routes.post("/v2/flowControl/{key}/pause")
async def pause_flow_key(request: web.Request) -> web.Response:
    """Deliver nothing with this key."""
    record = _record(request)
    record.paused = True
    return await _keep(request, record)


@routes.post("/v2/flowControl/{key}/resume")
async def resume_flow_key(request: web.Request) -> web.Response:
    """Go on with this key."""
    record = _record(request)
    record.paused = False
    return await _keep(request, record)


@routes.post("/v2/flowControl/{key}/pin")
async def pin_flow_key(request: web.Request) -> web.Response:
    """Fix the limits of this key, whatever messages ask for. It begins a new period."""
    record, query = _record(request), request.query
    if not query.keys() & {"parallelism", "rate"}:
        raise ApiError(400, "parallelism or rate is required")
    if "parallelism" in query:
        record.pinned_parallelism = _positive(query["parallelism"])
    if "rate" in query:
        record.pinned_rate = _positive(query["rate"])
        record.pinned_period = _positive(query.get("period", "1"))
    record.started, record.count = request.app[BROKER].clock.now(), 0
    return await _keep(request, record)


@routes.post("/v2/flowControl/{key}/unpin")
async def unpin_flow_key(request: web.Request) -> web.Response:
    """Let the limits of this key change again. Until a message changes them, they stay."""
    record, query = _record(request), request.query
    if query.get("parallelism") == "true" and record.pinned_parallelism is not None:
        record.parallelism, record.pinned_parallelism = record.pinned_parallelism, None
    if query.get("rate") == "true" and record.pinned_rate is not None:
        record.rate, record.period, record.pinned_rate = record.pinned_rate, record.pinned_period, None
    return await _keep(request, record)


@routes.post("/v2/flowControl/{key}/resetRate")
async def reset_flow_rate(request: web.Request) -> web.Response:
    """Begin a new period of this key."""
    record = _record(request)
    record.started, record.count = request.app[BROKER].clock.now(), 0
    return await _keep(request, record)


def _record(request: web.Request) -> FlowKey:
    return request.app[BROKER].flow.key(check_name("flow control key", request.match_info["key"]))


async def _keep(request: web.Request, record: FlowKey) -> web.Response:
    broker = request.app[BROKER]
    broker.store.flow_keys.put(record.key, record)
    broker.dispatching.resume_flow(record.key)
    await broker.store.flush()
    return empty()


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value[:12]) < 1:
        raise ApiError(400, f"{value!r} is not a whole number above 0")
    return int(value)
