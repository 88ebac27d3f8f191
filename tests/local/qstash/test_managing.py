"""Messages, dead letters, the log, URL groups, queues and keys, as the API shows and changes them."""

from __future__ import annotations

import httpx
import pytest
from qstash import Receiver

from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY
from tests.local.qstash.support import APP, START, World, world


def test_a_message_is_shown_until_it_is_delivered(qstash: World) -> None:
    message = qstash.publish(
        "/a",
        "x",
        upstash_delay="1m",
        upstash_label="l",
        upstash_retry_delay="1000",
        upstash_flow_control_key="k",
        upstash_flow_control_value="rate=2,period=1h",
        upstash_callback=f"{APP}/told",
    )
    shown = qstash.http.get(f"/v2/messages/{message}").json()
    assert {
        "messageId": message,
        "url": f"{APP}/a",
        "method": "POST",
        "body": "x",
        "maxRetries": 3,
        "createdAt": START,
        "notBefore": START + 60_000,
        "callerIP": "127.0.0.1",
        "label": "l",
        "labels": ["l"],
        "flowControlKey": "k",
        "rate": 2,
        "period": 3600,
        "retryDelayExpression": "1000",
        "callback": f"{APP}/told",
    }.items() <= shown.items()
    qstash.advance(60)
    assert qstash.http.get(f"/v2/messages/{message}").status_code == 404


def test_a_binary_body_is_shown_in_base64(qstash: World) -> None:
    message = qstash.post(f"/v2/publish/{APP}", b"\xff\x00", upstash_delay="1m").json()["messageId"]
    shown = qstash.http.get(f"/v2/messages/{message}").json()
    assert ("body" in shown, shown["bodyBase64"]) == (False, "/wA=")


def test_a_cancelled_message_is_not_delivered(qstash: World) -> None:
    message = qstash.publish(upstash_delay="1m")
    assert qstash.http.delete(f"/v2/messages/{message}").status_code == 200
    qstash.advance(3600)
    assert (qstash.app.bodies, qstash.states(message)) == ([], ["CREATED", "CANCEL_REQUESTED", "CANCELLED"])
    assert qstash.http.delete(f"/v2/messages/{message}").status_code == 404


def test_a_message_cancelled_in_flight_is_not_tried_again(qstash: World) -> None:
    qstash.fail(500)
    release = qstash.hold()
    message = qstash.publish()
    qstash.until_arrived(1)
    qstash.http.delete(f"/v2/messages/{message}")
    release()
    qstash.advance(3600)
    assert qstash.states(message) == ["CREATED", "ACTIVE", "CANCEL_REQUESTED", "ERROR", "CANCELLED"]
    assert qstash.dead() == []


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", []),
        ("label=one", ["2", "3"]),
        ("label=one,two", ["3"]),
        ("label=one&label=two", ["3"]),
        (f"url={APP}/1", ["2", "3"]),
        ("host=app.example.com&path=/2", ["1", "3"]),
        ("flowControlKey=k", ["1", "2"]),
        ("count=2", ["3"]),
        (f"fromDate={START + 1}", ["1", "2", "3"]),
        (f"toDate={START}", []),
        ("callerIp=10.0.0.1", ["1", "2", "3"]),
        ("queueName=q", ["1", "2", "3"]),
    ],
)
def test_messages_are_cancelled_by_what_they_are(qstash: World, query: str, left: list[str]) -> None:
    qstash.publish("/1", "1", upstash_delay="1m", upstash_label="one")
    qstash.publish("/2", "2", upstash_delay="1m", upstash_label="two")
    flow = {"upstash_flow_control_key": "k", "upstash_flow_control_value": "rate=9"}
    qstash.publish("/3", "3", upstash_delay="1m", **flow)
    answer = qstash.http.delete(f"/v2/messages?{query}")
    assert answer.json() == {"cancelled": 3 - len(left)}
    qstash.advance(60)
    assert sorted(qstash.app.bodies) == left


def _bury(qstash: World, count: int) -> list[str]:
    qstash.fail(*[500] * count)
    ids = []
    for number in range(count):
        ids.append(qstash.publish(f"/{number}", str(number), upstash_retries="0", upstash_label=f"l{number % 2}"))
        qstash.idle()
    return ids


def test_dead_letters_are_listed_in_pages_the_newest_first(qstash: World) -> None:
    ids = _bury(qstash, 5)
    first = qstash.http.get("/v2/dlq?count=2").json()
    # What comes in meanwhile shifts nothing.
    _bury(qstash, 1)
    second = qstash.http.get(f"/v2/dlq?count=2&cursor={first['cursor']}").json()
    third = qstash.http.get(f"/v2/dlq?count=2&cursor={second['cursor']}").json()
    seen = [letter["messageId"] for page in (first, second, third) for letter in page["messages"]]
    assert (seen, "cursor" in third) == (ids[::-1], False)
    letter = first["messages"][0]
    assert {"responseStatus": 500, "responseBody": "no", "body": "4", "url": f"{APP}/4"}.items() <= letter.items()
    assert qstash.http.get(f"/v2/dlq/{letter['dlqId']}").json() == letter


