"""The event processor: folds the view, and has the reactors carry out what they decided.

A notification at `POST /projections` wakes it; where none come from outside, on a file, a worker looks at the log. As
ASGI: `uvicorn --factory examples.accounts.processor:create_app`; on AWS Lambda: `examples.accounts.processor.handler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from eventsource_upstash import ProjectionStatus, ReactorStatus, connect, connect_async, web
from eventsource_upstash.web import Response

from . import settings
from .domain import accounts, registry
from .hosting import Handler, lambda_handler, starlette
from .plain import Request, allow, answer, failure, nothing_here
from .reactors import orders_context

if TYPE_CHECKING:
    from starlette.applications import Starlette

POLL = 0.25
"""Seconds between two looks at a log in a file."""


def read(request: Request) -> Literal["notification", "status"]:
    match request.parts:
        case ["projections"]:
            return "notification"
        case ["status"]:
            allow(request, "GET")
            return "status"
        case _:
            raise nothing_here()


# --8<-- [start:do]
class Processor:
    """For callers that block: AWS Lambda."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect(backend or settings.accounts_backend(), registry)
        self._endpoint = web.Endpoint(self.app)

    def respond(self, request: Request) -> Response:
        try:
            if read(request) == "notification":
                return self._endpoint.handle(request.for_library())
            return write_status(self.app.projection_store.status(), self.app.reactions.status(orders_context))
        except Exception as error:
            return failure(error)

    def close(self) -> None:
        self.app.close()


# --8<-- [end:do]


class AsyncProcessor:
    """The same on an event loop, with a worker where nobody notifies from outside."""

    def __init__(self, backend: str | None = None) -> None:
        self.app = connect_async(backend or settings.accounts_backend(), registry)
        self._endpoint = web.AsyncEndpoint(self.app)
        self._worker = self.app.worker(poll_interval=POLL)

    async def start(self) -> None:
        if not self.app.backend.public:  # else QStash says when to fold
            await self._worker.start()

    async def respond(self, request: Request) -> Response:
        try:
            if read(request) == "notification":
                return await self._endpoint.handle(request.for_library())
            return write_status(
                await self.app.projection_store.status(), await self.app.reactions.status(orders_context)
            )
        except Exception as error:
            return failure(error)

    async def close(self) -> None:
        await self._worker.stop()
        await self.app.close()


# -- Write --


def write_status(statuses: Sequence[ProjectionStatus], reactor: ReactorStatus) -> Response:
    view = next(status for status in statuses if status.name == accounts.name)
    return answer(
        200,
        {
            "function": "processor",
            "head": view.head,
            "checkpoint": view.checkpoint,
            "lag": view.lag,
            "state": view.state,
            "reactor": reactor,
        },
    )


# -- To be deployed --


def create_app() -> Starlette:
    return starlette(AsyncProcessor())


def create_handler() -> Handler:
    return lambda_handler(Processor())


def __getattr__(name: str) -> Handler:
    if name == "handler":  # made when Lambda asks for it, so that importing this file opens nothing
        made = globals()["handler"] = create_handler()
        return made
    raise AttributeError(name)
