"""Kafka over REST as Confluent's REST Proxy has it: topics, records in both formats, consumers; v3; Redpanda's read."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.local.kafka.conftest import Kafka

JSON = "application/vnd.kafka.json.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"
PLAIN = "application/vnd.kafka.v2+json"
V2 = "/confluent"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def produced(kafka: Kafka, topic: str, *records: object, kind: str = JSON, partition: str = "") -> list[Any]:
    content = json.dumps({"records": records})
    path = f"{V2}/topics/{topic}{partition}"
    answer = kafka.client.post(path, content=content, headers={"Content-Type": kind, "Accept": PLAIN})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == PLAIN
    told = answer.json()
    assert told.keys() == {"offsets", "key_schema_id", "value_schema_id"}
    return list(told["offsets"])


def consumer(kafka: Kafka, kind: str = "binary", **settings: object) -> str:
    """The path of a new instance."""
    group = f"group-{kafka.caller}"
    told = kafka.post(f"{V2}/consumers/{group}", {"format": kind, "auto.commit.enable": "false", **settings})
    assert told["base_uri"] == f"{kafka.half.confluent_url}/consumers/{group}/instances/{told['instance_id']}"
    return str(told["base_uri"])


def records(kafka: Kafka, instance: str, kind: str = BINARY) -> list[Any]:
    answer = kafka.client.get(f"{instance}/records?timeout=0", headers={"Accept": kind})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == kind
    return list(answer.json())


def test_topics_and_partitions(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    assert topic in kafka.get(f"{V2}/topics")
    replicas = [{"broker": 1, "leader": True, "in_sync": True}]
    partitions = [{"partition": number, "leader": 1, "replicas": replicas} for number in range(2)]
    assert kafka.get(f"{V2}/topics/{topic}") == {"name": topic, "configs": {}, "partitions": partitions}
    assert kafka.get(f"{V2}/topics/{topic}/partitions") == partitions
    assert kafka.get(f"{V2}/topics/{topic}/partitions/1") == partitions[1]
    produced(kafka, topic, {"value": 1}, partition="/partitions/1")
    assert kafka.get(f"{V2}/topics/{topic}/partitions/1/offsets") == {"beginning_offset": 0, "end_offset": 1}


def test_records_in_json_are_what_was_sent(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    # Neither rounded nor written another way: 2**53 + 1, and a number with zeros at its end.
    content = b'{"records":[{"key":"k","value":{"n":9007199254740993,"x":1.50}},{"value":null,"partition":1}]}'
    answer = kafka.client.post(f"{V2}/topics/{topic}", content=content, headers={"Content-Type": JSON})
    assert [each["error_code"] for each in answer.json()["offsets"]] == [None, None]
    instance = consumer(kafka, "json")
    kafka.post(f"{instance}/assignments", {"partitions": [{"topic": topic, "partition": n} for n in range(2)]})
    kafka.post(f"{instance}/positions/beginning", {"partitions": [{"topic": topic, "partition": n} for n in range(2)]})
    text = kafka.client.get(f"{instance}/records?timeout=0", headers={"Accept": JSON}).text
    assert '"value":{"n":9007199254740993,"x":1.50}' in text
    one, other = sorted(json.loads(text), key=lambda record: record["value"] is None)
    assert one.keys() == {"topic", "key", "value", "partition", "offset"}
    assert (other["partition"], other["key"], other["value"]) == (1, None, None)


def test_records_in_binary(kafka: Kafka) -> None:
    topic = kafka.topic()
    told = produced(kafka, topic, {"key": b64("k"), "value": b64("é")}, {"value": b64("")}, kind=BINARY)
    assert told == [{"partition": 0, "offset": n, "error_code": None, "error": None} for n in range(2)]
    assert kafka.values(topic) == ["é", ""]
    instance = consumer(kafka, **{"auto.offset.reset": "earliest"})
    kafka.post(f"{instance}/assignments", {"partitions": [{"topic": topic, "partition": 0}]})
    assert records(kafka, instance) == [
        {"topic": topic, "key": b64("k"), "value": b64("é"), "partition": 0, "offset": 0},
        {"topic": topic, "key": None, "value": b64(""), "partition": 0, "offset": 1},
    ]
    assert records(kafka, instance) == []


def test_an_instance_seeks_commits_and_is_deleted(kafka: Kafka) -> None:
    topic = kafka.topic()
    place = {"topic": topic, "partition": 0}
    produced(kafka, topic, *({"value": n} for n in range(4)))
    instance = consumer(kafka, "json")
    kafka.post(f"{instance}/assignments", {"partitions": [place]})
    assert kafka.get(f"{instance}/assignments") == {"partitions": [place]}
    kafka.post(f"{instance}/positions", {"offsets": [{**place, "offset": 2}]})
    assert [each["value"] for each in records(kafka, instance, JSON)] == [2, 3]
    kafka.post(f"{instance}/positions/end", {"partitions": [place]})
    assert records(kafka, instance, JSON) == []
    # Here stands the last record that was read; in Kafka, and in what is answered, the next one.
    kafka.post(f"{instance}/offsets", {"offsets": [{**place, "offset": 1}]})
    asked = {"partitions": [place]}
    committed = kafka.client.request("GET", f"{instance}/offsets", json=asked).json()
    assert committed == {"offsets": [{**place, "offset": 2, "metadata": ""}]}
    kafka.client.post(f"{instance}/offsets").raise_for_status()
    assert kafka.client.request("GET", f"{instance}/offsets", json=asked).json()["offsets"][0]["offset"] == 4
    assert kafka.client.delete(instance).status_code == 204
    assert kafka.client.get(f"{instance}/records").json()["error_code"] == 40403


def test_instances_subscribe(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    first = consumer(kafka, "json", name="a")
    kafka.post(f"{first}/subscription", {"topics": [topic]})
    assert kafka.get(f"{first}/subscription") == {"topics": [topic]}
    second = consumer(kafka, "json", name="b")
    kafka.post(f"{second}/subscription", {"topic_pattern": f"{topic}$"})
    assert [kafka.get(f"{each}/assignments")["partitions"] for each in (first, second)] == [
        [{"topic": topic, "partition": 0}],
        [{"topic": topic, "partition": 1}],
    ]
    assert [records(kafka, each, JSON) for each in (first, second)] == [[], []]
    produced(kafka, topic, *({"value": n, "partition": n} for n in range(2)))
    assert [each["value"] for each in records(kafka, second, JSON)] == [1]
    kafka.client.delete(f"{second}/subscription").raise_for_status()
    assert len(kafka.get(f"{first}/assignments")["partitions"]) == 2


def test_version_3_writes_headers_and_times(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    (cluster,) = kafka.get(f"{V2}/v3/clusters")["data"]
    path = f"{V2}/v3/clusters/{cluster['cluster_id']}"
    assert cluster["metadata"]["self"] == kafka.half.url + path
    assert kafka.get(path)["cluster_id"] == cluster["cluster_id"]
    assert kafka.get(f"{path}/topics/{topic}")["partitions_count"] == 2
    assert topic in [each["topic_name"] for each in kafka.get(f"{path}/topics")["data"]]
    assert [each["partition_id"] for each in kafka.get(f"{path}/topics/{topic}/partitions")["data"]] == [0, 1]
    record = {
        "partition_id": 1,
        "headers": [{"name": "Header-1", "value": b64("Wert")}],
        "key": {"type": "BINARY", "data": b64("foobar")},
        "value": {"type": "JSON", "data": {"foo": "bar"}},
        "timestamp": "2021-02-05T19:14:42Z",
    }
    assert kafka.post(f"{path}/topics/{topic}/records", record) == {
        "error_code": 200,
        "cluster_id": cluster["cluster_id"],
        "topic_name": topic,
        "partition_id": 1,
        "offset": 0,
        "timestamp": "2021-02-05T19:14:42.000Z",
        "key": {"type": "BINARY", "size": 6},
        "value": {"type": "JSON", "size": 13},
    }
    (found,) = kafka.post("/fetch", {"topic": topic, "partition": 1, "offset": 0})
    assert (found["key"], found["value"], found["timestamp"]) == ("foobar", '{"foo":"bar"}', 1612552482000)
    assert found["headers"] == [{"key": "Header-1", "value": "Wert"}]


def test_version_3_takes_several_records_and_reports_each(kafka: Kafka) -> None:
    topic = kafka.topic()
    path = f"{V2}/v3/clusters/local/topics/{topic}/records"
    several = [
        {"value": {"type": "STRING", "data": "a"}},
        {"value": {"data": "needs a schema registry"}},
        {"partition_id": 9, "value": {"type": "STRING", "data": "nowhere"}},
        {},
    ]
    answer = kafka.client.post(path, content="".join(map(json.dumps, several)))
    assert answer.status_code == 200
    assert [json.loads(line)["error_code"] for line in answer.text.splitlines()] == [200, 400, 40402, 200]
    found = kafka.post("/fetch", {"topic": topic, "offset": 0})
    assert [each["value"] for each in found] == ["a", None]
    assert kafka.refused("POST", path.replace(topic, "no-such-topic"), several[0])[:2] == (404, 40401)


def test_records_of_a_partition_as_redpanda_hands_them_out(kafka: Kafka) -> None:
    topic = kafka.topic()
    produced(kafka, topic, {"value": 0}, {"value": 1})
    path = f"{V2}/topics/{topic}/partitions/0/records?timeout=0&max_bytes=1000&offset="
    assert [each["value"] for each in kafka.get(f"{path}1", Accept=JSON)] == [1]
    assert [each["value"] for each in kafka.get(f"{path}1", Accept=BINARY)] == [b64("1")]
    assert kafka.get(f"{path}2", Accept=BINARY) == []
    assert kafka.refused("GET", f"{path}3", headers={"Accept": BINARY}) == (400, 40002, "offset_out_of_range")


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "wanted"),
    [
        ("GET", "/topics/no-such-topic", None, PLAIN, (404, 40401)),
        ("GET", "/topics/TOPIC/partitions/7", None, PLAIN, (404, 40402)),
        ("GET", "/topics/TOPIC/partitions/x", None, PLAIN, (404, 404)),
        ("POST", "/topics/no-such-topic", {"records": [{"value": 1}]}, JSON, (404, 40401)),
        ("POST", "/topics/TOPIC", {"records": [{"value": 1, "partition": 7}]}, JSON, (404, 40402)),
        ("POST", "/topics/TOPIC", {"records": [{"value": 1}]}, "application/json", (415, 415)),
        ("POST", "/topics/TOPIC", {"records": [{"value": 1}]}, "application/vnd.kafka.avro.v2+json", (415, 415)),
        ("POST", "/topics/TOPIC", {"records": [{"value": "?"}]}, BINARY, (422, 422)),
        ("POST", "/topics/TOPIC", {"records": [{"value": 1}]}, BINARY, (422, 422)),
        ("POST", "/topics/TOPIC", {"records": []}, JSON, (422, 422)),
        ("POST", "/topics/TOPIC", {}, JSON, (400, 400)),
        ("POST", "/consumers/g", {"format": "avro"}, PLAIN, (422, 42204)),
        ("POST", "/consumers/g", {"auto.offset.reset": "somewhere"}, PLAIN, (422, 42204)),
        ("GET", "/consumers/g/instances/nobody/records", None, PLAIN, (404, 40403)),
        ("DELETE", "/consumers/g/instances/nobody", None, PLAIN, (404, 40403)),
        ("GET", "/v3/clusters/another", None, PLAIN, (404, 404)),
        ("GET", "/nothing", None, PLAIN, (404, 404)),
    ],
)
def test_what_cannot_be_done_has_its_code(
    kafka: Kafka, method: str, path: str, body: object, kind: str, wanted: tuple[int, int]
) -> None:
    told = kafka.refused(method, V2 + path.replace("TOPIC", kafka.topic()), body, {"Content-Type": kind})
    assert told[:2] == wanted
    assert "no-such-topic" not in kafka.get("/topics")


def test_states_that_exclude_each_other(kafka: Kafka) -> None:
    topic = kafka.topic()
    place = {"topic": topic, "partition": 0}
    instance = consumer(kafka, name="me")
    path = f"{V2}/consumers/group-{kafka.caller}"
    assert kafka.refused("POST", path, {"name": "me"})[:2] == (409, 40902)
    assert kafka.refused("POST", f"{instance}/positions", {"offsets": [{**place, "offset": 0}]})[:2] == (409, 40903)
    kafka.post(f"{instance}/subscription", {"topics": [topic]})
    assert kafka.refused("POST", f"{instance}/assignments", {"partitions": [place]})[:2] == (409, 40903)
    assert kafka.refused("GET", f"{instance}/records", headers={"Accept": JSON})[:2] == (406, 40601)


def test_what_is_no_json_is_not_handed_out_as_json(kafka: Kafka) -> None:
    topic = kafka.topic()
    kafka.get(f"/produce/{topic}/plain")
    instance = consumer(kafka, "json", **{"auto.offset.reset": "earliest"})
    kafka.post(f"{instance}/assignments", {"partitions": [{"topic": topic, "partition": 0}]})
    status, code, text = kafka.refused("GET", f"{instance}/records?timeout=0", headers={"Accept": JSON})
    assert (status, code) == (500, 50002)
    assert "offset 0 of partition 0" in text
