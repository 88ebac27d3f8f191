"""Views over HTTP: documents, listings, conditional requests, and what is answered to those who ask for nonsense."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from eventsource_upstash import AsyncApp, Memory, Misuse, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.web import (
    Request,
    ViewEndpoint,
    asgi_view,
    etag,
    lambda_view,
    not_modified,
    validators,
    wsgi_view,
)
from tests.web.players import AsyncCaller, Caller, Left, Noise, Players, Retired


def listing(caller: Caller, query: str = "") -> tuple[list[str], str | None]:
    answer = caller.send(f"?{query}")
    assert answer.status == 200, answer.body
    page = json.loads(answer.body)
    return [item["key"] for item in page["items"]], page["cursor"]


def test_documents(players: Players, caller: Caller) -> None:
    players.score(("a", 1))
    answer = caller.send("a")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == {"id": "a", "score": 1, "until": None}
    assert answer.headers["cache-control"] == "private, no-cache"
    missing = caller.send("b")
    assert (missing.status, missing.headers["content-type"]) == (404, "application/problem+json")
    assert caller.send("\x00").status == 404
    head = caller.send("a", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(answer.body)))
    assert head.headers["etag"] == answer.headers["etag"]


def test_listings(players: Players, caller: Caller) -> None:
    players.score(("a", 3), ("b", 1), ("c", 2), ("d", 9))
    assert listing(caller) == (["a", "b", "c", "d"], None)
    assert listing(caller, "limit=3") == (["a", "b", "c"], "c")
    assert listing(caller, "limit=3&after=c") == (["d"], None)
    assert listing(caller, "index=score") == (["b", "c", "a", "d"], None)
    assert listing(caller, "index=score&low=2&high=3") == (["c", "a"], None)
    keys, cursor = listing(caller, "index=score&reverse=yes&limit=2")
    assert keys == ["d", "a"]
    assert listing(caller, f"index=score&reverse=yes&limit=2&after={cursor}")[0] == ["c", "b"]
    assert listing(caller, "index=name&equal=c") == (["c"], None)
    assert listing(caller, 'index=name&equal="c"') == (["c"], None)
    assert listing(caller, "index=name&equal=12") == ([], None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "at_least=-1",
        "at_least=x",
        "after=%00",
        "index=nothing",
        "low=1",
        "index=score&low=1&high=b",
        "index=score&low=NaN&high=1",
        "index=score&reverse=maybe",
        "index=score&after=x",
    ],
)
def test_bad_input(players: Players, caller: Caller, query: str) -> None:
    players.score(("a", 3))
    answer = caller.send(f"?{query}")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_a_host_that_can_be_none_is_no_failure(here: Players) -> None:
    answer = ViewEndpoint(here.app, here.players).handle(Request("GET", "http://[::1/?limit=0", {}, b""), "")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_only_reading(players: Players, caller: Caller) -> None:
    answer = caller.send("a", "POST")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["a", "", "?index=score"])
def test_304_exactly_while_nothing_has_changed(players: Players, caller: Caller, path: str) -> None:
    players.score(("a", 1), ("b", 1))
    first = caller.send(path)
    tag = first.headers["etag"]
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = caller.send(path, if_none_match=header)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
    assert caller.send(path, "HEAD", if_none_match=tag).status == 304
    assert caller.send(path, if_none_match='"x"').status == 200
    players.score(("a", 1))
    changed = caller.send(path, if_none_match=tag)
    assert changed.status == 200
    assert changed.headers["etag"] != tag
    assert changed.body != first.body


def test_an_event_that_touches_nothing_moves_the_view_and_its_etag(players: Players, caller: Caller) -> None:
    """The ETag names the commit that the view is as of: it may change without the document, never the other way."""
    players.score(("a", 1))
    first = caller.send("a")
    players.tell(Noise("hm"))
    again = caller.send("a", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (200, first.body)


def test_what_ends_is_no_longer_the_same(players: Players, caller: Caller) -> None:
    players.score(("a", 1), ("b", 1))
    tags = {path: caller.send(path).headers["etag"] for path in ("a", "")}
    players.tell(Retired("a"))
    assert caller.send("a", if_none_match=tags["a"]).status == 404
    assert caller.send("a", if_none_match="*").status == 404
    assert caller.send("", if_none_match=tags[""]).status == 200


def test_a_rebuild_is_another_etag(players: Players, caller: Caller) -> None:
    players.score(("a", 1))
    tag = caller.send("a").headers["etag"]
    players.app.projector.rebuild(players.players)
    assert caller.send("a", if_none_match=tag).status == 200


def test_a_caller_sees_what_it_wrote(players: Players, caller: Caller) -> None:
    players.score(("a", 1))
    tag = caller.send("a").headers["etag"]
    position = players.score(("a", 1), fold=False)
    assert caller.send("a", if_none_match=tag).status == 304
    answer = caller.send(f"a?at_least={position}", if_none_match=tag)
    assert (answer.status, json.loads(answer.body)["score"]) == (200, 2)
    players.score(("a", 1), fold=False)
    strong = caller.endpoint(consistency="strong")
    assert json.loads(caller.send("a", endpoint=strong).body)["score"] == 3


def test_what_cannot_be_answered_now(players: Players, caller: Caller) -> None:
    position = players.score(("a", 1))
    rewound = caller.send(f"a?at_least={position + 50}")
    assert rewound.status == 409
    stopped = players.score(("a", 2_000_000), fold=False)
    answer = caller.send(f"a?at_least={stopped}")
    assert answer.status == 503
    assert b"secret" not in answer.body + rewound.body
    assert caller.send("a").status == 200


def test_a_view_that_is_not_far_enough(players: Players, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    from eventsource_upstash import StaleView, Unavailable

    endpoint = caller.endpoint()
    for error in (StaleView(projection="players", wanted=2, reached=1, head=2), Unavailable("host of ours")):

        async def fail(*arguments: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(endpoint.flow._querying, "_read", fail)
        answer = caller.send("a", endpoint=endpoint)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"host" not in answer.body

    async def break_(*arguments: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(endpoint.flow._querying, "_read", break_)
    answer = caller.send("a", endpoint=endpoint)
    assert (answer.status, b"secret" in answer.body) == (500, False)


def test_conditional_on_plain_values() -> None:
    assert validators("1.2") == {"etag": '"1.2"', "cache-control": "private, no-cache"}
    assert not_modified(etag("1.2"), "1.2")
    assert not_modified(' "a,b" ,W/"1.2"', "1.2")
    assert not_modified("*", "1.2")
    for other in (None, "", '"1.20"', "1.2", '"x"', "W/1.2"):
        assert not not_modified(other, "1.2")


# -- The adapters --


@pytest.fixture
def here() -> Players:
    players = Players(Memory())
    players.score(("a/b", 1), ("ä", 2))
    return players


def wsgi(app: Any, path: str, script: str = "", **more: str) -> tuple[str, dict[str, str], bytes]:
    got: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": script,
        "PATH_INFO": path.encode().decode("latin-1"),
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        **more,
    }
    parts = app(environ, lambda status, headers: got.extend([status, dict(headers)]))
    return got[0], got[1], b"".join(parts)


def test_wsgi(here: Players) -> None:
    app = wsgi_view(here.app, here.players)
    assert json.loads(wsgi(app, "/ä", "/players")[2])["score"] == 2
    status, headers, body = wsgi(app, "/a/b")
    assert (status, headers["content-length"]) == ("200 OK", str(len(body)))
    assert wsgi(app, "/a/b", HTTP_IF_NONE_MATCH=headers["etag"])[0] == "304 Not Modified"
    routed = wsgi_view(here.app, here.players, path="/players", max_duration=0.01)
    assert [wsgi(routed, path)[0][:3] for path in ("/players", "/players/", "/players/ä", "/playersä", "/", "")] == [
        "200",
        "200",
        "200",
        "404",
        "404",
        "404",
    ]
    _, headers, body = wsgi(routed, "/players", HTTP_ACCEPT="text/event-stream")
    assert headers["content-type"].startswith("text/event-stream")
    assert body.count(b"event: put") == 2
    assert wsgi(routed, "/players", HTTP_ACCEPT="text/event-stream", HTTP_LAST_EVENT_ID="x")[0] == "400 Bad Request"


def asgi(app: Any, path: str, root: str = "", leave: bool = False, **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if leave:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": named, "query_string": b""}
    asyncio.run(app(scope, receive, send))
    start, *bodies = sent
    body = b"".join(message["body"] for message in bodies)
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body


def test_asgi(here: Players) -> None:
    caller = AsyncCaller(here)
    app = asgi_view(caller._app, here.players, max_duration=0.01)
    assert json.loads(asgi(app, "/players/ä", "/players")[2])["score"] == 2
    status, headers, body = asgi(app, "/a/b", "/players")
    assert (status, headers["content-length"]) == (200, str(len(body)))
    assert asgi(app, "/a/b", if_none_match=headers["etag"])[0] == 304
    status, headers, body = asgi(app, "/", accept="text/event-stream")
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert body.count(b"event: put") == 2
    assert asgi(app, "/", accept="text/event-stream", last_event_id="x")[0] == 400
    routed = asgi_view(caller._app, here.players, path="/players")
    assert [asgi(routed, path)[0] for path in ("/players", "/players/", "/playersä", "/")] == [200, 200, 404, 404]
    caller.end()


def test_a_reader_that_leaves_ends_its_feed(here: Players) -> None:
    caller = AsyncCaller(here)
    app = asgi_view(caller._app, here.players, interval=3600.0, max_duration=3600.0)
    assert asgi(app, "/", leave=True, accept="text/event-stream")[0] == 200
    caller.end()


def test_lambda(here: Players) -> None:
    handler = lambda_view(here.app, here.players, path="/players")

    def call(path: str, **headers: str) -> dict[str, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        context = {"stage": "prod", "http": {"method": "GET"}}
        return handler({"rawPath": path, "headers": named, "requestContext": context}, None)

    answer = call("/prod/players/%C3%A4")
    assert (answer["statusCode"], json.loads(answer["body"])["score"]) == (200, 2)
    assert call("/players/ä", if_none_match=answer["headers"]["etag"])["statusCode"] == 304
    assert call("/elsewhere")["statusCode"] == 404
    feed = call("/prod/players", accept="text/event-stream")
    assert feed["body"].endswith("event: level\ndata: {}\n\n")
    last = feed["body"].rsplit("id: ", 1)[1].split("\n")[0]
    here.tell(Left("ä"))
    assert call("/prod/players", accept="text/event-stream", last_event_id=last)["body"].count("event: ") == 1
    rest = handler({"httpMethod": "GET", "path": "/players/ä", "requestContext": {"stage": "prod"}}, None)
    assert rest["statusCode"] == 404


SHARED = "public, max-age=60, stale-while-revalidate=600"


def test_who_may_keep_an_answer_is_said_of_each_that_may_be_kept(players: Players, caller: Caller) -> None:
    players.score(("a", 1))
    endpoint = caller.endpoint(cache_control=SHARED)
    for path in ("a", "", "?index=score"):
        first = caller.send(path, endpoint=endpoint)
        again = caller.send(path, endpoint=endpoint, if_none_match=first.headers["etag"])
        assert (first.status, again.status) == (200, 304)
        for answer in (first, again, caller.send(path, "HEAD", endpoint=endpoint)):
            assert answer.headers["cache-control"] == SHARED
            # At the URL of a listing there is the feed as well.
            assert answer.headers.get("vary") == (None if path == "a" else "accept")
    for path, method in (("b", "GET"), ("?limit=0", "GET"), ("?at_least=99", "GET"), ("a", "POST")):
        refused = caller.send(path, method, endpoint=endpoint)
        assert refused.status >= 400
        assert refused.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "wrong", ["", "public\r\nset-cookie: a=b", "public\n", "public,", "max-age=", "a b", "é", "\0", None, 60]
)
def test_what_can_be_no_cache_control_is_refused(wrong: Any) -> None:
    players = Players(Memory())
    store = AsyncApp(players.backend, players.registry, None).projection_store
    for make in (
        lambda: ViewEndpoint(players.app, players.players, cache_control=wrong),
        lambda: wsgi_view(players.app, players.players, cache_control=wrong),
        lambda: lambda_view(players.app, players.players, cache_control=wrong),
        lambda: asgi_view(store, players.players, cache_control=wrong),
        lambda: validators("1", cache_control=wrong),
    ):
        with pytest.raises(Misuse, match="cache_control="):
            make()


def test_a_304_costs_one_command(upstash: LocalUpstash) -> None:
    name = "a-304"
    players = Players(UpstashRedis(upstash.redis_url, upstash.token_for(name), namespace=name), expires=False)
    players.score(("a", 1), ("b", 2))
    caller = Caller(players)

    def spent() -> tuple[int, int]:
        counted = upstash.metrics()["redis"][name]
        return counted["requests"], counted["commands"]

    for path in ("a", "?limit=2"):
        tag = caller.send(path).headers["etag"]
        requests, commands = spent()
        assert caller.send(path, if_none_match=tag).status == 304
        assert spent() == (requests + 1, commands + 1)
    players.app.close()
