"""A view over HTTP: read by anybody, kept by browsers, and followed as it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from eventsource_upstash import Registry, connect, connect_async

# --8<-- [start:projection]
registry = Registry()


@registry.event("scored")
@dataclass(frozen=True)
class Scored:
    player: str
    points: int


@dataclass(frozen=True)
class Player:
    id: str
    score: int = 0


players = registry.projection("players", Player, changes=True)
players.index("score", "score")


@players.on(Scored, key="player")
def scored(player: Player | None, event: Scored) -> Player:
    player = player or Player(event.player)
    return replace(player, score=player.score + event.points)


# --8<-- [end:projection]


def test_starlette(in_empty_folder: None) -> None:
    # --8<-- [start:starlette]
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from eventsource_upstash.web import asgi_view

    game = connect_async("sqlite:game.db", registry)
    app = Starlette(routes=[Mount("/players", asgi_view(game, players))])
    # --8<-- [end:starlette]
    from starlette.testclient import TestClient

    with connect("sqlite:game.db", registry) as other:
        other.event_store.append("game", Scored("ada", 3))
        other.projector.catch_up()
    # Any: its base class depends on which HTTP client is installed.
    with cast("Any", TestClient(app)) as client:
        first = client.get("/players/ada")
        assert first.json() == {"id": "ada", "score": 3}
        again = client.get("/players/ada", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
        top = client.get("/players/?index=score&reverse=yes&limit=10").json()
        assert top == {
            "items": [{"key": "ada", "document": {"id": "ada", "score": 3}}],
            "cursor": None,
        }


def test_flask(in_empty_folder: None) -> None:
    # --8<-- [start:flask]
    import flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from eventsource_upstash.web import wsgi_view

    game = connect("sqlite:game.db", registry)
    app = flask.Flask("game")
    app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]  # as Flask's own docs do
        app.wsgi_app, {"/players": wsgi_view(game, players)}
    )
    # --8<-- [end:flask]
    game.event_store.append("game", Scored("ada", 3))
    game.projector.catch_up()
    assert app.test_client().get("/players/ada").json == {"id": "ada", "score": 3}
    game.close()


def test_lambda(in_empty_folder: None) -> None:
    game = connect("sqlite:game.db", registry)
    # --8<-- [start:lambda]
    from eventsource_upstash.web import lambda_view

    handler = lambda_view(game, players, path="/players", consistency="strong")
    # --8<-- [end:lambda]
    game.event_store.append("game", Scored("ada", 3))
    event = {"rawPath": "/players/ada", "requestContext": {"http": {"method": "GET"}}}
    assert handler(event, None)["body"] == '{"id":"ada","score":3}'
    game.close()


def test_own_handler(in_empty_folder: None) -> None:
    game = connect("sqlite:game.db", registry)
    view = game.projection_store.view(players)
    # --8<-- [start:conditional]
    import flask

    from eventsource_upstash.web import not_modified, validators

    app = flask.Flask("game")

    @app.get("/top")
    def top() -> flask.Response:
        version = view.version()  # before the answer is read
        headers = validators(version)
        if not_modified(flask.request.headers.get("If-None-Match"), version):
            return flask.Response(status=304, headers=headers)
        best = [
            {"player": key, "score": player.score} for key, player in view.index("score").top(10)
        ]
        return flask.Response(
            flask.json.dumps(best), headers=headers, content_type="application/json"
        )

    # --8<-- [end:conditional]
    game.event_store.append("game", Scored("ada", 3))
    game.projector.catch_up()
    client = app.test_client()
    first = client.get("/top")
    assert first.json == [{"player": "ada", "score": 3}]
    assert client.get("/top", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    game.event_store.append("game", Scored("ada", 3))
    game.projector.catch_up()
    assert client.get("/top", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    game.close()


def test_any_framework(in_empty_folder: None) -> None:
    game = connect("sqlite:game.db", registry)
    # --8<-- [start:plain]
    from eventsource_upstash.web import Request, Response, Streaming, ViewEndpoint

    endpoint = ViewEndpoint(game, players)

    def answer(request: Request, key: str) -> Response | Streaming:
        # Who asks, and may they? Here is the place to say no.
        if endpoint.wants_feed(request, key):
            return endpoint.feed(request)
        return endpoint.handle(request, key)

    # --8<-- [end:plain]
    game.event_store.append("game", Scored("ada", 3))
    game.projector.catch_up()
    url = "https://game.example.com/players/"
    assert answer(Request("GET", url + "ada", {}, b""), "ada").status == 200
    feed = answer(Request("GET", url, {"accept": "text/event-stream"}, b""), "")
    assert isinstance(feed, Streaming)
    # --8<-- [start:told]
    told = b"""\
retry: 2000

id: 1-1-1@
event: reset
data: {}

id: 1-1-1@YWRh
event: put
data: {"key":"ada","document":{"id":"ada","score":3}}

id: 1-1-1
event: level
data: {}

"""
    # --8<-- [end:told]
    endpoint.close()
    assert b"".join(feed.parts) == told
    game.close()
