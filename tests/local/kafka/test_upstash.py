"""Kafka over REST as Upstash had it: the requests of its documentation, and those of the tutorial."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.local.kafka.conftest import Kafka

EARLIEST = {"Kafka-Auto-Offset-Reset": "earliest"}
BY_HAND = {**EARLIEST, "Kafka-Enable-Auto-Commit": "false"}


def as_in_a_browser(text: str) -> str:
    """A text put into a URL as `fetch(url + text)` does it: what belongs in no path is encoded, and only that."""
    return quote(text.replace("\\", "/"), safe="/%#?&=:,;[]@!$'()*+|^~-._")


def saved(kafka: Kafka, topic: str, event: object) -> httpx.Response:
    """As the tutorial saves an event: its JSON behind the URL, as it is."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return kafka.client.get(httpx.URL(f"{kafka.half.url}/produce/{topic}/" + as_in_a_browser(text)))


def test_the_tutorial_saves_and_loads_its_events(kafka: Kafka) -> None:
    topic = kafka.topic()
    events = [{"type": "create-task", "data": {"id": str(n), "text": f"Do the dishes {n}! é"}} for n in range(3)]
    for offset, event in enumerate(events):
        answer = saved(kafka, topic, event)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["topic"], told["partition"], told["offset"]) == (topic, 0, offset)
    asked = json.dumps({"topic": topic, "partition": 0, "offset": 1})
    loaded = kafka.client.post("/fetch/", content=asked).json()  # a slash at its end, and no content type
    assert [{**json.loads(each["value"]), "offset": each["offset"]} for each in loaded] == [
        {**event, "offset": offset} for offset, event in enumerate(events)
    ][1:]
    assert loaded[0].keys() == {"topic", "partition", "offset", "timestamp", "key", "value", "headers"}


def test_what_the_tutorial_loses_is_lost_here_as_it_was_there(kafka: Kafka) -> None:
    topic = kafka.topic()

    def task(text: str) -> dict[str, object]:
        return {"type": "create-task", "data": {"text": text}}

    assert saved(kafka, topic, task("washing/drying")).status_code == 404
    assert saved(kafka, topic, task("a\\b")).status_code == 404
    assert saved(kafka, topic, task("%41")).status_code == 200
    assert saved(kafka, topic, task("number #1")).status_code == 200
    assert kafka.values(topic) == [
        '{"type":"create-task","data":{"text":"A"}}',
        '{"type":"create-task","data":{"text":"number ',
    ]


def test_messages_are_produced_in_each_of_the_documented_ways(kafka: Kafka) -> None:
    greetings, cities = kafka.topic(), kafka.topic(4)
    one = kafka.get(f"/produce/{greetings}/hello_kafka")
    assert one == {"topic": greetings, "partition": 0, "offset": 0, "timestamp": one["timestamp"]}
    assert kafka.get(f"/produce/{cities}/Istanbul?key=city")["offset"] == 0
    (placed,) = kafka.post(f"/produce/{greetings}", {"value": "hello"})
    assert (placed["partition"], placed["offset"]) == (0, 1)
    told = kafka.post(
        f"/produce/{cities}",
        [
            {"partition": 1, "timestamp": 1637745834744, "key": "city", "value": "Istanbul"},
            {"partition": 2, "key": "city", "value": "London", "headers": [{"key": "expire", "value": "1637"}]},
        ],
    )
    assert [each["partition"] for each in told] == [1, 2]
    assert told[0]["timestamp"] == 1637745834744
    told = kafka.post(
        "/produce", [{"topic": greetings, "value": "a"}, {"topic": cities, "partition": 3, "value": "Tokyo"}]
    )
    assert [(each["topic"], each["partition"]) for each in told] == [(greetings, 0), (cities, 3)]
    assert kafka.values(greetings) == ["hello_kafka", "hello", "a"]
    (london,) = kafka.post("/fetch", {"topic": cities, "partition": 2, "offset": told[0]["partition"]})[-1:]
    assert london["headers"] == [{"key": "expire", "value": "1637"}]
    assert london["key"] == "city"


