"""Serve the quota on this machine: `python -m examples.quota.serve [-v]`.

PORT (8000) says where, QUOTA_BACKEND (`sqlite:quota.db`) where the events are, QUOTA_DATABASE
(`sqlite:///quota-table.db`) where the table is.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.serving import make_server

from eventsource_upstash import EventSourceError
from examples.todo.serve import HOST, expect_notifications, listen

from .http_api import create_app
from .service import DEFAULT_BACKEND, Quota, why


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.quota.serve", description="Serve the quota.")
    parser.add_argument("-v", "--verbose", action="store_true", help="show each step that a command takes")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("eventsource_upstash").setLevel(logging.INFO if arguments.verbose else logging.WARNING)
    logging.getLogger("quota").setLevel(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, stop)
    backend = os.environ.get("QUOTA_BACKEND") or DEFAULT_BACKEND
    try:
        listener = listen(os.environ.get("PORT") or "8000", os.environ.get("QUOTA_COMMAND") or "make quota")
        port = listener.getsockname()[1]
        if backend.startswith("upstash:"):
            expect_notifications(port, "make quota-upstash")
        quota = Quota()
        app = create_app(quota)
        quota.step()
    except (EventSourceError, SQLAlchemyError, ImportError, OSError, ValueError) as error:
        sys.exit(f"The quota cannot be served: {why(error)}")
    database = quota.engine.url.render_as_string(hide_password=True)
    server = make_server(HOST, port, app, threaded=True, fd=listener.fileno())
    print(f"Quota: http://{HOST}:{port}  (events in {backend}, table in {database}; Ctrl+C stops)", flush=True)
    with contextlib.closing(quota), contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def stop(number: int, frame: FrameType | None) -> None:
    """End in order: what is open is closed on the way out."""
    sys.exit()


if __name__ == "__main__":
    main()
