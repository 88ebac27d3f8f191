"""Lambda events of other shapes than the scenarios use, and a list that another function wrote to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.todo.app import Todo
from examples.todo.lambda_app import Handler, create_handler


@pytest.fixture
def todo(tmp_path: Path) -> Iterator[Todo]:
    todo = Todo(f"sqlite:{tmp_path / 'todo.db'}")
    yield todo
    todo.close()


@pytest.fixture
def handler(todo: Todo) -> Handler:
    return create_handler(todo)


def rest_api(method: str, path: str, body: str | None = None, **query: str) -> dict[str, Any]:
    """An event of payload format 1.0."""
    return {
        "httpMethod": method,
        "path": path,
        "queryStringParameters": query or None,
        "headers": {"Content-Type": "application/json"},
        "requestContext": {"stage": "prod", "path": f"/prod{path}"},
        "body": body,
        "isBase64Encoded": False,
    }


def test_a_rest_api(handler: Handler) -> None:
    created = handler(rest_api("POST", "/api/tasks", '{"text": "From a gateway 🙂"}'), None)
    assert created["statusCode"] == 201
    listed = handler(rest_api("GET", "/api/tasks", at_least="1"), None)
    assert [task["text"] for task in json.loads(str(listed["body"]))] == ["From a gateway 🙂"]
    assert handler(rest_api("GET", "/api/tasks", at_least="&"), None)["statusCode"] == 400


def test_an_http_api_with_a_stage(handler: Handler) -> None:
    event = {
        "rawPath": "/prod/api/tasks",
        "rawQueryString": "at_least=0",
        "requestContext": {"stage": "prod", "http": {"method": "GET"}},
    }
    assert handler(event, None)["body"] == "[]"
    assert handler({**event, "rawPath": "/prod"}, None)["statusCode"] == 200


def test_a_body_that_is_not_base64(handler: Handler) -> None:
    event = {**rest_api("POST", "/api/tasks", "%%%"), "isBase64Encoded": True}
    assert handler(event, None)["statusCode"] == 400


def test_whoever_reads_brings_the_view_up_to_date(handler: Handler, todo: Todo, tmp_path: Path) -> None:
    other = Todo(f"sqlite:{tmp_path / 'todo.db'}")
    try:
        create_handler(other)(rest_api("POST", "/api/tasks", '{"text": "By another function"}'), None)
    finally:
        other.close()
    status = json.loads(str(handler(rest_api("GET", "/api/events"), None)["body"]))["status"]
    assert status["lag"] == 1
    assert "By another function" in str(handler(rest_api("GET", "/api/tasks"), None)["body"])
    status = json.loads(str(handler(rest_api("GET", "/api/events"), None)["body"]))["status"]
    assert status["lag"] == 0
