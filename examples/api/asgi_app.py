"""The API as an ASGI application, on FastAPI: `uvicorn --factory examples.api.asgi_app:create_app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from eventsource_upstash import web

from .http_api import router
from .middleware import Guard
from .problems import install, problem
from .service import Service
from .settings import Settings
from .static_files import STATIC


def create_app(service: Service | None = None) -> FastAPI:
    """The application, over a service of its own or the one that is handed in."""
    service = service or Service(Settings.from_env())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with service:
            yield

    # The documentation pages of FastAPI load their scripts from another host; the description itself is served.
    app = FastAPI(title="A small API", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(router)
    app.add_api_route("/", page, include_in_schema=False, response_model=None)
    app.add_api_route("/static/{name}", page, include_in_schema=False, response_model=None)
    # --8<-- [start:workers]
    app.router.routes.append(Route("/projections", web.asgi_app(service.app)))
    if service.billed:  # QStash delivers, and signs what it delivers; elsewhere the worker does, without HTTP
        app.router.routes.append(Route("/workers/{path:path}", web.asgi_jobs(service.app)))
    # --8<-- [end:workers]
    app.add_middleware(Guard)
    install(app, [*router.routes, *app.routes])
    return app


async def page(request: Request, name: str = "index.html") -> Response:
    """A file of the page."""
    file = STATIC.get(name)
    if file is None:
        return problem(404, "There is nothing at this address.")
    if request.headers.get("if-none-match") == file.headers["ETag"]:
        return Response(status_code=304, headers=dict(file.headers))
    return Response(file.content, headers=dict(file.headers))
