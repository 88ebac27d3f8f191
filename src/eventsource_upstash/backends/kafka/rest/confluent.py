"""The dialect `confluent`: version 2 of Confluent's REST Proxy API, which Karapace speaks as well.

Shapes: https://docs.confluent.io/platform/current/kafka-rest/api.html (sections v2: Topics, Partitions, Consumers), and
what each server makes of them: confluentinc/kafka-rest, `kafka-rest/src/main/java/io/confluent/kafkarest/` (`v2/`,
`entities/v2/`), and Aiven-Open/karapace, `src/karapace/kafka_rest_apis/` (`__init__.py`, `consumer_manager.py`).

- Records go in the format `binary`, base64. They have no headers and, at Confluent's, no time; Karapace tells the time.
- Reading takes a consumer: it is made, given its partitions and their offsets, asked for records, and deleted, all
  within one fetch. It joins no group and commits nothing. It lives in one proxy process: several of these behind one
  address have to be reached by sticky sessions.
- `base_uri`, which the proxy answers, is not used: behind a gateway it names a host that only the proxy knows, and user
  name and password go to nobody but the URL they were given for.
- A proxy hands out what is committed only if its own configuration says so (`consumer.isolation.level=read_committed`).
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ...._io.addresses import quoted
from ....errors import EventSourceError
from ...sending import Call, Trouble
from ..topic import Bounds, NewRecord, Record
from .answers import Problem, record_error_means
from .speaking import EndsAreTold
from .transport import Ask, RestTransport

_log: Final = logging.getLogger("eventsource_upstash.kafka")

V2: Final = "application/vnd.kafka.v2+json"
BINARY: Final = "application/vnd.kafka.binary.v2+json"

WAITS_MS: Final = (250, 500, 1_000, 1_000)
"""How long a consumer may wait for records: so long at first, and after each answer in a row that had none.

