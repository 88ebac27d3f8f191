"""Servers of Kafka over REST in this process, over a topic in memory, each in the dialect of its documentation.

They are as unhelpful as the real ones may be: a fetch of several partitions answers one of them, a consumer that is
sent where nothing is kept goes on elsewhere, records come in small portions, and batches begin before they were asked
for. They take the place of a port, so that every request is a step.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from eventsource_upstash import Signal
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.topic import NewRecord, OutOfRange, Record
from eventsource_upstash.errors import Refused
from tests.canary import secret
from tests.kafka.memory_topic import MemoryTopic

T = TypeVar("T")

URL: Final = "https://kafka.example.com/base"
USER, PASSWORD = "user-7", secret("password")
CLUSTER: Final = "cluster-1"
V2: Final = "application/vnd.kafka.v2+json"
BINARY: Final = "application/vnd.kafka.binary.v2+json"


class Failure(Exception):
    """What a server answers instead."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)


class Call(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]


class Server:
    """A server of one dialect, over a topic.

    Attributes:
        topic: The topic.
        requests: Every request that arrived: its method and path.
        slow: So many of the next answers with records have none, as of a server that is not through in time.
    """

    def __init__(self, topic: MemoryTopic) -> None:
        self.topic = topic
        self.requests: list[str] = []
        self.slow = 0

    def answer(self, request: HttpRequest) -> HttpResponse:
        assert request.headers["authorization"] == f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
        parts = urlsplit(request.url)
        assert request.url.startswith(URL), request.url
        assert ("content-type" in request.headers) == bool(request.body)
        path = unquote(parts.path.removeprefix("/base"))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append(f"{request.method} {path}")
        call = Call(request.method, path, query, json.loads(request.body) if request.body else None, request.headers)
        try:
            status, body = self.do(call)
        except Failure as failure:
            return self.failed(failure)
        except Refused as refused:
            return self.failed(Failure(404, 40402, str(refused)))
        content = b"" if body is None else json.dumps(body).encode()
        return HttpResponse(status, {"content-type": "application/json"}, content)

    def failed(self, failure: Failure) -> HttpResponse:
        body = {"error_code": failure.code, "message": failure.message}
        return HttpResponse(failure.status, {"content-type": "application/json"}, json.dumps(body).encode())

    def do(self, call: Call) -> tuple[int, object]:
        raise NotImplementedError

    def matched(self, call: Call, *routes: tuple[str, str, Callable[..., tuple[int, object]]]) -> tuple[int, object]:
        for method, pattern, done in routes:
            found = re.fullmatch(pattern, call.path)
            if found and call.method == method:
                return done(call, *found.groups())
        raise Failure(404, 404, f"HTTP 404 Not Found: {call.method}")

    def known(self, topic: str) -> None:
        if topic != self.topic.name:
            raise Failure(404, 40401, "Topic not found.")

    def after(self, partition: int, offset: int) -> list[Record]:
        """What stands in a partition from an offset on."""
        found = self.topic.fetch({partition: offset}, 1 << 30, 1 << 30).records
        if self.slow and found:
            self.slow -= 1
            return []
        return found

    def write(self, partition: int, key: bytes, value: bytes, headers: Any = (), timestamp_ms: int = 0) -> int:
        return self.topic.produce(partition, [NewRecord(key, value, timestamp_ms, tuple(headers))])[0]


