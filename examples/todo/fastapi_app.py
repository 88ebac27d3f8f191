"""The to-do list on FastAPI: `uvicorn --factory examples.todo.fastapi_app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from . import routes, starlette_app
from .app import AsyncTodo


def create_app(todo: AsyncTodo | None = None) -> FastAPI:
    """The application, over a to-do list of its own or the one that is handed in."""
    todo = todo or AsyncTodo()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with todo:
            yield

    # FastAPI's requests and responses are Starlette's, so what carries them there carries them here.
    async def notified(request: Request) -> Response:
        return await starlette_app.notify(todo, request)

    async def endpoint(request: Request) -> Response:
        return await starlette_app.respond(todo, request)

    async def refused(request: Request, _: Exception) -> Response:  # a method that nobody has heard of
        return await starlette_app.respond(todo, request)

    # The documentation pages of FastAPI load their scripts from another host; the GraphQL console here does not.
    app = FastAPI(title="To-do", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(405, refused)
    app.add_exception_handler(ClientDisconnect, starlette_app.gone)
    app.add_api_route("/projections", notified, methods=["POST"], response_model=None)
    app.add_api_route("/{path:path}", endpoint, methods=routes.METHODS, response_model=None)
    return app
