"""Bad input under each framework: a clear error, nothing appended, nothing told from the inside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Caller

# What is refused is refused before any backend is asked, so that one server and the function show how it is on Upstash.
FRAMEWORKS = ["starlette", "fastapi", "flask", "django", "lambda"]
pytestmark = pytest.mark.parametrize(
    "caller",
    [*(f"{name}-here" for name in FRAMEWORKS), "starlette-upstash", "lambda-upstash"],
    indirect=True,
    scope="module",
)

JSON = {"content-type": "application/json"}
CREATE = "mutation($text: String!) { createTask(text: $text) { id text } }"
UPDATE = 'mutation($id: String!) { updateTask(id: $id, text: "x", done: true) { id } }'
DELETE = "mutation($id: String!) { deleteTask(id: $id) }"

IMPOSSIBLE = {
    "empty": ("", "is empty"),
    "blank": (" \t\n ", "is empty"),
    "invisible": ("\u200b\u00a0", "is empty"),
    "a megabyte": ("x" * 1_000_000, "too long: 1,000,000 characters"),
    "one too many": ("x" * 1_001, "too long: 1,001 characters"),
    "NUL": ("a\0b", "control characters"),
    "escape": ("\x1b[31m", "control characters"),
}

POSSIBLE = [
    "/", "\\", "a/b\\c", "#", "%41", "?x=1&y=2", "a+b", "tasks", "<b>bold</b>", "<script>alert(1)</script>", '"quoted"',
    "'; DROP TABLE events; --", "{{ 7*7 }}", "two\nlines", "naïve 🙂 日本語 \u202e", "👩‍👩‍👧", "x" * 1_000, "null", "0",
]  # fmt: skip

UNKNOWN = ["tasks", "", "0" * 24, "../../etc", "task-1", "%41", "#", "\\", "ä", "\u202e", "x" * 5_000, "a\0b"]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_text_that_cannot_be_a_task_is_refused(caller: Caller, name: str) -> None:
    text, reason = IMPOSSIBLE[name]
    task_id = caller.add("Stays as it is")
    before = caller.head()
    told = caller.graphql(CREATE, text=text)
    assert told["data"] == {"createTask": None}
    assert reason in told["errors"][0]["message"]
    for method, path in [("POST", "/api/tasks"), ("PATCH", f"/api/tasks/{task_id}")]:
        reply = caller.call(method, path, {"text": text})
        assert reply.status == 422
        assert reply.headers["content-type"] == "application/problem+json"
        assert reason in reply.json()["detail"]
    assert caller.head() == before
    assert caller.tasks()[task_id]["text"] == "Stays as it is"


@pytest.mark.parametrize("text", POSSIBLE)
def test_any_other_text_is_kept_as_it_is(caller: Caller, text: str) -> None:
    task = caller.graphql(CREATE, text=text)["data"]["createTask"]
    assert task["text"] == text
    task_id = caller.add("Changes")
    assert caller.call("PATCH", f"/api/tasks/{task_id}", {"text": text}).json()["text"] == text
    tasks = caller.tasks()
    assert tasks[task["id"]]["text"] == tasks[task_id]["text"] == text


@pytest.mark.parametrize("path", ["/", "/api/tasks", "/nowhere"])
def test_a_method_that_nobody_has_heard_of_is_refused(caller: Caller, path: str) -> None:
    reply = caller.call("BREW", path)
    assert reply.status == (404 if path == "/nowhere" else 405)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_an_unknown_task_is_neither_changed_nor_deleted(caller: Caller, unknown: str) -> None:
    caller.add("Another")
    before, tasks = caller.head(), caller.tasks()
    for query in (UPDATE, DELETE):
        told = caller.graphql(query, id=unknown)
        assert set(told["data"].values()) == {None}
        assert "no such task" in told["errors"][0]["message"]
    assert (caller.head(), caller.tasks()) == (before, tasks)


@pytest.mark.parametrize(
    "unknown", ["tasks", "0" * 24, "%2541", "%23", "%5C", "%2e%2e", "%C3%A4", "%00", "x" * 5_000, "%FF"]
)
def test_an_unknown_address_is_not_found(caller: Caller, unknown: str) -> None:
    before = caller.head()
    for method, value in [("GET", None), ("PATCH", {"done": True}), ("DELETE", None)]:
        assert caller.call(method, f"/api/tasks/{unknown}", value).status == 404
    assert caller.call("POST", f"/api/tasks/{unknown}/restore").status == 404
    assert caller.head() == before


def test_a_deleted_task_is_unknown(caller: Caller) -> None:
    task_id = caller.add("Gone")
    caller.call("DELETE", f"/api/tasks/{task_id}")
    before = caller.head()
    assert "no such task" in caller.graphql(UPDATE, id=task_id)["errors"][0]["message"]
    assert caller.call("DELETE", f"/api/tasks/{task_id}").status == 404
    assert caller.call("PATCH", f"/api/tasks/{task_id}", {"done": True}).status == 404
    assert caller.head() == before


BODIES = {
    "no JSON": (b"text=hello", 400),
    "nothing": (b"", 400),
    "half": (b'{"text": "a', 400),
    "not UTF-8": (b'{"text": "\xff"}', 400),
    "lone surrogate": (b'{"text": "\\ud800"}', 400),
    "lone surrogate within": (b'{"text": "abc\\udc00def"}', 400),
    "a list": (b"[]", 422),
    "no text": (b"{}", 422),
    "text is a number": (b'{"text": 1}', 422),
    "text is null": (b'{"text": null}', 422),
    "unknown field": (b'{"text": "a", "done": true}', 422),
    "deep": (b'{"text": ' + b"[" * 100_000, 422),
    "huge": (b'{"text": "' + b"x" * 2_500_000 + b'"}', 413),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_understood(caller: Caller, name: str) -> None:
    body, status = BODIES[name]
    before = caller.head()
    reply = caller.send("POST", "/api/tasks", body, JSON)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    assert reply.json()["detail"]
    asked = caller.send("POST", "/graphql", body, JSON)
    assert asked.status in {400, 413, 422}
    assert asked.json()["errors"][0]["message"]
    assert caller.head() == before
    assert caller.complaints() == ""


@pytest.mark.parametrize("text", [r"\ud800", r"a\udfffb", r"\ud800\ud800"])
def test_half_a_character_is_refused(caller: Caller, text: str) -> None:
    before = caller.head()
    in_variable = b'{"query": %s, "variables": {"text": "%s"}}' % (json.dumps(CREATE).encode(), text.encode())
    in_query = json.dumps({"query": f'mutation {{ createTask(text: "{text}") {{ id }} }}'}).encode()
    for body in (in_variable, in_query):
        reply = caller.send("POST", "/graphql", body, JSON)
        assert reply.json()["errors"][0]["message"]
    assert caller.head() == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_form_of_another_site_cannot_write(caller: Caller, kind: str) -> None:
    before = caller.head()
    query = json.dumps({"query": 'mutation { createTask(text: "forged") { id } }'}).encode()
    for path, body in [("/api/tasks", b'{"text": "forged"}'), ("/graphql", query)]:
        assert caller.send("POST", path, body, {"content-type": kind} if kind else {}).status == 415
    assert (
        caller.send("GET", "/graphql?query=mutation{createTask(text:%22forged%22){task_id}}")
        .headers["content-type"]
        .startswith("text/html")
    )
    assert caller.head() == before


@pytest.mark.parametrize(
    "query",
    [
        "{ list { id ",
        "{ nothing }",
        "mutation { createTask { id } }",
        "mutation { createTask(text: 1) { id } }",
        "subscription { list { id } }",
        "{ list(a: " + "[" * 50_000 + ") { id } }",
        "{" + " list { id }" * 5_000 + "}",
        "",
        "\\",
    ],
    ids=range(9),
)
def test_a_query_that_is_not_understood(caller: Caller, query: str) -> None:
    before = caller.head()
    told = caller.graphql(query)
    assert told["errors"][0]["message"]
    assert (caller.head(), caller.complaints()) == (before, "")


@pytest.mark.parametrize(
    "path",
    ["/api/events?after=-1", "/api/events?after=x", "/api/events?recent=", "/api/events?after=" + "9" * 40,
     "/api/tasks?at_least=1e9", "/api/tasks?at_least=%D9%A3"],
)  # fmt: skip
def test_a_position_that_is_none(caller: Caller, path: str) -> None:
    reply = caller.call("GET", path)
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert "whole number" in reply.json()["detail"]
    if caller.framework != "lambda":
        feed = caller.send("GET", "/api/tasks", headers={"accept": "text/event-stream", "last-event-id": "x"})
        assert feed.status == 400


def test_a_position_that_the_log_has_not_reached(caller: Caller) -> None:
    reply = caller.call("GET", "/api/tasks?at_least=99999999")
    assert reply.status == 409  # no 503: a client that tried again would ask for it for ever
    assert "no such position" in reply.json()["detail"]


@pytest.mark.parametrize("key", ["", "x" * 300, "a\tb"])
def test_a_key_that_is_none(caller: Caller, key: str) -> None:
    before = caller.head()
    reply = caller.send("POST", "/api/tasks", b'{"text": "a"}', {**JSON, "idempotency-key": key})
    assert (reply.status, caller.head()) == (400, before)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/", "GET"),
        ("DELETE", "/api/tasks", "GET, POST"),
        ("PATCH", "/graphql", "GET, POST"),
        ("POST", "/api/events", "GET"),
    ],
)
def test_a_method_that_is_not_taken(caller: Caller, method: str, path: str, allowed: str) -> None:
    reply = caller.call(method, path, {})
    assert (reply.status, reply.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path", ["/nothing", "/static/nothing.js", "/static/../domain.py", "/static/%2e%2e/domain.py", "/api", "/static"]
)
def test_nothing_is_there(caller: Caller, path: str) -> None:
    reply = caller.send("GET", path)
    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")


def test_a_notification_that_is_none(caller: Caller) -> None:
    reply = caller.notify(b"nonsense")
    assert reply.status == 489
    assert "Traceback" not in reply.text
