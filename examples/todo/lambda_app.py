"""The to-do list on AWS Lambda, behind a function URL or API Gateway: `examples.todo.lambda_app.handler`.

A function cannot keep a connection open, so the page asks for log and list instead of having the feed, and no worker
runs between two requests: whoever reads brings the view up to date.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import unquote, urlencode

from eventsource_upstash.web import Response, lambda_handler

from . import routes
from .app import Todo

Event = Mapping[str, object]
Handler = Callable[[Event, object], dict[str, object]]


def create_handler(todo: Todo | None = None) -> Handler:
    """The handler, over a to-do list of its own or the one that is handed in."""
    todo = todo or Todo()
    notified = lambda_handler(todo.app)

    def handle(event: Event, context: object) -> dict[str, object]:
        request = read(event)
        if request is None:
            return write(routes.problem(400, "The body is not base64, although the event says so."))
        if request.path == "/projections":
            return notified(event, context)
        return write(routes.respond(todo, request, streams=False))

    return handle


def read(event: Event) -> routes.Request | None:
    """The request in an event, payload format 1.0 (REST API) or 2.0 (HTTP API, function URL); None if it is broken."""
    context = part(event, "requestContext")
    http = part(context, "http")
    body = str(event.get("body") or "").encode()
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error:
            return None
    headers = routes.lower((name, str(value)) for name, value in part(event, "headers").items())
    if http:
        path = unquote(str(event.get("rawPath")))
        stage = f"/{context.get('stage')}"
        if path == stage or path.startswith(f"{stage}/"):
            path = path[len(stage) :] or "/"
        return routes.Request(str(http["method"]), path, str(event.get("rawQueryString") or ""), headers, body)
    query = urlencode(part(event, "queryStringParameters"))
    return routes.Request(str(event.get("httpMethod")), str(event.get("path")), query, headers, body)


def write(response: Response) -> dict[str, object]:
    """An answer as Lambda wants it. Everything that is served here is text."""
    return {"statusCode": response.status, "headers": dict(response.headers), "body": response.body.decode()}


def part(mapping: Mapping[str, object], name: str) -> Mapping[str, object]:
    """An object within an event; empty where it is missing or null."""
    return cast("Mapping[str, object]", mapping.get(name) or {})


def __getattr__(name: str) -> Handler:
    if name == "handler":  # made when Lambda asks for it, so that importing this file opens nothing
        made = globals()["handler"] = create_handler()
        return made
    raise AttributeError(name)
