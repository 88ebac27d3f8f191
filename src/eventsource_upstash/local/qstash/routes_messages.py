"""`/v2/publish`, `/v2/enqueue`, `/v2/batch`, `/v2/messages`."""

from __future__ import annotations

import msgspec
from aiohttp import web

from .errors import ApiError
from .filtering import Filter
from .http import BROKER, agent_of, answer, headers_of, json_body, query_of, tail
from .options import check_name, parse_options
from .publishing import Draft
from .views import message_view

__all__ = ["routes"]

routes: web.RouteTableDef = web.RouteTableDef()


class _Item(msgspec.Struct):
    destination: str
    headers: dict[str, str] | None = None
    body: str | None = None
    queue: str | None = None


class _Ids(msgspec.Struct, rename="camel"):
    message_ids: list[str] | None = None


@routes.post("/v2/publish/{destination:.*}")
async def publish(request: web.Request) -> web.Response:
    """Publish a message."""
    return await _publish(request, tail(request, 2), None)


@routes.post("/v2/enqueue/{queue}/{destination:.*}")
async def enqueue(request: web.Request) -> web.Response:
    """Put a message in a queue."""
    return await _publish(request, tail(request, 3), check_name("queue name", request.match_info["queue"]))


@routes.post("/v2/batch")
async def batch(request: web.Request) -> web.Response:
    """Publish several messages: all of them, or none if one cannot be."""
    broker = request.app[BROKER]
    items = await json_body(request, list[_Item])
    drafts = [
        Draft(
            item.destination,
            (item.body or "").encode(),
            parse_options((item.headers or {}).items()),
            queue=item.queue or None,
            caller=request.remote or "",
            agent=agent_of(request),
        )
        for item in items
    ]
    for draft in drafts:
        _refuse_apis(draft.destination)
        broker.publishing.check(draft)
    views = [broker.publishing.publish(draft).view() for draft in drafts]
    await broker.store.flush()
    return answer(views)


@routes.get("/v2/messages/{id}")
async def get_message(request: web.Request) -> web.Response:
    """Show a message that is not delivered yet."""
    return answer(message_view(request.app[BROKER].message(request.match_info["id"])))


@routes.delete("/v2/messages/{id}")
async def cancel_message(request: web.Request) -> web.Response:
    """Cancel a message."""
    broker = request.app[BROKER]
    cancelled = broker.cancel([broker.message(request.match_info["id"])])
    await broker.store.flush()
    return answer({"cancelled": cancelled})


@routes.delete("/v2/messages")
async def cancel_messages(request: web.Request) -> web.Response:
    """Cancel the messages with these ids, or those that match, or all."""
    broker = request.app[BROKER]
    query = query_of(request)
    if request.body_exists and await request.read():
        # The Python SDK sends the ids in the body.
        named = (await json_body(request, _Ids)).message_ids
        if named is not None:
            query += [("messageIds", ",".join(named))]
    cancelled = broker.cancel(broker.matching(Filter.parse(query)))
    await broker.store.flush()
    return answer({"cancelled": cancelled})


async def _publish(request: web.Request, destination: str, queue: str | None) -> web.Response:
    broker = request.app[BROKER]
    _refuse_apis(destination)
    published = broker.publishing.publish(
        Draft(
            destination,
            await request.read(),
            parse_options(headers_of(request)),
            queue=queue,
            caller=request.remote or "",
            agent=agent_of(request),
        )
    )
    await broker.store.flush()
    return answer(published.view(), 202 if published.deduplicated else 200)


def _refuse_apis(destination: str) -> None:
    if destination.startswith("api/"):
        raise ApiError(
            501, f"the local QStash does not deliver to {destination}: no language model or mail stands behind it"
        )
