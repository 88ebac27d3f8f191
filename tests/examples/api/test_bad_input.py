"""Bad input for each address: problem details, nothing appended, nothing told from the inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from examples.api.asgi_app import create_app
from tests.examples.api.conftest import Here

if TYPE_CHECKING:
    from tests.examples.api.conftest import Person

JSON = {"content-type": "application/json"}

BODIES = {
    "nothing": (b"", JSON, 422),
    "no JSON": (b"text=hello", JSON, 400),
    "half": (b'{"text": "a', JSON, 400),
    "not UTF-8": (b'{"text": "\xff"}', JSON, 400),
    "deep": (b'{"text":' + b"[" * 30_000, JSON, 400),
    "another type": (b'{"text": "a"}', {"content-type": "text/plain"}, 422),
    "a list": (b"[]", JSON, 422),
    "null": (b"null", JSON, 422),
    "nothing in it": (b"{}", JSON, 422),
    "too much in it": (b'{"text": "a", "admin": true}', JSON, 422),
    "a number": (b'{"text": 7}', JSON, 422),
    "a lone surrogate": (b'{"text": "\\ud800"}', JSON, 422),
    "empty": (b'{"text": ""}', JSON, 422),
    "blank": (b'{"text": " \\n "}', JSON, 422),
    "control characters": (b'{"text": "a\\u0000b"}', JSON, 422),
    "too long": (b'{"text": "' + b"x" * 501 + b'"}', JSON, 422),
    "a megabyte": (b'{"text": "' + b"x" * 1_000_000 + b'"}', JSON, 413),
}


@pytest.fixture(scope="module")
def site() -> Here:
    return Here()


@pytest.fixture
def user(site: Here) -> Person:
    return site.sign_in()


def is_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert (told["type"], told["status"]) == ("about:blank", status)
    assert told["detail"]
    assert "Traceback" not in answer.text
    assert "pydantic" not in answer.text


FIELDS = {"/posts": b"text", "/reminders": b"text", "/session": b"name", "/reports": b"fails"}


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_is_refused(site: Here, user: Person, path: str, name: str) -> None:
    body, headers, status = BODIES[name]
    if body == b"{}" and path == "/reports":
        body = b'{"fails": null}'  # a report is asked for by {}
    body = body.replace(b'"text"', b'"%s"' % FIELDS[path])
    before = site.head()
    is_problem(
        site.send("POST", path, content=body, headers={"authorization": f"Bearer {user.token}", **headers}), status
    )
    assert site.head() == before


@pytest.mark.parametrize(
    "name", ["", " ", "Ada", "ada lovelace", "-ada", "ada-", "a" * 25, "ä", "../x", "a\0b", "\u202e"]
)
def test_a_name_that_cannot_be_is_refused(site: Here, name: str) -> None:
    before = site.head()
    is_problem(site.call("POST", "/session", {"name": name}), 422)
    assert site.head() == before


@pytest.mark.parametrize("value", [{"fails": "yes"}, {"fails": 1}, {"of": "everybody"}, []])
def test_a_report_that_cannot_be_asked_for_is_refused(site: Here, user: Person, value: object) -> None:
    before = site.head()
    is_problem(user.call("POST", "/reports", value), 422)
    assert site.head() == before


@pytest.mark.parametrize("path", ["/posts", "/reminders", "/reports"])
def test_a_key_that_cannot_be_is_refused(site: Here, user: Person, path: str) -> None:
    before = site.head()
    for key in ("", "x" * 201):
        is_problem(user.call("POST", path, {} if path == "/reports" else {"text": "a"}, idempotency_key=key), 400)
    assert site.head() == before


def test_a_key_stands_for_one_request(site: Here, user: Person) -> None:
    assert user.call("POST", "/posts", {"text": "One"}, idempotency_key="one").status_code == 201
    before = site.head()
    is_problem(user.call("POST", "/reminders", {"text": "Another"}, idempotency_key="one"), 422)
    assert user.call("POST", "/posts", {"text": "Another"}, idempotency_key="one").json()["text"] == "One"
    assert site.head() == before


COMMANDS = [
    ("POST", "/posts"), ("PUT", "/posts/0/like"), ("DELETE", "/posts/0/like"), ("POST", "/reports"),
    ("GET", "/reports"), ("POST", "/reminders"), ("GET", "/reminders"), ("DELETE", "/reminders/0"),
    ("GET", "/overview"),
    ("POST", "/clean-up"), ("POST", "/dead-letters/0/revive"), ("POST", "/session/prolong"), ("DELETE", "/session"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), COMMANDS)
def test_without_a_session_nothing_happens(site: Here, method: str, path: str) -> None:
    before = site.head()
    value = {"text": "x"} if path in ("/posts", "/reminders") else {} if path == "/reports" else None
    for authorization in ("", "Bearer made-up"):
        is_problem(site.call(method, path, value if method == "POST" else None, authorization=authorization), 401)
    assert site.head() == before


@pytest.mark.parametrize("unknown", ["0" * 24, "tasks", "%2541", "%23", "%5C", "%C3%A4", "%00", "x" * 5_000])
def test_what_is_not_there_is_not_found(site: Here, user: Person, unknown: str) -> None:
    before = site.head()
    is_problem(user.call("GET", f"/posts/{unknown}"), 404)
    is_problem(user.call("GET", f"/reports/{unknown}"), 404)
    is_problem(user.call("PUT", f"/posts/{unknown}/like"), 404)
    is_problem(user.call("DELETE", f"/reminders/{unknown}"), 404)
    assert site.head() == before


@pytest.mark.parametrize(
    "path",
    [
        "/posts?limit=0",
        "/posts?limit=101",
        "/posts?limit=x",
        "/posts?cursor=x",
        "/leaderboard?n=0",
        "/leaderboard/x?around=21",
    ],
)
def test_a_question_that_cannot_be_is_refused(site: Here, path: str) -> None:
    is_problem(site.call("GET", path), 400)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/posts", "GET, POST"),
        ("PATCH", "/session", "DELETE, GET, POST"),
        ("POST", "/leaderboard", "GET"),
        ("DELETE", "/", "GET"),
    ],
)
def test_a_method_that_cannot_be_is_refused(site: Here, method: str, path: str, allow: str) -> None:
    answer = site.call(method, path)
    is_problem(answer, 405)
    assert answer.headers["allow"] == allow


def test_what_happens_inside_is_not_told(site: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    async def broken(*arguments: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(site.service, "top", broken)
    answer = TestClient(create_app(site.service), raise_server_exceptions=False).get("/leaderboard")
    is_problem(answer, 500)
    assert "swordfish" not in answer.text


def test_the_workers_are_not_open_to_everybody(site: Here) -> None:
    before = site.head()
    is_problem(site.call("POST", "/workers/clean-up"), 404)  # here the app delivers to itself, without HTTP
    assert site.head() == before
