"""A web function without a web framework: plain requests to plain responses, and what all functions say alike.

Each function does it in three steps: it reads a request as work, does the work, which is the only step that waits, and
writes what came of it, or the error, as a response.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from eventsource_upstash import (
    ConcurrencyError,
    EventSourceError,
    IdempotencyKeyReused,
    Misuse,
    OutcomeUnknown,
    ProjectionStopped,
    StaleView,
    Unavailable,
    web,
)
from eventsource_upstash.web import Response

_log = logging.getLogger("accounts")

MAX_BODY: Final = 64 * 1024
"""Longest request body, in bytes. What is longer is refused before it is read."""

PATIENCE: Final = 2.0
"""Seconds that a query waits for a view to get as far as it asks for."""

SECURITY: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request in plain values: the path decoded, the URL as it was called, names of headers in lower case."""

    method: str
    path: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    @property
    def parts(self) -> list[str]:
        """The path in its parts: `["accounts", "7", "commands", "suspend"]`."""
        return self.path.rstrip("/").split("/")[1:]

    def for_library(self) -> web.Request:
        """The same for an endpoint of the library."""
        return web.Request(self.method, self.url, self.headers, self.body)


class Function(Protocol):
    """A function that can be deployed, for callers that block: AWS Lambda."""

    def respond(self, request: Request) -> Response: ...


class AsyncFunction(Protocol):
    """The same on an event loop: ASGI."""

    async def start(self) -> None: ...
    async def respond(self, request: Request) -> Response: ...
    async def close(self) -> None: ...


class Answer(Exception):
    """A response that is given at once: there is nothing to do for the request."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


# -- Read --


def allow(request: Request, *methods: str) -> None:
    """Raises `Answer` for other methods. HEAD is taken where GET is."""
    if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
        allowed = ", ".join(methods)
        raise Answer(problem(405, f"This address takes {allowed}, not {request.method[:20]}.", {"Allow": allowed}))


def nothing_here() -> Answer:
    return Answer(problem(404, "There is nothing at this address."))


def number(request: Request, name: str) -> int | None:
    """A whole number from the query; None where there is none. Raises `Answer`."""
    values = parse_qs(urlsplit(request.url).query, keep_blank_values=True).get(name)
    if values is None:
        return None
    return whole(values[-1], f"{name} is a whole number from 0.")


def whole(text: str, otherwise: str) -> int:
    """A text as a whole number. Raises `Answer`."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Answer(problem(400, otherwise))
    return int(text)


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= 150 and key.isascii() and key.isprintable()):
        raise Answer(problem(400, "Idempotency-Key is a printable text of 1 to 150 ASCII characters."))
    return key


def if_match(request: Request) -> int | None:
    """The revision that a caller expects: `If-Match: "3"`, or None."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    quoted = text.strip()
    inner = quoted[1:-1] if len(quoted) > 2 and quoted[0] == quoted[-1] == '"' else ""
    return whole(inner, 'If-Match is the revision that the account has to be at, in quotes: "3".')


def body(request: Request, kind: type[T]) -> T:
    """The body, read as JSON. Raises `Answer`."""
    if len(request.body) > MAX_BODY:
        raise Answer(problem(413, f"The request is too large: at most {MAX_BODY:,} bytes are possible."))
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise Answer(problem(415, "The request has to be JSON: Content-Type: application/json."))
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        raise Answer(problem(422, f"The JSON is not what is expected here: {error}.")) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Answer(problem(400, "The request is not valid JSON in UTF-8.")) from None


# -- Write --


def answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    common = {**SECURITY, "Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(status, {**common, **(headers or {})}, msgspec.json.encode(value))


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **members: str | int) -> Response:
    """An error as RFC 9457 has it; `detail` is for the person, further members are for programs."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    common = {**SECURITY, "Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    return Response(status, {**common, **(headers or {})}, json.dumps(told).encode())


def failure(error: Exception, told: Callable[[Exception], Response | None] = lambda _: None) -> Response:
    """What a caller is told of an error. Never a traceback, never a detail that is only for operators.

    Args:
        error: The error.
        told: Answers what the function itself knows to say of its own errors, or None.
    """
    own = told(error)
    if own is not None:
        return own
    again = {"Retry-After": "1"}
    match error:
        case Answer():
            return error.response
        case ConcurrencyError():
            return problem(409, "Somebody else changed this at the same moment. Please try again.", again)
        case IdempotencyKeyReused():
            return reused()
        case StaleView():
            return problem(503, "The view has not got that far yet. Please try again.", again)
        case ProjectionStopped():
            _log.error("a view has stopped", exc_info=error)
            return problem(503, "The view has stopped: an event could not be folded.")
        case Misuse():
            _log.error("a request was not understood by the library", exc_info=error)
            return problem(400, "The request cannot be carried out as it is.")
        case Unavailable() | OutcomeUnknown():
            _log.warning("the backend did not answer", exc_info=error)
            return problem(503, "The log cannot be reached at the moment. Please try again.", again)
        case EventSourceError():
            _log.error("the backend refused", exc_info=error)
            return problem(503, "The log cannot be reached at the moment.")
        case _:
            _log.error("unexpected error", exc_info=error)
            return problem(500, "Something went wrong on the server.")


def reused() -> Response:
    return problem(422, "This Idempotency-Key stands for another request already. Use a new one.")
