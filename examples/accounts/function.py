"""Serve one of the functions on this machine: `python -m examples.accounts.function commands`.

PORT says where, or `--fd` names a socket that is listened on already: then callers wait while a function is started
again. ACCOUNTS_BACKEND, ORDERS_BACKEND and ORDERS_URL are told to each that needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from eventsource_upstash import EventSourceError, Registry, connect
from examples.todo.serve import HOST, listen

from . import commands, front, processor, queries, settings
from .orders import service

if TYPE_CHECKING:
    from starlette.applications import Starlette

FUNCTIONS: dict[str, Callable[[], Starlette]] = {
    "commands": commands.create_app,
    "processor": processor.create_app,
    "queries": queries.create_app,
    "orders": service.create_app,
    "front": front.create_app,
}


BACKENDS: dict[str, Callable[[], str]] = {
    "commands": settings.accounts_backend,
    "processor": settings.accounts_backend,
    "queries": settings.accounts_backend,
    "orders": settings.orders_backend,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.accounts.function", description="Serve one function.")
    parser.add_argument("name", choices=FUNCTIONS)
    parser.add_argument("--fd", type=int, help="a socket that is listened on already")
    arguments = parser.parse_args()
    logging.basicConfig(format=f"%(asctime)s {arguments.name}: %(message)s")
    try:
        listener = socket.socket(fileno=arguments.fd) if arguments.fd else listen(os.environ.get("PORT") or "8000")
        if arguments.name in BACKENDS:
            check(BACKENDS[arguments.name]())
        app = FUNCTIONS[arguments.name]()
    except (EventSourceError, OSError, ValueError) as error:
        sys.exit(f"{arguments.name} cannot be served: {error}")
    print(f"{arguments.name}: http://{HOST}:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def check(url: str) -> None:
    """Fail now, and in words, if the backend cannot be used."""
    if url.startswith("memory:"):
        raise ValueError("functions share a log, so it cannot be in the memory of one: use sqlite:FILE or upstash:.")
    with connect(url, Registry()) as app:
        app.event_store.head()


if __name__ == "__main__":
    main()