def test_a_key_goes_to_the_partition_that_every_client_of_kafka_chooses(kafka: Kafka) -> None:
    topic = kafka.topic(4)
    told = kafka.post(f"/produce/{topic}", [{"key": key, "value": ""} for key in ("21", "foobar", "task-42")])
    # murmur2 of Apache Kafka's own tests: 21 -> -973932308, foobar -> -790332482; toPositive, modulo 4.
    assert [each["partition"] for each in told[:2]] == [(-973932308 & 0x7FFFFFFF) % 4, (-790332482 & 0x7FFFFFFF) % 4]


def test_fetch_begins_with_the_offset_and_takes_several_partitions(kafka: Kafka) -> None:
    topic, other = kafka.topic(2), kafka.topic()
    kafka.post("/produce", [{"topic": topic, "partition": n % 2, "value": str(n)} for n in range(6)])
    kafka.post("/produce", {"topic": other, "value": "other"})
    asked = [{"topic": topic, "partition": 0, "offset": 1}, {"topic": topic, "partition": 1, "offset": 2}]
    found = kafka.post("/fetch", {"topicPartitionOffsets": asked})
    assert [each["value"] for each in found] == ["2", "4", "5"]
    found = kafka.post("/fetch", {"topic": other, "topicPartitionOffsets": asked[:1]})
    assert sorted(each["value"] for each in found) == ["2", "4", "other"]
    assert kafka.values(topic, offset=99) == []


def test_fetch_waits_for_a_record_that_comes(kafka: Kafka) -> None:
    from concurrent.futures import ThreadPoolExecutor

    topic = kafka.topic()
    with ThreadPoolExecutor(1) as threads:
        # Whichever of both is there first: it is handed out, long before the time is up.
        waiting = threads.submit(kafka.post, "/fetch", {"topic": topic, "offset": 0, "timeout": 60_000})
        kafka.get(f"/produce/{topic}/there")
        assert [each["value"] for each in waiting.result()] == ["there"]


