"""Requests of any kind to what an app shows to the open network: an answer in words, and nothing of the inside.

No server is between: what reaches an application is what a server lets through, and one may let anything through.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import App, AsyncApp, Memory, Misuse
from eventsource_upstash.web import (
    asgi_app,
    asgi_jobs,
    asgi_view,
    lambda_handler,
    lambda_jobs,
    lambda_view,
    wsgi_app,
    wsgi_jobs,
    wsgi_view,
)
from tests.attacks.forging import receiver
from tests.qstash.signing import BODY, signed
from tests.searching import examples
from tests.web.players import Players, Scored

SECRETS: Final = re.compile(rb'Traceback|File "|/src/|eventsource_upstash|Error\b|Exception|object at 0x|sig_current')


OPEN: Final = "asgi endpoint, open"


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Asked(NamedTuple):
    """A request, as far as servers hand it over."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes


Ask = Callable[[Asked], Got]


def over_asgi(application: Any) -> Ask:
    def ask(asked: Asked) -> Got:
        scope = {
            "type": "http",
            "method": asked.method,
            "path": asked.path,
            "raw_path": asked.path.encode("utf-8", "replace"),
            "query_string": asked.query.encode("utf-8", "replace"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in asked.headers],
            "server": ("127.0.0.1", 80),
            "scheme": "https",
        }
        half = len(asked.body) // 2
        arriving: list[dict[str, Any]] = [
            {"type": "http.request", "body": asked.body[:half], "more_body": True},
            {"type": "http.request", "body": asked.body[half:]},
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return arriving.pop(0) if arriving else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(application(scope, receive, send))
        starts = [message for message in sent if message["type"] == "http.response.start"]
        assert len(starts) == 1
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in starts[0]["headers"]}
        return Got(starts[0]["status"], headers, b"".join(message.get("body", b"") for message in sent))

    return ask


def over_wsgi(application: Any) -> Ask:
    class Input:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def read(self, size: int) -> bytes:
            return self.body[:size]

    def ask(asked: Asked) -> Got:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": asked.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": asked.path.encode("utf-8", "replace").decode("latin-1"),
            "QUERY_STRING": asked.query.encode("utf-8", "replace").decode("latin-1"),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "https",
            "wsgi.input": Input(asked.body),
            "CONTENT_LENGTH": str(len(asked.body)),
        }
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in asked.headers}
        started: list[tuple[str, list[tuple[str, str]]]] = []
        parts = application(environ, lambda status, headers: started.append((status, headers)))
        body = next(iter(parts), b"")  # of a feed no more than it begins with
        if hasattr(parts, "close"):
            parts.close()
        ((status, headers),) = started
        return Got(int(status.split(" ")[0]), dict(headers), body)

    return ask


def over_lambda(handler: Any) -> Ask:
    def ask(asked: Asked) -> Got:
        event = {
            "version": "2.0",
            "rawPath": asked.path,
            "rawQueryString": asked.query,
            "headers": dict(asked.headers),
            "requestContext": {"http": {"method": asked.method}, "domainName": "app.example.com"},
            "body": asked.body.decode("latin-1"),
            "isBase64Encoded": False,
        }
        answer = handler(event, None)
        json.dumps(answer)
        return Got(answer["statusCode"], answer["headers"], answer["body"].encode())

    return ask


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is refused is logged as a warning each time: thousands of lines here."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def _players() -> Players:
    players = Players(Memory())
    players.app.event_store.append("s-1", *[Scored(f"p{number}", number) for number in range(10)])
    players.app.projector.catch_up()
    return players


def _jobs(app: Any) -> None:
    app.job("/jobs/mail")(lambda job: None)


def _targets() -> dict[str, Ask]:
    players = _players()
    backend, registry, view = players.app.backend, players.registry, players.players
    blocking, coloured = App(backend, registry, None), AsyncApp(backend, registry, None)
    _jobs(blocking)
    _jobs(coloured)
    brief: dict[str, Any] = {"path": "/players", "max_duration": 0.01}
    verifier = receiver()
    return {
        "asgi endpoint": over_asgi(asgi_app(coloured, verifier=verifier)),
        "asgi jobs": over_asgi(asgi_jobs(coloured, verifier=verifier)),
        "asgi view": over_asgi(asgi_view(coloured, view, **brief)),
        "wsgi endpoint": over_wsgi(wsgi_app(blocking, verifier=verifier)),
        "wsgi jobs": over_wsgi(wsgi_jobs(blocking, verifier=verifier)),
        "wsgi view": over_wsgi(wsgi_view(blocking, view, **brief)),
        "lambda endpoint": over_lambda(lambda_handler(blocking, verifier=verifier)),
        "lambda jobs": over_lambda(lambda_jobs(blocking, verifier=verifier)),
        "lambda view": over_lambda(lambda_view(blocking, view, **brief)),
        # Without a verifier, as in development: what is behind it is reached.
        OPEN: over_asgi(asgi_app(coloured)),
        "wsgi jobs, open": over_wsgi(wsgi_jobs(blocking)),
    }


