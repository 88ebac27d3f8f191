"""The to-do list on Flask: `flask --app examples.todo.flask_app run`."""

from __future__ import annotations

import flask

from eventsource_upstash import web

from . import routes
from .app import Todo


def create_app(todo: Todo | None = None) -> flask.Flask:
    """The application, over a to-do list of its own or the one that is handed in."""
    todo = (todo or Todo()).start()
    app = flask.Flask(__name__, static_folder=None)

    @app.route("/", defaults={"path": ""}, methods=routes.METHODS)
    @app.route("/<path:path>", methods=routes.METHODS)
    def endpoint(path: str) -> flask.Response:
        request = flask.request
        query = request.query_string.decode("ascii", "replace")
        plain = routes.Request(request.method, request.path, query, headers(), body())
        if routes.wants_feed(plain):
            return answer(routes.follow(todo, plain))
        return answer(routes.respond(todo, plain))

    @app.errorhandler(405)  # a method that nobody has heard of
    def refused(_: Exception) -> flask.Response:
        return endpoint("")

    @app.post("/projections")
    def notified() -> flask.Response:
        return answer(todo.notified(web.Request("POST", flask.request.url, headers(), body())))

    return app


def headers() -> dict[str, str]:
    return routes.lower(flask.request.headers.items())


def body() -> bytes:
    return flask.request.stream.read(routes.MAX_BODY + 1)


def answer(response: web.Response | web.Streaming) -> flask.Response:
    content = response.parts if isinstance(response, web.Streaming) else response.body
    return flask.Response(content, response.status, dict(response.headers))
