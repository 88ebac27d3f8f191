"""A server on real sockets that does to each request what it is told to: the other side of the transport's faults."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.canary import secret

TOKEN = secret("token-of-a-database")


class Exchange:
    """One request, and the means to answer it."""

    def __init__(self, server: Server, connection: socket.socket, number: int, head: str, body: bytes) -> None:
        self.server = server
        self.connection = connection
        self.number = number
        self.method, self.path, _ = head.split(" ", 2)
        lines = head.split("\r\n")[1:]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body
        self.command: list[str] = json.loads(body) if body else []
        self.open = True

    def apply(self) -> None:
        """Do what is asked."""
        self.server.applied.append(self.command)

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, body: bytes, *, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} -", f"content-type: {kind}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    def result(self, value: object, **headers: str) -> None:
        self.reply(json.dumps({"result": value}).encode(), **headers)

    def error(self, text: str, *, status: int = 400, **headers: str) -> None:
        self.reply(json.dumps({"error": text}).encode(), status=status, **headers)

    def hang_up(self) -> None:
        self.open = False

    def reset(self) -> None:
        """Hang up in the rough way, as a machine does that is switched off and on again."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.open = False


Act = Callable[[Exchange], None]


class Server:
    """Answers requests in threads, each as the next of `acts` does; when there are none left, by `otherwise`.

    Attributes:
        acts: What to do to the next requests.
        seen: Every request.
        applied: The commands that were done.
        connections: How many connections there were.
        stopping: Set when the test is over: whoever keeps a client waiting waits on it.
    """

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.otherwise: Act = answer
        self.seen: list[Exchange] = []
        self.applied: list[list[str]] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self._closed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Server:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join()

    @property
    def commands(self) -> list[list[str]]:
        return [each.command for each in self.seen]

    def wait_until_all_is_closed(self) -> None:
        """Wait until the server has closed every connection that it had."""
        with self._closed:
            self._closed.wait_for(lambda: not self._open)

    def drop_connections(self) -> None:
        """Close every connection, whatever goes on there."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with connection, suppress(OSError), connection.makefile("rb") as reader:
                while (exchange := self._read(connection, number, reader)) is not None:
                    with self._lock:
                        self.seen.append(exchange)
                        act = self.acts.pop(0) if self.acts else self.otherwise
                    act(exchange)
                    if not exchange.open:
                        return
        finally:
            with self._closed:
                self._open.discard(connection)
                self._closed.notify_all()

    def _read(self, connection: socket.socket, number: int, reader: Any) -> Exchange | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                return None
            head += line
        text = head[:-4].decode("latin-1")
        length = next((int(each[15:]) for each in text.lower().split("\r\n") if each.startswith("content-length:")), 0)
        body = reader.read(length)
        return Exchange(self, connection, number, text, body) if len(body) == length else None


def answer(exchange: Exchange) -> None:
    """Do it, and answer with the command itself."""
    exchange.apply()
    exchange.result(exchange.command)


def lose_request(exchange: Exchange) -> None:
    exchange.hang_up()


def lose_answer(exchange: Exchange) -> None:
    exchange.apply()
    exchange.hang_up()


def reset(exchange: Exchange) -> None:
    exchange.apply()
    exchange.reset()


def answer_and_hang_up(exchange: Exchange) -> None:
    """As a server does that closes idle connections: without telling beforehand."""
    answer(exchange)
    exchange.hang_up()


def cut_off(exchange: Exchange) -> None:
    """The connection is lost amid the body."""
    exchange.apply()
    exchange.raw(b'HTTP/1.1 200 -\r\ncontent-length: 50\r\n\r\n{"result":')
    exchange.hang_up()


def cut_off_head(exchange: Exchange) -> None:
    exchange.apply()
    exchange.raw(b"HTTP/1.1 200 -\r\ncontent-le")
    exchange.hang_up()


def half_json(exchange: Exchange) -> None:
    """All that was announced, but not all that there was."""
    exchange.apply()
    exchange.reply(b'{"result":["a","b')


def no_json(exchange: Exchange) -> None:
    exchange.apply()
    exchange.reply(b"result=ok", kind="text/plain")


def other_json(exchange: Exchange) -> None:
    exchange.apply()
    exchange.reply(b'{"message":"welcome"}')


def no_http(exchange: Exchange) -> None:
    exchange.apply()
    exchange.raw(b"220 smtp.example.com ready\r\n")
    exchange.hang_up()


def bad_gzip(exchange: Exchange) -> None:
    exchange.apply()
    exchange.reply(b'{"result":1}', content_encoding="gzip")


def proxy_page(status: int, *, done: bool = True, **headers: str) -> Act:
    """A page of a proxy's, which may have passed the request on."""

    def act(exchange: Exchange) -> None:
        if done:
            exchange.apply()
        exchange.reply(b"<html><title>Bad gateway</title>", status=status, kind="text/html; charset=utf-8", **headers)

    return act


def error(text: str, status: int = 400, **headers: str) -> Act:
    return lambda exchange: exchange.error(text, status=status, **headers)


def keep_waiting(exchange: Exchange) -> None:
    """Do it, and say nothing any more."""
    exchange.apply()
    exchange.server.stopping.wait()
    exchange.hang_up()


def drip(exchange: Exchange) -> None:
    """A byte now and then, without an end: no single read takes long."""
    exchange.apply()
    exchange.raw(b"HTTP/1.1 200 -\r\ncontent-length: 1000000\r\n\r\n")
    with suppress(OSError):
        while not exchange.server.stopping.wait(0.001):
            exchange.raw(b" ")
    exchange.hang_up()
