"""The to-do list on Starlette. `python -m examples.todo.serve`, which is `make todo`, serves this one.

With another server: `uvicorn --factory examples.todo.starlette_app:create_app`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from eventsource_upstash import web

from . import routes
from .app import AsyncTodo


def create_app(todo: AsyncTodo | None = None) -> Starlette:
    """The application, over a to-do list of its own or the one that is handed in."""
    todo = todo or AsyncTodo()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with todo:
            yield

    async def notified(request: Request) -> Response:
        return await notify(todo, request)

    async def endpoint(request: Request) -> Response:
        return await respond(todo, request)

    async def refused(request: Request, _: Exception) -> Response:  # a method that nobody has heard of
        return await respond(todo, request)

    return Starlette(
        routes=[
            Route("/projections", notified, methods=["POST"]),
            Route("/{path:path}", endpoint, methods=routes.METHODS),
        ],
        exception_handlers={405: refused, ClientDisconnect: gone},
        lifespan=lifespan,
    )


async def gone(request: Request, _: Exception) -> Response:
    """What nobody reads: whoever called has hung up amid the request."""
    return Response(status_code=400)


async def respond(todo: AsyncTodo, request: Request) -> Response:
    """Carry a request to the routes, and the answer back."""
    path: str = request.scope["path"]
    plain = routes.Request(request.method, path, request.url.query, headers(request), await body(request))
    if routes.wants_feed(plain):
        return answer(await routes.follow_async(todo, plain))
    return answer(await routes.respond_async(todo, plain))


async def notify(todo: AsyncTodo, request: Request) -> Response:
    """Carry a notification to its endpoint, and the answer back."""
    plain = web.Request(request.method, str(request.url), headers(request), await body(request))
    return answer(await todo.notified(plain))


def headers(request: Request) -> dict[str, str]:
    return routes.lower(request.headers.items())


async def body(request: Request) -> bytes:
    """The body; of one that is too large no more than shows that it is."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > routes.MAX_BODY:
            break
    return bytes(body)


def answer(response: web.Response | web.AsyncStreaming) -> Response:
    if isinstance(response, web.AsyncStreaming):
        return StreamingResponse(response.parts, response.status, response.headers)
    return Response(response.body, response.status, response.headers)