def test_dead_letters_are_filtered(qstash: World) -> None:
    ids = _bury(qstash, 4)

    def found(query: str) -> list[str]:
        return sorted(letter["body"] for letter in qstash.http.get(f"/v2/dlq?{query}").json()["messages"])

    assert found(f"messageId={ids[2]}") == ["2"]
    assert found("label=l1") == ["1", "3"]
    assert found(f"url={APP}/0&url={APP}/3") == ["0", "3"]
    assert found("responseStatus=500") == ["0", "1", "2", "3"]
    assert found("responseStatus=502,503") == []
    assert found(f"fromDate={START + 1}") == []


def test_a_dead_letter_is_retried_as_a_new_message(qstash: World) -> None:
    # "a new message with the same body and headers is created ... The original DLQ message is then removed", and
    # headers override its configuration (vendor's description).
    (message,) = _bury(qstash, 1)
    letter = qstash.dead()[0]["dlqId"]
    answer = qstash.post(f"/v2/dlq/retry/{letter}", "", upstash_retries="7", upstash_delay="10s")
    assert (answer.status_code, answer.json()["messageId"] != message, qstash.dead()) == (201, True, [])
    assert qstash.http.get(f"/v2/messages/{answer.json()['messageId']}").json()["maxRetries"] == 7
    qstash.advance(10)
    assert (qstash.app.bodies, qstash.app.times) == (["0", "0"], [0, 10])
    assert qstash.post(f"/v2/dlq/retry/{letter}").status_code == 404


def test_dead_letters_are_retried_and_deleted_in_bulk(qstash: World) -> None:
    _bury(qstash, 6)
    letters = {letter["body"]: letter["dlqId"] for letter in qstash.dead()}
    answer = qstash.post(f"/v2/dlq/retry?dlqIds={letters['0']}&dlqIds={letters['1']}")
    assert (answer.status_code, len(answer.json()["responses"])) == (201, 2)
    assert qstash.http.delete("/v2/dlq?label=l0").json() == {"deleted": 2}
    page = qstash.http.delete("/v2/dlq?count=1").json()
    assert page["deleted"] == 1
    assert qstash.http.delete(f"/v2/dlq?count=1&cursor={page['cursor']}").json() == {"deleted": 1}
    assert (qstash.dead(), qstash.http.delete(f"/v2/dlq/{letters['5']}").status_code) == ([], 404)


def test_the_log_is_filtered_and_paged(qstash: World) -> None:
    qstash.fail(500)
    first = qstash.publish("/1", "body", upstash_label="a")
    qstash.idle()
    qstash.publish("/2", upstash_label="b")
    qstash.idle()

    def states(query: str) -> list[str]:
        return [line["state"] for line in qstash.http.get(f"/v2/logs?{query}").json()["logs"]]

    assert states(f"messageId={first}") == ["RETRY", "ERROR", "ACTIVE", "CREATED"]
    assert states("state=IN_PROGRESS&label=a") == ["RETRY", "ERROR", "ACTIVE"]
    assert states(f"url={APP}/2&state=DELIVERED") == ["DELIVERED"]
    assert states("label=a&label=b&state=CREATED") == ["CREATED", "CREATED"]
    page = qstash.http.get("/v2/logs?count=3").json()
    rest = qstash.http.get(f"/v2/logs?cursor={page['cursor']}").json()
    assert (len(page["logs"]), len(rest["logs"]), "cursor" in rest) == (3, 4, False)
    (error,) = qstash.http.get("/v2/logs?state=ERROR").json()["logs"]
    assert (error["responseStatus"], error["responseBody"], error["body"]) == (500, "bm8=", "Ym9keQ==")
    (retry,) = qstash.http.get("/v2/logs?state=RETRY").json()["logs"]
    assert retry["nextDeliveryTime"] == START + 12_000


def test_url_groups(qstash: World) -> None:
    url = "/v2/topics/todo/endpoints"
    qstash.http.post(url, json={"endpoints": [{"url": f"{APP}/1", "name": "one"}, {"url": f"{APP}/2"}]})
    qstash.http.post(url, json={"endpoints": [{"url": f"{APP}/1b", "name": "one"}]})
    shown = qstash.http.get("/v2/topics/todo").json()
    assert shown["endpoints"] == [{"name": "one", "url": f"{APP}/1b"}, {"url": f"{APP}/2"}]
    assert qstash.http.get("/v2/topics").json() == [shown]
    qstash.http.request("DELETE", url, json={"endpoints": [{"name": "one"}]})
    assert qstash.http.get("/v2/topics/todo").json()["endpoints"] == [{"url": f"{APP}/2"}]
    # "If all endpoints have been removed, the URL Group will be deleted" (vendor's description).
    qstash.http.request("DELETE", url, json={"endpoints": [{"url": f"{APP}/2"}]})
    assert qstash.http.get("/v2/topics/todo").status_code == 404
    assert qstash.http.post(url, json={"endpoints": [{"name": "no-url"}]}).status_code == 400
    assert qstash.http.post("/v2/topics/a:b/endpoints", json={"endpoints": [{"url": APP}]}).status_code == 400


