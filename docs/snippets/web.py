"""The endpoint in web frameworks, and requests that answer what they have just written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from docs.snippets.todo import CompleteTask, CreateTask, TaskError, registry, task, tasks
from eventsource_upstash import connect, connect_async


def test_starlette(in_empty_folder: None) -> None:
    # --8<-- [start:starlette]
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from eventsource_upstash.web import asgi_app

    todo = connect_async("sqlite:todo.db", registry)
    view = todo.projection_store.view(tasks)

    async def complete(request: Request) -> JSONResponse:
        stream = f"task-{request.path_params['id']}"
        try:
            executed = await todo.event_store.execute(task, stream, CompleteTask())
        except TaskError as refused:
            return JSONResponse({"error": str(refused)}, 409)
        document = await view.get(stream, at_least=executed.position)
        return JSONResponse({"text": document.text, "done": document.done} if document else None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with todo, todo.worker():
            yield

    app = Starlette(
        routes=[
            Route("/tasks/{id}/complete", complete, methods=["POST"]),
            Route("/projections", asgi_app(todo), methods=["POST"]),
        ],
        lifespan=lifespan,
    )
    # --8<-- [end:starlette]
    from starlette.testclient import TestClient

    with connect("sqlite:todo.db", registry) as other:
        other.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    # Any: its base class depends on which HTTP client is installed.
    with cast("Any", TestClient(app)) as client:
        assert client.post("/tasks/1/complete").json() == {"text": "Do the dishes", "done": True}
        assert client.post("/tasks/2/complete").status_code == 409
        assert client.post("/projections", json={"position": 2}).status_code == 200


def test_flask(in_empty_folder: None) -> None:
    # --8<-- [start:flask]
    import flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from eventsource_upstash.web import wsgi_app

    todo = connect("sqlite:todo.db", registry)
    app = flask.Flask("todo")
    app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]  # as Flask's own docs do
        app.wsgi_app, {"/projections": wsgi_app(todo)}
    )
    # --8<-- [end:flask]
    todo.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    client = app.test_client()
    assert client.post("/projections", json={"position": 1}).json == {
        "applied": 1,
        "position": 1,
        "head": 1,
    }
    todo.close()


def test_lambda(in_empty_folder: None) -> None:
    # --8<-- [start:lambda]
    from eventsource_upstash.web import lambda_handler

    todo = connect("sqlite:/tmp/todo.db", registry)
    handler = lambda_handler(todo, time_budget=25.0)  # of a function that may run for 30 seconds
    # --8<-- [end:lambda]
    todo = connect("sqlite:todo.db", registry)
    handler = lambda_handler(todo, time_budget=25.0)
    event = {
        "version": "2.0",
        "rawPath": "/projections",
        "headers": {"host": "todo.example.com"},
        "requestContext": {"http": {"method": "POST"}},
        "body": '{"position": 0}',
        "isBase64Encoded": False,
    }
    assert handler(event, None)["statusCode"] == 200
    todo.close()


def test_plain(in_empty_folder: None) -> None:
    todo = connect("sqlite:todo.db", registry)
    todo.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
    # --8<-- [start:plain]
    from eventsource_upstash.web import Endpoint, Request

    endpoint = Endpoint(todo)
    url = "https://todo.example.com/projections"
    response = endpoint.handle(Request("POST", url, headers={}, body=b'{"position": 1}'))
    assert response.status == 200
    assert response.body == b'{"applied":1,"position":1,"head":1}'
    # --8<-- [end:plain]
    assert endpoint.handle(Request("GET", url, {}, b"")).status == 405
    assert endpoint.handle(Request("POST", url, {}, b"no position")).status == 489
    assert endpoint.handle(Request("POST", url, {}, b"")).status == 200
    assert endpoint.handle(Request("POST", url, {}, b'{"position": 99}')).status == 500
    todo.close()


def test_verifier(in_empty_folder: None) -> None:
    todo = connect("sqlite:todo.db", registry)
    # --8<-- [start:verifier]
    import hmac
    from collections.abc import Mapping

    from eventsource_upstash.web import Endpoint, Unverified

    class SharedSecret:
        """Lets those in who know the secret."""

        def __init__(self, secret: str) -> None:
            self._secret = secret

        def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
            if not hmac.compare_digest(headers.get("x-secret", "").encode(), self._secret.encode()):
                raise Unverified("the x-secret header is not the one we agreed on")

    endpoint = Endpoint(todo, verifier=SharedSecret("correct horse"))
    # --8<-- [end:verifier]
    from eventsource_upstash.web import Request

    url = "https://todo.example.com/projections"
    assert endpoint.handle(Request("POST", url, {}, b"")).status == 401
    assert endpoint.handle(Request("POST", url, {"x-secret": "correct horse"}, b"")).status == 200
    todo.close()