Karapace waits all that time, whatever it has.
"""

MIN_BYTES: Final = 1_000_000
MAX_BYTES: Final = 64 * 1024 * 1024
"""What a consumer is asked for at most, where with less nothing came: a record that is larger never comes else."""

CONSUMERS: Final = 3
"""So many consumers are made in one fetch, where the proxy loses them."""

GONE: Final = (40403,)
EXISTS: Final = (40902, 409)


class _Partition(msgspec.Struct):
    partition: int


class _Offsets(msgspec.Struct):
    beginning_offset: int
    end_offset: int


class _Message(msgspec.Struct):
    partition: int
    offset: int
    key: str | None = None
    value: str | None = None
    timestamp: int | None = None


class _Written(msgspec.Struct):
    offset: int | None = None
    error_code: int | None = None
    error: str | None = None


class _AllWritten(msgspec.Struct):
    offsets: list[_Written]


_partitions: Final = msgspec.json.Decoder(list[_Partition])
_offsets: Final = msgspec.json.Decoder(_Offsets)
_messages: Final = msgspec.json.Decoder(list[_Message])
_written: Final = msgspec.json.Decoder(_AllWritten)


class Confluent(EndsAreTold):
    """A topic in this dialect.

    Args:
        transport: What carries its requests.
        topic: The topic.
        group: The consumer group that its consumers are made in. None ever joins it; the proxy wants a name.
    """

    def __init__(self, transport: RestTransport, topic: str, group: str) -> None:
        self._transport = transport
        self._topic = topic
        self._path = f"/topics/{quoted(topic)}"
        self._consumers = f"/consumers/{quoted(group)}"

    async def partitions(self, call: Call) -> int:
        """See `Speaker.partitions`. 1 request."""
        listed = await self._transport.ask(call, Ask("GET", f"{self._path}/partitions", accept=V2), _partitions.decode)
        return len(listed)

    async def highs(self, call: Call, partitions: Sequence[int]) -> dict[int, int]:
        """See `EndsAreTold.highs`. 1 request for each partition."""
        return {partition: each.high for partition, each in (await self.bounds(call, partitions)).items()}

    async def lows(self, call: Call, partitions: Sequence[int]) -> dict[int, int]:
        """See `EndsAreTold.lows`. 1 request for each partition."""
        return {partition: each.low for partition, each in (await self.bounds(call, partitions)).items()}

    async def bounds(self, call: Call, partitions: Sequence[int]) -> dict[int, Bounds]:
        """See `Speaker.bounds`. 1 request for each partition."""
        found: dict[int, Bounds] = {}
        for partition in partitions:
            ask = Ask("GET", f"{self._path}/partitions/{partition}/offsets", accept=V2)
            told = await self._transport.ask(call, ask, _offsets.decode)
            found[partition] = Bounds(told.beginning_offset, told.end_offset)
        return found

    async def produce(self, call: Call, partition: int, record: NewRecord) -> int:
        """See `Speaker.produce`. 1 request."""
        return await produce_v2(self._transport, call, self._path, partition, record)

    async def read(
        self, call: Call, offsets: Mapping[int, int], highs: Mapping[int, int], limit: int, max_bytes: int
    ) -> list[Record]:
        """See `EndsAreTold.read`. 5 requests, and 1 for each further answer that the proxy splits it into."""
        reading = _Reading(offsets, highs, limit, max_bytes)
        for _ in range(CONSUMERS):
            consumer = f"{self._consumers}/instances/{await self._create(call)}"
            try:
                lost = not await self._drain(call, consumer, reading)
            except EventSourceError:
                await self._delete(call, consumer)
                raise
            if not lost:
                await self._delete(call, consumer)
                return reading.records
        raise self._transport.error(
            call,
            Trouble(
                "the proxy does not know the consumer that it made",
                unknown=False,
                remedy="Where several proxies share one address, requests have to go to the same one (sticky sessions)",
            ),
        )

    async def _create(self, call: Call) -> str:
        # The name is ours: an answer that is lost then leaves a consumer that the next attempt goes on with.
        name = f"eventsource-{secrets.token_hex(8)}"
        body = {
            "name": name,
            "format": "binary",
            "auto.offset.reset": "earliest",
            "auto.commit.enable": "false",
            "fetch.min.bytes": 1,
        }
        ask = Ask("POST", self._consumers, msgspec.json.encode(body), V2, V2)
        await self._transport.ask_or(call, ask, bytes, EXISTS)
        return name

    async def _drain(self, call: Call, consumer: str, reading: _Reading) -> bool:
        """Read until it has what it needs, or nothing comes. False where the consumer is lost."""
        assigned: set[int] = set()
        sought = False
        empty = 0
        call.budget.tried = 0
        while (wanted := reading.wanted()) and empty < len(WAITS_MS):
            if not assigned or (not reading.room and assigned != set(wanted)):  # enough of some, nothing of others yet
                assigned, sought = set(wanted), False
                if not await self._tell(call, f"{consumer}/assignments", {"partitions": self._places(wanted)}):
                    return False
            if not sought:
                offsets = {partition: reading.next[partition] for partition in assigned}
                if not await self._tell(call, f"{consumer}/positions", {"offsets": self._places(offsets)}):
                    return False
                sought = True
                call.budget.tried = 0
            # A record that is larger than what is asked for is held back, and everything behind it.
            size = MAX_BYTES if empty else max(MIN_BYTES, reading.max_bytes)
            wait = self._transport.patience_ms(WAITS_MS[empty])
            ask = Ask("GET", f"{consumer}/records?timeout={wait}&max_bytes={size}", accept=BINARY)
            call.budget.tried += 1
            outcome = await self._transport.attempt(call, ask, decode_records, GONE)
            if isinstance(outcome, Problem):
                return False
            if isinstance(outcome, Trouble):
                # The consumer may have moved on with an answer that nobody got.
                sought, call.failed = False, True
                if not outcome.again or not await call.budget.pause(outcome.at_least):
                    raise self._transport.error(call, outcome)
                continue
            call.budget.tried = 0
            empty = 0 if reading.take(outcome) else empty + 1
        return True

    async def _tell(self, call: Call, path: str, body: object) -> bool:
        ask = Ask("POST", path, msgspec.json.encode(body), V2, V2)
        return not isinstance(await self._transport.ask_or(call, ask, bytes, GONE), Problem)

    def _places(self, offsets: Mapping[int, int]) -> list[dict[str, object]]:
        return [
            {"topic": self._topic, "partition": partition, "offset": offset}
            for partition, offset in sorted(offsets.items())
        ]

    async def _delete(self, call: Call, consumer: str) -> None:
        """Delete a consumer. One that cannot be deleted is forgotten by the proxy after some minutes."""
        outcome = await self._transport.attempt(call, Ask("DELETE", consumer, accept=V2, kind=V2), bytes, GONE)
        if isinstance(outcome, Trouble):
            _log.debug("a consumer of the REST proxy was not deleted: %s", outcome.text)


class _Reading:
    """What was read so far, and what is still wanted.

    Attributes:
        records: What was read.
        next: The offset that comes next in each partition.
        max_bytes: How much is wanted in all.
    """

    def __init__(self, offsets: Mapping[int, int], highs: Mapping[int, int], limit: int, max_bytes: int) -> None:
        self.records: list[Record] = []
        self.next: dict[int, int] = dict(offsets)
        self.max_bytes: int = max_bytes
        self._start = dict(offsets)
        self._highs = highs
        self._limit = limit
        self._bytes = 0

    @property
    def room(self) -> bool:
        """Whether more records are wanted of any partition."""
        return len(self.records) < self._limit and self._bytes < self.max_bytes

    def wanted(self) -> dict[int, int]:
        """Of which partitions records are wanted, and from where on: once there is no room, of those without any."""
        return {
            partition: offset
            for partition, offset in self.next.items()
            if offset < self._highs[partition] and (self.room or offset == self._start[partition])
        }

    def take(self, records: Sequence[Record]) -> bool:
        """Take records that came; whether any was wanted."""
        new = [record for record in records if record.offset >= self.next.get(record.partition, record.offset + 1)]
        for record in new:
            self.next[record.partition] = max(self.next[record.partition], record.offset + 1)
            self._bytes += len(record.value or b"") + len(record.key or b"")
        self.records += new
        return bool(new)


async def produce_v2(transport: RestTransport, call: Call, path: str, partition: int, record: NewRecord) -> int:
    """Write a record to a partition; answers its offset. Redpanda's proxy takes the same."""
    message = {"key": base64_of(record.key), "value": base64_of(record.value), "partition": partition}
    # Karapace answers 422 with the errors of the records.
    ask = Ask("POST", path, msgspec.json.encode({"records": [message]}), V2, BINARY, also=(422,))

    def decode(body: bytes) -> _Written:
        (written,) = _written.decode(body).offsets or [_Written()]
        if written.error_code is None and (written.offset is None or written.offset < 0):
            raise msgspec.ValidationError("there is neither an offset nor an error")
        return written

    written = await transport.ask(call, ask, decode)
    if written.error_code is None and written.offset is not None:
        return written.offset
    trouble = record_error_means(written.error_code or 0, written.error or "")
    call.unknown = trouble.unknown
    raise transport.error(call, trouble, len(ask.body))


def decode_records(body: bytes) -> list[Record]:
    """Records as the API tells them. Raises `ValueError`, or `MsgspecError`, for anything else."""
    return [
        Record(each.partition, each.offset, each.timestamp or 0, _bytes(each.key), _bytes(each.value))
        for each in _messages.decode(body)
    ]


def base64_of(data: bytes) -> str:
    """Bytes as the API takes them."""
    return base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
