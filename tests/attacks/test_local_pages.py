"""A crawl of the local Upstash: no credential stands in a page, an error or a log line, and no markup in a page.

Every endpoint is found from the applications themselves, and asked with no token, a wrong one and the right one, while
messages, dead letters, schedules, faults and topics hold secrets and hostile names. Left out is what whoever has the
token asked for and got: that may hold the keys.
"""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import pytest
from aiohttp import web
from redis.exceptions import ConnectionError as RedisAway

from eventsource_upstash.local import LocalUpstash, dev, discretion
from eventsource_upstash.local.dev import Dev
from eventsource_upstash.local.qstash import http, routes
from eventsource_upstash.local.qstash.settings import Settings
from eventsource_upstash.local.redis.app import Tokens
from tests import canary
from tests.canary import secret

HOSTILE = "</script><img src=x onerror=pwned()>\"'><svg/onload=pwned()>"
BASIC = ("local_development_user", "local_development_password")
QSTASH = secret("qstash")
REDIS = secret("redis")
KEYS = (secret("current"), secret("next"))
METHODS = ("GET", "POST", "PUT", "DELETE")


@pytest.fixture(scope="module", autouse=True)
def quiet_client() -> Iterator[None]:
    """The client that asks here logs the URLs that it asks for."""
    for name in ("httpx", "httpcore.connection", "httpcore.http11"):
        logging.getLogger(name).disabled = True
    yield
    for name in ("httpx", "httpcore.connection", "httpcore.http11"):
        logging.getLogger(name).disabled = False


# Behind a catch-all: by hand.
OTHERS = {
    "redis": ("/", "/pipeline", "/multi-exec", "/set/{}/1", "/get/{}", "/{}", "/subscribe", "/nothing/{}/{}"),
    "kafka": (
        *("/produce/{}/{}", "/produce/{}", "/fetch/{}", "/consume/{}/{}/{}", "/commit/{}/{}/{}", "/committed/{}/{}/{}"),
        *("/offsets/{}", "/topics", "/consumers", "/delete-consumer/{}/{}", "/nothing/{}", "/confluent/topics"),
        *("/confluent/topics/{}", "/confluent/consumers/{}", "/confluent/v3/clusters", "/confluent/{}/{}"),
    ),
}


class Asked(NamedTuple):
    """A request, and what came back."""

    what: str
    token: str
    answer: httpx.Response

    @property
    def granted(self) -> bool:
        """Whether this is what whoever has the token may see."""
        beyond = urlsplit(str(self.answer.request.url)).path.startswith("/dev")
        return self.token == "right" and not self.answer.is_error and not beyond and not self.html

    @property
    def html(self) -> bool:
        return "html" in self.answer.headers.get("content-type", "")


