"""Serve the to-do list on this machine: `python -m examples.todo.serve [starlette|fastapi|flask|django] [-v]`.

PORT (8000) says where, TODO_BACKEND (`sqlite:todo.db`) where the events are kept. `-v` shows each step that a command
takes, from the append to the view.
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

import uvicorn

from eventsource_upstash import EventSourceError

from .app import AsyncTodo, Todo, backend_url

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOST = "127.0.0.1"


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
        check(url)
        listener = listen(os.environ.get("PORT") or "8000")
    except (EventSourceError, OSError, ValueError) as error:
        sys.exit(f"The to-do list cannot be served: {error}")
    port = listener.getsockname()[1]
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


def listen(port: str) -> socket.socket:
    """Listen on a port of this machine only. Raises `ValueError` or `OSError` with a message for the person."""
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"PORT={port!r} is not a port: it is a number from 0 to 65535.")
    # The protocol is named because asyncio only then sends small answers at once (TCP_NODELAY) instead of 40 ms later.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, int(port)))
        listener.listen(128)
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: f"port {port} is taken by another program. Choose another: PORT=8001 make todo.",
            errno.EACCES: f"port {port} is reserved by the system. Choose another: PORT=8001 make todo.",
        }
        raise OSError(reasons.get(error.errno or 0, f"port {port}: {error.strerror}")) from None
    return listener


class Server(uvicorn.Server):
    """Ends the live logs first when it is told to stop: each is a response that would never end by itself."""

    def __init__(self, config: uvicorn.Config, todo: AsyncTodo) -> None:
        super().__init__(config)
        self.todo = todo

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.todo.bell.close()
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
