"""What is deployed: the quickstart's to-do list behind a framework, and behind AWS Lambda."""

from typing import Any, cast

from docs.snippets.todo import CompleteTask, CreateTask, TaskError, registry, task, tasks
from eventsource_upstash.local import LocalUpstash


def test_app(upstash: LocalUpstash) -> None:
    # --8<-- [start:app]
    import logging
    import uuid

    from fastapi import Body, FastAPI, Header, HTTPException, Request, Response
    from fastapi.responses import JSONResponse
    from starlette.routing import Route

    from eventsource_upstash import (
        LogRewound,
        Misuse,
        OutcomeUnknown,
        ProjectionStopped,
        StaleView,
        Unavailable,
        connect_async,
    )
    from eventsource_upstash.web import asgi_app

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    todo = connect_async("upstash:", registry)
    view = todo.projection_store.view(tasks)
    app = FastAPI(routes=[Route("/projections", asgi_app(todo), methods=["POST"])])

    async def failed(request: Request, error: Exception) -> JSONResponse:
        # What was asked cannot be (a key that is too long, say), or can be later: then a client
        # sends the same again, under the same Idempotency-Key.
        logging.getLogger("todo").warning("%s", request.url.path, exc_info=error)
        if isinstance(error, Misuse):
            return JSONResponse({"detail": "this cannot be done as it was asked"}, 400)
        if isinstance(error, LogRewound):
            return JSONResponse({"detail": "the log has no such position: read without"}, 409)
        return JSONResponse({"detail": "please try again"}, 503, {"Retry-After": "1"})

    for kind in (Misuse, LogRewound, Unavailable, OutcomeUnknown, StaleView, ProjectionStopped):
        app.add_exception_handler(kind, failed)

    @app.post("/tasks", status_code=201)
    async def create_task(
        response: Response,
        text: str = Body(embed=True),
        idempotency_key: str | None = Header(None),
    ) -> dict[str, str]:
        # The same request again, under its key, means the same task.
        key = idempotency_key or str(uuid.uuid4())
        stream = f"task-{uuid.uuid5(uuid.NAMESPACE_URL, key)}"
        executed = await todo.event_store.execute(
            task, stream, CreateTask(text), idempotency_key=key
        )
        response.headers["Event-Position"] = str(executed.position)
        return {"id": stream}

    @app.post("/tasks/{id}/complete", status_code=204)
    async def complete_task(id: str, response: Response) -> None:
        try:
            executed = await todo.event_store.execute(task, id, CompleteTask())
        except TaskError as refused:
            raise HTTPException(404, str(refused)) from None
        response.headers["Event-Position"] = str(executed.position or 0)

    @app.get("/tasks")
    async def list_tasks(at_least: int = 0) -> dict[str, object]:
        return {key: document async for key, document in view.items(at_least=at_least or None)}

    @app.get("/status")
    async def status() -> dict[str, object]:
        (status,) = await todo.projection_store.status()
        return {"state": status.state, "head": status.head, "lag": status.lag}

    # --8<-- [end:app]
    from starlette.testclient import TestClient

    # Any: its base class depends on which HTTP client is installed.
    with cast("Any", TestClient(app, follow_redirects=False)) as client:
        keyed = {"Idempotency-Key": "k"}
        created = client.post("/tasks", json={"text": "x"}, headers=keyed)
        assert (created.status_code, created.headers["event-position"]) == (201, "1")
        again = client.post("/tasks", json={"text": "x"}, headers=keyed)
        assert (again.json(), again.headers["event-position"]) == (created.json(), "1")
        assert client.post(f"/tasks/{created.json()['id']}/complete").status_code == 204
        assert client.post("/tasks/task-7/complete").status_code == 404
        listed = client.get("/tasks?at_least=2").json()
        assert listed == {created.json()["id"]: {"text": "x", "done": True}}
        assert client.get("/status").json() == {"state": "current", "head": 2, "lag": 0}
        assert client.post("/projections", json={"position": 0}).status_code == 401
        assert client.get("/tasks?at_least=3").status_code == 409
        assert client.get("/tasks?at_least=-1").status_code == 400
        too_long = {"Idempotency-Key": "k" * 256}
        assert client.post("/tasks", json={"text": "x"}, headers=too_long).status_code == 400


