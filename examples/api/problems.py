"""Errors as problem details (RFC 9457): each has a `detail` for the person. Never a traceback, nothing inner."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route

from eventsource_upstash import (
    ConcurrencyError,
    EventSourceError,
    IdempotencyKeyReused,
    Limited,
    LogRewound,
    Misuse,
    OutcomeUnknown,
    ProjectionStopped,
    StaleView,
    Unavailable,
)

from .domain import Forbidden, Refusal, Unknown

_log = logging.getLogger("api")

_AGAIN = {"Retry-After": "1"}


class SignedOut(Exception):
    """No session, or none any more."""


class TooMany(Exception):
    """A rate limit turned the request away."""

    def __init__(self, limited: Limited) -> None:
        super().__init__(limited.limit)
        self.limited = limited


class NotModified(Exception):
    """The caller has what it asks for: no error, and no answer to be made either."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(304)
        self.headers = headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error, as it is sent."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(
        json.dumps(body), status, {"Cache-Control": "no-store", **(headers or {})}, "application/problem+json"
    )


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Have an application with these routes answer every error this way."""

    async def answer(request: Request, error: Exception) -> Response:
        response = told(error)
        if response.status_code == 405:  # each route knows of its own methods only
            response.headers["Allow"] = _allowed(routes, request)
        limited: Limited | None = getattr(request.state, "limited", None)
        if limited is not None:  # counted, whatever came of the request
            response.headers.update(limited.headers)
        return response

    app.add_exception_handler(NotModified, _not_modified)
    for kind in (RequestValidationError, HTTPException, SignedOut, TooMany, Refusal, EventSourceError, Exception):
        app.add_exception_handler(kind, answer)


async def _not_modified(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotModified)
    return Response(status_code=304, headers=dict(error.headers))


def _allowed(routes: Sequence[BaseRoute], request: Request) -> str:
    matching = [each for each in routes if isinstance(each, Route) and each.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in matching for method in route.methods or ()}))


def told(error: Exception) -> Response:
    """What a person is told of an error."""
    match error:
        case RequestValidationError():
            return _invalid(error)
        case HTTPException(status_code=404):
            return problem(404, "There is nothing at this address.")
        case HTTPException(status_code=405):
            return problem(405, "This address does not take that method.", error.headers)
        case HTTPException():
            return problem(error.status_code, str(error.detail), error.headers)
        case SignedOut():
            return problem(401, "Please sign in: there is no session, or it has ended.", {"WWW-Authenticate": "Bearer"})
        case TooMany(limited=limited) if limited.counted:
            seconds = limited.headers["Retry-After"]
            return problem(
                429,
                f"Too many requests: {limited.limit} in a row are possible. Try again in {seconds} s.",
                limited.headers,
            )
        case TooMany(limited=limited):
            return problem(503, "This cannot be answered at the moment. Please try again.", limited.headers)
        case Unknown():
            return problem(404, str(error))
        case Forbidden():
            return problem(403, str(error))
        case Refusal():
            return problem(422, str(error))
        case ConcurrencyError():
            return problem(409, "Somebody else changed this at the same moment. Please try again.")
        case IdempotencyKeyReused():
            return problem(422, "This Idempotency-Key stands for another request already. Use a new one.")
        case StaleView():
            return problem(503, "The view has not got that far yet. Please try again.", _AGAIN)
        case LogRewound(asked=True):
            return problem(409, "The log has no such position (any more). Please load the page again.")
        case ProjectionStopped():
            _log.error("a view has stopped", exc_info=error)
            return problem(503, "A view has stopped: an event could not be folded.")
        case Misuse():
            _log.error("a request was not understood by the library", exc_info=error)
            return problem(400, "The request cannot be carried out as it is.")
        case Unavailable() | OutcomeUnknown():
            _log.warning("the backend did not answer", exc_info=error)
            return problem(503, "The API cannot be reached at the moment. Please try again.", _AGAIN)
        case EventSourceError():
            _log.error("the backend refused", exc_info=error)
            return problem(503, "The API cannot be reached at the moment.")
        case _:
            _log.error("unexpected error", exc_info=error)
            return problem(500, "Something went wrong on the server.")


def _invalid(error: RequestValidationError) -> Response:
    """What does not fit. It names the place and what is expected there, and repeats nothing of what was sent."""
    first = error.errors()[0]
    where, *path = (str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return problem(400, "The body is not valid JSON.")
    place = ".".join(path)
    if where == "header":
        return problem(400, f"The header {path[0].title()} cannot be: {first['msg']}.")
    if where == "body":
        about = (
            f"{place}: {first['msg']}" if place else "a JSON object is expected, with Content-Type: application/json"
        )
        return problem(422, f"The body is not what is expected here: {about}.")
    return problem(400, f"{place} cannot be: {first['msg']}.")
