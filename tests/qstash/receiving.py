"""An app's endpoint on a port of this machine, which the local QStash delivers to under its public URL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from eventsource_upstash.web import Request, Response

PUBLIC = "https://app.example.com"
Answer = Callable[[Request], Response]


def ok(request: Request) -> Response:
    return Response(200, {}, b"")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
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
