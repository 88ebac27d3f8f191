"""The to-do list on Flask: `flask --app examples.todo.flask_app run`."""

from __future__ import annotations

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from eventsource_upstash.web import wsgi_app

from . import live, routes
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
        headers = routes.lower(request.headers.items())
        body = request.stream.read(routes.MAX_BODY + 1)
        plain = routes.Request(request.method, request.path, query, headers, body)
        if place := routes.wants_stream(plain):
            return flask.Response(live.follow(todo, place), headers=dict(live.HEADERS))
        response = routes.respond(todo, plain)
        return flask.Response(response.body, response.status, dict(response.headers))

    notified = wsgi_app(todo.app)
    # mypy: assigning to this method is how Flask documents it.
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/projections": notified})  # type: ignore[method-assign]
    return app
