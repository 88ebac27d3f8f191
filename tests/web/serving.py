"""Serves the leaderboard in a file, for a browser: `python -m tests.web.serving asgi|wsgi FILE PORT`."""

from __future__ import annotations

import socket
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from eventsource_upstash import AsyncApp, SQLite
from eventsource_upstash.web import asgi_view, wsgi_view
from tests.web.players import Players


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(colour: str, file: str, port: int) -> None:
    players = Players(SQLite(file))
    if colour == "wsgi":
        view = wsgi_view(players.app, players.players, path="/players", interval=0.1, retry=50)
        server = make_server("127.0.0.1", port, view, Threads, Quiet)
        say(f"port {server.server_port}")
        server.serve_forever()
    listener = socket.create_server(("127.0.0.1", port))
    say(f"port {listener.getsockname()[1]}")
    app = AsyncApp(SQLite(file), players.registry, None)
    served = asgi_view(app, players.players, path="/players", interval=0.1, retry=50)
    uvicorn.Server(uvicorn.Config(served, log_level="error")).run(sockets=[listener])


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
