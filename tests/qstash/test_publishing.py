"""A notification becomes one message of QStash; what its answers mean."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Receipt, Refused, Unavailable, Vector
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.qstash import Delivery, QStash
from tests.qstash.carrier import DESTINATION, TOKEN, Carrier, answer

RAISED = 1_795_244_434_123_456


def send(
    carrier: Carrier, destination: str = DESTINATION, *, delivery: Delivery | None = None, url: str | None = None
) -> Receipt:
    transport = QStash(destination, token=TOKEN, namespace="todo", delivery=delivery, url=url)
    return run(transport.notices(carrier).send(42, RAISED))


def test_one_request_to_the_url_as_it_is() -> None:
    carrier = Carrier(answer(body={"messageId": "msg_1", "deduplicated": True}))
    receipt = send(carrier)
    (request,) = carrier.requests
    assert (request.method, request.url) == ("POST", f"https://qstash.upstash.io/v2/publish/{DESTINATION}")
    assert request.body == b'{"position":42}'
    assert request.headers == {
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "upstash-retries": "3",
        "upstash-timeout": "60s",
        "upstash-label": "todo",
        "upstash-flow-control-key": "todo",
        "upstash-flow-control-value": "parallelism=1",
        "upstash-deduplication-id": f"todo-42-{RAISED}",
    }
    assert receipt == Receipt(1, 0, 15, len(b'{"messageId": "msg_1", "deduplicated": true}'), 0)
    assert carrier.pauses == []


def test_the_deduplication_id_names_position_and_moment_in_characters_that_qstash_takes() -> None:
    carrier = Carrier(*[answer()] * 4)
    notices = QStash(DESTINATION, token=TOKEN, namespace="todo.v2_x-1").notices(carrier)
    for position, raised in ((1, 11), (11, 1), (1, 12), (1, 11)):
        run(notices.send(position, raised))
    ids = [carrier.headers(number)["upstash-deduplication-id"] for number in range(4)]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]  # a re-send of the same notification
    assert all(re.fullmatch(r"[a-zA-Z0-9-_.]+", one) for one in ids)


def test_a_vector_is_told_as_a_text_and_stands_in_the_id_as_how_many_places_lie_behind() -> None:
    carrier = Carrier(answer())
    run(QStash(DESTINATION, token=TOKEN, namespace="todo").notices(carrier).send(Vector([17, 0, 4]), RAISED))
    assert carrier.requests[0].body == b'{"position":"0:17,2:4"}'
    assert carrier.headers(0)["upstash-deduplication-id"] == f"todo-21-{RAISED}"


def test_a_url_group_by_its_name() -> None:
    carrier = Carrier(answer(body=[{"messageId": "msg_1", "url": "https://a.example.com"}, {"error": "no"}]))
    send(carrier, "projections")
    assert carrier.requests[0].url == "https://qstash.upstash.io/v2/publish/projections"


@pytest.mark.parametrize(
    "body", [[{"messageId": "m"}], {"messages": [{"messageId": "m", "url": "https://a.example.com"}]}]
)
def test_both_shapes_of_a_groups_answer(body: object) -> None:
    send(Carrier(answer(body=body)), "projections")


def test_options_of_delivery() -> None:
    carrier = Carrier(answer())
    send(
        carrier,
        delivery=Delivery(parallelism=None, retries=0, retry_delay="1000 * (1 + retried)", timeout=30, label="x"),
    )
    headers = carrier.headers()
    assert not [name for name in headers if "flow-control" in name]
    assert (headers["upstash-retries"], headers["upstash-timeout"], headers["upstash-label"]) == ("0", "30s", "x")
    assert headers["upstash-retry-delay"] == "1000 * (1 + retried)"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/", "http://127.0.0.1:8080", "http://127.0.0.1:8080/v2/publish/"]
)
def test_another_service(url: str) -> None:
    carrier = Carrier(answer())
    send(carrier, url=url)
    assert carrier.requests[0].url == f"http://127.0.0.1:8080/v2/publish/{DESTINATION}"


@pytest.mark.parametrize(
    "first",
    [Unavailable("down"), OutcomeUnknown("lost"), answer(500), answer(502, b"<html>"), answer(503), answer(408)],
    ids=["unreachable", "lost", "500", "502", "503", "408"],
)
def test_sent_again_under_the_same_id(first: Exception) -> None:
    carrier = Carrier(first, answer())
    receipt = send(carrier)
    assert (receipt.requests, receipt.retries, receipt.bytes_sent) == (2, 1, 30)
    assert carrier.headers(0) == carrier.headers(1)
    assert len(carrier.pauses) == 1


def test_gives_up_after_three() -> None:
    carrier = Carrier(*[Unavailable("down")] * 3)
    with pytest.raises(Unavailable, match="down"):
        send(carrier)
    assert len(carrier.requests) == 3
    assert carrier.pauses[0] <= 0.1
    assert carrier.pauses[1] <= 0.2


def test_unknown_once_is_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match=r"3 attempts.*harmless"):
        send(Carrier(Unavailable("down"), OutcomeUnknown("lost"), Unavailable("down")))


def test_a_limit_per_second_is_waited_for() -> None:
    carrier = Carrier(answer(429, {"error": "too fast"}, burst_ratelimit_limit="100"), answer())
    send(carrier)
    assert 1 <= carrier.pauses[0] <= 1.1


def test_a_limit_per_second_that_stays() -> None:
    with pytest.raises(Unavailable, match="this second"):
        send(Carrier(*[answer(429, {"error": "too fast"})] * 3))


def test_the_day_is_used_up() -> None:
    tomorrow = int(datetime(2026, 11, 22, tzinfo=timezone.utc).timestamp())
    carrier = Carrier(answer(429, {}, ratelimit_limit="1000", ratelimit_reset=str(tomorrow)))
    with pytest.raises(Refused, match=r"limit 1000, anew at 2026-11-22 00:00 UTC.*plan"):
        send(carrier)
    assert len(carrier.requests) == 1


@pytest.mark.parametrize("number", ["", "x", "9" * 30, "²"])
def test_the_day_is_used_up_and_its_headers_are_no_numbers(number: str) -> None:
    with pytest.raises(Refused, match=r"limit unknown\)\."):
        send(Carrier(answer(429, {}, ratelimit_limit=number, ratelimit_reset=number)))


@pytest.mark.parametrize("reset", ["86400", "1", "1795305600000"])
def test_a_reset_that_is_no_unix_time_is_not_told(reset: str) -> None:
    with pytest.raises(Refused, match=r"limit 1000\)\."):
        send(Carrier(answer(429, {}, ratelimit_limit="1000", ratelimit_reset=reset)))


LOOPBACK = "invalid destination url: endpoint resolves to a loopback address: ::1"


@pytest.mark.parametrize(
    ("status", "body", "remedy"),
    [
        (401, {"error": f"invalid token {TOKEN}"}, r"refused the token \(401: invalid token \*\*\*\).*each region"),
        (403, b"", r"refused the token \(403\)"),
        (400, {"error": LOOPBACK}, r"this machine or a private network.*eventsource-upstash dev"),
        (400, {"error": "quota exceeded"}, r"400: quota exceeded.*plan and quota"),
        (404, {"error": "not found"}, r"no destination 'https://app.example.com/projections\?\.\.\.'.*QSTASH_URL"),
        (412, {"error": "\x1b[1m" + "x" * 999}, r"412:  \[1mx{196}\)"),
        (413, [1], r"refused the request \(413\)"),
        (301, b"", "redirection"),
        (200, b"<html>", "is not QStash"),
        (200, {"ok": True}, "took no message"),
        (200, b"[" * 100_000, "is not QStash"),
    ],
)
def test_refused_with_a_remedy_and_not_sent_again(status: int, body: object, remedy: str) -> None:
    carrier = Carrier(answer(status, body))
    with pytest.raises(Refused, match=remedy) as refused:
        send(carrier)
    assert TOKEN not in str(refused.value)
    assert len(carrier.requests) == 1


@pytest.mark.parametrize(("status", "body", "remedy"), [(404, {}, "Create the URL group"), (200, [], "no endpoint")])
def test_a_url_group_that_is_not_there_or_empty(status: int, body: object, remedy: str) -> None:
    with pytest.raises(Refused, match=remedy):
        send(Carrier(answer(status, body)), "projections")


def test_no_secret_in_a_repr_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    transport = QStash(
        "https://app.example.com/projections?key=hidden",
        token=TOKEN,
        current_signing_key="sig_hidden_1",
        next_signing_key="sig_hidden_2",
        regions={"us-east-1": ("sig_hidden_3", "sig_hidden_4")},
    )
    with caplog.at_level(logging.DEBUG):
        run(transport.notices(Carrier(answer(500, {"error": TOKEN}), answer())).send(1, 2))
    shown = f"{transport!r} {transport.receiver()!r} {caplog.text} {transport.receiver().keys!r}"
    assert "hidden" not in shown
    assert TOKEN not in shown
    assert "notified: the log reached position 1" in caplog.text


def test_no_more_than_half_of_the_time_for_one_attempt() -> None:
    carrier = Carrier(Unavailable("down"), answer())
    run(QStash(DESTINATION, token=TOKEN, timeout=8.0).notices(carrier).send(1, 2))
    assert carrier.requests[0].timeout == 4.0
    assert 0 < carrier.requests[1].timeout <= 4.0


def test_no_attempt_when_the_time_is_over() -> None:
    carrier = Carrier(Unavailable("down"), answer())
    with pytest.raises(Unavailable):
        run(QStash(DESTINATION, token=TOKEN, timeout=1e-9).notices(carrier).send(1, 2))
    assert len(carrier.requests) == 1


def test_stays_misuse() -> None:
    with pytest.raises(Misuse):
        send(Carrier(Misuse("no URL")))
