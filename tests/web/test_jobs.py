"""Messages for jobs in every adapter: which job is meant, who may call it, what is answered."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from eventsource_upstash import App, AsyncApp, Job, Memory, Misuse, NotRetryable, QStash, Registry, RetryLater
from eventsource_upstash.ports import MAX_MESSAGE_BYTES, Backend
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.web import AsyncJobEndpoint, JobEndpoint, Request, Response, asgi_jobs, lambda_jobs, wsgi_jobs
from tests.web.support import Public, Signed, signed

PATH = "/workers/report"
ORIGIN = "https://app.example.com"
SECRET = "a secret of the app"

Call = Callable[..., Response]


def work(job: Job) -> object:
    if job.body == b"fail":
        raise KeyError(SECRET)
    if job.body == b"never":
        raise NotRetryable(SECRET)
    if job.body == b"later":
        raise RetryLater(SECRET)
    if job.body == b"in a while":
        raise RetryLater(SECRET, after=1.2)
    if job.body == b"nothing":
        return None
    return b"\xff\x00" if job.body == b"binary" else f"{job.path} {job.id} {job.attempt} {job.schedule_id}"


def asgi(app: Any, body: bytes, headers: dict[str, str], path: str, mount: str, method: str) -> Response:
    sent: list[dict[str, Any]] = []
    parts = [body[:10], body[10:]]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "path": mount + path,
        "root_path": mount,
        "query_string": b"",
        "headers": [(b"host", b"app.example.com"), *((k.encode(), v.encode()) for k, v in headers.items())],
    }
    asyncio.run(app(scope, receive, send))
    start, end = sent
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Response(start["status"], answered, end["body"])


def wsgi(app: Any, body: bytes, headers: dict[str, str], path: str, mount: str, method: str) -> Response:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": path,
        "SERVER_NAME": "10.0.0.7",
        "SERVER_PORT": "8080",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "app.example.com",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    answer = b"".join(app(environ, lambda status, headers: started.append((status, headers))))
    ((status, answered),) = started
    return Response(int(status.partition(" ")[0]), dict(answered), answer)


def aws(app: Any, body: bytes, headers: dict[str, str], path: str, mount: str, method: str) -> Response:
    event = {
        "version": "2.0",
        "rawPath": mount + path,
        "headers": {"host": "app.example.com", **headers},
        "requestContext": {"http": {"method": method}, "stage": mount.strip("/") or "$default"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    answer = app(event, None)
    given = answer["body"]
    content = base64.b64decode(given) if answer["isBase64Encoded"] else given.encode()
    return Response(answer["statusCode"], answer["headers"], content)


def app_of(name: str, backend: Backend | None = None, transport: Any = None) -> App | AsyncApp:
    kind = AsyncApp if name == "asgi" else App
    app = kind(backend or Memory(), Registry(), transport)
    app.job(PATH)(work)
    return app


@pytest.fixture(params=["asgi", "wsgi", "lambda"])
def call(request: pytest.FixtureRequest) -> Call:
    """Sends a request to jobs in one of the adapters."""
    name: str = request.param
    make: Any = {"asgi": asgi_jobs, "wsgi": wsgi_jobs, "lambda": lambda_jobs}[name]
    send = {"asgi": asgi, "wsgi": wsgi, "lambda": aws}[name]

    def calling(
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        path: str = PATH,
        mount: str = "",
        method: str = "POST",
        backend: Backend | None = None,
        transport: Any = None,
        **options: Any,
    ) -> Response:
        app = make(app_of(name, backend, transport), **options)
        return send(app, body, headers or {}, path, mount, method)

    return calling


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 200, b"/workers/report m-1 1 None"),
        (b"binary", 200, b"\xff\x00"),
        (b"nothing", 200, b""),
        (b"fail", 500, None),
        (b"never", 489, None),
        (b"later", 503, None),
        (b"x" * (MAX_MESSAGE_BYTES + 1), 413, None),
    ],
    ids=["text", "binary", "nothing", "fails", "never", "later", "too long"],
)
def test_what_is_answered(call: Call, body: bytes, status: int, said: bytes | None) -> None:
    answer = call(body, {"eventsource-message-id": "m-1"})
    assert answer.status == status
    assert int(answer.headers.get("content-length", len(answer.body))) == len(answer.body)  # Lambda counts by itself
    if said is not None:
        assert answer.body == said
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["status"] == status
        assert SECRET.encode() not in answer.body
    assert answer.headers.get("upstash-nonretryable-error") == ("true" if status == 489 else None)
    assert "retry-after" not in answer.headers


def test_later_in_whole_seconds(call: Call) -> None:
    answer = call(b"in a while")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_other_methods_and_other_paths(call: Call) -> None:
    answer = call(method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    for path in ("/workers/other", "/workers/report/", "/workers", "/", "/Workers/report"):
        assert call(path=path).status == 404


@pytest.mark.parametrize("host", ["[::1", "a]b", "", "\x00", "a b"])
def test_a_host_that_can_be_none_is_no_failure(host: str) -> None:
    through = QStash(ORIGIN, token="t", current_signing_key="c" * 32, next_signing_key="n" * 32)
    for transport, status in ((None, 200), (through, 401)):
        app = App(Memory(), Registry(), transport)
        app.job(PATH)(work)
        endpoint = JobEndpoint(app)
        assert endpoint.handle(Request("POST", f"http://{host}{PATH}", {}, b"")).status == status
        assert endpoint.handle(Request("POST", f"http://{host}/other", {}, b"")).status == 404


def test_below_a_mount(call: Call) -> None:
    """Told of the mount by the server; the URL that is signed has it where the app is known to be there."""
    assert call(mount="/api").status == 200
    assert call(mount="/workers", path="/report").status == 200
    url = f"{ORIGIN}/api{PATH}"
    through = QStash(ORIGIN, token="t", jobs_url=f"{ORIGIN}/api")
    options: dict[str, Any] = {"transport": through, "verifier": Signed()}
    assert call(b"a", signed(b"a", url), mount="/api", **options).status == 200
    assert call(b"a", signed(b"a", f"{ORIGIN}{PATH}"), mount="/api", **options).status == 401


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"eventsource-message-id": "m-1", "upstash-message-id": "msg_1"}, "m-1 1 None"),
        ({"upstash-message-id": "msg_1", "upstash-retried": "2", "upstash-schedule-id": "nightly"}, "msg_1 3 nightly"),
        ({"eventsource-message-id": "m" * 256, "upstash-message-id": "msg_1"}, "msg_1 1 None"),
        ({"upstash-message-id": "msg_1", "upstash-retried": "x"}, "msg_1 1 None"),
        ({"upstash-message-id": "msg_1", "upstash-retried": "9" * 5000}, "msg_1 1 None"),
        ({"upstash-message-id": "msg_1", "upstash-schedule-id": ""}, "msg_1 1 None"),
    ],
)
def test_what_the_headers_say(call: Call, headers: dict[str, str], said: str) -> None:
    assert call(b"", headers).body.decode() == f"{PATH} {said}"


def test_each_message_without_a_name_has_its_own(call: Call) -> None:
    one, other = call(), call()
    assert one.status == other.status == 200
    assert one.body != other.body


def test_an_open_backend_wants_a_verifier(call: Call) -> None:
    with pytest.raises(Misuse, match="open to everybody"):
        call(backend=Public(Memory()))
    url = f"{ORIGIN}{PATH}"
    options: dict[str, Any] = {"backend": Public(Memory()), "verifier": Signed()}
    assert call(b"a", signed(b"a", url), **options).status == 200
    assert call(b"b", signed(b"a", url), **options).status == 401
    elsewhere = {"public_url": "https://public.example.com/"}
    assert call(b"a", signed(b"a", f"https://public.example.com{PATH}"), **options, **elsewhere).status == 200
    assert call(b"a", signed(b"a", url), **options, **elsewhere).status == 401


def test_a_transport_without_keys_cannot_receive(call: Call) -> None:
    with pytest.raises(Misuse, match="no signing keys"):
        call(transport=QStash(ORIGIN, token="t"))


@pytest.mark.parametrize("url", ["app.example.com", "https://app.example.com/?a=b", "/jobs"])
def test_no_public_url(call: Call, url: str) -> None:
    with pytest.raises(Misuse, match="public_url"):
        call(public_url=url)


def test_a_url_group_goes_by_the_requests_own_url() -> None:
    app = App(Memory(), Registry(), QStash("group", token="t", current_signing_key="a", next_signing_key="b"))
    app.job(PATH)(work)
    given: list[str] = []

    class Watching(Signed):
        def verify(self, headers: Any, body: bytes, url: str) -> None:
            given.append(url)

    request = Request("POST", f"https://10.0.0.7{PATH}?a=b", {}, b"")
    assert JobEndpoint(app, verifier=Watching()).handle(request).status == 200
    assert given == [f"https://10.0.0.7{PATH}?a=b"]
    assert JobEndpoint(app).handle(request).status == 401


class Broken:
    def verify(self, headers: Any, body: bytes, url: str) -> None:
        raise ZeroDivisionError(SECRET)


def test_a_verifier_that_fails_lets_nobody_in(call: Call) -> None:
    answer = call(verifier=Broken())
    assert answer.status == 500
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize("colour", list(Colour), ids=lambda colour: colour.value)
def test_the_log_says_what_the_answer_does_not(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    name = "wsgi" if colour is Colour.BLOCKING else "asgi"
    app = app_of(name)
    for body, said in ((b"fail", "failed"), (b"never", "is given up"), (b"later", "tried again later")):
        request = Request("POST", f"{ORIGIN}{PATH}", {"eventsource-message-id": "m-1"}, body)
        caplog.clear()
        if isinstance(app, App):
            JobEndpoint(app).handle(request)
        else:
            asyncio.run(AsyncJobEndpoint(app).handle(request))
        assert f"job {PATH}: message m-1 " in caplog.text
        assert said in caplog.text
        assert SECRET in caplog.text
