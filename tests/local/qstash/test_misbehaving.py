"""What goes wrong on request."""

from __future__ import annotations

import time

import httpx
import jwt
import pytest
from qstash import QStash, Receiver
from qstash.errors import DailyMessageLimitExceededError, SignatureError

from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY
from tests.local.qstash.support import APP, World


def test_a_publish_whose_answer_is_lost_was_stored(qstash: World) -> None:
    qstash.faults.add("lose-answer", half="qstash")
    with pytest.raises(httpx.HTTPError):
        qstash.publish(upstash_deduplication_id="1")
    assert qstash.post(f"/v2/publish/{APP}/", "x", upstash_deduplication_id="1").status_code == 202
    qstash.idle()
    assert len(qstash.app.deliveries) == 1


def test_a_publish_that_is_lost_was_not_stored(qstash: World) -> None:
    qstash.faults.add("lose-request")
    with pytest.raises(httpx.HTTPError):
        qstash.publish()
    qstash.idle()
    assert qstash.app.deliveries == []


@pytest.mark.parametrize(("kind", "status"), [("error-500", 500), ("error-429", 429), ("quota", 429)])
def test_an_error_on_request_stores_nothing(qstash: World, kind: str, status: int) -> None:
    qstash.faults.add(kind)
    assert qstash.post(f"/v2/publish/{APP}/", "x").status_code == status
    qstash.idle()
    assert qstash.app.deliveries == []


def test_the_official_client_knows_the_quota_error(qstash: World) -> None:
    qstash.faults.add("quota")
    client = QStash(qstash.server.settings.token, base_url=qstash.url, retry=False)
    with client.http._client, pytest.raises(DailyMessageLimitExceededError):  # it has no `close` of its own
        client.message.publish(url=APP, body="x")


def test_a_message_is_delivered_twice(qstash: World) -> None:
    qstash.faults.add("deliver-twice")
    qstash.publish()
    qstash.idle()
    first, second = qstash.app.deliveries
    assert first.headers["Upstash-Message-Id"] == second.headers["Upstash-Message-Id"]


def test_a_message_is_delivered_late(qstash: World) -> None:
    qstash.faults.add("deliver-late", seconds=30)
    qstash.publish("/", "late")
    qstash.publish("/", "not")
    qstash.advance(60)
    assert list(zip(qstash.app.bodies, qstash.app.times, strict=True)) == [("not", 0), ("late", 30)]


def test_messages_are_delivered_out_of_order(qstash: World) -> None:
    qstash.faults.add("deliver-out-of-order")
    qstash.publish("/", "first")
    qstash.publish("/", "second")
    qstash.idle()
    assert qstash.app.bodies == ["second", "first"]


def test_the_last_message_is_not_held_back_for_ever(qstash: World) -> None:
    qstash.faults.add("deliver-out-of-order", count=None)
    for number in range(5):
        qstash.publish("/", str(number))
    qstash.idle()
    assert sorted(qstash.app.bodies) == list("01234")


@pytest.mark.parametrize(("kind", "arrived"), [("lose-delivery", 1), ("lose-delivery-answer", 2)])
def test_a_delivery_that_counts_as_failed_is_made_again(qstash: World, kind: str, arrived: int) -> None:
    qstash.faults.add(kind)
    message = qstash.publish()
    qstash.advance(12)
    assert (len(qstash.app.deliveries), qstash.states(message)[-1]) == (arrived, "DELIVERED")


def test_a_delivery_signed_with_the_next_key(qstash: World) -> None:
    qstash.faults.add("sign-with-next-key")
    qstash.publish()
    qstash.idle()
    signature = qstash.app.deliveries[0].headers["Upstash-Signature"]
    jwt.decode(signature, NEXT_SIGNING_KEY, algorithms=["HS256"])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(signature, CURRENT_SIGNING_KEY, algorithms=["HS256"])
    assert qstash.app.deliveries[0].verified(f"{APP}/")


def test_a_delivery_signed_with_a_wrong_key(qstash: World) -> None:
    qstash.faults.add("sign-with-wrong-key")
    qstash.publish()
    qstash.idle()
    with pytest.raises(SignatureError):
        qstash.app.deliveries[0].verified(f"{APP}/")


@pytest.mark.parametrize("seconds", [-600.0, 600.0])
def test_a_delivery_signed_by_a_clock_that_is_off(qstash: World, seconds: float) -> None:
    qstash.faults.add("sign-skewed", seconds=seconds)
    qstash.publish()
    qstash.idle()
    with pytest.raises(SignatureError):
        qstash.app.deliveries[0].verified(f"{APP}/")


def test_a_fault_strikes_the_destination_it_names(qstash: World) -> None:
    qstash.faults.add("lose-delivery", path=f"{APP}/b*", count=None)
    for path in ("/a", "/b1", "/b2"):
        qstash.publish(path, upstash_retries="0")
    qstash.idle()
    assert [delivery.path for delivery in qstash.app.deliveries] == ["/a"]


def test_the_claims_of_a_signature(qstash: World) -> None:
    # At the service: HS256, iss, sub (exact), exp five minutes on, nbf, body = base64url(sha256(raw body));
    # page "Signature".
    before = int(time.time())
    qstash.publish("/a?b=c", "body")
    qstash.idle()
    delivery = qstash.app.deliveries[0]
    signature = delivery.headers["Upstash-Signature"]
    assert jwt.get_unverified_header(signature) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(signature, CURRENT_SIGNING_KEY, algorithms=["HS256"])
    assert set(claims) == {"iss", "sub", "exp", "nbf", "iat", "jti", "body"}
    assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("Upstash", f"{APP}/a?b=c", 300)
    assert before <= claims["iat"]
    assert claims["body"] == "Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU="
    receiver = Receiver(CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY)
    for url, body in ((f"{APP}/a", "body"), (f"{APP}/a?b=c", "other")):
        with pytest.raises(SignatureError):
            receiver.verify(signature=signature, body=body, url=url)
