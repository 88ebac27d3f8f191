"""Faults strike Kafka over REST as they strike the other parts, and only where they are told to."""

from __future__ import annotations

import httpx
import pytest

from tests.local.kafka.conftest import Kafka


def test_an_answer_is_lost_after_the_write(struck: Kafka) -> None:
    topic = struck.topic()
    fault = struck.upstash.faults.add("lose-answer", half="kafka", command="produce")
    with pytest.raises(httpx.TransportError):
        struck.get(f"/produce/{topic}/one")
    assert fault.struck == 1
    assert struck.values(topic) == ["one"]


def test_a_request_is_lost_before_the_write(struck: Kafka) -> None:
    topic = struck.topic()
    struck.upstash.faults.add("lose-request", command="produce")
    with pytest.raises(httpx.TransportError):
        struck.post(f"/produce/{topic}", {"value": "one"})
    assert struck.values(topic) == []


def test_a_request_is_carried_out_twice(struck: Kafka) -> None:
    topic = struck.topic()
    struck.upstash.faults.add("duplicate", command="produce")
    assert struck.get(f"/produce/{topic}/one")["offset"] == 1
    assert struck.values(topic) == ["one", "one"]


@pytest.mark.parametrize(
    ("command", "method", "path"),
    [
        ("produce", "POST", "/confluent/topics/TOPIC"),
        ("produce", "POST", "/confluent/v3/clusters/c/topics/TOPIC/records"),
        ("fetch", "GET", "/confluent/topics/TOPIC/partitions/0/records"),
        ("fetch", "GET", "/confluent/consumers/g/instances/i/records"),
        ("offsets", "GET", "/confluent/topics/TOPIC/partitions/0/offsets"),
        ("commit", "POST", "/confluent/consumers/g/instances/i/offsets"),
        ("assignments", "POST", "/confluent/consumers/g/instances/i/assignments"),
        ("topics", "GET", "/confluent/topics"),
        ("fetch", "POST", "/fetch"),
        ("consume", "GET", "/consume/g/i/TOPIC"),
    ],
)
def test_both_shapes_are_struck_by_what_they_do(struck: Kafka, command: str, method: str, path: str) -> None:
    other = struck.upstash.faults.add("error-500", command="another")
    fault = struck.upstash.faults.add("error-500", command=command)
    answer = struck.client.request(method, path.replace("TOPIC", struck.topic()), json={})
    assert (answer.status_code, fault.struck, other.struck) == (500, 1, 0)
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_used_up_quota_and_a_fault_of_another_half(struck: Kafka) -> None:
    struck.upstash.faults.add("quota", half="redis")
    assert struck.client.get("/topics").status_code == 200
    struck.upstash.faults.add("quota", half="kafka")
    status, text = struck.refused("GET", "/topics")
    assert status == 429
    assert "limit" in text


def test_a_fault_of_the_half_is_taken_from_outside(struck: Kafka) -> None:
    asked = {"kind": "delay", "half": "kafka", "command": "topics", "seconds": 0.001}
    assert httpx.post(f"{struck.half.url}/dev/faults", json=asked).status_code == 201
    struck.get("/topics")
    assert struck.upstash.faults.active() == []
