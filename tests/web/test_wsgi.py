"""The endpoint as a WSGI application: by hand, and under the standard library's server."""

from __future__ import annotations

import http.client
import io
import socket
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

from eventsource_upstash.web import wsgi_app
from tests.unit.todo import Todo
from tests.web.support import SECRETS, URL, Signed, signed, with_tasks

BODY = b'{"position": 3}'


def environ(body: bytes = BODY, **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/projections",
        "QUERY_STRING": "",
        "SERVER_NAME": "10.0.0.7",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "app.example.com",
        "HTTP_UPSTASH_SIGNATURE": signed(body)["upstash-signature"],
        "wsgi.url_scheme": "https",
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **more,
    }


def call(environ: dict[str, Any], **options: Any) -> tuple[str, dict[str, str], bytes]:
    app, _, _ = with_tasks()
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> object:
        started.append((status, headers))
        return None

    body = b"".join(wsgi_app(app, verifier=Signed(), **options)(environ, start_response))
    ((status, headers),) = started
    assert dict(headers)["content-length"] == str(len(body))
    return status, dict(headers), body


def test_a_notification() -> None:
    status, headers, body = call(environ())
    assert (status, headers["content-type"]) == ("200 OK", "application/json")
    assert body == b'{"applied":3,"position":3,"head":3}'


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (environ(HTTP_UPSTASH_SIGNATURE="x"), "401 Unauthorized"),
        (environ(REQUEST_METHOD="GET"), "405 Method Not Allowed"),
        (environ(b"x" * 65537), "413 "),
        (environ(b"[]"), "489 Refused For Good"),
        (environ(b'{"position": 9}'), "500 Internal Server Error"),
        (environ(CONTENT_LENGTH="many"), "400 Bad Request"),
        (environ(CONTENT_LENGTH="16"), "400 Bad Request"),
        (environ(CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked"), "411 Length Required"),
    ],
)
def test_every_status_has_its_reason(given: dict[str, Any], status: str) -> None:
    answer, headers, body = call(given)
    assert answer.startswith(status)
    assert headers["content-type"] == "application/problem+json"
    assert f'"status":{status[:3]}'.encode() in body


@pytest.mark.parametrize("length", ["", "0", "-5", None])
def test_no_body_at_all(length: str | None) -> None:
    given = environ(b"")
    given["CONTENT_LENGTH"] = length
    if length is None:
        del given["CONTENT_LENGTH"]
    assert call(given)[0] == "200 OK"


def test_it_reads_no_further_than_the_length_says() -> None:
    given = environ()
    given["wsgi.input"] = io.BytesIO(BODY + b"the next request")
    assert call(given)[0] == "200 OK"
    assert given["wsgi.input"].read() == b"the next request"


def test_it_reads_no_more_than_it_accepts() -> None:
    given = environ()
    given["CONTENT_LENGTH"] = str(10**9)
    given["wsgi.input"] = io.BytesIO(b"x" * 200_000)
    assert call(given)[0].startswith("413")
    assert given["wsgi.input"].tell() == 64 * 1024 + 1


def test_a_chunked_body_where_the_server_knows_its_end() -> None:
    given = environ(HTTP_TRANSFER_ENCODING="chunked")
    given["wsgi.input_terminated"] = True
    del given["CONTENT_LENGTH"]
    assert call(given)[0] == "200 OK"
    given = environ(b"x" * 70_000, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})
    del given["CONTENT_LENGTH"]
    assert call(given)[0].startswith("413")


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, URL),
        ({"QUERY_STRING": "a=1&b=%20"}, f"{URL}?a=1&b=%20"),
        ({"SCRIPT_NAME": "/mounted"}, "https://app.example.com/mounted/projections"),
        ({"PATH_INFO": "/pr\u00c3\u00b6j x"}, "https://app.example.com/pr%C3%B6j%20x"),
        ({"HTTP_HOST": ""}, "https://10.0.0.7:8080/projections"),
        ({"HTTP_HOST": "app.example.com:8443"}, "https://app.example.com:8443/projections"),
        ({"wsgi.url_scheme": "http"}, "http://app.example.com/projections"),
    ],
)
def test_the_url_is_the_one_that_was_called(more: dict[str, Any], url: str) -> None:
    given = environ(**more)
    given["HTTP_UPSTASH_SIGNATURE"] = signed(BODY, url)["upstash-signature"]
    assert call(given)[0] == "200 OK"


def test_behind_a_proxy_it_is_the_public_one() -> None:
    assert call(environ(PATH_INFO="/internal"))[0].startswith("401")
    assert call(environ(PATH_INFO="/internal"), public_url=URL)[0] == "200 OK"


# --- under a real server


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def served() -> Iterator[tuple[int, Any, Todo]]:
    app, _, the = with_tasks()
    # The validator of the standard library watches that the application keeps to WSGI.
    application: Any = wsgi_app(app, verifier=Signed(), public_url=URL)
    with make_server("127.0.0.1", 0, validator(application), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port, app, the
        server.shutdown()
        thread.join()


def request(port: int, method: str, body: Any, headers: dict[str, str], **options: Any) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, "/projections", body, headers, **options)
    response = connection.getresponse()
    answer = response.status, response.reason, response.read()
    connection.close()
    assert not [secret for secret in SECRETS if secret in str(answer)]
    return answer


def test_under_wsgiref(served: tuple[int, Any, Todo]) -> None:
    port, app, the = served
    assert request(port, "POST", BODY, {})[0] == 401
    assert app.projection_store.view(the.tasks).count() == 0
    assert request(port, "POST", BODY, signed(BODY)) == (200, "OK", b'{"applied":3,"position":3,"head":3}')
    assert app.projection_store.view(the.tasks).count() == 3
    assert request(port, "POST", b"[]", signed(b"[]"))[:2] == (489, "Refused For Good")
    missing = b'{"position": 9}'
    assert request(port, "POST", missing, signed(missing))[0] == 500
    assert request(port, "GET", None, {})[0] == 405
    with socket.create_connection(("127.0.0.1", port)) as client:
        # Only the head of it: the server answers and hangs up, and what came after would meet a closed door.
        client.sendall(b"POST /projections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.recv(4096).split(b"\r\n")[0].split()[1] == b"411"


def test_a_client_that_hangs_up_under_wsgiref(served: tuple[int, Any, Todo]) -> None:
    port, app, the = served
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /projections HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + BODY)
    assert request(port, "POST", BODY, signed(BODY))[0] == 200
    assert app.projection_store.view(the.tasks).count() == 3
