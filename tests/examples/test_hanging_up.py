"""Whoever hangs up amid a request leaves no traceback in the log of a server: the ASGI apps of all examples."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from examples.accounts import commands
from examples.accounts.hosting import starlette
from examples.api.asgi_app import create_app
from examples.api.service import Service
from examples.api.settings import Settings
from examples.todo import fastapi_app, starlette_app
from examples.todo.app import AsyncTodo

App = Callable[..., Awaitable[None]]

APPS: dict[str, tuple[Callable[[], App], str]] = {
    "to-do on Starlette": (lambda: starlette_app.create_app(AsyncTodo("memory:")), "/api/tasks"),
    "to-do on FastAPI": (lambda: fastapi_app.create_app(AsyncTodo("memory:")), "/api/tasks"),
    "accounts": (lambda: starlette(commands.AsyncCommands("memory:")), "/accounts"),
    "API": (lambda: create_app(Service(Settings("memory:", report_takes=timedelta(0)))), "/session"),
}


@pytest.mark.parametrize("name", APPS)
def test_whoever_hangs_up_amid_a_request_is_no_error(name: str) -> None:
    make, path = APPS[name]

    async def main() -> list[Any]:
        sent: list[Any] = []
        arriving = [{"type": "http.request", "body": b'{"te', "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return arriving.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), (b"content-length", b"40")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
        }
        await make()(scope, receive, send)
        assert not arriving
        return sent

    assert [each["status"] for each in asyncio.run(main()) if "status" in each] in ([], [400])
