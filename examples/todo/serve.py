"""Serve the to-do list on this machine: `python -m examples.todo.serve [starlette|fastapi|flask|django] [-v]`.

PORT (8000) says where, TODO_BACKEND (`sqlite:todo.db`) where the events are kept. `-v` shows each step that a command
takes, from the append to the view. With `upstash:`, EVENTSOURCE_NOTIFY_URL has to be this server's `/projections`, as
the open network sees it; a QStash on this machine (`make todo-upstash`) finds it without.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn

from eventsource_upstash import EventSourceError

from .app import AsyncTodo, Todo, backend_url

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOST = "127.0.0.1"

NOTIFY_URL = "EVENTSOURCE_NOTIFY_URL"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.todo.serve", description="Serve the to-do list.")
    parser.add_argument(
        "framework", nargs="?", default="starlette", choices=["starlette", "fastapi", "flask", "django"]
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show each step that a command takes")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("eventsource_upstash").setLevel(logging.INFO if arguments.verbose else logging.WARNING)
    url = backend_url()
    try:
        listener = listen(os.environ.get("PORT") or "8000")
        port = listener.getsockname()[1]
        if url.startswith("upstash:"):
            expect_notifications(port)
        check(url)
    except (EventSourceError, OSError, ValueError) as error:
        sys.exit(f"The to-do list cannot be served: {error}")
    run = SERVERS[arguments.framework](listener, port)
    print(f"To-do list: http://{HOST}:{port}  (events in {url}; Ctrl+C stops)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        run()


def check(url: str) -> None:
    """Fail now, and in words, if the backend cannot be used."""
    todo = Todo(url)
    try:
        todo.app.event_store.head()
    finally:
        todo.close()


def expect_notifications(port: int, command: str = "make todo-upstash") -> None:
    """See that QStash can reach this server. One on this machine need not be told where that is.

    Raises `ValueError` with a message for the person. What else may be wrong with the environment, `connect` says.
    """
    local = is_local(os.environ.get("QSTASH_URL", ""))
    if local and not os.environ.get("QSTASH_TOPIC"):
        os.environ.setdefault(NOTIFY_URL, f"http://{HOST}:{port}/projections")
    url = os.environ.get(NOTIFY_URL)
    if not url:
        return
    if not urlsplit(url).path.endswith("/projections"):
        raise ValueError(f"{NOTIFY_URL} has to end with /projections, which is where this app takes notifications.")
    if is_local(url) and not local:
        raise ValueError(
            f"{NOTIFY_URL} names this machine, which QStash cannot reach. Name the URL that the open network knows, "
            f"such as that of a tunnel; or use an Upstash on this machine: {command}."
        )


def is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def listen(port: str, command: str = "") -> socket.socket:
    """Listen on a port of this machine only. Raises `ValueError` or `OSError` with a message for the person.

    The command is what the person typed, to be repeated in the message.
    """
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"PORT={port!r} is not a port: it is a number from 0 to 65535.")
    # The protocol is named because asyncio only then sends small answers at once (TCP_NODELAY) instead of 40 ms later.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    command = command or os.environ.get("TODO_COMMAND") or "make todo"  # see serve_upstash.py
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, int(port)))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: f"port {port} is taken by another program. Choose another: PORT=8001 {command}.",
            errno.EACCES: f"port {port} is reserved by the system. Choose another: PORT=8001 {command}.",
        }
        raise OSError(reasons.get(error.errno or 0, f"port {port}: {error.strerror}")) from None
    return listener


class Server(uvicorn.Server):
    """Ends the feeds first when it is told to stop: each is a response that would never end by itself."""

    def __init__(self, config: uvicorn.Config, todo: AsyncTodo) -> None:
        super().__init__(config)
        self.todo = todo

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.todo.feed.close()
        super().handle_exit(sig, frame)


def asgi(create_app: Callable[[AsyncTodo], ASGIApp], listener: socket.socket) -> Callable[[], None]:
    todo = AsyncTodo()
    config = uvicorn.Config(create_app(todo), log_level="warning", timeout_graceful_shutdown=5)
    return partial(Server(config, todo).run, sockets=[listener])


def starlette(listener: socket.socket, port: int) -> Callable[[], None]:
    from . import starlette_app

    return asgi(starlette_app.create_app, listener)


def fastapi(listener: socket.socket, port: int) -> Callable[[], None]:
    from . import fastapi_app

    return asgi(fastapi_app.create_app, listener)


def flask(listener: socket.socket, port: int) -> Callable[[], None]:
    from werkzeug.serving import make_server

    from . import flask_app

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    return make_server(HOST, port, flask_app.create_app(), threaded=True, fd=listener.fileno()).serve_forever


def django(listener: socket.socket, port: int) -> Callable[[], None]:
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    from . import django_app

    logging.getLogger("django").setLevel(logging.ERROR)
    logging.getLogger("django.server").setLevel(logging.ERROR)
    listener.close()  # this server can only listen for itself
    server = ThreadedWSGIServer((HOST, port), WSGIRequestHandler)
    server.set_app(django_app.application)
    return server.serve_forever


SERVERS = {"starlette": starlette, "fastapi": fastapi, "flask": flask, "django": django}

if __name__ == "__main__":
    main()
