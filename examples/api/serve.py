"""Serve the API and its page on this machine: `python -m examples.api.serve [-v]`.

PORT (8000) says where, API_BACKEND (`sqlite:api.db`) where the events are kept; the spans of time that the environment
can set are in `settings.py`. With `upstash:`, EVENTSOURCE_NOTIFY_URL has to be this server's `/projections`, as the
open network sees it; a QStash on this machine (`make api-upstash`) finds it without.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys

import uvicorn

from eventsource_upstash import EventSourceError
from examples.todo.serve import HOST, expect_notifications, listen

from .asgi_app import create_app
from .service import Service
from .settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.api.serve", description="Serve the API.")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each step that a command takes")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("eventsource_upstash").setLevel(logging.INFO if arguments.verbose else logging.WARNING)
    try:
        listener = listen(os.environ.get("PORT") or "8000", os.environ.get("API_COMMAND") or "make api")
        port = listener.getsockname()[1]
        settings = Settings.from_env()
        if settings.backend.startswith("upstash:"):
            expect_notifications(port, "make api-upstash")
        asyncio.run(check(settings))
    except (EventSourceError, OSError, ValueError) as error:
        sys.exit(f"The API cannot be served: {error}")
    config = uvicorn.Config(create_app(Service(settings)), log_level="warning", timeout_graceful_shutdown=5)
    print(f"API: http://{HOST}:{port}  (events in {settings.backend}; Ctrl+C stops)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


async def check(settings: Settings) -> None:
    """Fail now, and in words, if the backend cannot be used."""
    service = Service(settings)
    try:
        await service.app.event_store.head()
    finally:
        await service.close()


if __name__ == "__main__":
    main()
