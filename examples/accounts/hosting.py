"""What carries requests to a function and answers back: an ASGI app (Starlette), or an AWS Lambda handler."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote, urlencode

from eventsource_upstash.web import Response

from .plain import MAX_BODY, AsyncFunction, Function, Request, problem

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request as StarletteRequest

Event = Mapping[str, object]
Handler = Callable[[Event, object], dict[str, object]]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


# -- ASGI --


def starlette(function: AsyncFunction) -> Starlette:
    """An ASGI app that has the function answer all requests, started and closed with the server."""
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response as Plain
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        try:
            await function.start()
            yield
        finally:
            await function.close()

    async def respond(request: StarletteRequest, _: Exception | None = None) -> Plain:
        response = await function.respond(await read(request))
        return Plain(response.body, response.status, response.headers)

    async def gone(request: StarletteRequest, _: Exception) -> Plain:
        return Plain(status_code=400)  # nobody reads it: whoever called has hung up amid the request

    # A method that nobody has heard of is for the function to refuse, too.
    return Starlette(
        routes=[Route("/{path:path}", respond, methods=METHODS)],
        exception_handlers={405: respond, ClientDisconnect: gone},
        lifespan=lifespan,
    )


async def read(request: StarletteRequest) -> Request:
    """The request; of a body that is too large no more than shows that it is."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            break
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method, str(request.scope["path"]), str(request.url), headers, bytes(body))


# -- AWS Lambda --


def lambda_handler(function: Function) -> Handler:
    """A handler for function URLs, HTTP APIs (payload format 2.0) and REST APIs (1.0)."""

    def handle(event: Event, context: object) -> dict[str, object]:
        try:
            request = read_event(event)
        except binascii.Error:
            return write(problem(400, "The body is not base64, although the event says so."))
        return write(function.respond(request))

    return handle


def read_event(event: Event) -> Request:
    """The request in an event. Raises `binascii.Error` for a body that is not what the event says."""
    context = part(event, "requestContext")
    http = part(context, "http")
    body = str(event.get("body") or "").encode()
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body, validate=True)
    headers = {name.lower(): str(value) for name, value in part(event, "headers").items()}
    stage = f"/{context.get('stage')}"
    if http:
        called = unquote(str(event.get("rawPath")))
        path = called[len(stage) :] or "/" if called == stage or called.startswith(f"{stage}/") else called
        query = str(event.get("rawQueryString") or "")
    else:
        path = str(event.get("path") or "/")
        called = str(context.get("path") or path)
        query = urlencode(part(event, "queryStringParameters"))
    # The URL as it was called, with the stage: what a sender has signed.
    host = headers.get("host") or str(context.get("domainName") or "localhost")
    url = f"{headers.get('x-forwarded-proto', 'https')}://{host}{quote(called)}" + (f"?{query}" if query else "")
    method = str(http.get("method") or event.get("httpMethod") or "GET").upper()
    return Request(method, path, url, headers, body)


def write(response: Response) -> dict[str, object]:
    """An answer as Lambda wants it. Everything that is served here is text."""
    return {"statusCode": response.status, "headers": dict(response.headers), "body": response.body.decode()}


def part(mapping: Mapping[str, object], name: str) -> Mapping[str, object]:
    """An object within an event; empty where it is missing or null."""
    return cast("Mapping[str, object]", mapping.get(name) or {})
