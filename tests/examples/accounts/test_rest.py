"""The REST of the command side, the query side and the order service, over ASGI and AWS Lambda."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Functions

JSON = {"content-type": "application/json"}


def test_the_life_of_an_account(functions: Functions) -> None:
    commands, queries = functions["commands"], functions["queries"]
    opened = commands.call("POST", "/accounts", {"name": "Tea & Co"})
    account = opened.json()["id"]
    assert (opened.status, opened.headers["location"]) == (201, f"/accounts/{account}")
    assert opened.json() == {"id": account, "status": "opened", "revision": 1, "position": 1}
    assert (opened.headers["event-position"], opened.headers["etag"]) == ("1", '"1"')
    for command, status in (("activate", "active"), ("suspend", "suspended"), ("archive", "archived")):
        done = commands.call("PUT", f"/accounts/{account}/commands/{command}", {"reason": f"To {command}"})
        assert (done.status, done.json()["status"]) == (200, status)
        told = queries.get(f"/accounts/{account}?at_least={done.json()['position']}")
        assert (told["status"], told["revision"]) == (status, done.json()["revision"])
    assert [change["reason"] for change in told["changes"]] == ["To archive", "To suspend", "To activate", ""]
    again = commands.call("PUT", f"/accounts/{account}/commands/archive", {})
    assert (again.status, again.json()["revision"], again.json()["position"]) == (200, 4, 4)
    assert functions.head("commands") == 4  # what changes nothing is no event


def test_a_command_that_is_sent_again_happens_once(functions: Functions) -> None:
    commands = functions["commands"]
    first, again = (commands.call("POST", "/accounts", {"name": "Tea"}, idempotency_key="k 1") for _ in range(2))
    assert (first.status, first.json()) == (again.status, again.json())
    account = first.json()["id"]
    # The same key on another command is another request; on another account's name it is refused.
    activated = commands.call("PUT", f"/accounts/{account}/commands/activate", {}, idempotency_key="k 1")
    assert activated.json()["revision"] == 2
    assert commands.call("POST", "/accounts", {"name": "Coffee"}, idempotency_key="k 1").status == 422
    assert commands.call("POST", "/accounts", {"name": "Tea"}, idempotency_key="k 1").json()["id"] == account
    other = functions.open("Coffee")
    reused = commands.call("PUT", f"/accounts/{other}/commands/activate", {}, idempotency_key="k 1")
    assert reused.status == 422
    assert functions.head("commands") == 3


def test_who_has_seen_an_older_revision_is_told(functions: Functions) -> None:
    account = functions.open("Tea", "activate")
    suspend = f"/accounts/{account}/commands/suspend"
    refused = functions["commands"].call("PUT", suspend, {"reason": "Late"}, if_match='"1"')
    assert (refused.status, refused.json()["detail"]) == (412, "The account has changed: it is at revision 2, not 1.")
    assert functions["commands"].call("PUT", suspend, {"reason": "In time"}, if_match='"2"').status == 200


def test_what_the_rules_refuse(functions: Functions) -> None:
    account = functions.open()
    commands = functions["commands"]
    for command, told in (("suspend", "not active yet"), ("activate", ""), ("archive", "suspend it first")):
        reply = commands.call("PUT", f"/accounts/{account}/commands/{command}", {"reason": "Because"})
        assert reply.status == (409 if told else 200)
        assert told in reply.json().get("detail", "")
    assert functions.head("commands") == 2


def test_lists_of_accounts(functions: Functions) -> None:
    ids = [functions.open(f"Account {number}", *["activate"] * (number % 2)) for number in range(5)]
    queries = functions["queries"]
    head = functions.head("commands")
    listed = queries.get(f"/accounts?at_least={head}")
    assert [item["key"] for item in listed["items"]] == ids[::-1]
    assert listed["cursor"] is None
    active = queries.get("/accounts?status=active")
    assert {item["key"] for item in active["items"]} == {ids[1], ids[3]}
    assert queries.get("/accounts?status=suspended")["items"] == []
    seen: list[str] = []
    cursor, path = "", "/accounts?limit=2"
    while True:
        page = queries.get(path + cursor)
        seen += [item["key"] for item in page["items"]]
        if page["cursor"] is None:
            break
        cursor = f"&after={page['cursor']}"
    assert seen == ids[::-1]


def test_only_what_has_changed_is_sent(functions: Functions) -> None:
    account = functions.open()
    queries = functions["queries"]
    for path in ("/accounts?at_least=1", f"/accounts/{account}?at_least=1"):
        tag = queries.call("GET", path).headers["etag"]
        unchanged = queries.call("GET", path, if_none_match=tag)
        assert (unchanged.status, unchanged.text) == (304, "")
    functions["commands"].call("PUT", f"/accounts/{account}/commands/activate", {})
    changed = queries.call("GET", f"/accounts/{account}?at_least=2", if_none_match=tag)
    assert (changed.status, changed.json()["status"]) == (200, "active")
    assert queries.call("HEAD", f"/accounts/{account}").text == ""


def test_orders(functions: Functions) -> None:
    assert functions.order("a").status == 404
    assert functions.learn("a", "active", 2).status == 200
    accepted = functions.order("a", "Tea", 3)
    assert (accepted.status, accepted.json()["decision"], accepted.json()["position"]) == (201, "accepted", 2)
    assert functions.learn("a", "suspended", 3).status == 200
    refused = functions.order("a", "Tea", 3)
    assert refused.status == 409
    told = refused.json()
    assert (told["decision"], told["standing"], told["position"]) == ("refused", "suspended", 4)
    assert told["detail"] == "The order is refused: the account is suspended."
    listed = functions["orders"].get("/orders?at_least=4")["items"]
    assert [item["document"]["decision"] for item in listed] == ["refused", "accepted"]
    assert functions["orders"].get("/orders?account=a&limit=1")["cursor"]
    assert functions["orders"].get("/orders?account=1")["items"] == []
    standing = functions["orders"].get("/standings/a?at_least=4")
    assert (standing["standing"], standing["revision"], standing["accepted"], standing["refused"]) == (
        "suspended",
        3,
        1,
        1,
    )
    assert [item["key"] for item in functions["orders"].get("/standings")["items"]] == ["a"]


def test_an_order_is_decided_once(functions: Functions) -> None:
    functions.learn("a", "active", 2)
    accepted = functions.order("a", "Tea", idempotency_key="k")
    functions.learn("a", "suspended", 3)
    refused = functions.order("a", "Tea", idempotency_key="l")
    functions.learn("a", "active", 4)
    functions.learn("b", "active", 1)
    head = functions.head("orders")
    # Whatever has come since, the answers are what they were.
    assert functions.order("a", "Tea", idempotency_key="k").json() == accepted.json()
    again = functions.order("a", "Tea", idempotency_key="l")
    assert (again.status, again.json()) == (409, refused.json())
    assert functions.order("a", "Coffee", idempotency_key="k").status == 422
    assert functions.order("b", "Tea", idempotency_key="k").status == 422
    assert functions.head("orders") == head


def test_messages_that_are_doubled_late_or_pass_each_other(functions: Functions) -> None:
    functions.learn("a", "opened", 1)
    functions.learn("a", "suspended", 3)
    functions.learn("a", "active", 2)
    for _ in range(3):
        functions.learn("a", "suspended", 3)
        functions.learn("a", "active", 2)
    assert functions.head("orders") == 3
    assert functions.order("a").json()["standing"] == "suspended"
    standing = functions["orders"].get("/standings/a?at_least=4")
    assert (standing["revision"], standing["late"]) == (3, 1)


def test_a_message_that_no_retry_can_mend(functions: Functions) -> None:
    for body in ({"account": "a"}, {"account": "a b", "standing": "active", "revision": 1}, [], "x"):
        reply = functions["orders"].call("POST", "/jobs/standings", body)
        assert (reply.status, reply.headers["upstash-nonretryable-error"]) == (489, "true")
    assert functions["orders"].call("POST", "/jobs/nothing", {}).status == 404
    assert functions.head("orders") == 0


ACCOUNT = "0" * 24
SUSPEND = f"/accounts/{ACCOUNT}/commands/suspend"

BAD: list[tuple[str, str, str, bytes, dict[str, str], int]] = [
    ("commands", "POST", "/accounts", b"{", JSON, 400),
    ("commands", "POST", "/accounts", b'{"name": "\xff"}', JSON, 400),
    ("commands", "POST", "/accounts", b"[" * 50_000, JSON, 422),
    ("commands", "POST", "/accounts", b'{"name": "Tea"}', {"content-type": "text/plain"}, 415),
    ("commands", "POST", "/accounts", b"[]", JSON, 422),
    ("commands", "POST", "/accounts", b'{"name": 1}', JSON, 422),
    ("commands", "POST", "/accounts", b'{"name": "Tea", "vip": true}', JSON, 422),
    ("commands", "POST", "/accounts", b'{"name": " "}', JSON, 422),
    ("commands", "POST", "/accounts", json.dumps({"name": "x" * 201}).encode(), JSON, 422),
    ("commands", "POST", "/accounts", b'{"name": "a\\u0000"}', JSON, 422),
    ("commands", "POST", "/accounts", b'{"name": "' + b"x" * 70_000 + b'"}', JSON, 413),
    ("commands", "POST", "/accounts", b'{"name": "Tea"}', {**JSON, "idempotency-key": "x" * 151}, 400),
    ("commands", "GET", "/accounts", b"", JSON, 405),
    ("commands", "DELETE", f"/accounts/{ACCOUNT}/commands/suspend", b"", JSON, 405),
    ("commands", "PUT", f"/accounts/{ACCOUNT}/commands/delete", b"{}", JSON, 404),
    ("commands", "PUT", "/accounts/7/commands/suspend", b'{"reason": "x"}', JSON, 404),
    ("commands", "PUT", SUSPEND, b'{"reason": "x"}', JSON, 404),
    ("commands", "PUT", SUSPEND, b"{}", JSON, 422),
    ("commands", "PUT", SUSPEND, b'{"reason": "x"}', {**JSON, "if-match": "2"}, 400),
    ("commands", "PUT", SUSPEND, b'{"reason": "x"}', {**JSON, "if-match": '"two"'}, 400),
    ("commands", "GET", "/", b"", JSON, 404),
    ("queries", "POST", "/accounts", b"{}", JSON, 405),
    ("queries", "GET", f"/accounts/{ACCOUNT}", b"", JSON, 404),
    ("queries", "GET", "/accounts?status=gone", b"", JSON, 400),
    ("queries", "GET", "/accounts?limit=0", b"", JSON, 400),
    ("queries", "GET", "/accounts?after=%00", b"", JSON, 400),
    ("queries", "GET", "/accounts?at_least=soon", b"", JSON, 400),
    ("queries", "GET", "/accounts?at_least=1000", b"", JSON, 409),
    ("processor", "GET", "/nowhere", b"", JSON, 404),
    ("processor", "GET", "/projections", b"", JSON, 405),
    ("processor", "POST", "/projections", b"{", JSON, 489),
    ("orders", "POST", "/orders", b'{"account": "a"}', JSON, 422),
    ("orders", "POST", "/orders", b'{"account": "a", "item": "Tea", "quantity": "2"}', JSON, 422),
    ("orders", "POST", "/orders", b'{"account": "a", "item": "Tea", "quantity": 0}', JSON, 422),
    ("orders", "POST", "/orders", b'{"account": "a", "item": "", "quantity": 1}', JSON, 422),
    ("orders", "POST", "/orders", b'{"account": "a/b", "item": "Tea"}', JSON, 404),
    ("orders", "POST", "/orders", b'{"account": "unknown", "item": "Tea"}', JSON, 404),
    ("orders", "PUT", "/orders", b"{}", JSON, 405),
    ("commands", "BREW", "/accounts", b"", JSON, 405),
    ("queries", "BREW", "/accounts", b"", JSON, 405),
    ("orders", "BREW", "/orders", b"", JSON, 405),
    ("orders", "POST", "/standings", b"{}", JSON, 405),
    ("orders", "GET", "/standings/nobody", b"", JSON, 404),
    ("orders", "GET", "/jobs/standings", b"", JSON, 405),
]


def test_bad_input_is_a_problem_and_nothing_is_appended(functions: Functions) -> None:
    functions.learn("a", "active", 1)
    told: list[tuple[Any, ...]] = []
    for name, method, path, body, headers, status in BAD:
        reply = functions[name].send(method, path, body, headers)
        problem = json.loads(reply.text)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json"), (path, body)
        assert problem["status"] == status
        told.append((problem["title"], problem.get("detail")))
        assert "Traceback" not in reply.text
    assert all(title for title, _ in told)
    assert (functions.head("commands"), functions.head("orders")) == (0, 1)


@pytest.mark.parametrize("functions", ["lambda"], indirect=True)
def test_events_of_other_shapes(functions: Functions) -> None:
    functions.open("Tea")
    functions["queries"].get("/accounts")
    handler = functions.handlers["queries"]
    rest_api = {
        "httpMethod": "GET",
        "path": "/accounts",
        "queryStringParameters": {"at_least": "1"},
        "headers": None,
        "requestContext": {"stage": "prod", "path": "/prod/accounts"},
        "body": None,
        "isBase64Encoded": False,
    }
    assert len(json.loads(str(handler(rest_api, None)["body"]))["items"]) == 1
    http_api = {
        "rawPath": "/prod/accounts",
        "rawQueryString": "status=opened",
        "requestContext": {"stage": "prod", "http": {"method": "GET"}},
    }
    assert len(json.loads(str(handler(http_api, None)["body"]))["items"]) == 1
    broken = {**http_api, "body": "%%%", "isBase64Encoded": True}
    assert handler(broken, None)["statusCode"] == 400
