"""The page, and one address for all four: what a gateway does in production, here it is a small proxy.

| request | goes to |
| --- | --- |
| `GET /`, `GET /static/NAME` | the page |
| `POST /accounts`, `PUT /accounts/ID/commands/NAME` | the command side |
| `GET /accounts`, `GET /accounts/ID` | the query side |
| `/orders`, `GET /standings` | the order service |
| `GET /status/FUNCTION` | the function's `/status` |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx

from eventsource_upstash.web import Response
from examples.todo.static_files import STATIC as SHARED
from examples.todo.static_files import load

from .hosting import starlette
from .plain import MAX_BODY, Answer, Request, allow, failure, nothing_here, problem

if TYPE_CHECKING:
    from starlette.applications import Starlette

FUNCTIONS: Final = ("commands", "processor", "queries", "orders")

STATIC: Final = {
    "base.css": SHARED["base.css"],  # what all pages of the examples share
    **load(Path(__file__).parent / "static"),
}

TIMEOUT: Final = 10.0
"""Seconds that a function may take. One that is being started again has callers wait."""

# Of one connection, not of what is sent over it; and what the client library says by itself.
HOP_BY_HOP: Final = {
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length",
    "accept-encoding", "content-encoding", "date", "server",
}  # fmt: skip


class Front:
    """Serves the page, and hands all else to the function that it is for."""

    def __init__(self, functions: Mapping[str, str]) -> None:
        self._functions = functions
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    async def start(self) -> None:
        pass

    async def respond(self, request: Request) -> Response:
        try:
            function, target = route(request)
        except Exception as error:
            return failure(error)
        query = request.url.partition("?")[2]
        url = f"{self._functions[function]}{target}" + (f"?{query}" if query else "")
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        try:
            answer = await self._http.request(request.method, url, headers=headers, content=request.body)
        except httpx.InvalidURL:
            return problem(400, "The address is none: its query holds characters that have to be encoded.")
        except httpx.TransportError:
            return problem(502, f"{NAMES[function]} cannot be reached at the moment.", {"Retry-After": "1"})
        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return Response(answer.status_code, kept, answer.content)

    async def close(self) -> None:
        await self._http.aclose()


NAMES: Final = {
    "commands": "The command side",
    "processor": "The event processor",
    "queries": "The query side",
    "orders": "The order service",
}


def route(request: Request) -> tuple[str, str]:
    """Which function a request is for, and the path there. Raises `Answer` for what is answered here."""
    if len(request.body) > MAX_BODY:
        raise Answer(problem(413, f"The request is too large: at most {MAX_BODY:,} bytes are possible."))
    path = quote(request.path)
    match request.parts:
        case [] | [""]:
            allow(request, "GET")
            raise Answer(static(request, "index.html"))
        case ["static", name] if name in STATIC:
            allow(request, "GET")
            raise Answer(static(request, name))
        case ["status", function] if function in FUNCTIONS:
            return function, "/status"
        case ["accounts", _, "commands", _]:
            return "commands", path
        case ["accounts"]:
            allow(request, "GET", "POST")
            return "commands" if request.method == "POST" else "queries", path
        case ["accounts", *_]:
            return "commands" if request.method == "POST" else "queries", path
        case ["orders" | "standings", *_]:
            return "orders", path
        case _:
            raise nothing_here()


def static(request: Request, name: str) -> Response:
    file = STATIC[name]
    if request.headers.get("if-none-match") == file.headers["ETag"]:
        return Response(304, file.headers, b"")
    return Response(200, file.headers, file.content)


def create_app() -> Starlette:
    """The front, for functions where the environment says: COMMANDS_URL and so on."""
    return starlette(Front({name: os.environ[f"{name.upper()}_URL"].rstrip("/") for name in FUNCTIONS}))
