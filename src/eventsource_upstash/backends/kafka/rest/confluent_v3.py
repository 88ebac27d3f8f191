"""The dialect `confluent-v3`: records are written by version 3 of Confluent's REST API, and read by version 2.

Shapes: https://docs.confluent.io/cloud/current/api.html (`POST /clusters/CLUSTER/topics/TOPIC/records`, "Produce
Records"; `GET /clusters`; `GET /clusters/CLUSTER/topics/TOPIC`), described in confluentinc/kafka-rest,
`api/v3/openapi.yaml`. Version 3 writes headers and times, and reads nothing: its operations under `records` are that
one alone, and what Confluent Cloud's own pages read by (`.../internal/topics/...`) is documented for nobody else. So
reading takes version 2 beside it, which a REST Proxy of one's own has, and Confluent Cloud does not: over the latter
one appends, and reads by Kafka's own protocol.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

import msgspec

from ...._io.addresses import quoted
from ....errors import Refused
from ...sending import Call
from ..topic import NewRecord
from .answers import Problem, error_means
from .confluent import Confluent, base64_of
from .speaking import Memory
from .transport import Ask, RestTransport


class _Cluster(msgspec.Struct):
    cluster_id: str


class _Clusters(msgspec.Struct):
    data: list[_Cluster]


class _Topic(msgspec.Struct):
    partitions_count: int


class _Written(msgspec.Struct):
    error_code: int = 200
    message: str | None = None
    offset: int | None = None


_clusters: Final = msgspec.json.Decoder(_Clusters)
_topic: Final = msgspec.json.Decoder(_Topic)
_written: Final = msgspec.json.Decoder(_Written)


class ConfluentV3(Confluent):
    """A topic in this dialect.

    Args:
        transport: What carries its requests.
        topic: The topic.
        group: See `Confluent`.
        memory: Knows the cluster's id, once it was asked for.
    """

    def __init__(self, transport: RestTransport, topic: str, group: str, memory: Memory) -> None:
        super().__init__(transport, topic, group)
        self._memory = memory

    async def partitions(self, call: Call) -> int:
        """See `Speaker.partitions`. 1 request, and at first 1 for the cluster's id."""
        await self.prepare(call)
        ask = Ask("GET", self._topic_path())
        return (await self._transport.ask(call, ask, _topic.decode)).partitions_count

    async def produce(self, call: Call, partition: int, record: NewRecord) -> int:
        """See `Speaker.produce`. 1 request."""
        body = {
            "partition_id": partition,
            "headers": [
                {"name": name, "value": None if value is None else base64_of(value)} for name, value in record.headers
            ],
            "key": {"type": "BINARY", "data": base64_of(record.key)},
            "value": {"type": "BINARY", "data": base64_of(record.value)},
            "timestamp": _told(record.timestamp_ms),
        }
        ask = Ask("POST", f"{self._topic_path()}/records", msgspec.json.encode(body))

        def decode(answer: bytes) -> _Written:
            written = _written.decode(answer)
            if written.error_code == 200 and (written.offset is None or written.offset < 0):
                raise msgspec.ValidationError("there is neither an offset nor an error")
            return written

        written = await self._transport.ask(call, ask, decode)
        if written.error_code == 200 and written.offset is not None:
            return written.offset
        # The status is 200 whenever the answer could be begun; what became of the record stands in it.
        trouble = error_means(Problem(200, written.error_code, written.message or ""), writes=True)
        call.unknown = trouble.unknown
        raise self._transport.error(call, trouble, len(ask.body))

    async def prepare(self, call: Call) -> None:
        """See `Speaker.prepare`: the cluster's id. 1 request, once."""
        if self._memory.cluster:
            return
        found = await self._transport.ask(call, Ask("GET", "/v3/clusters"), _clusters.decode)
        if len(found.data) != 1:
            raise Refused(
                f"{self._transport.where}: it answers for {len(found.data)} clusters: name the one that is meant with "
                "cluster=, or KAFKA_REST_CLUSTER"
            )
        self._memory.cluster = found.data[0].cluster_id

    def _topic_path(self) -> str:
        return f"/v3/clusters/{quoted(self._memory.cluster)}/topics/{quoted(self._topic)}"


def _told(timestamp_ms: int) -> str:
    moment = datetime.fromtimestamp(timestamp_ms // 1000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{timestamp_ms % 1000:03}Z"
