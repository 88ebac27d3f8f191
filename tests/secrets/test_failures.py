"""Whatever fails, and however it is reported: no credential is in the error, in those behind it, nor in their frames.

Services that collect errors take the local variables of each frame along, as a matter of course. So these look there
as such a service does: into dicts and lists, and at the `repr` of everything else. What stands under a name that says
what it is, such services blot out themselves.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import socket
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import httpx
import pytest

from eventsource_upstash import Misuse, QStash, Signal, UpstashKeys, UpstashRedis, connect
from eventsource_upstash._io import blocking, event_loop
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from eventsource_upstash.backends.kafka.rest import RestTopic
from eventsource_upstash.backends.kafka.topic import NewRecord
from eventsource_upstash.errors import EventSourceError, OutcomeUnknown, Unavailable
from eventsource_upstash.ports import Message, SubjectKey
from tests import canary
from tests.canary import secret

T = TypeVar("T")

TOKEN = secret("token")
NAMES_THAT_ARE_BLOTTED_OUT = {"password", "secret", "token", "authorization", "credentials"}
HOST = "service.example.com"


class Answering:
    """A port on whose other side everything goes the same way."""

    def __init__(self, answer: HttpResponse | Exception) -> None:
        self.answer = answer

    async def send(self, request: HttpRequest) -> HttpResponse:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def call(self, work: Callable[[], T]) -> T:
        return work()

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None: ...


def told(status: int, text: str, **headers: str) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json", **headers}, json.dumps({"error": text}).encode())


def answers(echo: str) -> Mapping[str, HttpResponse | Exception]:
    """What may come back, from a service that repeats something."""
    text = f"WRONGPASS {echo} is not known here"
    return {
        "unreachable": Unavailable(f"{HOST} could not be reached"),
        "lost": OutcomeUnknown(f"{HOST} did not answer"),
        "refused": told(400, text),
        "unauthorized": told(401, text),
        "forbidden": told(403, text, **{"www-authenticate": echo}),
        "not found": told(404, text),
        "conflict": told(409, text),
        "too large": told(413, text),
        "in a hurry": told(429, text, **{"retry-after": echo}),
        "used up": told(429, text, **{"ratelimit-limit": echo, "ratelimit-reset": echo}),
        "a redirection": HttpResponse(302, {"location": f"https://{HOST}/?token={echo}"}, b""),
        "broken": told(500, text),
        "a page": HttpResponse(502, {"content-type": f"text/html; {echo}"}, f"<h1>{echo}</h1>".encode()),
        "no JSON": HttpResponse(200, {}, echo.encode()),
        "other JSON": HttpResponse(200, {}, json.dumps({"result": {echo: [echo]}, "messageId": [echo]}).encode()),
        "deep JSON": HttpResponse(200, {}, b'{"result":' + b"[" * 100_000),
        "a list": HttpResponse(200, {}, json.dumps([echo]).encode()),
    }


Operation = Callable[[Any], Coroutine[Any, Any, object]]


def redis() -> UpstashRedis:
    return UpstashRedis(f"https://{HOST}", TOKEN)


def qstash() -> QStash:
    return QStash(f"https://app.example.com/p?key={TOKEN}", token=TOKEN, url=f"https://{HOST}")


def topic() -> RestTopic:
    return RestTopic(f"https://{HOST}", "todo", username="ada", password=TOKEN, partitions=1)


def keys() -> UpstashKeys:
    return UpstashKeys(f"https://{HOST}", TOKEN)


OPERATIONS: Mapping[str, Operation] = {
    "redis, a command": lambda port: redis().transport(port).command("SET", "key", "value"),
    "redis, the head": lambda port: redis().log(port).head(),
    "redis, the check": lambda port: redis().check(port),
    "keys, create": lambda port: keys().keys(port).create_many({"ada": SubjectKey("k", canary.key(32, b"-" * 32))}),
    "keys, get": lambda port: keys().keys(port).get_many(["ada"]),
    "qstash, a notice": lambda port: qstash().notices(port).send(1, 1),
    "qstash, a message": lambda port: qstash().messages(port).publish([Message("m", "https://a.example.com")]),
    "qstash, messages": lambda port: (
        qstash().messages(port).publish([Message(str(n), "https://a.example.com") for n in range(3)])
    ),
    "qstash, schedules": lambda port: qstash().timetable(port).all(),
    "qstash, dead letters": lambda port: qstash().messages(port).buried(10),
    "kafka, partitions": lambda port: topic().client(port).bounds([0]),
    "kafka, fetch": lambda port: topic().client(port).fetch({0: 0}, 10, 10_000),
    "kafka, produce": lambda port: topic().client(port).produce(0, [NewRecord(b"k", b"value", 1)]),
}


def frames(trace: TracebackType | None) -> Iterator[tuple[str, Mapping[str, object]]]:
    for frame, _ in traceback.walk_tb(trace):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("eventsource_upstash"):
            yield f"{module}.{frame.f_code.co_name}", frame.f_locals


def serialized(value: object, depth: int = 4) -> str:
    """A local variable as such a service sends it."""
    if depth and isinstance(value, Mapping):
        return " ".join(f"{name!r} {serialized(each, depth - 1)}" for name, each in value.items())
    if depth and isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return " ".join(serialized(each, depth - 1) for each in value)
    return repr(value)


def behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all those that it was raised from, or while."""
    seen: list[BaseException | None] = []
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is not None and error not in seen:
            seen.append(error)
            yield error
            waiting += [error.__cause__, error.__context__]


