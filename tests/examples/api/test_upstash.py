"""What is otherwise on Upstash: signed deliveries, and AWS Lambda."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from examples.api import lambda_app
from examples.api.service import Service
from examples.api.settings import Settings

if TYPE_CHECKING:
    from tests.examples.cloud import Cloud

Call = Callable[..., Any]


@pytest.fixture
def function(api_cloud: Cloud) -> Call:
    """The handler, called with events of payload format 2.0, as a function URL sends them."""
    backend = api_cloud.backend()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in api_cloud.environment(backend).items():
            patch.setenv(name, value)
        handler = lambda_app.create_handler(Service(Settings(backend, report_takes=timedelta(0))))

    def call(method: str, path: str, value: object = None, **headers: str) -> Any:
        event = {
            "version": "2.0",
            "rawPath": path.partition("?")[0],
            "rawQueryString": path.partition("?")[2],
            "headers": {
                "content-type": "application/json",
                "host": f"{backend.removeprefix('upstash:')}.example.com",
                "x-forwarded-proto": "https",
                **{name.replace("_", "-"): text for name, text in headers.items()},
            },
            "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.1", "path": path}, "stage": "$default"},
            "body": base64.b64encode(b"" if value is None else json.dumps(value).encode()).decode(),
            "isBase64Encoded": True,
        }
        answer = handler(event, None)
        return answer["statusCode"], answer["headers"], answer["body"]

    return call


def test_the_api_on_lambda(function: Call) -> None:
    status, headers, body = function("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>" in body
    assert function("GET", "/static/mark.svg")[2].startswith("<svg")
    token = json.loads(function("POST", "/session", {"name": "ada"})[2])["token"]
    status, headers, body = function("POST", "/posts", {"text": "Hello"}, authorization=f"Bearer {token}")
    assert (status, headers["x-ratelimit-remaining"]) == (201, "9")
    status, headers, body = function("GET", "/posts")
    assert [post["text"] for post in json.loads(body)["items"]] == ["Hello"]
    assert function("GET", "/posts", if_none_match=headers["etag"])[0] == 304
    status, headers, body = function("POST", "/posts", {"text": ""}, authorization=f"Bearer {token}")
    assert (status, headers["content-type"], json.loads(body)["status"]) == (422, "application/problem+json", 422)


def test_a_job_on_lambda_is_for_qstash_alone(function: Call) -> None:
    token = json.loads(function("POST", "/session", {"name": "ada"})[2])["token"]
    mine = {"authorization": f"Bearer {token}"}
    report = json.loads(function("POST", "/reports", {}, **mine)[2])
    for path in ("/workers/report", "/projections"):
        assert function("POST", path, {"id": report["id"]}, **mine)[0] == 401
        assert function("POST", path, {"id": report["id"]}, upstash_signature="made.up.too")[0] == 401
    assert json.loads(function("GET", f"/reports/{report['id']}", **mine)[2])["state"] == "queued"