def test_lambda(upstash: LocalUpstash) -> None:
    # --8<-- [start:lambda]
    import json
    import logging
    import uuid
    from typing import Any

    from eventsource_upstash import (
        LogRewound,
        Misuse,
        OutcomeUnknown,
        ProjectionStopped,
        StaleView,
        Unavailable,
        connect,
    )
    from eventsource_upstash.web import lambda_handler

    todo = connect("upstash:", registry)
    view = todo.projection_store.view(tasks)
    notified = lambda_handler(todo)

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        # What was asked cannot be (a key that is too long, say), or can be later: then a client
        # sends the same again, under the same Idempotency-Key.
        try:
            return route(event, context)
        except (Misuse, KeyError, ValueError):
            logging.getLogger("todo").warning("%s", event["rawPath"], exc_info=True)
            return answer(400, {"detail": "this cannot be done as it was asked"})
        except LogRewound:
            return answer(409, {"detail": "the log has no such position: read without"})
        except (Unavailable, OutcomeUnknown, StaleView, ProjectionStopped):
            logging.getLogger("todo").warning("%s", event["rawPath"], exc_info=True)
            return answer(503, {"detail": "please try again"})

    def route(event: dict[str, Any], context: object) -> dict[str, Any]:
        match event["requestContext"]["http"]["method"], event["rawPath"].strip("/").split("/"):
            case "POST", ["projections"]:
                return notified(event, context)
            case "POST", ["tasks"]:
                # The same request again, under its key, means the same task.
                key = event["headers"].get("idempotency-key") or str(uuid.uuid4())
                stream = f"task-{uuid.uuid5(uuid.NAMESPACE_URL, key)}"
                command = CreateTask(str(json.loads(event["body"])["text"]))
                executed = todo.event_store.execute(task, stream, command, idempotency_key=key)
                return answer(201, {"id": stream, "position": executed.position})
            case "POST", ["tasks", str(stream), "complete"]:
                try:
                    executed = todo.event_store.execute(task, stream, CompleteTask())
                except TaskError as refused:
                    return answer(404, {"detail": str(refused)})
                return answer(200, {"id": stream, "position": executed.position})
            case "GET", ["tasks"]:
                query: dict[str, str] = event.get("queryStringParameters") or {}
                documents = view.items(at_least=int(query.get("at_least", 0)) or None)
                return answer(200, {key: [each.text, each.done] for key, each in documents})
            case "GET", ["status"]:
                (status,) = todo.projection_store.status()
                return answer(200, {"state": status.state, "head": status.head, "lag": status.lag})
            case _:
                return answer(404, {"detail": "there is nothing here"})

    def answer(status: int, value: object) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        return {"statusCode": status, "headers": headers, "body": json.dumps(value)}

    # --8<-- [end:lambda]
    def call(
        method: str, path: str, body: str = "", key: str = "", **query: str
    ) -> tuple[int, Any]:
        event = {
            "version": "2.0",
            "rawPath": path,
            "headers": {"host": "todo.example.com", "idempotency-key": key},
            "requestContext": {"http": {"method": method}},
            "queryStringParameters": query,
            "body": body,
            "isBase64Encoded": False,
        }
        reply = handler(event, None)
        return reply["statusCode"], json.loads(reply["body"])

    status, created = call("POST", "/tasks", '{"text": "x"}')
    assert (status, created["position"]) == (201, 1)
    assert call("POST", f"/tasks/{created['id']}/complete")[0] == 200
    assert call("POST", "/tasks/task-7/complete")[0] == 404
    assert call("GET", "/tasks", at_least="2") == (200, {created["id"]: ["x", True]})
    assert call("GET", "/status") == (200, {"state": "current", "head": 2, "lag": 0})
    assert call("POST", "/projections", '{"position": 0}')[0] == 401
    assert (call("GET", "/")[0], call("GET", "/tasks", at_least="3")[0]) == (404, 409)
    for wrong in ("-1", "three"):
        assert call("GET", "/tasks", at_least=wrong)[0] == 400
    for body, key in (('{"text": "x"}', "k" * 256), ("{}", ""), ("no JSON", "")):
        assert call("POST", "/tasks", body, key)[0] == 400


def test_each_deployment(upstash: LocalUpstash) -> None:
    # --8<-- [start:each]
    import sys

    from eventsource_upstash import connect

    app = connect("upstash:", registry)  # the registry of your app
    if doubts := app.check():
        sys.exit("\n".join(doubts))
    app.schedules.ensure_sweep("*/5 * * * *")
    app.projector.catch_up()  # what had stopped, what is new; raises what still cannot be folded
    # --8<-- [end:each]
    assert [each.id for each in app.schedules.list()] == ["events-sweep"]
