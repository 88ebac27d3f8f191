"""What the page shows and does, by the requests that it makes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.qstash.clock import Clock

NOON = 1_795_262_400_000


@pytest.fixture
def own() -> Iterator[LocalUpstash]:
    with LocalUpstash(clock=Clock(frozen_at=NOON)) as running:
        yield running


@pytest.fixture
def nowhere() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/hook"


def publish(own: LocalUpstash, url: str, **headers: str) -> str:
    headers = {f"Upstash-{name}": value for name, value in headers.items()}
    headers["Authorization"] = f"Bearer {own.environment()['QSTASH_TOKEN']}"
    answer = httpx.post(f"{own.qstash_url}/v2/publish/{url}", headers=headers, content=b"{}")
    return str(answer.json()["messageId"])


def state(own: LocalUpstash) -> dict[str, Any]:
    own.run(own.qstash.idle())
    return dict(httpx.get(f"{own.redis_url}/dev/state").json())


def deliver(own: LocalUpstash, message: str) -> httpx.Response:
    return httpx.post(f"{own.redis_url}/dev/messages", params={"id": message})


def test_a_message_that_waits_tells_how_it_went_and_goes_out_when_told(own: LocalUpstash, nowhere: str) -> None:
    sent = publish(own, nowhere, Label="todo", Retries="1")
    (message,) = state(own)["messages"]
    assert {name: message[name] for name in ("id", "labels", "attempt", "attempts", "status", "flying")} == {
        "id": sent,
        "labels": ["todo"],
        "attempt": 2,
        "attempts": 2,
        "status": 0,
        "flying": False,
    }
    assert "Connect" in message["said"]
    assert message["due"] > NOON
    assert deliver(own, sent).json() == {"messageId": sent}
    shown = state(own)
    assert shown["now"] == NOON, "the clock was moved"
    assert shown["messages"] == []
    (letter,) = shown["dead_letters"]
    assert (letter["labels"], letter["status"]) == (["todo"], 0)
    assert "Connect" in letter["said"]
    assert deliver(own, sent).status_code == 404


def test_a_message_that_was_not_tried_yet(own: LocalUpstash, nowhere: str) -> None:
    sent = publish(own, nowhere, Delay="1h", Retries="0")
    (message,) = state(own)["messages"]
    assert (message["attempt"], message["attempts"], message["status"], message["said"]) == (1, 1, None, "")
    assert deliver(own, sent).status_code == 200
    assert [letter["labels"] for letter in state(own)["dead_letters"]] == [[]]


def test_a_message_that_is_held_up_is_not_delivered_twice(own: LocalUpstash, nowhere: str) -> None:
    headers = {"Authorization": f"Bearer {own.environment()['QSTASH_TOKEN']}"}
    control = {"Flow-Control-Key": "k", "Flow-Control-Value": "parallelism=1"}
    assert httpx.post(f"{own.qstash_url}/v2/flowControl/k/pause", headers=headers).status_code == 200
    sent = publish(own, nowhere, Retries="0", **control)
    assert [message["id"] for message in state(own)["messages"]] == [sent]
    assert deliver(own, sent).status_code == 409
    assert [message["attempt"] for message in state(own)["messages"]] == [1]


def test_messages_of_a_queue_keep_their_order(own: LocalUpstash, nowhere: str) -> None:
    headers = {"Authorization": f"Bearer {own.environment()['QSTASH_TOKEN']}", "Upstash-Retries": "0"}
    ids: list[str] = []
    for hours in ("1h", "2h"):
        url = f"{own.qstash_url}/v2/enqueue/line/{nowhere}"
        ids.append(httpx.post(url, headers=headers | {"Upstash-Delay": hours}).json()["messageId"])
    first, second = ids
    assert deliver(own, second).status_code == 200
    assert {message["id"] for message in state(own)["messages"]} == {first, second}, "it overtook"
    assert deliver(own, first).status_code == 200
    shown = state(own)
    assert shown["messages"] == []
    assert len(shown["dead_letters"]) == 2


def test_topics_and_the_last_records_are_shown(upstash: LocalUpstash) -> None:
    def shown() -> dict[str, Any]:
        return dict(httpx.get(f"{upstash.redis_url}/dev/state").json()["kafka"])

    topic = f"shown-{time.monotonic_ns()}"
    upstash.kafka.create_topic(topic, 2)
    login = (upstash.kafka.username, upstash.kafka.password)
    before = shown()
    assert before["address"] == upstash.kafka.bootstrap_servers
    assert {"topic": topic, "partition": 1, "low": 0, "high": 0} in before["partitions"]
    for partition, value in enumerate(["a" * 300, "b"]):
        body = {"key": "k", "value": value, "partition": partition}
        httpx.post(f"{upstash.kafka.url}/produce/{topic}", json=body, auth=login).raise_for_status()
    after = shown()
    assert {"topic": topic, "partition": 1, "low": 0, "high": 1} in after["partitions"]
    newest, older = after["records"][:2]
    assert {name: newest[name] for name in ("topic", "partition", "offset", "key", "value")} == {
        "topic": topic,
        "partition": 1,
        "offset": 0,
        "key": "k",
        "value": "b",
    }
    assert older["value"] == "a" * 200 + "…"


def test_without_kafka_nothing_of_it_is_shown(own: LocalUpstash) -> None:
    told = httpx.get(f"{own.redis_url}/dev/state").json()
    assert told["kafka"] is None
    assert "kafka" not in told["metrics"]
    assert "UPSTASH_KAFKA_REST_URL" not in own.environment()
