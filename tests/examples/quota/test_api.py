"""The API in plain requests: what it answers, and that nothing is appended for what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from examples.quota.http_api import create_app
from examples.quota.service import Quota
from tests.examples.quota.support import Made


@pytest.fixture
def client(quota: Quota) -> FlaskClient:
    client = create_app(quota, start=False).test_client()
    assert client.post("/users", json={"user": "ada"}).status_code == 201
    return client


def test_a_call_is_counted_and_says_what_is_left(client: FlaskClient) -> None:
    reply = client.post("/users/ada/calls", json={"endpoint": "/v1/search", "units": 3})
    assert (reply.status_code, reply.headers["X-Quota-Limit"], reply.headers["X-Quota-Remaining"]) == (200, "100", "97")
    position = reply.get_json()["position"]
    usage = client.get(f"/users/ada?at_least={position}").get_json()
    assert (usage["used"], usage["remaining"], usage["plan"]) == (3, 97, "free")


def test_the_call_after_the_last_one_is_429(client: FlaskClient) -> None:
    assert client.post("/users/ada/calls", json={"endpoint": "/v1/search", "units": 100}).status_code == 200
    reply = client.post("/users/ada/calls", json={"endpoint": "/v1/search"})
    assert (reply.status_code, reply.mimetype) == (429, "application/problem+json")
    assert (reply.headers["X-Quota-Limit"], reply.headers["X-Quota-Remaining"]) == ("100", "0")
    assert client.put("/users/ada/plan", json={"plan": "team"}).status_code == 200
    assert client.post("/users/ada/calls", json={"endpoint": "/v1/search"}).get_json()["remaining"] == 9_899


def test_the_same_request_again_counts_once(client: FlaskClient) -> None:
    body: Any = {"endpoint": "/v1/search"}
    first, again = [
        client.post("/users/ada/calls", json=body, headers={"Idempotency-Key": "k-1"}).get_json() for _ in range(2)
    ]
    assert first == again
    assert first["used"] == 1


def test_the_overview_shows_view_and_table(client: FlaskClient, quota: Quota) -> None:
    client.post("/users/ada/calls", json={"endpoint": "/v1/search"})
    quota.app.projector.catch_up()
    before = client.get("/overview").get_json()
    assert (before["busiest"][0]["used"], before["busiest"][0]["table"], before["table"]["users"]) == (1, None, 0)
    assert client.post("/sync", json={}).status_code == 202
    assert quota.app.messages.deliver_due().delivered == 1
    after = client.get("/overview").get_json()
    assert (after["busiest"][0]["table"], after["table"]["users"], after["table"]["complete"]) == (1, 1, True)
    assert after["table"]["position"] == after["view"]["head"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/users", b"{", 422),
        ("POST", "/users", b'{"user": "ADA"}', 422),
        ("POST", "/users", b'{"user": ""}', 422),
        ("POST", "/users", b'{"user": "%s"}' % (b"a" * 65), 422),
        ("POST", "/users", b'{"user": "bob", "plan": "gold"}', 422),
        ("POST", "/users", b'{"user": "bob", "admin": true}', 422),
        ("POST", "/users", b'{"user": 1}', 422),
        ("POST", "/users", b"[" * 10_000, 422),
        ("POST", "/users", b" " * 20_000, 413),
        ("POST", "/users", b'{"user": "ada"}', 409),
        ("GET", "/users/bob", b"", 404),
        ("GET", "/users/%00", b"", 422),
        ("GET", "/users/ada?at_least=-1", b"", 422),
        ("GET", "/users/ada?at_least=999999", b"", 409),
        ("PUT", "/users/bob/plan", b'{"plan": "team"}', 404),
        ("PUT", "/users/ada/plan", b'{"plan": ""}', 422),
        ("DELETE", "/users/bob", b"", 404),
        ("POST", "/users/bob/calls", b'{"endpoint": "/v1/search"}', 404),
        ("POST", "/users/ada/calls", b'{"endpoint": "search"}', 422),
        ("POST", "/users/ada/calls", b'{"endpoint": "/v1/search", "units": 0}', 422),
        ("POST", "/users/ada/calls", b'{"endpoint": "/v1/search", "units": 1e9}', 422),
        ("POST", "/users/ada/calls", b"\xff", 422),
        ("POST", "/sync", b'{"half_way": "yes"}', 422),
        ("POST", "/projections", b'{"position": "x"}', 489),
        ("PATCH", "/users/ada", b"{}", 405),
        ("GET", "/nowhere", b"", 404),
        ("GET", "/static/..%2fservice.py", b"", 404),
    ],
)
def test_bad_input_is_answered_in_words_and_nothing_is_appended(
    client: FlaskClient, quota: Quota, method: str, path: str, body: bytes, status: int
) -> None:
    head = quota.app.event_store.head()
    reply = client.open(path, method=method, data=body, content_type="application/json")
    assert (reply.status_code, reply.mimetype) == (status, "application/problem+json")
    problem: Any = reply.get_json()
    assert problem["status"] == status
    assert "Traceback" not in reply.text
    assert quota.app.event_store.head() == head


def test_a_key_that_can_be_none_is_refused(client: FlaskClient, quota: Quota) -> None:
    head = quota.app.event_store.head()
    reply = client.post("/users/ada/calls", json={"endpoint": "/v1/x"}, headers={"Idempotency-Key": "k" * 300})
    assert (reply.status_code, quota.app.event_store.head()) == (422, head)
    assert "Idempotency-Key is" in reply.get_json()["detail"]


def test_a_key_stands_for_one_command(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert client.post("/users/ada/calls", json={"endpoint": "/v1/x"}, headers=key).status_code == 200
    assert client.put("/users/ada/plan", json={"plan": "team"}, headers=key).get_json()["plan"] == "team"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/users/bob/calls", 422, "stands for another request"),
        ("/users/ada?at_least=999999", 409, "no such position"),
    ],
)
def test_what_is_wrong_is_told(client: FlaskClient, path: str, status: int, told: str) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert client.post("/users", json={"user": "bob"}).status_code == 201
    assert client.post("/users/ada/calls", json={"endpoint": "/v1/y"}, headers=key).status_code == 200
    reply = client.get(path) if "?" in path else client.post(path, json={"endpoint": "/v1/x"}, headers=key)
    assert (reply.status_code, told in reply.get_json()["detail"]) == (status, True)


def test_a_failure_of_ours_tells_nothing(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = make()

    def fail(*_: object) -> None:
        raise RuntimeError("the password is tr0ub4dor")

    monkeypatch.setattr(quota, "step", fail)
    reply = create_app(quota, start=False).test_client().get("/overview")
    assert (reply.status_code, reply.mimetype) == (500, "application/problem+json")
    assert "tr0ub4dor" not in reply.text


def test_the_page_is_served_with_what_keeps_it_to_itself(client: FlaskClient) -> None:
    for path in ("/", "/static/quota.js", "/static/quota.css", "/static/base.css", "/static/mark.svg"):
        reply = client.get(path)
        assert reply.status_code == 200
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_page_can_do_nothing(client: FlaskClient, kind: str) -> None:
    reply = client.post("/users", data='{"user": "eve"}', content_type=kind)
    assert reply.status_code == 415
    assert client.post("/users", json={"user": "eve"}).status_code == 201  # nobody had made her
