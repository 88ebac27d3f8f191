"""The endpoint as an ASGI application: by hand, and under uvicorn."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from eventsource_upstash.web import asgi_app
from tests.unit.todo import Todo
from tests.web.support import SECRETS, URL, Signed, signed, with_tasks

BODY = b'{"position": 3}'


def scope(**more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": "/projections",
        "raw_path": b"/projections",
        "query_string": b"",
        "headers": [
            (b"Host", b"app.example.com"),
            *((name.title().encode(), value.encode()) for name, value in signed(BODY).items()),
        ],
        "server": ("10.0.0.7", 8080),
        **more,
    }


def call(
    scope: dict[str, Any], *messages: dict[str, Any], app: Any = None, **options: Any
) -> tuple[int, dict[str, str], bytes] | None:
    """Hand a request over; answers what was sent back, or None if nothing was."""
    if app is None:
        _, coloured, _ = with_tasks()
        app = asgi_app(coloured, verifier=Signed(), **options)
    incoming = list(messages or [{"type": "http.request", "body": BODY, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        assert incoming, "it asks for more than there is"
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if not sent:
        return None
    start, body = sent
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert headers["content-length"] == str(len(body["body"]))
    return start["status"], headers, body["body"]


def status(*arguments: Any, **options: Any) -> int:
    answer = call(*arguments, **options)
    assert answer is not None
    return answer[0]


def test_a_notification() -> None:
    answer = call(scope())
    assert answer is not None
    assert answer[0] == 200
    assert answer[1]["content-type"] == "application/json"
    assert answer[2] == b'{"applied":3,"position":3,"head":3}'


def test_a_body_in_pieces() -> None:
    pieces = [{"type": "http.request", "body": bytes([byte]), "more_body": True} for byte in BODY]
    assert status(scope(), *pieces, {"type": "http.request"}) == 200


def test_a_body_too_long_is_not_read_to_its_end() -> None:
    pieces = [{"type": "http.request", "body": b"x" * 30_000, "more_body": True}] * 3
    assert status(scope(), *pieces) == 413


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.disconnect"}],
        [{"type": "http.request", "body": BODY, "more_body": True}, {"type": "http.disconnect"}],
    ],
)
def test_a_client_that_disconnects_is_sent_nothing(messages: list[dict[str, Any]]) -> None:
    assert call(scope(), *messages) is None


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, URL),
        ({"query_string": b"a=1&b=%20"}, f"{URL}?a=1&b=%20"),
        ({"path": "/pröj", "raw_path": b"/pr%C3%B6j"}, "https://app.example.com/pr%C3%B6j"),
        ({"raw_path": None}, URL),
        ({"raw_path": b"/projections?a=1", "query_string": b"a=1"}, f"{URL}?a=1"),
        ({"root_path": "/mounted", "path": "/mounted/projections", "raw_path": b"/mounted/projections"}, None),
        ({"scheme": "http"}, "http://app.example.com/projections"),
    ],
)
def test_the_url_is_the_one_that_was_called(more: dict[str, Any], url: str | None) -> None:
    headers = [(b"host", b"app.example.com")]
    signature = signed(BODY, url or "https://app.example.com/mounted/projections")["upstash-signature"]
    given = scope(**more, headers=[*headers, (b"UPSTASH-Signature", signature.encode())])
    assert status(given) == 200


def test_without_a_host_it_is_the_servers() -> None:
    headers = [(b"upstash-signature", signed(BODY, "https://10.0.0.7:8080/projections")["upstash-signature"].encode())]
    assert status(scope(headers=headers)) == 200
    assert status(scope(headers=headers, server=None)) == 401


def test_behind_a_proxy_it_is_the_public_one() -> None:
    inside = scope(scheme="http", path="/", raw_path=b"/", query_string=b"x=1")
    assert status(inside) == 401
    assert status(inside, public_url=URL) == 200


def test_a_websocket_is_refused() -> None:
    _, coloured, _ = with_tasks()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("it asks for nothing")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asgi_app(coloured, verifier=Signed())({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# --- under a real server


class Server(uvicorn.Server):
    """uvicorn in a thread, which tells when it listens."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", ws="none", log_config=None))
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self.run)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def __enter__(self) -> int:
        self.thread.start()
        self.listening.wait()
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    def __exit__(self, *error: object) -> None:
        self.should_exit = True
        self.thread.join()


@pytest.fixture
def served(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[int, Any, Todo]]:
    app, coloured, the = with_tasks()
    with caplog.at_level(logging.WARNING), Server(asgi_app(coloured, verifier=Signed(), public_url=URL)) as port:
        yield port, app, the


def request(
    port: int, method: str, body: Any, headers: dict[str, str], **options: Any
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, "/projections", body, headers, **options)
    response = connection.getresponse()
    answer = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    assert not [secret for secret in SECRETS if secret in str(answer)]
    return answer


def test_under_uvicorn(served: tuple[int, Any, Todo]) -> None:
    port, app, the = served
    assert request(port, "POST", BODY, {})[0] == 401
    assert app.projection_store.view(the.tasks).count() == 0
    code, headers, body = request(port, "POST", BODY, signed(BODY))
    assert (code, headers["content-type"], body) == (200, "application/json", b'{"applied":3,"position":3,"head":3}')
    assert app.projection_store.view(the.tasks).count() == 3
    code, headers, _ = request(port, "POST", b"[]", signed(b"[]"))
    assert (code, headers["upstash-nonretryable-error"]) == (489, "true")
    missing = b'{"position": 9}'
    assert request(port, "POST", missing, signed(missing))[0] == 500
    code, headers, body = request(port, "GET", None, {})
    assert (code, headers["allow"]) == (405, "POST")
    code, headers, body = request(port, "HEAD", None, {})
    assert (code, body) == (405, b"")
    chunked = request(port, "POST", iter([BODY[:5], BODY[5:]]), signed(BODY), encode_chunked=True)
    assert chunked[0] == 200


def test_a_body_too_long_under_uvicorn(served: tuple[int, Any, Todo]) -> None:
    port, _, _ = served
    body = b" " * (64 * 1024 + 1)
    assert request(port, "POST", body, signed(body))[0] == 413
    assert request(port, "POST", BODY, signed(BODY))[0] == 200


def test_a_client_that_hangs_up_under_uvicorn(served: tuple[int, Any, Todo], caplog: pytest.LogCaptureFixture) -> None:
    port, app, the = served
    for sent in (b"", b"POST /projections HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + BODY):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(sent)
    assert request(port, "POST", BODY, signed(BODY))[0] == 200
    assert app.projection_store.view(the.tasks).count() == 3
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
