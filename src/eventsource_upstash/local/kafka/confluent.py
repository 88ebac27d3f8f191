"""Kafka over REST as Confluent's REST Proxy and Karapace have it (v2), to write as Confluent Cloud does (v3) too.

The request by which Redpanda's HTTP proxy hands out records of a partition is answered as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Final

import msgspec
from aiohttp import web

from .answering import Call, Refusal, answer, seconds
from .cluster import Cluster
from .consumers import Consumers
from .failing import FAILURES, as_refusal, code_of
from .formats import (
    OUT_OF_RANGE,
    PLAIN,
    Format,
    accepted,
    decoded,
    embedded,
    from_base64,
    listed,
    type_of,
)
from .groups import Groups
from .records import KafkaFailed, Outgoing, Place, Placed

__all__ = ["Confluent"]

_NOTHING: Final = msgspec.Raw(b"null")
_BROKER: Final = 1
"""The id of the only broker that is spoken of."""


class _Record(msgspec.Struct):
    key: msgspec.Raw = _NOTHING
    value: msgspec.Raw = _NOTHING
    partition: int | None = None


class _Produce(msgspec.Struct):
    records: list[_Record]


class _Data(msgspec.Struct):
    type: str | None = None
    data: msgspec.Raw = _NOTHING


class _Header(msgspec.Struct):
    name: str
    value: str | None = None


class _ProduceV3(msgspec.Struct):
    partition_id: int | None = None
    headers: list[_Header] = []
    key: _Data | None = None
    value: _Data | None = None
    timestamp: datetime | None = None


class Confluent:
    """Answers its requests.

    Args:
        cluster: Where the records are.
        groups: Who reads them.
    """

    def __init__(self, cluster: Cluster, groups: Groups) -> None:
        self._cluster = cluster
        self._consumers = Consumers(cluster, groups)

    async def handle(self, call: Call) -> web.Response:
        """Answer a request.

        Raises:
            Refusal: It is not carried out.
        """
        match (call.method, *call.words):
            case ("GET", "topics"):
                return answer([*await self._cluster.topics()], kind=PLAIN)
            case ("GET", "topics", topic):
                partitions = await self._partitions(topic)
                return answer({"name": topic, "configs": {}, "partitions": partitions}, kind=PLAIN)
            case ("GET", "topics", topic, "partitions"):
                return answer(await self._partitions(topic), kind=PLAIN)
            case ("GET", "topics", topic, "partitions", partition):
                place = await self._place(topic, partition)
                return answer((await self._partitions(topic))[place.partition], kind=PLAIN)
            case ("GET", "topics", topic, "partitions", partition, "offsets"):
                place = await self._place(topic, partition)
                bounds = (await self._cluster.bounds([place]))[place]
                return answer({"beginning_offset": bounds.low, "end_offset": bounds.high}, kind=PLAIN)
            case ("GET", "topics", topic, "partitions", partition, "records"):
                return await self._read(call, await self._place(topic, partition))
            case ("POST", "topics", topic):
                return await self._produce(call, topic, None)
            case ("POST", "topics", topic, "partitions", partition):
                return await self._produce(call, topic, (await self._place(topic, partition)).partition)
            case (_, "consumers", *_):
                return await self._consumers.handle(call)
            case ("GET", "v3", "clusters"):
                return answer(self._list(call, "KafkaClusterList", [self._told_cluster(call)]))
            case ("GET" | "POST", "v3", "clusters", cluster, *rest):
                return await self._cluster_v3(call, cluster, rest)
            case _:
                raise Refusal(404, "HTTP 404 Not Found")

    async def _place(self, topic: str, partition: str) -> Place:
        if not partition.isdecimal():
            raise Refusal(404, "HTTP 404 Not Found")
        place = Place(topic, int(partition))
        await self._cluster.check([place])
        return place

    async def _partitions(self, topic: str) -> list[dict[str, object]]:
        partitions = (await self._cluster.check([(topic, None)]))[topic]
        replica = {"broker": _BROKER, "leader": True, "in_sync": True}
        return [{"partition": number, "leader": _BROKER, "replicas": [replica]} for number in range(partitions)]

    async def _produce(self, call: Call, topic: str, partition: int | None) -> web.Response:
        kind, asked = embedded(call), call.json(_Produce)
        if not asked.records:
            raise Refusal(422, "records may not be empty")
        records = [
            Outgoing(
                topic,
                decoded(record.key, kind),
                decoded(record.value, kind),
                partition=record.partition if partition is None else partition,
            )
            for record in asked.records
        ]
        written = await self._write(call, records)
        offsets = [_told_v2(each) for each in written]
        return answer({"offsets": offsets, "key_schema_id": None, "value_schema_id": None}, kind=PLAIN)

    async def _write(self, call: Call, records: Sequence[Outgoing]) -> list[Placed | KafkaFailed]:
        await self._cluster.check((record.topic, record.partition) for record in records)
        written = await self._cluster.produce(records)
        call.counts["produced"] += sum(isinstance(each, Placed) for each in written)
        return written

    async def _read(self, call: Call, place: Place) -> web.Response:
        kind: Format = "json" if "json.v2" in call.headers.get("Accept", "") else "binary"
        accepted(call, kind)
        most = call.number("max_bytes", 1024 * 1024)
        offset = call.number("offset", 0)
        bounds = (await self._cluster.bounds([place]))[place]
        if not bounds.low <= offset <= bounds.high:
            raise Refusal(400, "offset_out_of_range", OUT_OF_RANGE)
        found = await self._cluster.fetch({place: offset}, wait=seconds(call.number("timeout", 1000)), max_bytes=most)
        call.counts["fetched"] += len(found)
        return answer(listed(found, kind), kind=type_of(kind))

    # v3

    async def _cluster_v3(self, call: Call, cluster: str, rest: Sequence[str]) -> web.Response:
        if call.method == "POST":
            match rest:
                case ["topics", topic, "records"]:
                    return await self._produce_v3(call, topic)
                case _:
                    raise Refusal(404, "HTTP 404 Not Found")
        if cluster != self._cluster.id:
            raise Refusal(404, f"Cluster {cluster} cannot be found.")
        match rest:
            case []:
                return answer(self._told_cluster(call))
            case ["topics"]:
                topics = await self._cluster.topics()
                told = [self._told_topic(call, topic, topics[topic]) for topic in topics]
                return answer(self._list(call, "KafkaTopicList", told))
            case ["topics", topic]:
                topics = await self._cluster.check([(topic, None)])
                return answer(self._told_topic(call, topic, topics[topic]))
            case ["topics", topic, "partitions"]:
                partitions = (await self._cluster.check([(topic, None)]))[topic]
                told = [self._told_partition(call, Place(topic, number)) for number in range(partitions)]
                return answer(self._list(call, "KafkaPartitionList", told))
            case _:
                raise Refusal(404, "HTTP 404 Not Found")

    async def _produce_v3(self, call: Call, topic: str) -> web.Response:
        """One record after the other, in one body; a report for each, in one answer."""
        reports: list[bytes] = []
        status = 200
        asked = list(_concatenated(call.body))
        for raw in asked:
            try:
                report = await self._produce_one_v3(call, topic, raw)
            except FAILURES as error:
                refused = as_refusal(error)
                report = {"error_code": refused.code, "message": str(refused)}
                # Of several records, each report has its own code; of one, the answer can have it as well.
                status = refused.status if len(asked) == 1 else 200
            reports.append(msgspec.json.encode(report))
        return web.Response(body=b"\n".join(reports), status=status, content_type="application/json")

    async def _produce_one_v3(self, call: Call, topic: str, raw: bytes) -> dict[str, object]:
        try:
            asked = msgspec.json.decode(raw, type=_ProduceV3)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"Bad Request: {error}") from error
        headers = tuple(
            (header.name, None if header.value is None else from_base64(header.value)) for header in asked.headers
        )
        when = None if asked.timestamp is None else round(asked.timestamp.timestamp() * 1000)
        key, value = _bytes_v3(asked.key), _bytes_v3(asked.value)
        (written,) = await self._write(call, [Outgoing(topic, key, value, headers, asked.partition_id, when)])
        if isinstance(written, KafkaFailed):
            raise written
        at = datetime.fromtimestamp(written.timestamp / 1000, timezone.utc)
        report: dict[str, object] = {
            "error_code": 200,
            "cluster_id": self._cluster.id,
            "topic_name": topic,
            "partition_id": written.partition,
            "offset": written.offset,
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        for name, data, sent in (("key", asked.key, key), ("value", asked.value, value)):
            if data is not None and sent is not None:
                report[name] = {"type": data.type, "size": len(sent)}
        return report

    def _list(self, call: Call, kind: str, data: list[dict[str, object]]) -> dict[str, object]:
        return {"kind": kind, "metadata": {"self": f"{call.base}/{'/'.join(call.words)}", "next": None}, "data": data}

    def _told_cluster(self, call: Call) -> dict[str, object]:
        here = f"{call.base}/v3/clusters/{self._cluster.id}"
        return {
            "kind": "KafkaCluster",
            "metadata": {"self": here, "resource_name": f"crn:///kafka={self._cluster.id}"},
            "cluster_id": self._cluster.id,
            "topics": {"related": f"{here}/topics"},
        }

    def _told_topic(self, call: Call, topic: str, partitions: int) -> dict[str, object]:
        here = f"{call.base}/v3/clusters/{self._cluster.id}/topics/{topic}"
        return {
            "kind": "KafkaTopic",
            "metadata": {"self": here, "resource_name": f"crn:///kafka={self._cluster.id}/topic={topic}"},
            "cluster_id": self._cluster.id,
            "topic_name": topic,
            "is_internal": False,
            "replication_factor": 1,
            "partitions_count": partitions,
            "partitions": {"related": f"{here}/partitions"},
        }

    def _told_partition(self, call: Call, place: Place) -> dict[str, object]:
        here = f"{call.base}/v3/clusters/{self._cluster.id}/topics/{place.topic}/partitions/{place.partition}"
        name = f"crn:///kafka={self._cluster.id}/topic={place.topic}/partition={place.partition}"
        return {
            "kind": "KafkaPartition",
            "metadata": {"self": here, "resource_name": name},
            "cluster_id": self._cluster.id,
            "topic_name": place.topic,
            "partition_id": place.partition,
        }


def _told_v2(written: Placed | KafkaFailed) -> dict[str, object]:
    if isinstance(written, KafkaFailed):
        return {"partition": None, "offset": None, "error_code": code_of(written), "error": str(written)}
    return {"partition": written.partition, "offset": written.offset, "error_code": None, "error": None}


def _concatenated(body: bytes) -> Iterator[bytes]:
    """Each of the JSON values in a body."""
    decoder = json.JSONDecoder()
    try:
        text = body.decode().strip()
        while text:
            _, end = decoder.raw_decode(text)
            yield text[:end].encode()
            text = text[end:].lstrip()
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"Bad Request: {error}") from error


def _bytes_v3(data: _Data | None) -> bytes | None:
    if data is None:
        return None
    match data.type:
        case "BINARY":
            return decoded(data.data, "binary")
        case "JSON":
            return decoded(data.data, "json")
        case "STRING":
            text = _text(data.data)
            return None if text is None else text.encode()
        case _ if bytes(data.data) == b"null":
            return None
        case _:
            raise Refusal(400, "the type of a key or value is BINARY, JSON or STRING: there is no schema registry here")


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=str | None)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "a key or value of the type STRING is a string") from error