def test_queues(qstash: World) -> None:
    qstash.http.post("/v2/queues", json={"queueName": "q", "parallelism": 2})
    assert qstash.http.get("/v2/queues/q").json() == {
        "name": "q",
        "parallelism": 2,
        "paused": False,
        "lag": 0,
        "createdAt": START,
        "updatedAt": START,
    }
    assert qstash.http.post("/v2/queues", json={"queueName": "q", "parallelism": 0}).status_code == 400
    assert qstash.http.post("/v2/queues", json={"queueName": "q", "parallelism": 1000}).status_code == 412
    assert qstash.http.get("/v2/queues/a:b").status_code == 400
    qstash.http.post("/v2/queues/q/pause")
    qstash.post(f"/v2/enqueue/q/{APP}", "x")
    assert qstash.http.delete("/v2/queues/q").status_code == 200
    qstash.advance(60)
    assert (qstash.app.bodies, qstash.http.get("/v2/queues/q").status_code) == ([], 404)


def test_keys_are_rotated(qstash: World) -> None:
    assert qstash.http.get("/v2/keys").json() == {"current": CURRENT_SIGNING_KEY, "next": NEXT_SIGNING_KEY}
    rotated = qstash.http.post("/v2/keys/rotate").json()
    assert (rotated["current"], rotated["next"] != NEXT_SIGNING_KEY) == (NEXT_SIGNING_KEY, True)
    qstash.publish()
    qstash.idle()
    (delivery,) = qstash.app.deliveries
    # A receiver that still has the old pair finds the signature by its next key.
    assert delivery.verified(f"{APP}/")
    Receiver(rotated["current"], rotated["next"]).verify(
        signature=delivery.headers["Upstash-Signature"], body="x", url=f"{APP}/"
    )


def test_the_clock_is_moved_by_request(qstash: World) -> None:
    def move(**asked: object) -> httpx.Response:
        return qstash.http.post("/dev/clock", json=asked)

    assert qstash.http.get("/dev/clock").json()["now"] == START
    qstash.publish(upstash_delay="10m")
    assert qstash.http.get("/dev/idle").json() == {"idle": True, "waiting": 1, "nextDue": START + 600_000}
    assert move(advance="9m").json()["now"] == START + 540_000
    assert qstash.app.bodies == []
    assert move(advance="1h5s100ms").json()["now"] == START + 540_000 + 3_605_100
    assert qstash.app.times == [600]
    assert [move(advance="1x").status_code, move(advance=-1).status_code] == [400, 400]
    assert move(frozen=False).json()["frozen"] is False
    assert move(frozen=True, at=START).json()["now"] == START


def test_everything_is_forgotten_on_request(engine_url: str) -> None:
    with world(engine_url) as qstash:
        release = qstash.hold()
        qstash.publish("/", "under way", upstash_deduplication_id="d")
        qstash.until_arrived(1)
        qstash.publish("/", "delayed", upstash_delay="1h")
        qstash.post(f"/v2/enqueue/q/{APP}", "queued", upstash_retries="0")
        qstash.http.post(f"/v2/schedules/{APP}", headers={"Upstash-Cron": "* * * * *"})
        qstash.http.post("/v2/topics/t/endpoints", json={"endpoints": [{"url": APP}]})
        qstash.http.post("/v2/keys/rotate")
        assert qstash.http.post("/dev/reset").status_code == 200
        release()
        qstash.app.deliveries.clear()
        qstash.publish("/", "after", upstash_deduplication_id="d")
        qstash.advance(7200)
        assert qstash.app.bodies == ["after"]
    with world(engine_url, flush=False) as again:
        assert again.http.get("/v2/keys").json()["current"] == CURRENT_SIGNING_KEY
        assert [again.http.get(f"/v2/{what}").json() for what in ("schedules", "topics", "queues")] == [[], [], []]
        # The log begins anew with what came after.
        assert [line["state"] for line in again.http.get("/v2/logs").json()["logs"]] == [
            "DELIVERED",
            "ACTIVE",
            "CREATED",
        ]


def test_pages_of_other_sites_are_not_answered(qstash: World) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert qstash.http.post("/dev/clock", json={"advance": "1m"}, headers=headers).status_code == 403
    assert qstash.http.get("/dev/clock").json()["now"] == START


def test_costs_are_counted_for_each_caller(qstash: World) -> None:
    # At the service: every delivery attempt is billed; "Callbacks are charged as a regular message"
    # (vendor's description).
    qstash.fail(500)
    qstash.publish(x_dev_caller="one")
    qstash.advance(60)
    qstash.publish(x_dev_caller="two", upstash_callback=f"{APP}/told")
    qstash.idle()
    counted = qstash.http.get("/dev/metrics").json()["counted"]
    names = ("requests", "published", "messages", "retried", "failed", "delivered")
    assert [[counted[caller].get(name, 0) for name in names] for caller in ("one", "two", "total")] == [
        [1, 1, 2, 1, 1, 1],
        [1, 2, 2, 0, 0, 2],
        [2, 3, 4, 1, 1, 3],
    ]
