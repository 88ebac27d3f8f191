"""Queues and flow control: what waits for what."""

from __future__ import annotations

import json

from aiohttp import web

from tests.local.qstash.support import APP, World


def _enqueue(qstash: World, *bodies: str, queue: str = "q", **headers: str) -> list[str]:
    return [str(qstash.post(f"/v2/enqueue/{queue}/{APP}/", body, **headers).json()["messageId"]) for body in bodies]


def test_a_queue_delivers_one_after_the_other_in_order(qstash: World) -> None:
    bodies = [str(number) for number in range(40)]
    _enqueue(qstash, *bodies)
    qstash.idle()
    assert (qstash.app.bodies, qstash.app.most) == (bodies, 1)


def test_the_next_message_of_a_queue_waits_for_the_retries_of_the_one_before(qstash: World) -> None:
    # Documentation, page "Queues": it is ACTIVE only after the last one is DELIVERED or FAILED.
    qstash.app.answering = lambda delivery: web.Response(status=500 if delivery.body == b"1" else 200)
    _enqueue(qstash, "1", "2", upstash_retries="1")
    _enqueue(qstash, "other", queue="r")
    qstash.advance(3600)
    assert sorted(zip(qstash.app.times, qstash.app.bodies, strict=True)) == [
        (0, "1"),
        (0, "other"),
        (12, "1"),
        (12, "2"),
    ]
    assert qstash.app.bodies[-1] == "2"


def test_the_next_message_of_a_queue_waits_for_the_callbacks_of_the_one_before(qstash: World) -> None:
    # Documentation, page "Queues": "Next message will wait for callbacks or failure callbacks to finish."
    _enqueue(qstash, "1", "2", upstash_callback=f"{APP}/told")
    qstash.idle()
    assert [delivery.path for delivery in qstash.app.deliveries] == ["/", "/told", "/", "/told"]


def test_a_queue_with_parallelism_delivers_so_many_at_a_time(qstash: World) -> None:
    qstash.post("/v2/queues", json.dumps({"queueName": "q", "parallelism": 3}))
    release = qstash.hold()
    _enqueue(qstash, *"123456")
    qstash.until_arrived(3)
    assert qstash.http.get("/v2/queues/q").json()["lag"] == 6
    release()
    qstash.idle()
    assert (sorted(qstash.app.bodies), qstash.app.most) == (list("123456"), 3)


def test_a_paused_queue_delivers_nothing_until_it_is_resumed(qstash: World) -> None:
    qstash.post("/v2/queues/q/pause")
    _enqueue(qstash, "1", "2")
    qstash.advance(3600)
    assert (qstash.app.bodies, qstash.http.get("/v2/queues/q").json()["lag"]) == ([], 2)
    qstash.post("/v2/queues/q/resume")
    qstash.idle()
    assert qstash.app.bodies == ["1", "2"]


def test_a_retry_of_a_paused_queue_waits_as_well(qstash: World) -> None:
    qstash.fail(500)
    _enqueue(qstash, "1")
    qstash.idle()
    qstash.post("/v2/queues/q/pause")
    qstash.advance(3600)
    assert qstash.app.bodies == ["1"]
    qstash.post("/v2/queues/q/resume")
    qstash.idle()
    assert qstash.app.bodies == ["1", "1"]


def test_a_cancelled_head_of_a_queue_lets_the_next_one_go(qstash: World) -> None:
    qstash.fail(500)
    first, _ = _enqueue(qstash, "1", "2")
    qstash.idle()
    assert qstash.http.delete(f"/v2/messages/{first}").json() == {"cancelled": 1}
    qstash.idle()
    assert qstash.app.bodies == ["1", "2"]


