"""Requests and answers as the documentation of each server has them, in its own words where it gives an example."""

from __future__ import annotations

import base64
import json
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

import pytest

from eventsource_upstash import Refused
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.rest.topic import RestClient
from eventsource_upstash.backends.kafka.topic import Bounds, NewRecord, Record
from tests.faults.transport.support import Said

T = TypeVar("T")

UPSTASH = "https://tops-stingray-7863-eu1-rest-kafka.upstash.io"
PROXY = "https://kafkaproxy.example.com"
CLOUD = "https://pkc-00000.region.provider.confluent.cloud/kafka"
PANDA = "http://localhost:8082"
V2 = "application/vnd.kafka.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"
JSON = "application/json"


class Wanted(NamedTuple):
    """A request that the documentation describes."""

    method: str
    url: str
    body: object = None
    accept: str = JSON
    kind: str = JSON


def said(*answers: tuple[int, object] | object) -> Said:
    return Said(*[_answer(each) for each in answers])


def _answer(given: Any) -> HttpResponse:
    status, body = given if isinstance(given, tuple) else (200, given)
    content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return HttpResponse(status, {"content-type": JSON}, content)


def opened(port: Said, url: str, topic: str, dialect: Dialect, **options: Any) -> RestClient:
    return RestTopic(url, topic, dialect=dialect, username="myuser", password="mypass", **options).client(port)


def run(work: Coroutine[Any, Any, T]) -> T:
    return blocking.run(work)


def asked(port: Said) -> list[Wanted]:
    return [_wanted(request) for request in port.sent]


