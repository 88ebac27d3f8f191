"""The vendor's description of the API (OpenAPI 3.1): each of its 40 requests, on 32 paths, is answered as it says.

`described.json` holds of it the requests, their statuses and the names of the fields of each answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash.local.qstash.routes import NOT_SERVED
from tests.local.qstash.support import APP, World

DESCRIBED: dict[str, dict[str, list[str]]] = json.loads((Path(__file__).parent / "described.json").read_text())

BEYOND = {
    "GET /v2/schedules": {"callerIP"},
    "GET /v2/schedules/{scheduleId}": {"callerIP"},
    "GET /v2/dlq": {"messages.dlqId"},
    "GET /v2/dlq/{dlqId}": {"dlqId"},
    "GET /v2/logs": {
        "logs.flowControlKey",
        "logs.period",
        "logs.rate",
        "logs.responseHeader",
        "logs.retryDelayExpr",
    },
}
"""Fields that the description leaves out, and the official SDKs read."""

GROUP = {"endpoints": [{"url": f"{APP}/1", "name": "one"}]}


@pytest.fixture
def furnished(qstash: World) -> World:
    """With something of everything."""
    http = qstash.http
    qstash.fail(500, 500)
    for body in (b"text", b"\xff"):
        qstash.post(f"/v2/publish/{APP}", body, upstash_retries="0", upstash_label="l", upstash_callback=f"{APP}/told")
        qstash.idle()
    http.post("/v2/topics/group/endpoints", json=GROUP)
    http.post("/v2/queues", json={"queueName": "queue", "parallelism": 1})
    qstash.post(
        f"/v2/schedules/{APP}",
        "x",
        upstash_cron="* * * * *",
        upstash_schedule_id="schedule",
        upstash_label="l",
        upstash_flow_control_key="key",
        upstash_flow_control_value="rate=100",
        upstash_retry_delay="1000",
    )
    qstash.advance(60)
    return qstash


def _request(world: World, request: str) -> tuple[str, str, dict[str, Any]]:
    """A request of the description with its gaps filled: method, path, and what goes along."""
    method, path = request.split()
    message = world.publish(upstash_delay="1h", upstash_label="l")
    for name, value in {
        "{destination}": APP,
        "{messageId}": message,
        "{queueName}": "queue",
        "{scheduleId}": "schedule",
        "{urlGroupName}": "group",
        "{dlqId}": str(world.dead()[0]["dlqId"]),
        "{flowControlKey}": "key",
    }.items():
        path = path.replace(name, value)
    along: dict[str, Any] = {
        "/v2/batch": {"json": [{"destination": APP, "body": "x"}]},
        "/v2/queues": {"json": {"queueName": "queue", "parallelism": 2}},
        "/v2/topics/group/endpoints": {"json": GROUP},
        f"/v2/schedules/{APP}": {"headers": {"Upstash-Cron": "* * * * *"}},
        "/v2/flowControl/key/pin": {"params": {"rate": 1}},
    }.get(path, {})
    return method, path, {} if method == "GET" else along


@pytest.mark.parametrize("request_", sorted(DESCRIBED))
def test_what_is_described_is_answered_as_described(furnished: World, request_: str) -> None:
    method, path, along = _request(furnished, request_)
    answer = furnished.http.request(method, path, **along)
    statuses = DESCRIBED[request_]
    good = next(status for status in statuses if status.startswith("2"))
    assert str(answer.status_code) == good, answer.text
    if statuses[good]:
        assert _fields(answer.json()) - set(statuses[good]) == BEYOND.get(request_, set())


@pytest.mark.parametrize(
    "request_",
    sorted(request for request, statuses in DESCRIBED.items() if "404" in statuses and "enqueue" not in request),
)
def test_what_is_not_there_is_404_with_an_error(furnished: World, request_: str) -> None:
    method, path, along = _request(furnished, request_)
    if path.endswith("/retry"):
        along = {"params": {"dlqIds": "1-1"}}
    else:
        path = path.rpartition("/")[0] + "/unknown"
    answer = furnished.http.request(method, path, **along)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_every_field_that_is_described_is_seen_somewhere(furnished: World) -> None:
    # What it takes to show them all: a group, a queue, a schedule, flow control, a failure, bodies of both kinds.
    world = furnished
    world.http.post("/v2/schedules/group", headers={"Upstash-Cron": "* * * * *", "Upstash-Queue-Name": "queue"})
    world.fail(*[500] * 20)
    headers = {
        "upstash_retries": "0",
        "upstash_failure_callback": f"{APP}/failed",
        "upstash_failure_callback_forward_a": "b",
        "upstash_callback": f"{APP}/told",
        "upstash_callback_forward_a": "b",
        "upstash_label": "l",
        "upstash_flow_control_key": "key",
        "upstash_flow_control_value": "rate=100,parallelism=50",
        "upstash_retry_delay": "1",
        "upstash_timeout": "10s",
        "content_type": "text/plain",
    }
    for body in (b"text", b"\xff"):
        world.post("/v2/publish/group", body, **headers)
        world.post(f"/v2/enqueue/queue/{APP}", body, **headers)
    world.advance(60)
    world.post("/v2/publish/group", b"text", **{**headers, "upstash_delay": "1h"})
    world.post("/v2/publish/group", b"\xff", **{**headers, "upstash_delay": "1h"})
    seen: dict[str, set[str]] = {}
    for path in ("/v2/dlq", "/v2/logs?count=100", "/v2/queues", "/v2/topics", "/v2/flowControl", "/v2/keys"):
        seen["GET " + path.partition("?")[0]] = _fields(world.http.get(path).json())
    for request, fields in seen.items():
        missing = set(DESCRIBED[request]["200"]) - fields
        # These two come only where the answer of the app is no text, and where there is a next page.
        assert missing <= {"messages.responseBodyBase64", "cursor", "messages.scheduleId"}, request


@pytest.mark.parametrize("path", ["/llm/v1/chat/completions", "/v2/workflows/runs/1", f"/v2/publish/api/llm/{APP}"])
def test_what_the_service_has_and_this_has_not_is_refused_in_words(qstash: World, path: str) -> None:
    answer = qstash.http.post(path)
    assert (answer.status_code, "local QStash does not" in answer.json()["error"]) == (501, True)


def test_what_no_service_has_is_404(qstash: World) -> None:
    answer = qstash.http.get("/v2/nothing")
    assert (answer.status_code, "/v2/nothing" in answer.json()["error"]) == (404, True)
    assert all(why for why in NOT_SERVED.values())


def _fields(value: object, prefix: str = "") -> set[str]:
    """Names of fields, those of lists of objects as `messages.url`. What is inside of headers and states is data."""
    if isinstance(value, list):
        return {name for one in value for name in _fields(one, prefix)}
    if not isinstance(value, dict):
        return set()
    names: set[str] = set()
    for name, inner in value.items():
        names.add(prefix + name)
        if isinstance(inner, list):
            names |= _fields(inner, f"{prefix}{name}.")
    return names