def texts(error: BaseException) -> list[str]:
    """Every text of an error that holds a secret."""
    found: list[str] = []
    for each in behind(error):
        kind = type(each).__name__
        shown = {"str": str(each), "repr": repr(each), "attributes": serialized(vars(each))}
        found += [f"{what} of {kind}: {canary.find(text)}" for what, text in shown.items() if canary.find(text)]
    return found


def variables(error: BaseException) -> list[str]:
    """Every local variable of this library's frames that holds a secret."""
    return [
        f"{name} in {where}: {shown}"
        for each in behind(error)
        for where, names in frames(each.__traceback__)
        for name, value in names.items()
        if name not in NAMES_THAT_ARE_BLOTTED_OUT and (shown := canary.find(serialized(value)))
    ]


def failing(operation: str, answer: HttpResponse | Exception) -> BaseException | None:
    try:
        blocking.run(OPERATIONS[operation](Answering(answer)))
    except EventSourceError as error:
        return error
    return None  # another error is the library's own mistake, and fails the test


@pytest.mark.parametrize("kind", answers(""))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_failure_shows_a_credential(operation: str, kind: str) -> None:
    error = failing(operation, answers(TOKEN)[kind])
    if error is not None:
        assert texts(error) == []
        assert not canary.find(str(pickle.loads(pickle.dumps(error))))
    error = failing(operation, answers("what you sent")[kind])
    if error is not None:
        assert variables(error) == []


def test_over_a_socket_as_well() -> None:
    """What httpx, httpcore and anyio keep of a request is in the chain then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    redis = UpstashRedis(url, TOKEN, total_timeout=0.05)
    with pytest.raises(Unavailable) as blocked:
        blocking.run(redis.transport(blocking.PORT).command("GET", "k"))
    with pytest.raises(Unavailable) as awaited:
        asyncio.run(once(redis))
    for error in (blocked.value, awaited.value):
        assert texts(error) + variables(error) == []


async def once(part: UpstashRedis) -> None:
    await part.transport(event_loop.PORT).command("GET", "k")


def test_a_header_that_cannot_be_sent_is_not_kept_behind_the_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        request = HttpRequest("POST", url, {"authorization": f"Bearer {TOKEN}\nx"}, b"", 1.0)
        with pytest.raises(Misuse) as blocked:
            blocking.run(blocking.PORT.send(request))
        with pytest.raises(Misuse) as awaited:
            asyncio.run(event_loop.PORT.send(request))
    for error in (blocked.value, awaited.value):
        assert texts(error) + variables(error) == []


@pytest.mark.parametrize("face", ["blocking", "awaited"])
def test_what_the_http_client_logs_of_a_request_is_its_host_only(face: str, caplog: pytest.LogCaptureFixture) -> None:
    """httpx logs each URL at INFO, which many apps show: QStash's has the destination in it, with its key."""
    caplog.set_level("DEBUG")
    with answering() as url:
        place = f"{url}/publish/https://app.example.com/p?key={TOKEN}"
        request = HttpRequest("POST", place, {"authorization": f"Bearer {TOKEN}"}, b"{}", 10.0)
        if face == "blocking":
            assert blocking.run(blocking.PORT.send(request)).status == 200
        else:
            assert asyncio.run(event_loop.PORT.send(request)).status == 200
    logged = [record for record in caplog.records if record.name == "httpx"]
    assert [record.getMessage() for record in logged] == [f'HTTP Request: POST {url} "HTTP/1.1 200 OK"']
    assert not canary.find(caplog.text)


@pytest.mark.shows_secrets("it sees that it shows")
def test_what_it_would_log_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with answering() as url:
        httpx.post(f"{url}/p?key={TOKEN}")
    assert canary.find(caplog.text)


@contextmanager
def answering() -> Iterator[str]:
    """A server that answers 200 to one request, whatever its target."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(65_536)
                assert TOKEN.encode() in asked.splitlines()[0], "it is sent, if not told"
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(60)


URLS = (
    f"redis://ada:{TOKEN}@{HOST}",
    f"kafka://ada:{TOKEN}@{HOST}/a/b",
    f"kafka+https://ada:{TOKEN}@{HOST}",
    f"kafka://ada:{TOKEN}@[/x",
    f"sqlite://{TOKEN}@x",
    f"https://ada:{TOKEN}@{HOST}",
    f"upstash://ada:{TOKEN}@{HOST}",
    TOKEN,
    f"{TOKEN}:{TOKEN}",
)


@pytest.mark.parametrize("number", range(len(URLS)))
def test_no_url_that_is_refused_is_repeated(number: int) -> None:
    from eventsource_upstash import Registry

    with pytest.raises(Misuse) as caught:
        connect(URLS[number], Registry())
    assert texts(caught.value) == []


# --- guards


class Careless(Exception):
    pass


def fails(how: str) -> None:
    headers = {"authorization": TOKEN}
    if how == "text":
        raise Careless(TOKEN)
    try:
        int(headers["authorization"] if how == "context" else "x")
    except ValueError as error:
        if how == "context":
            raise Careless("x") from None
        raise Careless("x") from error


@pytest.mark.shows_secrets("it sees that they show")
def test_each_way_of_showing_one_is_seen() -> None:
    namespace: dict[str, Any] = {"__name__": "eventsource_upstash.guard", "TOKEN": TOKEN, "Careless": Careless}
    exec(inspect.getsource(fails), namespace)
    for how in ("text", "context", "frame"):
        with pytest.raises(Careless) as caught:
            namespace["fails"](how)
        found = texts(caught.value) + variables(caught.value)
        wanted = {"text": "str of Careless", "context": "str of ValueError", "frame": "headers in"}[how]
        assert any(leak.startswith(wanted) for leak in found), found