class Heard(logging.Handler):
    """Keeps what is logged, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def garbling() -> Iterator[str]:
    """A destination whose answers are no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # until it is closed
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(65_536)
                        connection.sendall(b"HTTP/1.1 2oo what\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def running() -> Iterator[LocalUpstash]:
    settings = Settings(token=QSTASH, current_key=KEYS[0], next_key=KEYS[1])
    with LocalUpstash(kafka=True, tokens=Tokens(REDIS, secret("reader")), qstash=settings) as upstash:
        yield upstash


@pytest.fixture(scope="module")
def filled(quiet_client: None) -> Iterator[LocalUpstash]:
    """An Upstash that holds secrets and hostile names wherever there is room."""
    with running() as upstash, garbling() as garbled, httpx.Client() as client:
        headers = {
            "Authorization": f"Bearer {QSTASH}~ada",
            "Upstash-Forward-X-Key": secret("forwarded"),
            "Upstash-Callback": f"https://ada:{secret('x')}@callback.example/?key={secret('x')}",
            "Upstash-Failure-Callback": f"http://127.0.0.1:9/{quote(HOSTILE)}?key={secret('x')}",
            "Upstash-Retries": "0",
            "X-Dev-Caller": HOSTILE,
        }
        place = f"ada:{secret('user')}@{garbled}/hook?key={secret('query')}&{quote(HOSTILE)}#{secret('part')}"
        body = f"{secret('payload')} {HOSTILE}".encode()
        for extra in ({}, {"Upstash-Delay": "1h"}):
            answer = client.post(
                f"{upstash.qstash_url}/v2/publish/http://{place}", headers=headers | extra, content=body
            )
            answer.raise_for_status()
        upstash.run(upstash.qstash.idle())
        cron = {**headers, "Upstash-Cron": "0 0 1 1 *"}
        client.post(f"{upstash.qstash_url}/v2/schedules/http://{place}", headers=cron, content=body).raise_for_status()
        group = {"endpoints": [{"name": "one", "url": f"http://{place}"}]}
        made = client.post(f"{upstash.qstash_url}/v2/topics/group/endpoints", headers=headers, json=group)
        made.raise_for_status()
        upstash.kafka.create_topic("todo")
        record = {"key": HOSTILE, "value": HOSTILE, "headers": [{"key": HOSTILE, "value": secret("header")}]}
        client.post(f"{upstash.kafka.url}/produce/todo", json=record, auth=BASIC).raise_for_status()
        fault = {"kind": "quota", "path": HOSTILE, "command": HOSTILE, "probability": 0}
        client.post(f"{upstash.redis_url}/dev/faults", json=fault).raise_for_status()
        for command in (["SET", HOSTILE, secret("value")], [HOSTILE, secret("argument")]):
            client.post(upstash.redis_url, json=command, headers={"Authorization": f"Bearer {REDIS}~{HOSTILE}"})
        yield upstash


def endpoints(upstash: LocalUpstash) -> Iterator[tuple[str, str]]:
    """Every endpoint that there is, as its half and its path with `{}` for what varies."""
    own = Dev(upstash.faults, {}, upstash.qstash)._actions
    for _, path in own:
        yield from ((half, path) for half in ("redis", "qstash", "kafka"))
    for resource in upstash.qstash.application.router.resources():
        words = resource.canonical.split("/")
        yield "qstash", "/".join("{}" if word.startswith("{") else word for word in words)
    for half, paths in OTHERS.items():
        yield from ((half, path) for path in paths)


def shown(half: str, token: str) -> dict[str, str]:
    """What is shown for a credential."""
    if token == "none":
        return {}
    if half == "kafka":
        login = httpx.BasicAuth(BASIC[0], BASIC[1] if token == "right" else secret("wrong"))
        request = next(login.auth_flow(httpx.Request("GET", "http://x")))
        return {"Authorization": request.headers["Authorization"]}
    right = {"redis": REDIS, "qstash": QSTASH}[half]
    return {"Authorization": f"Bearer {right if token == 'right' else secret('wrong')}~{quote(HOSTILE)}"}


def crawl(upstash: LocalUpstash) -> Iterator[Asked]:
    urls = {"redis": upstash.redis_url, "qstash": upstash.qstash_url, "kafka": upstash.kafka.url}
    bodies = itertools.cycle((b"", b"{", json.dumps({HOSTILE: secret("sent")}).encode(), b"[[]]", b'{"kind": 1}'))
    # QStash has destinations in its paths, which may hold a password.
    place = {"qstash": f"http://ada:{secret('pw')}@x.example"}
    fillings = itertools.cycle((quote(HOSTILE, safe=""), None, "1"))
    with httpx.Client(timeout=60) as client:
        for (half, path), method, token in itertools.product(
            sorted(set(endpoints(upstash))), METHODS, ("none", "wrong", "right")
        ):
            if (path, method) == ("/dev/reset", "POST") or (method, path) == ("DELETE", "/dev/faults"):
                continue  # what is there is to stay
            if token == "right" and (method == "DELETE" or path in ("/subscribe", "/v2/keys/rotate")):
                continue
            filled = path.format(*(next(fillings) or place.get(half, "2") for _ in range(path.count("{}"))))
            headers = {**shown(half, token), "Accept": "text/html" if token == "none" else "*/*"}
            content = next(bodies) if method in ("POST", "PUT") else None
            answer = client.request(method, urls[half] + filled, headers=headers, content=content)
            yield Asked(f"{half}: {method} {path}, token {token}", token, answer)


def break_off(upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Requests that fail within, for either reason."""
    url = f"{upstash.qstash_url}/v2/publish/https://ada:{secret('pw')}@x.example/?key={secret('query')}"
    headers = {"Authorization": f"Bearer {QSTASH}", "Upstash-Delay": "1d"}
    for failure in (RedisAway("away"), KeyError("within")):

        async def flush(failure: Exception = failure) -> None:
            raise failure

        with monkeypatch.context() as patch:
            patch.setattr(upstash.qstash.broker.store, "flush", flush)
            yield Asked("a failure", "right", httpx.post(url, headers=headers))


def stammer(upstash: LocalUpstash) -> None:
    """Send what is no HTTP, and holds a token."""
    lines = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {REDIS}\x01",
        f"GET /?_token={REDIS}\0 HTTP/1.1\r\nHost: 127.0.0.1",
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization : Bearer {REDIS}",
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {REDIS * 1000}",
        f"{REDIS} / HTTP/1.1\r\nHost: 127.0.0.1",
    )
    for url, line in itertools.product((upstash.redis_url, upstash.qstash_url, upstash.kafka.url), lines):
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port or 0)) as connection:
            connection.sendall(line.encode() + b"\r\n\r\n")
            assert b" 400 " in connection.recv(65_536)[:20]


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()
    root = logging.getLogger()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        root.setLevel(level)


def leaks(upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], int]:
    """Where a secret shows, or markup in a page; and how many answers and log lines were looked at."""
    found: list[str] = []
    with listening() as heard:
        answers = [*crawl(upstash), *break_off(upstash, monkeypatch)]
        stammer(upstash)
    for asked in answers:
        text = f"{asked.answer.headers} {asked.answer.text}"
        if not asked.granted and canary.find(text):
            found.append(f"a secret in {asked.what}: {canary.find(text)}")
        if asked.html and ("pwned" in text or "default-src 'none'" not in text):
            found.append(f"markup in {asked.what}")
        if not asked.html and asked.answer.content and "application/json" not in text and "pwned" in text:
            found.append(f"markup that a browser may take for a page in {asked.what}")
    found += [f"a secret in a log line: {canary.find(line)}" for line in heard.lines if canary.find(line)]
    return found, len(answers) + len(heard.lines)


def test_no_page_no_error_and_no_log_line_shows_a_credential_or_markup(
    filled: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, looked_at = leaks(filled, monkeypatch)
    assert found == []
    assert looked_at > 700
    state = httpx.get(f"{filled.redis_url}/dev/state").json()
    assert len(state["messages"]) >= 1
    assert len(state["dead_letters"]) >= 1
    assert {letter["url"].partition("?")[1] for letter in state["dead_letters"]} == {"?"}
    said = {letter["said"].partition(":")[0] for letter in state["dead_letters"]}
    assert "ClientResponseError" in said, "that one's own text has the URL in it"
    assert any("pwned" in str(record["value"]) for record in state["kafka"]["records"]), "the hostile are there"


def test_a_caller_has_a_name_or_none(filled: LocalUpstash) -> None:
    """And who was not let in has none: else a page that guesses tokens fills the memory with its names."""
    for number in range(3):
        headers = {"Authorization": f"Bearer wrong~guest{number}", "X-Dev-Caller": f"guest{number}"}
        for url in (filled.redis_url, filled.qstash_url, filled.kafka.url):
            assert httpx.get(f"{url}/v2/dlq", headers=headers).status_code == 401
    named = {name for half in filled.metrics().values() for name in half}
    assert named <= {"ada", "anonymous", "total"}


# --- guards: each mend taken back again


@pytest.mark.shows_secrets("it sees that they show")
def test_the_crawl_finds_each_of_them(filled: LocalUpstash, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(request: web.Request, read: Callable[[web.Request], str] = http._token) -> str:
        logging.getLogger("careless").debug("shown: %s", read(request))
        return read(request)

    monkeypatch.setattr(dev, "without_user_and_query", lambda url: url)
    monkeypatch.setattr(dev, "_answer", lambda value, status=200: as_page(msgspec.json.encode(value), status))
    monkeypatch.setattr(http, "_token", told)
    monkeypatch.setattr(http, "_asked", lambda request: request.path)
    monkeypatch.setattr(routes, "_beginning", lambda path: path)
    monkeypatch.setattr(discretion._Discreet, "process", lambda _, message, more: (message, more))
    found, _ = leaks(filled, monkeypatch)
    for each in (
        *("a secret in redis: GET /dev/state, token none", "markup in redis: GET /dev/state", "log line: ...shown: "),
        *("failed: Valkey did not take it", "Invalid header token", "is not part of the QStash API"),
    ):
        assert any(each in one for one in found), each


def as_page(body: bytes, status: int) -> web.Response:
    return web.Response(body=body, status=status, content_type="text/html")
