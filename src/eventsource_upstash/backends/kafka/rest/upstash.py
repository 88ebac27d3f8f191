"""The dialect `upstash`: Kafka over REST as Upstash had it until March 2025, and as the local Upstash has it.

Shapes: https://upstash.com/docs/kafka/rest/restproducer (`POST /produce/TOPIC`), restconsumer (`POST /fetch`),
restmetadata (`GET /topics`, `POST /offsets/latest`, `POST /offsets/earliest`), in the repository upstash/docs under
`kafka/rest/`; and the official SDK, upstash/kafka-js, `pkg/producer.ts` and `pkg/consumer.ts`. Keys and values are
strings: what is no UTF-8 does not come back as it was. A key that is empty stands for none.

A fetch of several partitions answers what one poll of a consumer gives, which may be some of them only
(`pkg/consumer.ts`, `FetchOptions`); what is missing is asked for by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ...._io.addresses import quoted
from ....errors import Misuse, Refused
from ...sending import Call
from ..topic import NO_HEADERS, Headers, NewRecord, Record
from .answers import CHECK_TOPIC
from .paging import sorted_out
from .speaking import EndsAreTold
from .transport import Ask, RestTransport

WAITS_MS: Final = (1_000, 4_000)
"""How long the server may wait for records that are there: so long at first, and so long once more."""


class _Header(msgspec.Struct):
    key: str
    value: str | None = None


class _Message(msgspec.Struct):
    partition: int
    offset: int
    timestamp: int = 0
    key: str | None = None
    value: str | None = None
    headers: list[_Header] | None = None


class _Place(msgspec.Struct):
    partition: int
    offset: int


class _Written(msgspec.Struct):
    offset: int


_messages: Final = msgspec.json.Decoder(list[_Message])
_places: Final = msgspec.json.Decoder(list[_Place])
_written: Final = msgspec.json.Decoder(list[_Written])
_topics: Final = msgspec.json.Decoder(dict[str, int])


class Upstash(EndsAreTold):
    """A topic in this dialect."""

    def __init__(self, transport: RestTransport, topic: str) -> None:
        self._transport = transport
        self._topic = topic
        self._produce_path = f"/produce/{quoted(topic)}"

    async def partitions(self, call: Call) -> int:
        """See `Speaker.partitions`. 1 request."""
        topics = await self._transport.ask(call, Ask("GET", "/topics"), _topics.decode)
        count = topics.get(self._topic, 0)
        if count < 1:
            raise Refused(f"{self._transport.where}: there is no topic {self._topic!r} here. {CHECK_TOPIC}")
        return count

    async def highs(self, call: Call, partitions: Sequence[int]) -> dict[int, int]:
        """See `EndsAreTold.highs`. 1 request."""
        return await self._offsets(call, "latest", partitions)

    async def lows(self, call: Call, partitions: Sequence[int]) -> dict[int, int]:
        """See `EndsAreTold.lows`. 1 request."""
        return await self._offsets(call, "earliest", partitions)

    async def read(
        self, call: Call, offsets: Mapping[int, int], highs: Mapping[int, int], limit: int, max_bytes: int
    ) -> list[Record]:
        """See `EndsAreTold.read`. 1 request, and 1 for each partition that is missing in its answer."""
        del highs, limit, max_bytes  # the server takes none of them
        records: list[Record] = []
        missing = dict(offsets)
        for wait in WAITS_MS:
            if len(missing) > 1:
                records += await self._fetch(call, missing, wait)
                missing = _without(missing, records)
            for partition, offset in missing.items():
                records += await self._fetch(call, {partition: offset}, wait)
            missing = _without(missing, records)
            if not missing:
                break
        return records

    async def produce(self, call: Call, partition: int, record: NewRecord) -> int:
        """See `Speaker.produce`. 1 request."""
        try:
            message = {
                "partition": partition,
                "timestamp": record.timestamp_ms,
                "key": record.key.decode(),
                "value": record.value.decode(),
                "headers": [{"key": name, "value": (value or b"").decode()} for name, value in record.headers],
            }
        except UnicodeDecodeError:
            raise Misuse(
                f"a record for topic {self._topic!r}: keys, values and headers go as text in the dialect 'upstash', "
                "and this is no UTF-8"
            ) from None
        ask = Ask("POST", self._produce_path, msgspec.json.encode(message))
        return await self._transport.ask(call, ask, _offset_of_one)

    async def _offsets(self, call: Call, which: str, partitions: Sequence[int]) -> dict[int, int]:
        body = msgspec.json.encode([{"topic": self._topic, "partition": partition} for partition in partitions])

        def decode(answer: bytes) -> dict[int, int]:
            offsets = {place.partition: place.offset for place in _places.decode(answer)}
            if not offsets.keys() >= set(partitions):
                raise msgspec.ValidationError("a partition is missing")
            return offsets

        return await self._transport.ask(call, Ask("POST", f"/offsets/{which}", body), decode)

    async def _fetch(self, call: Call, offsets: Mapping[int, int], wait_ms: int) -> list[Record]:
        places: list[dict[str, object]] = [
            {"topic": self._topic, "partition": partition, "offset": offset} for partition, offset in offsets.items()
        ]
        told: dict[str, object] = {**places[0]} if len(places) == 1 else {"topicPartitionOffsets": places}
        told["timeout"] = self._transport.patience_ms(wait_ms)
        ask = Ask("POST", "/fetch", msgspec.json.encode(told))
        messages = await self._transport.ask(call, ask, _messages.decode)
        return [_record(message) for message in messages]


def _offset_of_one(body: bytes) -> int:
    (written,) = _written.decode(body) or [_Written(-1)]
    if written.offset < 0:
        raise msgspec.ValidationError("there is no offset")
    return written.offset


def _without(offsets: Mapping[int, int], records: Sequence[Record]) -> dict[int, int]:
    """Of which partitions there is no record that was asked for."""
    found = sorted_out(offsets, records)
    return {partition: offset for partition, offset in offsets.items() if not found[partition]}


def _record(message: _Message) -> Record:
    return Record(
        message.partition,
        message.offset,
        message.timestamp,
        message.key.encode() if message.key else None,
        None if message.value is None else message.value.encode(),
        _headers(message.headers),
    )


def _headers(headers: list[_Header] | None) -> Headers:
    if not headers:
        return NO_HEADERS
    return tuple([(header.key, None if header.value is None else header.value.encode()) for header in headers])