TARGETS: Final = _targets()


@pytest.fixture
def alarms() -> Iterator[list[logging.LogRecord]]:
    """What is logged as an error: nobody outside may wake the people who look after it."""
    found: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    handler = Keep(logging.ERROR)
    logger = logging.getLogger("eventsource_upstash")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def check(got: Got) -> None:
    """An answer that may go out to anybody."""
    assert got.status in {200, 304, 400, 401, 404, 405, 406, 409, 411, 413, 489, 503}, got
    for name, value in got.headers.items():
        assert not re.search(r"[\r\n\0]", f"{name}{value}")
        assert value.isascii()
    assert not SECRETS.search(got.body), got
    assert len(got.body) < 10_000
    if got.status >= 400 and got.body:
        assert got.headers["content-type"] == "application/problem+json"
        assert set(json.loads(got.body)) == {"status", "title"}


WORDS: Final = [
    *("at_least", "limit", "after", "index", "low", "high", "equal", "reverse", "history", "x"),
    *(
        "=",
        "&",
        "?",
        ";",
        "%",
        "%00",
        "%ff",
        "%2e%2e",
        "/",
        "..",
        "#",
        "+",
        ",",
        ":",
        "\0",
        "é",
        "\U0001d54f",
        "\u2028",
    ),
    *("0", "1", "-1", "5", "1e400", "NaN", "Infinity", "0:1", "8191:1", "0:17,3:4", "9" * 20, "9" * 5000),
    *("score", "name", "p1", "yes", "no", '"', "[", "{", "]", "[" * 3000, '{"a":' * 2000, "null", "true"),
]
TEXT: Final = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=6).map("".join)
HEADERS: Final = [
    *("host", "upstash-signature", "upstash-region", "if-none-match", "last-event-id", "accept", "content-type"),
    *("content-length", "transfer-encoding", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-original-url"),
    *("upstash-retried", "upstash-message-id", "upstash-schedule-id", "eventsource-id", "expect", "range", "cookie"),
]
VALUES: Final = st.sampled_from(
    [
        *("text/event-stream", "*", '"', 'W/"1"', '"1", "2"', "1-1.1", "1-1.1:5@cDE", "--", "-@-", "@"),
        *("a\r\nx: y", "\0", "é", "", " ", ",", "chunked", "100-continue", "-1", "9" * 400, "bytes=0-"),
        *("1.1.1@" + "A" * 999, signed()["upstash-signature"]),
    ]
)  # fmt: skip
LATIN: Final = st.text(st.characters(max_codepoint=255), max_size=20)
PATHS: Final = st.sampled_from(
    [
        *("/", "", "*", "/players", "/players/", "/players/p1", "/players//p1", "/players/.."),
        *("/jobs/mail", "/jobs/%6dail", "//jobs/mail"),
    ]
)
ASKED: Final = st.builds(
    Asked,
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "get", "X"]),
    PATHS | TEXT.map(lambda text: f"/players/{text}") | st.text(max_size=10),
    TEXT,
    st.lists(st.tuples(st.sampled_from(HEADERS), VALUES | LATIN), max_size=6),
    st.sampled_from([BODY, b"", b"{}", b'{"position":"0:1"}', b'{"position":-1}', b'{"position":1e400}', b"[" * 5000])
    | st.binary(max_size=30),
)