def test_a_large_answer_is_cut_off_and_goes_on_where_it_ended(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.post(f"/produce/{topic}", [{"value": str(n)} for n in range(700)])
    first = kafka.values(topic)
    assert len(first) == 500
    assert first + kafka.values(topic, offset=500) == [str(n) for n in range(700)]


def test_offsets_by_name_and_by_time(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    kafka.post(f"/produce/{topic}", [{"partition": 0, "value": "", "timestamp": 1000 * n} for n in range(1, 6)])
    places = [{"topic": topic, "partition": 0}, {"topic": topic, "partition": 1}]
    for when, wanted in {"earliest": [0, 0], "latest": [5, 0], "2500": [2, -1], "9999999999999": [-1, -1]}.items():
        found = kafka.post(f"/offsets/{when}", places)
        assert found == [{**place, "offset": offset} for place, offset in zip(places, wanted, strict=True)], when
    assert kafka.post("/offsets/latest?timeout=1000", places[0]) == [{**places[0], "offset": 5}]
    assert kafka.get("/topics")[topic] == 2


def consumed(kafka: Kafka, group: str, instance: str, topic: str, **headers: str) -> list[str]:
    found = kafka.get(f"/consume/{group}/{instance}/{topic}?timeout=0", **headers)
    return [message["value"] for message in found]


def test_a_group_goes_on_where_it_committed(kafka: Kafka) -> None:
    topic, group = kafka.topic(), f"group-{kafka.caller}"
    place = {"topic": topic, "partition": 0}
    kafka.post(f"/produce/{topic}", [{"value": str(n)} for n in range(4)])
    assert consumed(kafka, group, "a", topic, **BY_HAND) == ["0", "1", "2", "3"]
    assert consumed(kafka, group, "a", topic) == []
    assert kafka.post(f"/committed/{group}/a", place) == [{**place, "offset": -1}]
    assert kafka.post(f"/commit/{group}/a", {**place, "offset": 2}) == {"result": "Success", "status": 200}
    assert kafka.post(f"/committed/{group}/a", [place]) == [{**place, "offset": 2}]
    assert kafka.client.delete(f"/delete-consumer/{group}/a").json() == {"result": "Success", "status": 200}
    # The next one begins there; with nothing in the body, all that it has read is committed.
    assert consumed(kafka, group, "b", topic, **BY_HAND) == ["2", "3"]
    assert kafka.client.post(f"/commit/{group}/b").json()["result"] == "Success"
    assert kafka.post(f"/committed/{group}/b", place) == [{**place, "offset": 4}]


def test_without_a_commit_a_group_begins_at_the_end_unless_told(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.get(f"/produce/{topic}/before")
    assert consumed(kafka, f"late-{kafka.caller}", "a", topic) == []
    kafka.get(f"/produce/{topic}/after")
    assert consumed(kafka, f"late-{kafka.caller}", "a", topic) == ["after"]
    status, _ = kafka.refused(
        "GET", f"/consume/none-{kafka.caller}/a/{topic}", headers={"Kafka-Auto-Offset-Reset": "none"}
    )
    assert status == 400


def test_what_was_read_is_committed_by_itself_when_an_instance_leaves(kafka: Kafka) -> None:
    topic, group = kafka.topic(), f"group-{kafka.caller}"
    kafka.post(f"/produce/{topic}", [{"value": str(n)} for n in range(3)])
    assert len(consumed(kafka, group, "a", topic, **EARLIEST)) == 3
    kafka.post(f"/delete-consumer/{group}/a")
    assert kafka.post(f"/committed/{group}/a", {"topic": topic, "partition": 0})[0]["offset"] == 3


def test_instances_divide_the_partitions_among_them(kafka: Kafka) -> None:
    topic, group = kafka.topic(3), f"group-{kafka.caller}"

    def divided() -> dict[str, Any]:
        (told,) = [each for each in kafka.get("/consumers") if each["name"] == group]
        return {each["name"]: each["topics"] for each in told["instances"]}

    def produced(text: str) -> None:
        kafka.post(f"/produce/{topic}", [{"value": text, "partition": n} for n in range(3)])

    body = {"topics": [topic], "timeout": 0}
    assert kafka.post(f"/consume/{group}/a", body) == []
    assert divided() == {"a": [{"topic": topic, "partitions": [0, 1, 2]}]}
    produced("one")
    assert len(kafka.post(f"/consume/{group}/a", body)) == 3
    assert kafka.post(f"/consume/{group}/b", body) == []  # it goes on where the other one was
    assert divided() == {
        "a": [{"topic": topic, "partitions": [0]}],
        "b": [{"topic": topic, "partitions": [1, 2]}],
    }
    produced("two")
    found = [kafka.post(f"/consume/{group}/{name}", body) for name in "ab"]
    assert [[(each["partition"], each["value"]) for each in each_one] for each_one in found] == [
        [(0, "two")],
        [(1, "two"), (2, "two")],
    ]
    kafka.post(f"/delete-consumer/{group}/b")
    produced("three")
    assert sorted(each["partition"] for each in kafka.post(f"/consume/{group}/a", body)) == [0, 1, 2]


def test_an_instance_that_asks_no_more_is_gone(kafka: Kafka) -> None:
    topic, group = kafka.topic(), f"group-{kafka.caller}"
    consumed(kafka, group, "a", topic, **{"Kafka-Session-Timeout-Ms": "0"})
    assert kafka.refused("POST", f"/delete-consumer/{group}/a")[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/produce/no-such-topic/x", None, 404, "no topic 'no-such-topic'"),
        ("POST", "/produce/no-such-topic", {"value": "x"}, 404, "no topic"),
        ("POST", "/fetch", {"topic": "no-such-topic"}, 404, "no topic"),
        ("GET", "/consume/g/i/no-such-topic", None, 404, "no topic"),
        ("POST", "/offsets/latest", {"topic": "no-such-topic", "partition": 0}, 404, "no topic"),
        ("POST", "/produce/TOPIC", {"value": "x", "partition": 1}, 404, "has no partition 1"),
        ("POST", "/produce/TOPIC", {"value": 1}, 400, "$.value"),
        ("POST", "/produce/TOPIC", {"key": "k"}, 400, "value"),
        ("POST", "/produce/TOPIC", [], 200, ""),
        ("POST", "/produce", {"value": "x"}, 400, "topic"),
        ("POST", "/produce/TOPIC", {"value": "x" * 2**20 + "x"}, 413, "larger than"),
        ("POST", "/fetch", {}, 400, "name a topic"),
        ("POST", "/fetch", {"topic": "TOPIC", "offset": -1}, 400, "not below 0"),
        ("GET", "/offsets/yesterday", None, 400, "yesterday"),
        ("POST", "/commit/nobody/i", None, 404, "no instance"),
        ("POST", "/delete-consumer/nobody/i", None, 404, "no instance"),
        ("GET", "/nothing", None, 404, "no GET /nothing"),
        ("PUT", "/topics", None, 405, "405"),
    ],
)
def test_what_cannot_be_done_is_said(
    kafka: Kafka, method: str, path: str, body: object, status: int, says: str
) -> None:
    topic = kafka.topic()
    asked = json.loads(json.dumps(body).replace("TOPIC", topic))
    if status == 200:
        assert kafka.post(path.replace("TOPIC", topic), asked) == []
        return
    told, text = kafka.refused(method, path.replace("TOPIC", topic), asked)
    assert told == status
    assert says in text
    assert "no-such-topic" not in kafka.get("/topics"), "it was created by being asked for"


def test_the_largest_message_is_taken(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.post(f"/produce/{topic}", {"value": "x" * 1_000_000})
    assert [len(value) for value in kafka.values(topic)] == [1_000_000]


@pytest.mark.parametrize("path", ["/topics", "/produce/t/x", "/confluent/topics", "/nothing"])
@pytest.mark.parametrize("login", [None, ("wrong", "wrong"), ("local_development_user", "wrong")])
def test_nothing_is_done_for_those_who_may_not(kafka: Kafka, path: str, login: tuple[str, str] | None) -> None:
    answer = httpx.get(kafka.half.url + path, auth=login)
    assert answer.status_code == 401
    assert "WWW-Authenticate" not in answer.headers, "a browser would ask for the password, and then send it for all"
    # The token of another part opens nothing.
    token = {"Authorization": f"Bearer {kafka.upstash.redis_token}"}
    assert httpx.get(kafka.half.url + path, headers=token).status_code == 401


def test_requests_and_messages_are_counted_by_caller(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.post(f"/produce/{topic}", [{"value": "a"}, {"value": "b"}])
    kafka.values(topic)
    kafka.refused("GET", "/nothing")
    counted = kafka.counted()
    assert {name: counted[name] for name in ("requests", "produced", "fetched", "messages", "errors")} == {
        "requests": 3,
        "produced": 2,
        "fetched": 2,
        "messages": 4,
        "errors": 1,
    }
    assert counted["bytes_in"] > 0
    assert counted["bytes_out"] > 0


def test_what_is_not_kept_any_more_is_said_and_never_jumped_over(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    from eventsource_upstash.local.kafka.admin import Admin
    from eventsource_upstash.local.kafka.records import Bounds, Place

    topic = kafka.topic()
    kafka.post(f"/produce/{topic}", [{"value": str(n)} for n in range(4)])
    bounds = Admin.bounds

    def later(self: Admin, places: list[Place]) -> dict[Place, Bounds]:
        """The broker of these tests keeps all: as if the retention of this topic had taken two records."""
        return {
            place: Bounds(2, found.high) if place.topic == topic else found
            for place, found in bounds(self, places).items()
        }

    monkeypatch.setattr(Admin, "bounds", later)
    status, text = kafka.refused("POST", "/fetch", {"topic": topic, "offset": 1})
    assert status == 400
    assert "the first that is there is 2" in text
    path = f"/confluent/topics/{topic}/partitions/0/records?offset=1"
    assert kafka.refused("GET", path) == (400, 40002, "offset_out_of_range")
    # A group says itself where it goes on then.
    group = f"group-{kafka.caller}"
    consumed(kafka, group, "a", topic, **BY_HAND)
    kafka.post(f"/commit/{group}/a", {"topic": topic, "partition": 0, "offset": 1})
    kafka.post(f"/delete-consumer/{group}/a")
    assert consumed(kafka, group, "b", topic, **BY_HAND) + consumed(kafka, group, "b", topic) == ["2", "3"]
