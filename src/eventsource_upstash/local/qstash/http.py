"""What every request to the API goes through: who it is from, how large it may be, what is said when it fails."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from redis.exceptions import RedisError

from ..metering import ANONYMOUS, CALLER_HEADER, caller_name
from .broker import Broker
from .errors import ApiError
from .expressions import DAY
from .plain_text import plain, plain_headers

__all__ = ["BROKER", "agent_of", "answer", "empty", "guarding", "headers_of", "json_body", "query_of", "quota", "tail"]

BROKER: Final = web.AppKey("broker", Broker)

DEVELOPMENT: Final = {"Upstash-Local": "development only"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

_log: Final = logging.getLogger("eventsource_upstash.local.qstash")


def answer(value: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def empty(status: int = 200) -> web.Response:
    """An answer that says nothing."""
    return web.Response(status=status)


@web.middleware
async def guarding(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse who has no token, answer errors as JSON, count, and say that this is no service."""
    broker = request.app[BROKER]
    caller = ANONYMOUS  # who is not let in has no name
    numbers = {"requests": 1, "bytes_in": request.content_length or 0, "bytes_out": 0, "errors": 0}
    try:
        if not request.path.startswith("/dev/"):  # there, `guard` lets this machine in only
            _authorise(request, broker.settings.token)
            caller = agent_of(request)
        response = await handler(request)
    except ApiError as refused:
        response = _problem(refused.status, refused.message)
        response.headers.update(refused.headers)
    except web.HTTPException as refused:
        response = _problem(refused.status, refused.reason)
    except RedisError:
        _log.exception("%s failed: Valkey did not take it", _asked(request))
        response = _problem(500, "internal error: the database of the local QStash did not answer")
    except Exception:
        _log.exception("%s failed", _asked(request))
        response = _problem(500, "internal error of the local QStash: see its log")
    if response.status >= 400:
        numbers["errors"] = 1
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        numbers["bytes_out"] = len(response.body)
    if not request.path.startswith("/dev/"):
        broker.meter.add(caller, numbers)
    if not response.prepared:
        response.headers.update(DEVELOPMENT)
    return response


def agent_of(request: web.Request) -> str:
    """The name under which the cost of a request is counted."""
    _, _, name = _token(request).partition("~")
    return caller_name(request.headers.get(CALLER_HEADER), name)


def query_of(request: web.Request) -> list[tuple[str, str]]:
    """The parameters of a request, without the token."""
    return [(name, value) for name, value in request.query.items() if name != "qstash_token"]


def headers_of(request: web.Request) -> list[tuple[str, str]]:
    """The headers of a request."""
    return plain_headers(request.headers)


def tail(request: web.Request, words: int) -> str:
    """What follows in the path after so many words: the destination, raw, with its own query.

    Args:
        request: As in `POST /v2/publish/https://app.example.com/a?b=c`.
        words: How many words come before it: 2 for `/v2/publish/`.
    """
    raw = plain(request.raw_path)
    rest = raw.split("/", words + 1)[words + 1]
    return re.sub(r"(?<=[?&])qstash_token=[^&#]*&?", "", rest).rstrip("?&")


async def json_body(request: web.Request, kind: type[T]) -> T:
    """The body, as a value of this type.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (ValueError, RecursionError) as problem:
        raise ApiError(400, f"invalid body: {problem}") from problem


def quota(now: int) -> web.Response:
    """What is answered when the day's messages are used up: the SDKs know it by its headers.

    Args:
        now: Unix milliseconds. The next day begins at midnight, UTC.
    """
    # "Time (in unix timestamp) when the daily limit will reset" (page API Rate Limit Response).
    reset = (now // DAY + 1) * DAY // 1000
    return web.Response(
        body=msgspec.json.encode({"error": "Exceeded daily rate limit. Please upgrade your plan"}),
        status=429,
        content_type="application/json",
        headers={"RateLimit-Limit": "1000", "RateLimit-Remaining": "0", "RateLimit-Reset": str(reset)},
    )


def _asked(request: web.Request) -> str:
    """What was asked for, without what stands in the path: a destination may hold a password."""
    route = request.match_info.route.resource
    return f"{request.method} {'?' if route is None else route.canonical}"


def _problem(status: int, message: str) -> web.Response:
    return answer({"error": plain(message)}, status)


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _authorise(request: web.Request, expected: str) -> None:
    given = _token(request) or dict(parse_qsl(request.query_string)).get("qstash_token", "")
    token, _, _ = given.partition("~")
    # Compared whole, whatever is wrong with it: how long it takes tells nothing about the token.
    if not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), expected.encode()):
        raise ApiError(401, "unable to authenticate: invalid token" if given else "unable to authenticate: no token")
