"""The endpoint that a notification calls: what it answers, on plain values and through each adapter."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from eventsource_upstash import App, AsyncApp, InProcess, Memory, Misuse, Registry
from eventsource_upstash.web import Endpoint, Request, Response, Unverified, asgi_app, lambda_handler, wsgi_app

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

URL = "https://app.example.com/projections"


@dataclass(frozen=True)
class Counted:
    by: int


@dataclass(frozen=True)
class Total:
    value: int


class Public(Memory):
    """Memory that claims to be reached over the open network."""

    public = True


class Signed:
    """Takes what carries the word, addressed to the URL."""

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        if headers.get("x-word") != "sesame":
            raise Unverified("the word is wrong: canary")
        if url != URL:
            raise Unverified(f"it was addressed to {url}")


class Counter:
    """An app that counts, and can be told to fail."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.registry.event("counted")(Counted)
        self.totals = self.registry.projection("totals", Total)
        self.broken = False

        @self.totals.on(Counted, key=lambda _: "all")
        def counted(total: Total | None, event: Counted) -> Total | None:
            if self.broken:
                raise ValueError("secret of the inside")
            return Total((total.value if total else 0) + event.by)

        self.backend = Public()
        self.transport = InProcess()
        self.app = App(self.backend, self.registry, self.transport)
        self.async_app = AsyncApp(self.backend, self.registry, self.transport)

    def append(self, count: int = 1) -> int:
        return self.app.event_store.append("a", *[Counted(1)] * count).position

    @property
    def total(self) -> Total | None:
        return self.app.projection_store.view(self.totals).get("all")


@pytest.fixture
def counter() -> Counter:
    return Counter()


Post = "Callable[..., Response]"


def plain(counter: Counter, **options: Any) -> Callable[..., Response]:
    endpoint = Endpoint(counter.app, verifier=Signed(), **options)

    def post(body: bytes, method: str = "POST", word: str = "sesame") -> Response:
        return endpoint.handle(Request(method, URL, {"x-word": word}, body))

    return post


def over_asgi(counter: Counter, **options: Any) -> Callable[..., Response]:
    application = asgi_app(counter.async_app, verifier=Signed(), **options)

    def post(body: bytes, method: str = "POST", word: str = "sesame") -> Response:
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "path": "/projections",
            "query_string": b"",
            "headers": [(b"Host", b"app.example.com"), (b"X-Word", word.encode())],
        }
        half = len(body) // 2
        parts = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:]},
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            return parts.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(application(scope, receive, send))
        start, content = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert headers.pop("content-length") == str(len(content["body"]))
        return Response(start["status"], headers, content["body"])

    return post


def over_wsgi(counter: Counter, **options: Any) -> Callable[..., Response]:
    from io import BytesIO

    application = wsgi_app(counter.app, verifier=Signed(), **options)

    def post(body: bytes, method: str = "POST", word: str = "sesame") -> Response:
        environ = {
            "REQUEST_METHOD": method,
            "wsgi.url_scheme": "https",
            "HTTP_HOST": "app.example.com",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/projections",
            "HTTP_X_WORD": word,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
        }
        started: list[Any] = []
        content = b"".join(application(environ, lambda *answer: started.append(answer)))
        ((status, headers),) = started
        named = dict(headers)
        assert named.pop("content-length") == str(len(content))
        return Response(int(status.split()[0]), named, content)

    return post


