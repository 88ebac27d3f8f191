"""`/v2/dlq`, and the log at `/v2/logs` and `/v2/events`."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from .errors import ApiError
from .filtering import IN_PROGRESS, Filter, page
from .http import BROKER, answer, empty, headers_of, json_body, query_of
from .records import DeadLetter, Event, Message
from .views import dead_letter_view, event_view

__all__ = ["routes"]

routes: web.RouteTableDef = web.RouteTableDef()

LOG_PAGE: Final = {"logs": 100, "events": 1000}
"""Lines of the log at most in one answer: 100 in the description, "Default and max is 1000" in the Python SDK."""


class _Ids(msgspec.Struct, rename="camel"):
    dlq_ids: list[str] | None = None


@routes.get("/v2/dlq")
async def list_dead_letters(request: web.Request) -> web.Response:
    """List dead letters."""
    letters, cursor = request.app[BROKER].dead_letters.find(Filter.parse(query_of(request)))
    return answer({"messages": [dead_letter_view(letter) for letter in letters], **_next(cursor)})


@routes.get("/v2/dlq/{id}")
async def get_dead_letter(request: web.Request) -> web.Response:
    """Show one."""
    return answer(dead_letter_view(request.app[BROKER].dead_letters.known(request.match_info["id"])))


@routes.delete("/v2/dlq/{id}")
async def delete_dead_letter(request: web.Request) -> web.Response:
    """Throw one away."""
    broker = request.app[BROKER]
    broker.dead_letters.delete([broker.dead_letters.known(request.match_info["id"])])
    await broker.store.flush()
    return empty()


@routes.delete("/v2/dlq")
async def delete_dead_letters(request: web.Request) -> web.Response:
    """Throw away those with these ids, or a page of those that match."""
    broker = request.app[BROKER]
    letters, cursor, _ = await _meant(request)
    deleted = broker.dead_letters.delete(letters)
    await broker.store.flush()
    return answer({"deleted": deleted, **_next(cursor)})


@routes.post("/v2/dlq/retry/{id}")
async def retry_dead_letter(request: web.Request) -> web.Response:
    """Publish one anew."""
    broker = request.app[BROKER]
    message = broker.dead_letters.retry(broker.dead_letters.known(request.match_info["id"]), headers_of(request))
    await broker.store.flush()
    return answer({"messageId": message}, 201)


@routes.post("/v2/dlq/retry")
async def retry_dead_letters(request: web.Request) -> web.Response:
    """Publish those with these ids anew, or a page of those that match."""
    broker = request.app[BROKER]
    letters, cursor, ids = await _meant(request)
    missing = (ids or frozenset()) - {letter.id for letter in letters}
    if missing:
        raise ApiError(404, f"not found: {', '.join(sorted(missing))}")
    # The oldest first: in the order in which they failed.
    headers = headers_of(request)
    responses = [{"messageId": broker.dead_letters.retry(letter, headers)} for letter in reversed(letters)]
    await broker.store.flush()
    return answer({"responses": responses, **_next(cursor)}, 201)


@routes.get("/v2/logs")
async def list_logs(request: web.Request) -> web.Response:
    """Show the log, the newest line first."""
    return _log(request, "logs")


@routes.get("/v2/events")
async def list_events(request: web.Request) -> web.Response:
    """Show the log under its older name, which the SDKs use."""
    return _log(request, "events")


def _log(request: web.Request, name: str) -> web.Response:
    broker = request.app[BROKER]
    asked = Filter.parse(query_of(request))
    ids, wanted = asked.ids("messageIds"), asked.values.get("state", frozenset())
    states = wanted | IN_PROGRESS if "IN_PROGRESS" in wanted else wanted

    def admitted(event: Event) -> bool:
        if ids is not None:
            return event.message in ids
        return (not states or event.state in states) and asked.admits(_message_of(event), event.time)

    lines, cursor = page((event for event in broker.store.events if admitted(event)), _number, asked, LOG_PAGE[name])
    return answer({name: [event_view(event, broker.store) for event in lines], **_next(cursor)})


def _number(event: Event) -> int:
    return event.number


def _message_of(event: Event) -> Message:
    """What a line of the log knows of its message, as a message to be matched."""
    return Message(
        id=event.message,
        number=event.number,
        url=event.url,
        options=event.options,
        created_at=event.time,
        due=event.time,
        topic=event.topic,
        queue=event.queue,
        schedule=event.schedule,
    )


async def _meant(request: web.Request) -> tuple[list[DeadLetter], str | None, frozenset[str] | None]:
    query = query_of(request)
    if request.body_exists and await request.read():
        # The Python SDK sends the ids in the body.
        named = (await json_body(request, _Ids)).dlq_ids
        if named is not None:
            query += [("dlqIds", ",".join(named))]
    asked = Filter.parse(query)
    letters, cursor = request.app[BROKER].dead_letters.find(asked)
    return letters, cursor, asked.ids("dlqIds")


def _next(cursor: str | None) -> dict[str, str]:
    return {} if cursor is None else {"cursor": cursor}