@settings(max_examples=examples(25))
@given(asked=ASKED)
def test_any_request(asked: Asked) -> None:
    for name, ask in TARGETS.items():
        got = ask(asked)
        # A position of another log, which nobody verified: it may be appended soon, so the sender is to try again.
        if name != OPEN or got.status != 500:
            check(got)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "asked",
    [
        Asked("GET", "/players", "index=score&low=" + "[" * 100_000, [], b""),
        Asked("GET", "/players", "index=score&low=" + "9" * 1_000_000, [], b""),
        Asked("GET", "/players", 'index=score&equal={"a":' + '{"a":' * 50_000, [], b""),
        Asked("GET", "/players", "at_least=" + "9" * 1_000_000, [], b""),
        Asked("GET", "/players", "at_least=" + "0:1," * 100_000, [], b""),
        Asked("GET", "/players", "at_least=8191:9999999999999", [], b""),
        Asked("GET", "/players", "limit=" + "9" * 1_000_000, [], b""),
        Asked("GET", "/players", "after=" + "%ff" * 100_000, [], b""),
        Asked("GET", "/players", "a=b&" * 100_000, [], b""),
        Asked("GET", "/players/" + "x" * 1_000_000, "", [], b""),
        Asked("GET", "/players/" + "../" * 1_000 + "etc/passwd", "", [], b""),
        Asked("GET", "/players", "", [("if-none-match", '"' * 1_000_000)], b""),
        Asked("GET", "/players", "", [("if-none-match", 'W/"' * 300_000)], b""),
        Asked("GET", "/players", "", [("if-none-match", '"a" ' * 200_000)], b""),
        Asked("GET", "/players", "", [("accept", "text/event-stream"), ("last-event-id", "9" * 1_000_000)], b""),
        Asked("GET", "/players", "", [("accept", "text/event-stream"), ("last-event-id", "1.1.1@" + "A" * 10**6)], b""),
        Asked("POST", "/jobs/mail", "", [(f"x-{number}", "y") for number in range(20_000)], BODY),
        Asked("POST", "/", "", [("upstash-signature", "A" * 1_000_000)], BODY),
        Asked("POST", "/", "", [("upstash-signature", ".".join(["A" * 5_000] * 3))], BODY),
        Asked("POST", "/", "", [], bytes(65 * 1024)),
        Asked("POST", "/jobs/mail", "", [], bytes(2 * 1024 * 1024)),
        Asked("POST", "/", "", [], b'{"position":' + b"[" * 30_000),
        Asked("POST", "/", "", [], b'{"position":' + b"9" * 60_000 + b"}"),
        Asked("POST", "/", "", [], b'{"position":9223372036854775808}'),
        Asked("POST", "/", "", [], b'{"position":"' + b"0:1," * 10_000 + b'0:1"}'),
        Asked("POST", "/", "", [], b'{"position":"' + b"9" * 60_000 + b'"}'),
        Asked("POST", "/", "", [], b'{"a":1,' * 5_000),
        Asked("POST", "/", "", [], b"{" + b",".join(b'"%d":1' % number for number in range(5_000)) + b"}"),
        Asked("POST", "/", "", [], b'{"position":1,"position":"\\ud800"}'),
        Asked("POST", "/", "", [], b'\xef\xbb\xbf{"position":1}'),
        Asked("POST", "/", "", [], b'{"position":NaN}'),
        Asked("POST", "/", "", [], b'{"\xff":1}'),
    ],
    ids=lambda asked: (
        f"{asked.method} {asked.path[:14]} {asked.query[:14]} {str(asked.headers)[:24]} {asked.body[:14]}"
    ),
)
def test_large_and_malformed(name: str, asked: Asked, alarms: list[logging.LogRecord]) -> None:
    got = TARGETS[name](asked)
    check(got)
    assert not alarms


@pytest.mark.parametrize("name", ["asgi endpoint", "asgi jobs"])
def test_a_header_twice_is_neither_of_the_two(name: str) -> None:
    path = "/jobs/mail" if name == "asgi jobs" else "/projections"
    right = signed(url=f"https://app.example.com{path}")["upstash-signature"]
    for values in ([right, right], ["", right], [right, "x"], ["x", right]):
        headers = [("host", "app.example.com"), *[("upstash-signature", value) for value in values]]
        assert TARGETS[name](Asked("POST", path, "", headers, BODY)).status == 401


@pytest.mark.parametrize("body", ["é", "=", "AA", "A A=", "\0", "A" * 7])
def test_a_body_that_is_no_base64(body: str) -> None:
    players = _players()
    handler = lambda_handler(players.app, verifier=receiver())
    event = {"requestContext": {"http": {"method": "POST"}}, "body": body, "isBase64Encoded": True}
    answer = handler(event, None)
    assert answer["statusCode"] == 400


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


EVENT: Final = [
    *("httpMethod", "path", "rawPath", "rawQueryString", "headers", "multiValueHeaders", "body", "isBase64Encoded"),
    *("queryStringParameters", "multiValueQueryStringParameters"),
]


@settings(max_examples=examples(30))
@given(
    event=st.fixed_dictionaries(
        {"requestContext": st.dictionaries(st.sampled_from(["http", "stage", "elb", "path"]), JSON)},
        optional=dict.fromkeys(EVENT, JSON),
    ),
    method=st.sampled_from(["GET", "POST", None]),
)  # fmt: skip
def test_any_lambda_event(event: dict[str, Any], method: str | None) -> None:
    if method is not None:
        event = {**event, "httpMethod": method}
    players = _PLAYERS
    for handler in (
        lambda_handler(players.app, verifier=receiver()),
        lambda_jobs(players.app, verifier=receiver()),
        lambda_view(players.app, players.players, max_duration=0.01),
    ):
        try:
            answer = handler(event, None)
        except Misuse:  # it is no HTTP request
            assert method is None
            continue
        assert answer["statusCode"] in {200, 400, 401, 404, 405}


_PLAYERS: Final = _players()


def test_the_check_sees_what_must_not_go_out() -> None:
    """The proof that the tests above can fail."""
    fine = {"content-type": "application/problem+json"}
    body = b'{"status":400,"title":"x"}'
    check(Got(400, fine, body))
    for wrong in (
        Got(500, fine, body),
        Got(400, {"content-type": "text/html"}, body),
        Got(400, {**fine, "location": "/\r\nset-cookie: a"}, body),
        Got(200, {}, b"Traceback (most recent call last)"),
        Got(200, {}, b'  File "/srv/app.py", line 3'),
        Got(400, fine, b'{"status":400,"title":"x","detail":"ValueError"}'),
        Got(200, {}, bytes(20_000)),
    ):
        with pytest.raises((AssertionError, KeyError)):
            check(wrong)