def _wanted(request: HttpRequest) -> Wanted:
    assert request.headers["authorization"] == "Basic bXl1c2VyOm15cGFzcw=="  # myuser:mypass
    body = json.loads(request.body) if request.body else None
    return Wanted(
        request.method, request.url, body, request.headers["accept"], request.headers.get("content-type", JSON)
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# https://upstash.com/docs/kafka/rest/restproducer, "Single message with multiple attributes", with the answer of
# https://upstash.com/docs/kafka/rest/restintro, "Produce", in an array as "A metadata array response is returned" says.
def test_upstash_produces() -> None:
    port = said([{"topic": "cities", "partition": 1, "offset": 17, "timestamp": 1637743323016}])
    record = NewRecord(b"city", b"Istanbul", 1637745834744, (("expire", b"1637745834756"),))
    assert run(opened(port, UPSTASH, "cities", "upstash").produce(1, [record]))[0] == [17]
    message = {
        "partition": 1,
        "timestamp": 1637745834744,
        "key": "city",
        "value": "Istanbul",
        "headers": [{"key": "expire", "value": "1637745834756"}],
    }
    assert asked(port) == [Wanted("POST", f"{UPSTASH}/produce/cities", message)]


# https://upstash.com/docs/kafka/rest/restconsumer, "Fetch from a single <topic, partition, offset>", with the messages
# of https://upstash.com/docs/kafka/rest/restintro, "Consume", whose structure "Consumer APIs" says is the same; and
# https://upstash.com/docs/kafka/rest/restmetadata, "Get Topic Partition Offsets".
def test_upstash_fetches() -> None:
    messages = [
        {"topic": "mytopic", "partition": 0, "offset": offset, "timestamp": timestamp, "key": "", "value": value}
        | {"headers": []}
        for offset, timestamp, value in [
            (5, 1637745824883, "hello-world"),
            (6, 1637745829327, "hello-kafka"),
            (7, 1637745834756, "hello-upstash"),
        ]
    ]
    port = said([{"topic": "mytopic", "partition": 0, "offset": 8}], messages)
    fetched = run(opened(port, UPSTASH, "mytopic", "upstash").fetch({0: 5}, 100, 1_000_000))
    assert fetched.records == [
        Record(0, 5, 1637745824883, None, b"hello-world"),
        Record(0, 6, 1637745829327, None, b"hello-kafka"),
        Record(0, 7, 1637745834756, None, b"hello-upstash"),
    ]
    assert (fetched.reached, fetched.ended) == ({0: 8}, frozenset({0}))
    assert (fetched.receipt.requests, fetched.receipt.retries) == (2, 0)
    assert asked(port) == [
        Wanted("POST", f"{UPSTASH}/offsets/latest", [{"topic": "mytopic", "partition": 0}]),
        Wanted("POST", f"{UPSTASH}/fetch", {"topic": "mytopic", "partition": 0, "offset": 5, "timeout": 1000}),
    ]


# restconsumer, "Fetch from multiple <topic, partition, offset> triples"; upstash/kafka-js, pkg/consumer.ts, on what it
# leaves out: "upstash only returns from a single topic at a time".
def test_upstash_fetches_several_partitions() -> None:
    def message(partition: int, offset: int) -> object:
        return {
            "topic": "greetings",
            "partition": partition,
            "offset": offset,
            "timestamp": 1,
            "key": "k",
            "value": "v",
        }

    ends = [{"topic": "greetings", "partition": number, "offset": end} for number, end in [(1, 2), (2, 2), (3, 1)]]
    port = said(ends, [message(1, 1)], [message(2, 1)])
    fetched = run(opened(port, UPSTASH, "greetings", "upstash").fetch({1: 1, 2: 1, 3: 1}, 100, 1_000_000))
    assert [(record.partition, record.offset) for record in fetched.records] == [(1, 1), (2, 1)]
    assert fetched.ended == {1, 2, 3}
    places = [{"topic": "greetings", "partition": number, "offset": 1} for number in (1, 2)]
    assert asked(port)[1:] == [
        Wanted("POST", f"{UPSTASH}/fetch", {"topicPartitionOffsets": places, "timeout": 1000}),
        Wanted("POST", f"{UPSTASH}/fetch", {**places[1], "timeout": 1000}),
    ]


# https://upstash.com/docs/kafka/rest/restmetadata: "List Topics", "Beginning offsets", "End offsets".
def test_upstash_tells_partitions_and_bounds() -> None:
    port = said({"cities": 12, "greetings": 1, "words": 137})
    assert run(opened(port, UPSTASH, "cities", "upstash").partitions())[0] == 12
    assert asked(port) == [Wanted("GET", f"{UPSTASH}/topics")]
    answer = [{"topic": "cities", "partition": 0, "offset": 11}, {"topic": "cities", "partition": 1, "offset": 21}]
    port = said([{**each, "offset": 1} for each in answer], answer)
    found, receipt = run(opened(port, UPSTASH, "cities", "upstash").bounds([0, 1]))
    assert (found, receipt.requests) == ({0: Bounds(1, 11), 1: Bounds(1, 21)}, 2)
    places = [{"topic": "cities", "partition": 0}, {"topic": "cities", "partition": 1}]
    assert asked(port) == [Wanted("POST", f"{UPSTASH}/offsets/{which}", places) for which in ("earliest", "latest")]


# https://docs.confluent.io/platform/current/kafka-rest/api.html, "POST /topics/(string:topic_name)", example binary
# request and response; Karapace answers without the two fields for errors (karapace/kafka_rest_apis/__init__.py).
@pytest.mark.parametrize("more", [{"error_code": None, "error": None}, {}], ids=["Confluent", "Karapace"])
def test_confluent_produces(more: dict[str, object]) -> None:
    port = said({"key_schema_id": None, "value_schema_id": None, "offsets": [{"partition": 2, "offset": 100, **more}]})
    client = opened(port, PROXY, "test", "confluent")
    assert run(client.produce(2, [NewRecord(b"key", b"confluent", 5, (("a", b"b"),))]))[0] == [100]
    records = [{"key": "a2V5", "value": "Y29uZmx1ZW50", "partition": 2}]
    assert asked(port) == [Wanted("POST", f"{PROXY}/topics/test", {"records": records}, V2, BINARY)]


# api.html, "GET /topics/(string:topic_name)/partitions" and ".../partitions/(int:partition_id)/offsets" (the latter as
# kafka-rest, entities/v2/TopicPartitionOffsetResponse.java).
def test_confluent_tells_partitions_and_bounds() -> None:
    replicas = [{"broker": 1, "leader": True, "in_sync": True}, {"broker": 2, "leader": False, "in_sync": True}]
    listed = [{"partition": number, "leader": 1, "replicas": replicas} for number in (1, 2)]
    port = said(listed, {"beginning_offset": 10, "end_offset": 50})
    client = opened(port, PROXY, "test", "confluent")
    assert run(client.partitions())[0] == 2
    assert run(client.bounds([1]))[0] == {1: Bounds(10, 50)}
    assert asked(port) == [
        Wanted("GET", f"{PROXY}/topics/test/partitions", None, V2),
        Wanted("GET", f"{PROXY}/topics/test/partitions/1/offsets", None, V2),
    ]


# api.html, section Consumers: "POST /consumers/(string:group_name)", ".../assignments", ".../positions", "GET
# .../records" (example binary response), "DELETE ...". Karapace tells a time with each record (consumer_manager.py).
@pytest.mark.parametrize("more", [{}, {"timestamp": 1637745824883}], ids=["Confluent", "Karapace"])
def test_confluent_reads_by_a_consumer(more: dict[str, int]) -> None:
    records = [
        {"topic": "test", "key": "a2V5", "value": "Y29uZmx1ZW50", "partition": 1, "offset": 100, **more},
        {"topic": "test", "key": "a2V5", "value": "a2Fma2E=", "partition": 2, "offset": 101, **more},
    ]
    made = {"instance_id": "my_consumer", "base_uri": "http://rest-proxy-1.internal:8082/consumers/g/instances/x"}
    port = said(
        {"beginning_offset": 0, "end_offset": 101},
        {"beginning_offset": 0, "end_offset": 102},
        made,
        (204, None),
        (204, None),
        records,
        (204, None),
    )
    client = opened(port, PROXY, "test", "confluent", group="my_group")
    fetched = run(client.fetch({1: 100, 2: 101}, 100, 1_000_000))
    at = more.get("timestamp", 0)
    assert fetched.records == [Record(1, 100, at, b"key", b"confluent"), Record(2, 101, at, b"key", b"kafka")]
    assert (fetched.reached, fetched.ended, fetched.receipt.requests) == ({1: 101, 2: 102}, frozenset({1, 2}), 7)
    _, _, create, assign, seek, read, delete = asked(port)
    assert isinstance(create.body, dict)
    name = create.body["name"]
    instance = f"{PROXY}/consumers/my_group/instances/{name}"  # and not where the answer says: it is the proxy's own
    places = [{"topic": "test", "partition": 1, "offset": 100}, {"topic": "test", "partition": 2, "offset": 101}]
    settings = {"name": name, "format": "binary", "auto.offset.reset": "earliest", "auto.commit.enable": "false"}
    assert create == Wanted("POST", f"{PROXY}/consumers/my_group", {**settings, "fetch.min.bytes": 1}, V2, V2)
    assert assign[:2] == ("POST", f"{instance}/assignments")
    assert _without_offsets(assign.body) == {
        "partitions": [{"topic": "test", "partition": 1}, {"topic": "test", "partition": 2}]
    }
    assert seek == Wanted("POST", f"{instance}/positions", {"offsets": places}, V2, V2)
    assert read == Wanted("GET", f"{instance}/records?timeout=250&max_bytes=1000000", None, BINARY)
    assert delete == Wanted("DELETE", instance, None, V2)


def _without_offsets(body: object) -> object:
    assert isinstance(body, dict)
    return {"partitions": [{k: v for k, v in place.items() if k != "offset"} for place in body["partitions"]]}


# https://docs.confluent.io/cloud/current/api.html, "Produce Records", and confluentinc/kafka-rest, api/v3/openapi.yaml,
# ProduceRequest and ProduceResponse; the answer may be followed by a line break, as it is one of a stream.
def test_confluent_v3_produces() -> None:
    answer = {
        "error_code": 200,
        "cluster_id": "cluster-1",
        "topic_name": "topic-1",
        "partition_id": 1,
        "offset": 7,
        "timestamp": "2021-02-05T19:14:42Z",
        "key": {"type": "BINARY", "size": 6},
        "value": {"type": "BINARY", "size": 13},
    }
    port = said(json.dumps(answer) + "\r\n")
    client = opened(port, CLOUD, "topic-1", "confluent-v3", cluster="cluster-1")
    headers = (("Header-1", b"Header-1"), ("Header-2", b"Header-2"))
    record = NewRecord(b"foobar", b'{"foo":"bar"}', 1612552482000, headers)
    assert run(client.produce(1, [record]))[0] == [7]
    body = {
        "partition_id": 1,
        "headers": [{"name": "Header-1", "value": "SGVhZGVyLTE="}, {"name": "Header-2", "value": "SGVhZGVyLTI="}],
        "key": {"type": "BINARY", "data": "Zm9vYmFy"},
        "value": {"type": "BINARY", "data": encoded('{"foo":"bar"}')},
        "timestamp": "2021-02-05T19:14:42.000Z",
    }
    assert asked(port) == [Wanted("POST", f"{CLOUD}/v3/clusters/cluster-1/topics/topic-1/records", body)]


# openapi.yaml, ListClustersResponse and GetTopicResponse.
def test_confluent_v3_asks_for_the_cluster_once() -> None:
    clusters = {"kind": "KafkaClusterList", "data": [{"kind": "KafkaCluster", "cluster_id": "cluster-1"}]}
    topic = {"kind": "KafkaTopic", "cluster_id": "cluster-1", "topic_name": "topic-1", "partitions_count": 6}
    port = said(clusters, topic, topic)
    described = RestTopic(CLOUD, "topic-1", dialect="confluent-v3", username="myuser", password="mypass")
    assert run(described.client(port).partitions())[0] == 6
    assert run(described.client(port).partitions())[0] == 6
    found = f"{CLOUD}/v3/clusters/cluster-1/topics/topic-1"
    assert asked(port) == [Wanted("GET", f"{CLOUD}/v3/clusters"), Wanted("GET", found), Wanted("GET", found)]
    several = said({"data": [{"cluster_id": "a"}, {"cluster_id": "b"}]})
    with pytest.raises(Refused, match=r"2 clusters.*KAFKA_REST_CLUSTER"):
        run(opened(several, CLOUD, "topic-1", "confluent-v3").partitions())


# redpanda-data/redpanda, src/v/pandaproxy/rest/test/fetch.cc and produce.cc.
def test_redpanda_produces_and_reads() -> None:
    records = [
        {"topic": "t", "key": None, "value": "dmVjdG9yaXplZA==", "partition": 0, "offset": 0},
        {"topic": "t", "key": None, "value": "cGFuZGFwcm94eQ==", "partition": 0, "offset": 1},
        {"topic": "t", "key": None, "value": "bXVsdGlicm9rZXI=", "partition": 0, "offset": 2},
        {"topic": "t", "key": None, "value": "bXVsdGliYXRjaA==", "partition": 0, "offset": 3},
    ]
    beyond = (400, {"error_code": 40002, "message": "offset_out_of_range"})
    port = said({"offsets": [{"partition": 0, "offset": 3}]}, records, [], beyond)
    client = opened(port, PANDA, "t", "redpanda")
    assert run(client.produce(0, [NewRecord(b"key", b"multibatch", 1)]))[0] == [3]
    # "Fetch offset 2 - expect offsets 0-3": the batch is handed out from its beginning.
    fetched = run(client.fetch({0: 2}, 100, 1_000_000))
    assert fetched.records == [Record(0, 2, 0, None, b"multibroker"), Record(0, 3, 0, None, b"multibatch")]
    assert (fetched.reached, fetched.ended, fetched.receipt.requests) == ({0: 4}, frozenset({0}), 3)
    written = {"records": [{"key": "a2V5", "value": "bXVsdGliYXRjaA==", "partition": 0}]}
    where = f"{PANDA}/topics/t/partitions/0/records"
    assert asked(port) == [
        Wanted("POST", f"{PANDA}/topics/t", written, V2, BINARY),
        Wanted("GET", f"{where}?offset=2&timeout=100&max_bytes=1000000", None, BINARY),
        Wanted("GET", f"{where}?offset=4&timeout=100&max_bytes=1000000", None, BINARY),
        Wanted("GET", f"{where}?offset=5&timeout=0&max_bytes=1", None, BINARY),
    ]


# fetch.cc, "Fetch from unknown topic"; src/v/pandaproxy/error.cc for an offset that is not there.
def test_redpanda_is_searched_for_its_partitions_and_bounds() -> None:
    absent = (404, {"error_code": 40402, "message": "unknown_topic_or_partition"})
    beyond = (400, {"error_code": 40002, "message": "offset_out_of_range"})
    port = said([], beyond, absent)
    assert run(opened(port, PANDA, "t", "redpanda").partitions())[0] == 2
    port = said([], [], beyond)
    assert run(opened(port, PANDA, "t", "redpanda").bounds([0]))[0] == {0: Bounds(0, 1)}
    assert run(opened(said([]), PANDA, "t", "redpanda", partitions=12).partitions())[0] == 12


ERRORS: Sequence[tuple[Dialect, tuple[int, object], type[Exception], str]] = [
    # restintro, "Responses".
    ("upstash", (401, {"error": "Unauthorized", "status": 401}), Refused, "user name and the password"),
    ("upstash", (404, {"error": "Topic not found", "status": 404}), Refused, "create the topic"),
    # api.html, section Errors.
    ("confluent", (401, {"error_code": 40101, "message": "Authentication failed"}), Refused, "user name"),
    (
        "confluent",
        (403, {"error_code": 40301, "message": "Not authorized to access topics: [test]"}),
        Refused,
        "rights",
    ),
    ("confluent", (404, {"error_code": 40401, "message": "Topic not found."}), Refused, "create the topic"),
    # karapace/kafka_rest_apis/consumer_manager.py and __init__.py.
    ("confluent", (403, {"message": "Forbidden"}), Refused, "rights"),
    ("confluent", (404, {"message": "Topic test not found", "error_code": 40401}), Refused, "create the topic"),
    # api.html of Confluent Cloud, Errors.
    ("confluent-v3", (404, {"error_code": 404, "message": "HTTP 404 Not Found"}), Refused, "no such path"),
    # src/v/pandaproxy/error.cc.
    ("redpanda", (401, {"error_code": 40101, "message": "kafka_authentication_error"}), Refused, "user name"),
    ("redpanda", (403, {"error_code": 40301, "message": "kafka_authorization_error"}), Refused, "rights"),
]


@pytest.mark.parametrize(("dialect", "answer", "error", "told"), ERRORS)
def test_errors_that_a_retry_cannot_help(
    dialect: Dialect, answer: tuple[int, object], error: type[Exception], told: str
) -> None:
    for write in (False, True):
        port = said(answer)
        client = opened(port, PROXY, "test", dialect, cluster="cluster-1")
        with pytest.raises(error, match=rf"(?s)^kafkaproxy\.example\.com: .*topic 'test'.*nothing was written.*{told}"):
            run(client.produce(0, [NewRecord(b"k", b"v", 1)])) if write else run(client.partitions())
        assert len(port.sent) == 1