class UpstashServer(Server):
    MOST = 5

    def failed(self, failure: Failure) -> HttpResponse:
        body = {"error": failure.message, "status": failure.status}
        return HttpResponse(failure.status, {"content-type": "application/json"}, json.dumps(body).encode())

    def do(self, call: Call) -> tuple[int, object]:
        return self.matched(
            call,
            ("GET", "/topics", lambda _: (200, {self.topic.name: self.topic.count(), "others": 12})),
            ("POST", "/offsets/(earliest|latest)", self.offsets),
            ("POST", "/fetch", self.fetch),
            ("POST", "/produce/([^/]+)", self.produce),
        )

    def offsets(self, call: Call, which: str) -> tuple[int, object]:
        answer: list[object] = []
        for place in call.body:
            self.known(place["topic"])
            bounds = self.topic.bounds([place["partition"]])[place["partition"]]
            offset = bounds.low if which == "earliest" else bounds.high
            answer.append({"topic": place["topic"], "partition": place["partition"], "offset": offset})
        return 200, answer

    def fetch(self, call: Call) -> tuple[int, object]:
        for place in call.body.get("topicPartitionOffsets") or [call.body]:
            self.known(place["topic"])
            try:
                found = self.after(place["partition"], place["offset"])
            except OutOfRange:
                found = []  # it goes on at the end
            if found:
                return 200, [self.told(record) for record in found[: self.MOST]]
        return 200, []

    def told(self, record: Record) -> object:
        return {
            "topic": self.topic.name,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp_ms,
            "key": (record.key or b"").decode(),
            "value": None if record.value is None else record.value.decode(),
            "headers": [{"key": name, "value": (value or b"").decode()} for name, value in record.headers],
        }

    def produce(self, call: Call, topic: str) -> tuple[int, object]:
        self.known(topic)
        message = call.body
        headers = [(each["key"], each["value"].encode()) for each in message["headers"]]
        offset = self.write(
            message["partition"], message["key"].encode(), message["value"].encode(), headers, message["timestamp"]
        )
        answer = {"topic": topic, "partition": message["partition"], "offset": offset, "timestamp": 1637745823147}
        return 200, [answer]


def written_v2(server: Server, call: Call, topic: str) -> tuple[int, object]:
    server.known(topic)
    assert call.headers["content-type"] == BINARY
    assert call.headers["accept"] == V2
    (record,) = call.body["records"]
    assert record.keys() == {"key", "value", "partition"}
    offset = server.write(record["partition"], base64.b64decode(record["key"]), base64.b64decode(record["value"]))
    return 200, {"offsets": [{"partition": record["partition"], "offset": offset}]}