def test_flow_control_lets_so_many_be_under_way_at_a_time(qstash: World) -> None:
    flow = {"upstash_flow_control_key": "app", "upstash_flow_control_value": "Parallelism=2"}
    release = qstash.hold()
    for number in range(6):
        qstash.publish("/", str(number), **flow)
    qstash.publish("/", "without a key")
    qstash.until_arrived(3)
    shown = qstash.http.get("/v2/flowControl/app").json()
    assert (shown["parallelismMax"], shown["parallelismCount"], shown["waitListSize"]) == (2, 2, 4)
    release()
    qstash.idle()
    assert (len(qstash.app.deliveries), qstash.app.most) == (7, 3)


def test_a_retry_does_not_hold_a_place_of_its_flow_control_key(qstash: World) -> None:
    # "Active means that the call is made to your endpoint and the response is not received yet" (page Flow Control).
    flow = {"upstash_flow_control_key": "app", "upstash_flow_control_value": "parallelism=1"}
    qstash.fail(500)
    qstash.publish("/", "1", **flow)
    qstash.publish("/", "2", **flow)
    qstash.idle()
    assert qstash.app.bodies == ["1", "2"]
    qstash.advance(12)
    assert qstash.app.bodies == ["1", "2", "1"]


def test_flow_control_lets_so_many_go_in_a_period(qstash: World) -> None:
    for number in range(7):
        qstash.publish("/", str(number), upstash_flow_control_key="app", upstash_flow_control_value="rate=3, period=1m")
    qstash.idle()
    assert qstash.app.bodies == ["0", "1", "2"]
    shown = qstash.http.get("/v2/flowControl/app").json()
    assert (shown["rateMax"], shown["rateCount"], shown["ratePeriod"], shown["waitListSize"]) == (3, 3, 60, 4)
    qstash.advance(600)
    assert qstash.app.times == [0, 0, 0, 60, 60, 60, 120]
    assert qstash.app.bodies == [str(number) for number in range(7)]


def test_a_period_is_ended_early(qstash: World) -> None:
    for _ in range(2):
        qstash.publish(upstash_flow_control_key="app", upstash_flow_control_value="rate=1,period=1d")
    qstash.idle()
    assert len(qstash.app.deliveries) == 1
    qstash.post("/v2/flowControl/app/resetRate")
    qstash.idle()
    assert len(qstash.app.deliveries) == 2


def test_a_paused_flow_control_key_waits(qstash: World) -> None:
    qstash.post("/v2/flowControl/app/pause")
    qstash.publish(upstash_flow_control_key="app", upstash_flow_control_value="parallelism=1")
    qstash.advance(60)
    assert (qstash.app.bodies, qstash.http.get("/v2/flowControl/app").json()["isPaused"]) == ([], True)
    qstash.post("/v2/flowControl/app/resume")
    qstash.idle()
    assert qstash.app.bodies == ["x"]


def test_pinned_limits_hold_whatever_messages_ask_for(qstash: World) -> None:
    flow = {"upstash_flow_control_key": "app", "upstash_flow_control_value": "rate=10"}
    qstash.post("/v2/flowControl/app/pin?rate=1&period=30")
    for _ in range(2):
        qstash.publish(**flow)
    qstash.advance(60)
    assert qstash.app.times == [0, 30]
    qstash.post("/v2/flowControl/app/unpin?rate=true")
    qstash.publish(**flow)
    shown = qstash.http.get("/v2/flowControl/app").json()
    assert (shown["isPinnedRate"], shown["rateMax"], shown["ratePeriod"]) == (False, 10, 1)


def test_no_more_are_in_flight_than_the_server_allows(qstash: World) -> None:
    most = qstash.server.settings.max_in_flight
    release = qstash.hold()
    batch = [{"destination": f"{APP}/", "body": str(number)} for number in range(most + 20)]
    qstash.post("/v2/batch", json.dumps(batch))
    qstash.until_arrived(most)
    assert qstash.http.get("/v2/globalParallelism").json() == {"parallelismMax": most, "parallelismCount": most}
    release()
    qstash.idle()
    assert (len(qstash.app.deliveries), qstash.app.most) == (most + 20, most)
