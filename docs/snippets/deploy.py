"""What is deployed: the quickstart's to-do list behind a framework, and behind AWS Lambda."""

from typing import Any, cast

from docs.snippets.todo import CompleteTask, CreateTask, TaskError, registry, task, tasks
from eventsource_upstash.local import LocalUpstash


def test_app(upstash: LocalUpstash) -> None:
    # --8<-- [start:app]
    import uuid

    from fastapi import Body, FastAPI, Header, HTTPException, Response
    from starlette.routing import Route

    from eventsource_upstash import connect_async
    from eventsource_upstash.web import asgi_app

    todo = connect_async("upstash:", registry)
    view = todo.projection_store.view(tasks)
    app = FastAPI(routes=[Route("/projections", asgi_app(todo), methods=["POST"])])

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


def test_lambda(upstash: LocalUpstash) -> None:
    # --8<-- [start:lambda]
    import json
    import uuid
    from typing import Any

    from eventsource_upstash import connect
    from eventsource_upstash.web import lambda_handler

    todo = connect("upstash:", registry)
    view = todo.projection_store.view(tasks)
    notified = lambda_handler(todo)

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
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
    def call(method: str, path: str, body: str = "", **query: str) -> tuple[int, Any]:
        event = {
            "version": "2.0",
            "rawPath": path,
            "headers": {"host": "todo.example.com"},
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
    assert call("GET", "/")[0] == 404