def told_v2(topic: str, record: Record) -> dict[str, object]:
    def encoded(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(data).decode()

    key, value = encoded(record.key), encoded(record.value)
    return {"topic": topic, "key": key, "value": value, "partition": record.partition, "offset": record.offset}


class Consumer:
    def __init__(self) -> None:
        self.positions: dict[int, int] = {}


class ConfluentServer(Server):
    MOST = 4

    def __init__(self, topic: MemoryTopic) -> None:
        super().__init__(topic)
        self.consumers: dict[str, Consumer] = {}

    def do(self, call: Call) -> tuple[int, object]:
        return self.matched(call, *self.routes())

    def routes(self) -> list[tuple[str, str, Callable[..., tuple[int, object]]]]:
        instance = "/consumers/([^/]+)/instances/([^/]+)"
        return [
            ("GET", "/topics/([^/]+)/partitions", self.partitions),
            ("GET", r"/topics/([^/]+)/partitions/(\d+)/offsets", self.offsets),
            ("POST", "/topics/([^/]+)", lambda call, topic: written_v2(self, call, topic)),
            ("POST", "/consumers/([^/]+)", self.create),
            ("POST", f"{instance}/assignments", self.assign),
            ("POST", f"{instance}/positions", self.seek),
            ("GET", f"{instance}/records", self.records),
            ("DELETE", instance, self.delete),
        ]

    def partitions(self, _: Call, topic: str) -> tuple[int, object]:
        self.known(topic)
        replicas = [{"broker": 1, "leader": True, "in_sync": True}]
        listed = [{"partition": number, "leader": 1, "replicas": replicas} for number in range(self.topic.count())]
        return 200, listed

    def offsets(self, _: Call, topic: str, partition: str) -> tuple[int, object]:
        self.known(topic)
        low, high = self.topic.bounds([int(partition)])[int(partition)]
        return 200, {"beginning_offset": low, "end_offset": high}

    def create(self, call: Call, group: str) -> tuple[int, object]:
        assert call.headers["content-type"] == V2
        assert call.body["format"] == "binary"
        assert (call.body["auto.offset.reset"], call.body["auto.commit.enable"]) == ("earliest", "false")
        name = call.body["name"]
        if name in self.consumers:
            raise Failure(409, 40902, "Consumer with specified consumer ID already exists in the consumer group.")
        self.consumers[name] = Consumer()
        where = f"http://proxy-17.internal:8082/consumers/{group}/instances/{name}"
        return 200, {"instance_id": name, "base_uri": where}

    def consumer(self, name: str) -> Consumer:
        if name not in self.consumers:
            raise Failure(404, 40403, "Consumer instance not found.")
        return self.consumers[name]

    def assign(self, call: Call, _: str, name: str) -> tuple[int, object]:
        self.consumer(name).positions = {place["partition"]: 0 for place in call.body["partitions"]}
        return 204, None

    def seek(self, call: Call, _: str, name: str) -> tuple[int, object]:
        for place in call.body["offsets"]:
            self.known(place["topic"])
            assert place["partition"] in self.consumer(name).positions
            self.consumer(name).positions[place["partition"]] = place["offset"]
        return 204, None

    def records(self, call: Call, _: str, name: str) -> tuple[int, object]:
        assert call.headers["accept"] == BINARY
        answer: list[object] = []
        room = int(call.query["max_bytes"])
        positions = self.consumer(name).positions
        for partition, offset in positions.items():
            try:
                found = self.after(partition, offset)
            except OutOfRange as out:
                found = self.after(partition, out.bounds.low)  # as `auto.offset.reset` says
            for record in found[: self.MOST]:
                room -= len(record.value or b"")
                if room <= 0:  # whatever is too large is never handed out, nor what comes behind it
                    return 200, answer
                answer.append(told_v2(self.topic.name, record))
                positions[partition] = record.offset + 1
            if answer:
                break
        return 200, answer

    def delete(self, _: Call, __: str, name: str) -> tuple[int, object]:
        self.consumer(name)
        del self.consumers[name]
        return 204, None


class ConfluentV3Server(ConfluentServer):
    def routes(self) -> list[tuple[str, str, Callable[..., tuple[int, object]]]]:
        topic = f"/v3/clusters/{CLUSTER}/topics/([^/]+)"
        return [
            ("GET", "/v3/clusters", lambda _: (200, {"kind": "KafkaClusterList", "data": [{"cluster_id": CLUSTER}]})),
            ("GET", topic, self.topic_told),
            ("POST", f"{topic}/records", self.produce),
            *[route for route in super().routes() if route[:2] != ("POST", "/topics/([^/]+)")],
        ]

    def topic_told(self, _: Call, topic: str) -> tuple[int, object]:
        self.known(topic)
        return 200, {"topic_name": topic, "partitions_count": self.topic.count(), "replication_factor": 3}

    def produce(self, call: Call, topic: str) -> tuple[int, object]:
        self.known(topic)
        body = call.body
        assert (body["key"]["type"], body["value"]["type"]) == ("BINARY", "BINARY")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])
        headers = [(each["name"], base64.b64decode(each["value"])) for each in body["headers"]]
        key, value = (base64.b64decode(body[part]["data"]) for part in ("key", "value"))
        offset = self.write(body["partition_id"], key, value, headers)
        return 200, {
            "error_code": 200,
            "cluster_id": CLUSTER,
            "topic_name": topic,
            "partition_id": body["partition_id"],
            "offset": offset,
            "timestamp": body["timestamp"],
        }


