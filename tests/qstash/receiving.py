"""An app's endpoint on a port of this machine, which the local QStash delivers to under its public URL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, cast

from eventsource_upstash.backends.qstash import QStash
from eventsource_upstash.local.qstash.clock import Clock
from eventsource_upstash.local.server import LocalUpstash
from eventsource_upstash.web import Request, Response

PUBLIC = "https://app.example.com"
Answer = Callable[[Request], Response]


def ok(request: Request) -> Response:
    return Response(200, {}, b"")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a batch arrives at once
    site: Site


class Site:
    """Keeps what arrives, and answers it by `answer`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.statuses: list[int] = []
        self.answer: Answer = ok
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.site = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        site = cast("_Server", self.server).site
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request("POST", f"http://{headers['host']}{self.path}", headers, body)
        site.requests.append(request)
        response = site.answer(request)
        site.statuses.append(response.status)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing on standard error."""


class Place(NamedTuple):
    """A local QStash, the site that it delivers to under the public URL, and its clock."""

    upstash: LocalUpstash
    site: Site
    clock: Clock

    def reset(self) -> None:
        self.upstash.faults.clear()
        self.upstash.run(self.upstash.qstash.reset())
        self.site.requests.clear()
        self.site.statuses.clear()
        self.site.answer = ok

    def transport(self, destination: str = f"{PUBLIC}/projections", **options: Any) -> QStash:
        return QStash.from_env(destination, environ=self.upstash.environment(), namespace="todo", **options)

    def deliver(self, seconds: float = 0) -> None:
        """Let QStash send what is due within so many seconds, and wait for the answers."""
        if seconds:
            self.upstash.run(self.upstash.qstash.advance(seconds))
        self.upstash.run(self.upstash.qstash.idle())

    def in_seconds(self, seconds: float) -> int:
        """Microseconds since 1970, by the clock of QStash."""
        return self.clock.now() * 1000 + round(seconds * 1_000_000)
