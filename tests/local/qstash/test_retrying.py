"""What happens when a destination does not answer 200 to 299."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from eventsource_upstash.local.qstash.clock import Clock
from eventsource_upstash.local.qstash.errors import ApiError
from eventsource_upstash.local.qstash.expressions import DAY, evaluate
from eventsource_upstash.local.qstash.records import Answer
from eventsource_upstash.local.qstash.settling import back_off, wait_of
from tests.local.qstash.support import APP, START, World, world


def test_three_retries_after_12_s_2_min_28_s_and_30_min_8_s_then_dead(qstash: World) -> None:
    # Documentation, page "Retry": min(86400, e ** (2.5 * n)) seconds; 3 retries by default (vendor's description).
    qstash.fail(500, 500, 500, 500)
    message = qstash.publish()
    qstash.advance(11.9)
    assert qstash.app.times == [0]
    qstash.advance(3600)
    assert qstash.app.times == [0, 12, 12 + 148, 12 + 148 + 1808]
    assert [delivery.headers["Upstash-Retried"] for delivery in qstash.app.deliveries] == ["0", "1", "2", "3"]
    assert {delivery.headers["Upstash-Message-Id"] for delivery in qstash.app.deliveries} == {message}
    assert [letter["messageId"] for letter in qstash.dead()] == [message]
    assert qstash.states(message) == ["CREATED", *["ACTIVE", "ERROR", "RETRY"] * 3, "ACTIVE", "ERROR", "FAILED"]
    assert qstash.server.metrics().counted["total"]["messages"] == 4  # At the service: every delivery attempt is billed


def test_the_back_off_ends_at_a_day() -> None:
    # The table of the page "Retry": 12s, 2m28s, 30m8s, 6h7m6s, 24h, 24h.
    assert [back_off(retried) // 1000 for retried in range(6)] == [12, 148, 1808, 22026, 86400, 86400]


def test_an_expression_says_the_delay_in_milliseconds(qstash: World) -> None:
    qstash.fail(*[500] * 5)
    qstash.publish(upstash_retries="4", upstash_retry_delay="max(1000, pow(2, retried) * 1000)")
    qstash.advance(60)
    assert qstash.app.times == [0, 1, 3, 7, 15]


@pytest.mark.parametrize(
    ("expression", "delays"),
    [
        # The vendor's description lists the functions and the first four.
        ("1000", [1000, 1000, 1000]),
        ("1000 * (1 + retried)", [1000, 2000, 3000]),
        ("pow(2, retried) * 1000", [1000, 2000, 4000]),
        ("max(1000, pow(2, retried) * 100)", [1000, 1000, 1000]),
        ("min(5, exp(retried)) * 1000", [1000, 2718, 5000]),
        ("floor(2.7) + ceil(2.2) + round(2.6) + abs(0 - 4) + sqrt(9)", [15, 15, 15]),
        ("10 / (retried - 1) + 7 % 4 - 0", [0, DAY, 13]),
        ("-5", [0, 0, 0]),
        ("pow(10, 400)", [DAY, DAY, DAY]),
        ("1e300 * 1e300", [DAY, DAY, DAY]),
    ],
)
def test_expressions(expression: str, delays: list[int]) -> None:
    assert [evaluate(expression, retried) for retried in range(3)] == delays


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "retries",
        "pow(2)",
        "2 ** 3",
        "open('x')",
        "().__class__",
        "'a'",
        "1; 2",
        "True",
        "lambda: 1",
        "sqrt(0-1)",
        "9" * 1001,
        "(" * 500,
    ],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ApiError, match="retry delay"):
        evaluate(expression, 0)


@pytest.mark.parametrize(
    ("headers", "milliseconds"),
    [
        # Documentation, page "Retry": these headers, in seconds, as a date, or as a duration; at most a day.
        ({"Retry-After": "7"}, 7000),
        ({"retry-after": "6m5s"}, 365_000),
        ({"X-RateLimit-Reset": "1.5"}, 1500),
        ({"X-RateLimit-Reset-Requests": "20ms"}, 20),
        ({"X-RateLimit-Reset-Tokens": "1h2m0.5s"}, 3_720_500),
        ({"Retry-After": "never"}, None),
        ({"Retry-After": "86401"}, None),
        ({"Retry-After": formatdate(0, usegmt=True)}, 0),
        ({}, None),
    ],
)
def test_how_long_a_destination_asks_to_wait(headers: dict[str, str], milliseconds: int | None) -> None:
    assert wait_of(Answer(status=429, headers=list(headers.items()))) == milliseconds


def test_a_date_to_wait_for_counts_from_the_machines_clock() -> None:
    wait = wait_of(Answer(status=429, headers=[("Retry-After", formatdate(time.time() + 3600, usegmt=True))]))
    assert wait is not None
    assert 0 < wait <= 3_600_000


def test_a_destination_that_asks_to_wait_is_waited_for(qstash: World) -> None:
    qstash.fail(429, headers={"Retry-After": "100"})
    qstash.publish(upstash_retry_delay="1000")
    qstash.advance(200)
    assert qstash.app.times == [0, 100]


def test_489_with_its_header_goes_to_the_dead_letters_at_once(qstash: World) -> None:
    # At the service: status 489 with Upstash-NonRetryable-Error: true. Without the header it is an error
    # like any other.
    qstash.fail(489, headers={"Upstash-NonRetryable-Error": "true"})
    message = qstash.publish()
    qstash.idle()
    assert [(letter["messageId"], letter["responseStatus"]) for letter in qstash.dead()] == [(message, 489)]
    qstash.fail(489)
    other = qstash.publish()
    qstash.advance(12)
    assert qstash.states(other)[-1] == "DELIVERED"


def test_a_destination_that_does_not_answer_in_time_has_failed(qstash: World) -> None:
    release = qstash.hold()
    message = qstash.publish(upstash_timeout="30s", upstash_retries="0")
    qstash.until_arrived(1)
    qstash.advance(29, settle=False)
    assert qstash.states(message) == ["CREATED", "ACTIVE"]
    qstash.advance(1, settle=False)
    qstash.idle()
    assert qstash.states(message) == ["CREATED", "ACTIVE", "ERROR", "FAILED"]
    assert "timeout" in qstash.dead()[0]["responseBody"]
    release()


def test_a_destination_that_is_not_there_has_failed(qstash: World) -> None:
    answer = qstash.post("/v2/publish/http://127.0.0.1:1/", "x", upstash_retries="0")
    qstash.idle()
    assert qstash.states(answer.json()["messageId"]) == ["CREATED", "ACTIVE", "ERROR", "FAILED"]
    assert qstash.dead()[0]["responseStatus"] == 0


def test_a_callback_tells_of_every_attempt(qstash: World) -> None:
    # Documentation, page "Callbacks", field by field.
    qstash.app.answering = lambda delivery: web.Response(
        status=500 if delivery.path == "/work" and len(qstash.app.deliveries) == 1 else 200,
        text="the answer",
        headers={"X-Mine": "1"},
    )
    message = qstash.publish(
        "/work",
        "the body",
        upstash_callback=f"{APP}/told",
        upstash_callback_forward_my_header="my value",
        upstash_callback_method="PUT",
        upstash_forward_a="1",
    )
    qstash.advance(60)
    told = [delivery for delivery in qstash.app.deliveries if delivery.path == "/told"]
    assert [delivery.headers["My-Header"] for delivery in told] == ["my value"] * 2
    assert [delivery.method for delivery in told] == ["PUT"] * 2
    assert all(delivery.verified(f"{APP}/told") for delivery in told)
    first, second = (_json(delivery.body) for delivery in told)
    assert (first["status"], second["status"], first["retried"], second["retried"]) == (500, 200, 0, 1)
    assert base64.b64decode(second["body"]) == b"the answer"
    assert second["header"]["X-Mine"] == ["1"]
    assert {
        "sourceMessageId": message,
        "maxRetries": 3,
        "url": f"{APP}/work",
        "method": "POST",
        "sourceBody": base64.b64encode(b"the body").decode(),
        "createdAt": str(START),
        "callerIP": "127.0.0.1",
    }.items() <= second.items()
    assert second["sourceHeader"]["A"] == ["1"]
    assert "dlqId" not in second


def test_a_failure_callback_tells_of_a_dead_letter(qstash: World) -> None:
    qstash.app.answering = lambda delivery: web.Response(status=500 if delivery.path == "/work" else 200, text="no")
    qstash.publish("/work", upstash_failure_callback=f"{APP}/failed", upstash_retries="1")
    qstash.advance(3600)
    (told,) = [delivery for delivery in qstash.app.deliveries if delivery.path == "/failed"]
    body = _json(told.body)
    assert (body["status"], body["retried"], body["maxRetries"]) == (500, 1, 1)
    assert body["dlqId"] == qstash.dead()[0]["dlqId"]


def test_a_callback_that_fails_is_tried_as_often_as_its_message_and_has_no_callback(qstash: World) -> None:
    # "Callbacks will use the retry setting from the original request" (vendor's description).
    qstash.app.answering = lambda delivery: web.Response(status=500 if delivery.path == "/told" else 200)
    qstash.publish("/work", upstash_callback=f"{APP}/told", upstash_retries="2", upstash_retry_delay="1000")
    qstash.advance(7200)
    assert [delivery.path for delivery in qstash.app.deliveries] == ["/work", *["/told"] * 3]


def _json(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body)
    return value


def test_with_a_clock_that_runs_nobody_has_to_ask(engine_url: str) -> None:
    with world(engine_url, clock=Clock()) as qstash:
        qstash.fail(500)
        qstash.publish(upstash_retry_delay="1")
        qstash.until_arrived(2)
        qstash.publish("/later", upstash_delay="1h")
        assert qstash.http.post("/dev/clock", json={"advance": "1h", "settle": False}).status_code == 200
        qstash.until_arrived(3)
        assert [delivery.path for delivery in qstash.app.deliveries] == ["/", "/", "/later"]