class RedpandaServer(Server):
    BATCH = 3
    MOST = 6

    def __init__(self, topic: MemoryTopic) -> None:
        super().__init__(topic)
        self.consumers: dict[str, int] = {}

    def do(self, call: Call) -> tuple[int, object]:
        consumer = "/consumers/([^/]+)/instances/oldest"
        return self.matched(
            call,
            ("GET", r"/topics/([^/]+)/partitions/(\d+)/records", self.records),
            ("POST", "/topics/([^/]+)", self.produce),
            ("POST", "/consumers/([^/]+)", self.create),
            ("POST", f"{consumer}/subscription", self.subscribe),
            ("GET", f"{consumer}/records", self.consume),
            ("DELETE", consumer, self.delete),
        )

    def produce(self, call: Call, topic: str) -> tuple[int, object]:
        if topic != self.topic.name or call.body["records"][0]["partition"] >= self.topic.count():
            return 200, {"offsets": [{"partition": 0, "error_code": 3, "offset": -1}]}
        return written_v2(self, call, topic)

    def records(self, call: Call, topic: str, partition: str) -> tuple[int, object]:
        assert call.query.keys() == {"offset", "timeout", "max_bytes"}
        assert call.headers["accept"] == BINARY
        if topic != self.topic.name:
            raise Failure(404, 40402, "unknown_topic_or_partition")
        offset = int(call.query["offset"])
        try:
            found = self.after(int(partition), offset)
        except OutOfRange:
            raise Failure(400, 40002, "offset_out_of_range") from None
        if found and not self.slow:
            low = self.topic.bounds([int(partition)])[int(partition)].low
            found = self.after(int(partition), max(low, found[0].offset - found[0].offset % self.BATCH))
        room = int(call.query["max_bytes"])
        answer: list[object] = []
        for first in itertools.islice(itertools.count(0, self.BATCH), self.MOST // self.BATCH + 1):
            batch = found[first : first + self.BATCH]
            if answer and room <= 0:
                break
            room -= sum(len(record.value or b"") for record in batch)
            answer += [told_v2(topic, record) for record in batch]
        return 200, answer

    def create(self, call: Call, group: str) -> tuple[int, object]:
        assert set(call.body) == {"name", "format", "auto.offset.reset", "auto.commit.enable"}
        self.consumers[group] = -3  # so many requests until it has joined
        return 200, {"instance_id": call.body["name"], "base_uri": f"http://node-1:8082/consumers/{group}"}

    def subscribe(self, call: Call, group: str) -> tuple[int, object]:
        assert group in self.consumers
        assert call.body == {"topics": [self.topic.name]}
        return 204, None

    def consume(self, _: Call, group: str) -> tuple[int, object]:
        self.consumers[group] += 1
        if self.consumers[group] < 0:
            return 200, []
        partition = self.consumers[group] % self.topic.count()
        records = self.topic.records(partition)
        return 200, [told_v2(self.topic.name, record) for record in records[:1]]

    def delete(self, _: Call, group: str) -> tuple[int, object]:
        del self.consumers[group]
        return 204, None


SERVERS: Final[Mapping[Dialect, Callable[[MemoryTopic], Server]]] = {
    "upstash": UpstashServer,
    "confluent": ConfluentServer,
    "confluent-v3": ConfluentV3Server,
    "redpanda": RedpandaServer,
}
DIALECTS: Final[tuple[Dialect, ...]] = tuple(SERVERS)


class Doubled:
    """A port whose requests go to a server in this process, and whose sleeps take no time.

    Attributes:
        server: The server.
        before: Called with the number of each request, from 1, before it arrives; may raise.
        after: Likewise when it is answered: what it raises then is a lost answer.
        slept: Each sleep.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None
        self.sent = 0
        self.slept: list[float] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent += 1
        number = self.sent
        self.before(number)
        answer = self.server.answer(request)
        self.after(number)
        return answer

    async def call(self, work: Callable[[], T]) -> T:
        return work()

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.slept.append(seconds)


def doubled(topic: MemoryTopic, dialect: Dialect) -> tuple[RestTopic, Doubled]:
    """A topic over a dialect, and the port that leads there."""
    described = RestTopic(URL, topic.name, dialect=dialect, username=USER, password=PASSWORD)
    return described, Doubled(SERVERS[dialect](topic))
