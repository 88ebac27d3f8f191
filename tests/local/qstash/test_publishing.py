"""What is published, and how it arrives."""

from __future__ import annotations

import json
import socket

import httpx
import pytest

from tests.local.qstash.support import APP, START, World, world


def test_a_message_arrives_with_its_body_headers_and_signature(qstash: World) -> None:
    # Headers: documentation, page "Receiving Messages".
    message = qstash.publish(
        "/a/b?c=d&e=%2F",
        '{"a": 1}',
        content_type="application/json",
        upstash_forward_my_header="my value",
        upstash_forward_authorization="Bearer theirs",
        upstash_label="one,two",
    )
    qstash.idle()
    (delivery,) = qstash.app.deliveries
    assert (delivery.method, delivery.path, delivery.body) == ("POST", "/a/b?c=d&e=%2F", b'{"a": 1}')
    assert delivery.verified(f"{APP}/a/b?c=d&e=%2F")
    expected = {
        "Content-Type": "application/json",
        "My-Header": "my value",
        "Authorization": "Bearer theirs",
        "User-Agent": "Upstash-QStash",
        "Upstash-Message-Id": message,
        "Upstash-Retried": "0",
        "Upstash-Caller-Ip": "127.0.0.1",
        "Upstash-Label": "one,two",
    }
    assert {name: delivery.headers.get(name) for name in expected} == expected
    assert not [name for name in delivery.headers if name.startswith("Upstash-Forward")]
    assert qstash.states(message) == ["CREATED", "ACTIVE", "DELIVERED"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_message_arrives_by_the_method_asked_for(qstash: World, method: str) -> None:
    qstash.publish(upstash_method=method)
    qstash.idle()
    assert [delivery.method for delivery in qstash.app.deliveries] == [method]


def test_a_body_arrives_byte_for_byte(qstash: World) -> None:
    body = bytes(range(256)) * 4
    answer = qstash.post(f"/v2/publish/{APP}/", body)
    qstash.idle()
    assert (answer.status_code, qstash.app.deliveries[0].body) == (200, body)
    assert "Content-Type" not in qstash.app.deliveries[0].headers  # none was given


def test_a_redirect_is_a_failure_and_not_followed(qstash: World) -> None:
    qstash.fail(302, headers={"Location": f"{qstash.app.url}/elsewhere"})
    message = qstash.publish("/", upstash_retries="0")
    qstash.idle()
    assert [delivery.path for delivery in qstash.app.deliveries] == ["/"]
    assert qstash.states(message)[-1] == "FAILED"


def test_delay_and_not_before(qstash: World) -> None:
    qstash.publish("/", "delayed", upstash_delay="1h1m5s")
    qstash.publish("/", "at", upstash_not_before=str(START // 1000 + 90))
    # "When both are provided, Upstash-Not-Before will take precedence" (vendor's description of the API).
    qstash.publish("/", "both", upstash_not_before=str(START // 1000 + 30), upstash_delay="1d")
    qstash.publish("/", "past", upstash_not_before="1000")
    qstash.idle()
    assert qstash.app.bodies == ["past"]
    qstash.advance(4000)
    assert list(zip(qstash.app.bodies, qstash.app.times, strict=True)) == [
        ("past", 0),
        ("both", 30),
        ("at", 90),
        ("delayed", 3665),
    ]


def test_a_duplicate_answers_202_for_ten_minutes_even_after_delivery(qstash: World) -> None:
    # At the service: the window is 10 minutes, a duplicate answers 202, and counts even if the first is
    # already delivered.
    url = f"/v2/publish/{APP}/"
    first = qstash.post(url, "1", upstash_deduplication_id="position-7")
    qstash.idle()
    second = qstash.post(url, "2", upstash_deduplication_id="position-7")
    assert (first.status_code, second.status_code) == (200, 202)
    assert second.json() == {"messageId": first.json()["messageId"], "deduplicated": True}
    qstash.advance(599)
    assert qstash.post(url, "3", upstash_deduplication_id="position-7").status_code == 202
    qstash.advance(1)
    assert qstash.post(url, "4", upstash_deduplication_id="position-7").status_code == 200
    qstash.idle()
    assert qstash.app.bodies == ["1", "4"]


def test_content_based_deduplication_looks_at_destination_body_and_headers(qstash: World) -> None:
    # Documentation, page "Deduplication": destination, body, content type and forwarded headers.
    def publish(path: str = "/", body: str = "x", **headers: str) -> int:
        url = f"/v2/publish/{APP}{path}"
        return qstash.post(url, body, upstash_content_based_deduplication="true", **headers).status_code

    assert [
        publish(),
        publish(),
        publish(body="y"),
        publish("/other"),
        publish(content_type="text/plain"),
        publish(upstash_forward_a="1"),
        publish(upstash_forward_a="1"),
    ] == [200, 202, 200, 200, 200, 200, 202]


@pytest.mark.parametrize(
    ("path", "headers", "word"),
    [
        # At the service: an id may not contain a colon.
        (f"/v2/publish/{APP}", {"upstash_deduplication_id": "a:b"}, "':'"),
        ("/v2/publish/https%3A%2F%2Fapp.example.com", {}, "destination"),
        ("/v2/publish/ftp://app.example.com", {}, "scheme"),
        ("/v2/publish/https://", {}, "host"),
        ("/v2/publish/https://app.example.com:port", {}, "destination"),
        (f"/v2/publish/{APP}", {"upstash_delay": "5"}, "Upstash-Delay"),
        (f"/v2/publish/{APP}", {"upstash_retries": "-1"}, "Upstash-Retries"),
        (f"/v2/publish/{APP}", {"upstash_method": "TRACE"}, "method"),
        (f"/v2/publish/{APP}", {"upstash_timeout": "soon"}, "Upstash-Timeout"),
        (f"/v2/publish/{APP}", {"upstash_label": "a b"}, "label"),
        (f"/v2/publish/{APP}", {"upstash_callback": "app"}, "callback"),
        (f"/v2/publish/{APP}", {"upstash_callback_retries": "x"}, "Upstash-Retries"),
        (f"/v2/publish/{APP}", {"upstash_retry_delay": "__import__('os')"}, "retry delay"),
        (f"/v2/publish/{APP}", {"upstash_flow_control_key": "k"}, "together"),
        (f"/v2/enqueue/a:b/{APP}", {}, "queue"),
    ],
)
def test_what_makes_no_sense_is_refused(qstash: World, path: str, headers: dict[str, str], word: str) -> None:
    answer = qstash.post(path, "x", **headers)
    assert (answer.status_code, word in answer.json()["error"]) == (400, True), answer.text
    assert qstash.server.metrics().counted["total"].get("published", 0) == 0


def test_a_body_above_the_limit_is_refused_with_its_size(qstash: World) -> None:
    limit = qstash.server.settings.max_message_size
    assert qstash.post(f"/v2/publish/{APP}", b"x" * limit).status_code == 200
    answer = qstash.post(f"/v2/publish/{APP}", b"x" * (limit + 1))
    assert (answer.status_code, str(limit + 1) in answer.json()["error"]) == (413, True)


@pytest.mark.parametrize(
    "authorization",
    [None, b"Bearer", b"Bearer no", b"Basic x", "Bearer é".encode(), b"Bearer \xe9"],
)
def test_without_the_token_nothing_is_done(qstash: World, authorization: bytes | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization)]
    answer = httpx.post(f"{qstash.url}/v2/publish/{APP}", content="x", headers=headers)
    assert (answer.status_code, "authenticate" in answer.json()["error"]) == (401, True)
    assert qstash.server.metrics().waiting == 0
    assert answer.headers["Upstash-Local"] == "development only"


def test_the_token_may_stand_in_the_url(qstash: World) -> None:
    # "bearerAuthQuery" in the vendor's description. It does not go on to the destination.
    token = qstash.server.settings.token
    answer = httpx.post(f"{qstash.url}/v2/publish/{APP}/a?b=c&qstash_token={token}", content="x")
    assert answer.status_code == 200, answer.text
    qstash.idle()
    assert qstash.app.deliveries[0].path == "/a?b=c"
    assert qstash.app.deliveries[0].verified(f"{APP}/a?b=c")


def test_a_batch_is_published_whole_or_not_at_all(qstash: World) -> None:
    good = {"destination": f"{APP}/1", "body": "1", "headers": {"Upstash-Method": "PUT"}, "queue": None}
    bad = {"destination": "nowhere"}
    assert qstash.post("/v2/batch", json.dumps([good, bad])).status_code == 404
    answer = qstash.post("/v2/batch", json.dumps([good, {"destination": f"{APP}/2", "body": "2", "queue": "q"}]))
    assert [set(item) for item in answer.json()] == [{"messageId"}, {"messageId"}]
    qstash.idle()
    assert sorted((one.method, one.path, one.body) for one in qstash.app.deliveries) == [
        ("POST", "/2", b"2"),
        ("PUT", "/1", b"1"),
    ]


def test_a_url_group_gets_a_message_for_each_endpoint(qstash: World) -> None:
    endpoints = [{"url": f"{APP}/1", "name": "first"}, {"url": f"{APP}/2"}]
    assert qstash.post("/v2/topics/todo/endpoints", json.dumps({"endpoints": endpoints})).status_code == 200
    answer = qstash.post("/v2/publish/todo", "x", upstash_deduplication_id="d")
    assert [(item["url"], "deduplicated" in item) for item in answer.json()] == [
        (f"{APP}/1", False),
        (f"{APP}/2", False),
    ]
    again = qstash.post("/v2/publish/todo", "x", upstash_deduplication_id="d")
    assert (again.status_code, [item["messageId"] for item in again.json()]) == (
        202,
        [item["messageId"] for item in answer.json()],
    )
    qstash.idle()
    assert sorted((one.path, one.headers["Upstash-Topic-Name"]) for one in qstash.app.deliveries) == [
        ("/1", "todo"),
        ("/2", "todo"),
    ]
    assert all(one.verified(f"{APP}{one.path}") for one in qstash.app.deliveries)
    assert qstash.post("/v2/publish/unknown", "x").status_code == 404


def test_only_what_lies_below_a_mapped_url_is_mapped(engine_url: str) -> None:
    with world(engine_url, strict=True) as qstash:
        assert qstash.post(f"/v2/publish/{APP}/a", "x").status_code == 200
        # At the service: loopback destinations are refused by the service.
        for local in ("http://localhost:1/", "http://127.0.0.1:1", "http://[::1]/", "http://0.0.0.0/"):
            answer = qstash.post(f"/v2/publish/{local}", "x")
            assert (answer.status_code, "loopback" in answer.json()["error"]) == (400, True), local
        # Another host that begins alike, and is not the app: it does not resolve.
        message = qstash.publish(".invalid/b", upstash_retries="0")
        qstash.idle()
        assert [delivery.path for delivery in qstash.app.deliveries] == ["/a"]
        assert qstash.states(message)[-1] == "FAILED"


def test_loopback_destinations_are_delivered_to_unless_strict(qstash: World) -> None:
    answer = qstash.post(f"/v2/publish/{qstash.app.url}/here", "x")
    assert answer.status_code == 200
    qstash.idle()
    assert qstash.app.deliveries[0].verified(f"{qstash.app.url}/here")


def test_redacted_fields_are_shown_by_their_hash_and_delivered_as_they_are(qstash: World) -> None:
    # "Redacted fields appear as REDACTED:<SHA256>" (vendor's description of the API).
    message = qstash.publish(
        "/", "secret", upstash_delay="1m", upstash_redact_fields="body, header[Token]", upstash_forward_token="t"
    )
    shown = qstash.http.get(f"/v2/messages/{message}").json()
    assert shown["body"].startswith("REDACTED:")
    assert shown["header"]["Token"][0].startswith("REDACTED:")
    qstash.advance(60)
    assert (qstash.app.bodies, qstash.app.deliveries[0].headers["Token"]) == (["secret"], "t")


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"POST /v2/publish/https://app.example.com/\xff\xfe HTTP/1.1", b""),
        (b"POST /v2/publish/https://app.example.com/\xc3\xa9 HTTP/1.1", b""),
        (b"POST /v2/publish/https://app.example.com/ HTTP/1.1", b"Upstash-Forward-A: \xff"),
        (b"POST /v2/publish/https://app.example.com/ HTTP/1.1", b"Upstash-Label: \xff"),
        (b"POST /v2/publish/https://app.example.com/ HTTP/1.1", b"X-Dev-Caller: \xff"),
        (b"POST /v2/publish/https://app.example.com/ HTTP/1.1", b"Upstash-Deduplication-Id: \xff"),
        (b"POST /v2/schedules/https://app.example.com/ HTTP/1.1", b"Upstash-Cron: \xff"),
        (b"GET /v2/messages/\xff HTTP/1.1", b""),
        (b"GET /v2/messages/%FF HTTP/1.1", b""),
        (b"GET /v2/queues/%C3%A9 HTTP/1.1", b""),
        (b"GET /v2/logs?cursor=%FF&count=\xff HTTP/1.1", b""),
        (b"POST /v2/batch HTTP/1.1", b""),
        (b"GET \xff HTTP/1.1", b""),
    ],
)
def test_stray_bytes_never_are_an_internal_error(qstash: World, line: bytes, header: bytes) -> None:
    port = int(qstash.url.rpartition(":")[2])
    token = qstash.server.settings.token.encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = [line, b"Host: localhost", b"Authorization: Bearer " + token, b"Connection: close", b"Content-Length: 1"]
        connection.sendall(b"\r\n".join([*head, *([header] if header else []), b"", b"x"]))
        answer = connection.makefile("rb").read()
    status = int(answer.split()[1])
    assert status in {200, 400, 404}, answer
    qstash.advance(3600)
    assert qstash.server.metrics().waiting == 0