def over_lambda(shape: str) -> Callable[..., Callable[..., Response]]:
    def adapter(counter: Counter, **options: Any) -> Callable[..., Response]:
        handler = lambda_handler(counter.app, verifier=Signed(), **options)

        def post(body: bytes, method: str = "POST", word: str = "sesame") -> Response:
            headers = {"Host": "app.example.com", "X-Word": word, "X-Forwarded-Proto": "https"}
            event: dict[str, Any]
            if shape == "2.0":
                event = {
                    "version": "2.0",
                    "rawPath": "/projections",
                    "rawQueryString": "",
                    "headers": {name.lower(): value for name, value in headers.items()},
                    "requestContext": {"domainName": "app.example.com", "http": {"method": method}},
                    "body": base64.b64encode(body).decode(),
                    "isBase64Encoded": True,
                }
            elif shape == "1.0":
                event = {
                    "httpMethod": method,
                    "path": "/projections",
                    "headers": headers,
                    "multiValueHeaders": {name: [value] for name, value in headers.items()},
                    "queryStringParameters": None,
                    "requestContext": {"path": "/projections", "stage": "prod"},
                    "body": body.decode("latin-1"),
                    "isBase64Encoded": False,
                }
            else:
                event = {
                    "httpMethod": method,
                    "path": "/projections",
                    "multiValueHeaders": {name: [value] for name, value in headers.items()},
                    "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
                    "body": body.decode("latin-1"),
                    "isBase64Encoded": False,
                }
            answer: Any = json.loads(json.dumps(handler(event, None)))  # Lambda turns it into JSON as well
            assert answer["isBase64Encoded"] is False
            return Response(answer["statusCode"], answer["headers"], answer["body"].encode())

        return post

    return adapter


ADAPTERS: dict[str, Callable[..., Callable[..., Response]]] = {
    "plain": plain,
    "asgi": over_asgi,
    "wsgi": over_wsgi,
    "lambda 2.0": over_lambda("2.0"),
    "lambda 1.0": over_lambda("1.0"),
    "load balancer": over_lambda("alb"),
}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Callable[..., Callable[..., Response]]:
    return ADAPTERS[request.param]


def notification(position: int) -> bytes:
    return json.dumps({"position": position}).encode()


def test_a_notification_folds_what_is_new(counter: Counter, adapter: Callable[..., Any]) -> None:
    position = counter.append(3)
    answer = adapter(counter)(notification(position))
    assert answer.status == 200
    assert json.loads(answer.body) == {"applied": 3, "position": position, "head": position}
    assert counter.total == Total(3)


def test_a_notification_that_comes_twice_changes_nothing(counter: Counter, adapter: Callable[..., Any]) -> None:
    post = adapter(counter)
    position = counter.append()
    assert [post(notification(position)).status for _ in range(3)] == [200, 200, 200]
    assert counter.total == Total(1)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"position": 0}'])
def test_a_notification_without_a_position_is_a_sweep(
    counter: Counter, adapter: Callable[..., Any], body: bytes
) -> None:
    counter.append(2)
    assert adapter(counter)(body).status == 200
    assert counter.total == Total(2)


