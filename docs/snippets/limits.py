"""Rate limits in web frameworks, and answers that are cached."""

from typing import Any, cast

from docs.snippets.live import Scored, players
from docs.snippets.live import registry as game_registry
from docs.snippets.todo import registry
from eventsource_upstash import connect, connect_async


def noon() -> int:
    return 1_800_000_003_500_000_000


def test_fastapi() -> None:
    todo = connect_async("memory:", registry, clock=noon)
    # --8<-- [start:fastapi]
    from fastapi import Depends, FastAPI, Request, Response

    from eventsource_upstash import Limited
    from eventsource_upstash.web import too_many

    posts = todo.rate_limit("posts", limit=10, window=10)

    class TooMany(Exception):
        def __init__(self, limited: Limited) -> None:
            self.limited = limited

    async def limited(request: Request, response: Response) -> None:
        found = await posts.check(request.client.host if request.client else "unknown")
        if not found.allowed:
            raise TooMany(found)
        response.headers.update(found.headers)

    app = FastAPI()

    @app.exception_handler(TooMany)
    async def turned_away(request: Request, error: Exception) -> Response:
        assert isinstance(error, TooMany)
        answer = too_many(error.limited)
        return Response(answer.body, answer.status, dict(answer.headers))

    @app.post("/posts", dependencies=[Depends(limited)])
    async def post() -> dict[str, str]:
        return {"status": "posted"}

    # --8<-- [end:fastapi]
    from starlette.testclient import TestClient

    client = cast(
        "Any", TestClient(app)
    )  # Any: its base class depends on which HTTP client is installed
    answers = [client.post("/posts") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[0].headers["x-ratelimit-remaining"] == "9"
    assert answers[10].headers["retry-after"] == "7"


def test_flask() -> None:
    todo = connect("memory:", registry, clock=noon)
    # --8<-- [start:flask]
    import flask

    from eventsource_upstash.web import too_many

    app = flask.Flask("todo")
    posts = todo.rate_limit("posts", limit=10, window=10)

    @app.before_request
    def limited() -> flask.Response | None:
        found = posts.check(flask.request.remote_addr or "unknown")
        flask.g.limited = found
        if found.allowed:
            return None
        answer = too_many(found)
        return flask.Response(answer.body, answer.status, dict(answer.headers))

    @app.after_request
    def told(response: flask.Response) -> flask.Response:
        response.headers.update(flask.g.limited.headers)
        return response

    @app.post("/posts")
    def post() -> dict[str, str]:
        return {"status": "posted"}

    # --8<-- [end:flask]
    client = app.test_client()
    answers = [client.post("/posts") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[10].headers["Retry-After"] == "7"
    assert answers[10].json == {"status": 429, "title": "too many requests; try again in 7 s"}
    todo.close()


def test_view() -> None:
    game = connect("memory:", game_registry)
    # --8<-- [start:view]
    from eventsource_upstash.web import wsgi_view

    view = wsgi_view(game, players, cache_control="public, max-age=60, stale-while-revalidate=600")
    # --8<-- [end:view]
    from werkzeug.test import Client

    game.event_store.append("game", Scored("ada", 3))
    game.projector.catch_up()
    client = Client(view)
    first = client.get("/ada")
    assert first.headers["Cache-Control"] == "public, max-age=60, stale-while-revalidate=600"
    again = client.get("/ada", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["Cache-Control"]) == (
        304,
        first.headers["Cache-Control"],
    )
    game.close()
