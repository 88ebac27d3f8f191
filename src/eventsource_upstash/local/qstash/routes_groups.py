"""`/v2/topics`, which the documentation calls URL groups, and `/v2/queues`."""

from __future__ import annotations

import msgspec
from aiohttp import web

from .broker import Broker
from .errors import ApiError
from .http import BROKER, answer, empty, json_body
from .options import check_name, check_url
from .records import Endpoint, UrlGroup
from .views import group_view

__all__ = ["routes"]

routes: web.RouteTableDef = web.RouteTableDef()

MAX_PARALLELISM = 100


class _Endpoint(msgspec.Struct):
    url: str | None = None
    name: str | None = None


class _Endpoints(msgspec.Struct):
    endpoints: list[_Endpoint]


class _Queue(msgspec.Struct, rename="camel"):
    queue_name: str
    parallelism: int = 1
    paused: bool | None = None


@routes.get("/v2/topics")
async def list_groups(request: web.Request) -> web.Response:
    """List all URL groups."""
    return answer([group_view(group) for group in request.app[BROKER].store.groups])


@routes.get("/v2/topics/{name}")
async def get_group(request: web.Request) -> web.Response:
    """Show one."""
    return answer(group_view(_group(request.app[BROKER], request.match_info["name"])))


@routes.delete("/v2/topics/{name}")
async def delete_group(request: web.Request) -> web.Response:
    """Delete one. What was published to it stays."""
    broker = request.app[BROKER]
    broker.store.groups.drop(_group(broker, request.match_info["name"]).name)
    await broker.store.flush()
    return empty()


@routes.post("/v2/topics/{name}/endpoints")
async def add_endpoints(request: web.Request) -> web.Response:
    """Add endpoints, or change the ones of the same name or URL. The group is made if need be."""
    broker = request.app[BROKER]
    name = check_name("url group name", request.match_info["name"])
    given = (await json_body(request, _Endpoints)).endpoints
    if not given:
        raise ApiError(400, "endpoints are required")
    now = broker.clock.now()
    group = broker.store.groups.get(name) or UrlGroup(name=name, created_at=now, updated_at=now)
    endpoints = list(group.endpoints)
    for one in given:
        if one.url is None:
            raise ApiError(400, "url of an endpoint is required")
        new = Endpoint(check_url(one.url, "endpoint url"), check_name("endpoint name", one.name) if one.name else None)
        at = next((at for at, old in enumerate(endpoints) if _same(old, one)), None)
        if at is None:
            endpoints.append(new)
        else:
            endpoints[at] = new
    group.endpoints, group.updated_at = endpoints, now
    broker.store.groups.put(name, group)
    await broker.store.flush()
    return empty()


@routes.delete("/v2/topics/{name}/endpoints")
async def remove_endpoints(request: web.Request) -> web.Response:
    """Remove endpoints by name or URL. A group without any is deleted."""
    broker = request.app[BROKER]
    group = _group(broker, request.match_info["name"])
    given = (await json_body(request, _Endpoints)).endpoints
    group.endpoints = [old for old in group.endpoints if not any(_same(old, one) for one in given)]
    group.updated_at = broker.clock.now()
    if group.endpoints:
        broker.store.groups.put(group.name, group)
    else:
        broker.store.groups.drop(group.name)
    await broker.store.flush()
    return empty()


@routes.get("/v2/queues")
async def list_queues(request: web.Request) -> web.Response:
    """List all queues."""
    broker = request.app[BROKER]
    return answer([broker.queues.describe(queue) for queue in broker.store.queues])


@routes.post("/v2/queues")
async def upsert_queue(request: web.Request) -> web.Response:
    """Make a queue, or change it."""
    broker = request.app[BROKER]
    asked = await json_body(request, _Queue)
    name = check_name("queue name", asked.queue_name)
    if asked.parallelism < 1:
        raise ApiError(400, "parallelism must be greater than 0")
    if asked.parallelism > MAX_PARALLELISM:
        raise ApiError(412, f"parallelism must not exceed {MAX_PARALLELISM}")
    broker.queues.upsert(name, broker.clock.now(), asked.parallelism, asked.paused)
    if asked.paused is False:
        broker.dispatching.resume_queue(name)
    await broker.store.flush()
    return empty()


@routes.get("/v2/queues/{name}")
async def get_queue(request: web.Request) -> web.Response:
    """Show a queue."""
    broker = request.app[BROKER]
    return answer(broker.queues.describe(broker.queues.known(_queue_name(request))))


@routes.delete("/v2/queues/{name}")
async def delete_queue(request: web.Request) -> web.Response:
    """Delete a queue, with what waits in it."""
    broker = request.app[BROKER]
    broker.drop_queue(_queue_name(request))
    await broker.store.flush()
    return empty()


@routes.post("/v2/queues/{name}/pause")
async def pause_queue(request: web.Request) -> web.Response:
    """Deliver nothing of a queue."""
    broker = request.app[BROKER]
    broker.queues.upsert(_queue_name(request), broker.clock.now(), paused=True)
    await broker.store.flush()
    return empty()


@routes.post("/v2/queues/{name}/resume")
async def resume_queue(request: web.Request) -> web.Response:
    """Go on with a queue."""
    broker = request.app[BROKER]
    name = _queue_name(request)
    broker.queues.upsert(name, broker.clock.now(), paused=False)
    broker.dispatching.resume_queue(name)
    await broker.store.flush()
    return empty()


def _queue_name(request: web.Request) -> str:
    return check_name("queue name", request.match_info["name"])


def _group(broker: Broker, name: str) -> UrlGroup:
    group = broker.store.groups.get(name)
    if group is None:
        raise ApiError(404, f"url group {name} not found")
    return group


def _same(old: Endpoint, one: _Endpoint) -> bool:
    return (one.name is not None and old.name == one.name) or (one.url is not None and old.url == one.url)