def test_unsigned_is_refused_and_the_reason_stays_inside(
    counter: Counter, adapter: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    counter.append()
    answer = adapter(counter)(notification(1), word="open")
    assert answer.status == 401
    assert b"canary" not in answer.body
    assert "the word is wrong: canary" in caplog.text
    assert counter.total is None


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods_are_not_answered(counter: Counter, adapter: Callable[..., Any], method: str) -> None:
    answer = adapter(counter)(b"", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_body_that_is_too_long_is_not_read_further(counter: Counter, adapter: Callable[..., Any]) -> None:
    counter.append()
    assert adapter(counter)(b'{"position": 1, "more": "' + b"x" * 70_000 + b'"}').status == 413
    assert counter.total is None


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"position": -1}', b'{"position": "1"}', b'{"position": 1.5}'])
def test_what_no_retry_can_mend_is_refused_for_good(counter: Counter, adapter: Callable[..., Any], body: bytes) -> None:
    counter.append()
    answer = adapter(counter)(body)
    assert (answer.status, answer.headers["upstash-nonretryable-error"]) == (489, "true")
    assert answer.headers["content-type"] == "application/problem+json"
    assert counter.total is None


def test_a_failing_fold_answers_500_without_detail_and_succeeds_later(
    counter: Counter, adapter: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    post = adapter(counter)
    position = counter.append()
    counter.broken = True
    answer = post(notification(position))
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    assert "secret of the inside" in caplog.text
    counter.broken = False
    assert post(notification(position)).status == 200
    assert counter.total == Total(1)


def test_a_position_that_the_log_does_not_have_is_tried_again(counter: Counter, adapter: Callable[..., Any]) -> None:
    position = counter.append()
    assert adapter(counter)(notification(position + 1)).status == 500
    assert counter.total == Total(1)


def test_out_of_time_hands_the_rest_to_another_delivery(counter: Counter, adapter: Callable[..., Any]) -> None:
    position = counter.append(2500)
    signal = counter.transport.signal
    assert signal is not None
    post = adapter(counter, time_budget=1e-9)  # one page is folded, whatever the budget
    before = signal.count
    answer = post(notification(position))
    assert answer.status == 200
    assert json.loads(answer.body)["position"] == 1000
    assert signal.count == before + 1
    assert [json.loads(post(notification(position)).body)["position"] for _ in range(2)] == [2000, 2500]
    assert signal.count == before + 2, "the last one had nothing left to hand on"
    assert counter.total == Total(2500)


def test_a_public_backend_needs_a_verifier(counter: Counter) -> None:
    for start in (Endpoint, wsgi_app, lambda_handler):
        with pytest.raises(Misuse, match="open to everybody"):
            start(counter.app)
    with pytest.raises(Misuse, match="open to everybody"):
        asgi_app(counter.async_app)


def test_the_public_url_is_what_is_verified(counter: Counter) -> None:
    position = counter.append()
    request = Request("POST", "http://10.0.0.7:8080/", {"x-word": "sesame"}, notification(position))
    assert Endpoint(counter.app, verifier=Signed()).handle(request).status == 401
    assert Endpoint(counter.app, verifier=Signed(), public_url=URL).handle(request).status == 200


@pytest.mark.parametrize(("option", "value"), [("public_url", "/projections"), ("time_budget", 0)])
def test_an_option_that_cannot_be_one_is_refused_at_once(counter: Counter, option: str, value: Any) -> None:
    with pytest.raises(Misuse, match=option):
        Endpoint(counter.app, verifier=Signed(), **{option: value})


def test_a_lambda_event_that_is_no_request_is_told_so(counter: Counter) -> None:
    handler = lambda_handler(counter.app, verifier=Signed())
    with pytest.raises(Misuse, match="no HTTP request"):
        handler({"source": "aws.events"}, None)


def test_a_lambda_body_that_is_no_base64_is_refused(counter: Counter) -> None:
    handler = lambda_handler(counter.app, verifier=Signed())
    event = {"requestContext": {"http": {"method": "POST"}}, "headers": {}, "body": "%%%", "isBase64Encoded": True}
    assert handler(event, None)["statusCode"] == 400


def test_a_caller_that_hangs_up_is_not_answered(counter: Counter) -> None:
    application = asgi_app(counter.async_app, verifier=Signed())

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(f"answered {message}")

    asyncio.run(application({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send))


def test_the_asgi_application_stands_alone_on_a_server(counter: Counter) -> None:
    application = asgi_app(counter.async_app, verifier=Signed())
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(application({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_real_wsgi_server_serves_it(counter: Counter) -> None:
    position = counter.append(2)
    application = wsgi_app(counter.app, verifier=Signed(), public_url=URL)
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            where = f"http://127.0.0.1:{server.server_port}/projections"
            request = urllib.request.Request(where, notification(position), {"X-Word": "sesame"}, method="POST")
            with urllib.request.urlopen(request) as answer:
                assert json.load(answer)["position"] == position
            refused = urllib.request.Request(where, notification(position), method="POST")
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(refused)
            with caught.value as error:
                assert (error.code, json.load(error)["status"]) == (401, 401)
        finally:
            server.shutdown()
            thread.join()
    assert counter.total == Total(2)
