"""The query side: read-only REST over the view.

| request | answers |
| --- | --- |
| `GET /accounts` | a page of accounts, the latest first; `limit`, `after` (the cursor of the page before) |
| `GET /accounts?status=suspended` | those of one status |
| `GET /accounts/ID` | one, with its history |
| `at_least=POSITION` | on any of them: a view that knows of the command that answered this position |

Each answer has an ETag; who hands it back in `If-None-Match` gets an empty 304 while nothing has changed. As ASGI:
`uvicorn --factory examples.accounts.queries:create_app`; on AWS Lambda: `examples.accounts.queries.handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from eventsource_upstash import ProjectionStatus, connect, connect_async, web
from eventsource_upstash.web import Response

from . import settings
from .domain import accounts, registry
from .hosting import Handler, lambda_handler, starlette
from .plain import PATIENCE, Answer, Request, allow, answer, failure, nothing_here, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.applications import Starlette

STATUSES = ("opened", "active", "suspended", "archived")


# --8<-- [start:read]
def read(request: Request) -> tuple[web.Request, str] | None:
    """A request for the view, and the account that it is for, "" for all; None where the view's state is asked for."""
    allow(request, "GET")
    match request.parts:
        case ["accounts"]:
            return listing(request), ""
        case ["accounts", id]:
            return request.for_library(), id
        case ["status"]:
            return None
        case _:
            raise nothing_here()


def listing(request: Request) -> web.Request:
    """All accounts are read by when they were opened, `?status=active` by the status: parts of the view's indexes."""
    url = urlsplit(request.url)
    asked = dict(parse_qsl(url.query, keep_blank_values=True))
    status = asked.pop("status", None)
    if status not in {None, *STATUSES}:
        raise Answer(problem(400, f"status is one of {', '.join(STATUSES)}."))
    part = {"index": "opened"} if status is None else {"index": "status", "equal": status}
    query = urlencode({**asked, **part, "reverse": "yes"})
    return request.for_library()._replace(url=url._replace(query=query).geturl())


# --8<-- [end:read]


# --8<-- [start:do]
class Queries:
    """For callers that block: AWS Lambda."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect(backend or settings.accounts_backend(), registry)
        self._view = web.ViewEndpoint(self.app, accounts, timeout=PATIENCE)

    def respond(self, request: Request) -> Response:
        try:
            work = read(request)
            if work is None:
                return write_status(self.app.projection_store.status(), billed=self.app.backend.public)
            return self._view.handle(*work)
        except Exception as error:
            return failure(error)

    def close(self) -> None:
        self.app.close()


# --8<-- [end:do]


class AsyncQueries:
    """The same on an event loop."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect_async(backend or settings.accounts_backend(), registry)
        self._view = web.AsyncViewEndpoint(self.app, accounts, timeout=PATIENCE)

    async def start(self) -> None:
        pass

    async def respond(self, request: Request) -> Response:
        try:
            work = read(request)
            if work is None:
                return write_status(await self.app.projection_store.status(), billed=self.app.backend.public)
            return await self._view.handle(*work)
        except Exception as error:
            return failure(error)

    async def close(self) -> None:
        await self.app.close()


def write_status(statuses: Sequence[ProjectionStatus], *, billed: bool) -> Response:
    view = next(status for status in statuses if status.name == accounts.name)
    return answer(
        200,
        {
            "function": "queries",
            "head": view.head,
            "checkpoint": view.checkpoint,
            "lag": view.lag,
            "state": view.state,
            "billed": billed,  # whether each look costs money: then whoever asks does so rarely
        },
    )


# -- To be deployed --


def create_app() -> Starlette:
    return starlette(AsyncQueries())


def create_handler() -> Handler:
    return lambda_handler(Queries())


def __getattr__(name: str) -> Handler:
    if name == "handler":  # made when Lambda asks for it, so that importing this file opens nothing
        made = globals()["handler"] = create_handler()
        return made
    raise AttributeError(name)
