"""The dialect `redpanda`: Redpanda's HTTP proxy (pandaproxy), which reads by offset, without a consumer.

Shapes: https://docs.redpanda.com/api/doc/http-proxy/ (`GET /topics/TOPIC/partitions/PARTITION/records`, `POST
/topics/TOPIC`, and for the oldest record `POST /consumers/GROUP` and what follows), and what the server makes of them:
redpanda-data/redpanda, `src/v/pandaproxy/rest/handlers.cc`, its tests in `rest/test/`, and `json/requests/fetch.h`.

- It tells neither how many partitions there are nor where they begin and end. All three are searched for, by reading:
  what lies beyond answers an error. What was found is remembered; so the search is short the next time.
- It hands out whole batches, which may begin before the offset that was asked for.
- It reads uncommitted records too (`src/v/kafka/client/fetcher.cc`): nobody may write to the topic in transactions.
- Records have neither time nor headers.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ...._io.addresses import quoted
from ....errors import Refused
from ...sending import Call
from ..topic import Bounds, Fetched, NewRecord, OutOfRange, Record
from .answers import CHECK_TOPIC, Problem, error_means
from .confluent import BINARY, EXISTS, V2, decode_records, produce_v2
from .paging import page
from .speaking import BACK, Memory, nothing_came
from .transport import Ask, RestTransport

WAIT_MS: Final = 100
"""How long the server may wait for records, where it finds none at once."""

LONG_WAIT_MS: Final = 1_000
"""How long it may wait where there should be some."""

MIN_BYTES: Final = 65_536
JOINS_MS: Final = (500,) * 20
"""How long a consumer may wait for its first record, in each answer: to join its group takes seconds."""

_REFUSED: Final = (40002, 400)  # among them: out of range
_ABSENT: Final = (40401, 40402, 404)


class Redpanda:
    """A topic in this dialect.

    Args:
        transport: What carries its requests.
        topic: The topic.
        memory: What is known of it.
        partitions: How many partitions it has; 0 to find out.
    """

    def __init__(self, transport: RestTransport, topic: str, memory: Memory, partitions: int) -> None:
        self._transport = transport
        self._topic = topic
        self._memory = memory
        self._partitions = partitions
        self._path = f"/topics/{quoted(topic)}"

    async def partitions(self, call: Call) -> int:
        """See `Speaker.partitions`. None where it was told; else 2 where it is as it was, or a search."""
        if self._partitions:
            return self._partitions
        there = self._memory.partitions
        if not there or not await self._exists(call, there - 1):
            if not await self._exists(call, 0):
                raise Refused(f"{self._transport.where}: there is no topic {self._topic!r} here. {CHECK_TOPIC}")
            there = 1
        step = 1
        while await self._exists(call, there + step - 1):
            there, step = there + step, step * 2
        while step > 1:
            step //= 2
            if await self._exists(call, there + step - 1):
                there += step
        self._memory.partitions = there
        return there

    async def bounds(self, call: Call, partitions: Sequence[int]) -> dict[int, Bounds]:
        """See `Speaker.bounds`. 3 requests for each partition where nothing has changed, or a search."""
        return {partition: await self._bounds(call, partition) for partition in partitions}

    async def fetch(self, call: Call, asked: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """See `TopicClient.fetch`. 2 requests for each partition without new records, 3 for others, or more."""
        found: dict[int, list[Record]] = {}
        exhausted: set[int] = set()
        size = max(MIN_BYTES, max_bytes // max(1, len(asked)))
        for partition, offset in asked.items():
            records: list[Record] = []
            at = offset
            while len(records) * len(asked) < limit and sum(len(each.value or b"") for each in records) < size:
                new = await self._records(call, partition, at, size)
                if new == []:
                    new = await self._at_the_end(call, partition, at, size)
                    if not new:
                        exhausted.add(partition)
                        break
                if new is None:
                    if not records:
                        raise OutOfRange(partition, offset, await self._bounds(call, partition))
                    break
                records += new
                at = new[-1].offset + 1
            found[partition] = records
            self._memory.offsets[partition] = at
        return page(asked, found, exhausted, limit, max_bytes, call.receipt())

    async def prepare(self, call: Call) -> None:
        """See `Speaker.prepare`: nothing."""

    async def produce(self, call: Call, partition: int, record: NewRecord) -> int:
        """See `Speaker.produce`. 1 request."""
        offset = await produce_v2(self._transport, call, self._path, partition, record)
        self._memory.offsets[partition] = offset + 1
        return offset

    async def _exists(self, call: Call, partition: int) -> bool:
        outcome = await self._transport.ask_or(
            call, self._ask(partition, 0, 1, 0), decode_records, (*_REFUSED, *_ABSENT)
        )
        if not isinstance(outcome, Problem) or _out_of_range(outcome):
            return True
        if outcome.code in _ABSENT:
            return False
        raise self._transport.error(call, error_means(outcome, writes=False))

    async def _records(
        self, call: Call, partition: int, offset: int, max_bytes: int, wait_ms: int = WAIT_MS
    ) -> list[Record] | None:
        """Records from an offset on: none where there is none yet, None where no record can be."""
        ask = self._ask(partition, offset, max_bytes, wait_ms)
        outcome = await self._transport.ask_or(call, ask, decode_records, _REFUSED)
        if not isinstance(outcome, Problem):
            return [record for record in outcome if record.offset >= offset]
        if _out_of_range(outcome):
            return None
        raise self._transport.error(call, error_means(outcome, writes=False))

    async def _at_the_end(self, call: Call, partition: int, offset: int, size: int) -> list[Record]:
        """Records from an offset on, where none came; none where it is the end, or nothing behind it can be read."""
        if await self._records(call, partition, offset + 1, 1, 0) is None:
            return []
        for back in (0, *BACK):  # see `EndsAreTold._look_before`
            if back > offset:
                break
            seen = await self._records(call, partition, offset - back, size, LONG_WAIT_MS)
            if seen:
                return [record for record in seen if record.offset >= offset]
        raise nothing_came(call, partition, offset)

    def _ask(self, partition: int, offset: int, max_bytes: int, wait_ms: int) -> Ask:
        query = f"offset={offset}&timeout={wait_ms}&max_bytes={min(max_bytes, 2**31 - 1)}"
        return Ask("GET", f"{self._path}/partitions/{partition}/records?{query}", accept=BINARY)

    async def _bounds(self, call: Call, partition: int) -> Bounds:
        at = self._memory.offsets.get(partition, 0)
        from_start = await self._readable(call, partition, 0)
        if from_start is not None and (at == 0 or await self._readable(call, partition, at) is None):
            at = 0
        elif from_start is None and (at == 0 or await self._readable(call, partition, at) is None):
            at = await self._oldest(call, partition)
        high = await self._last(call, partition, at)
        self._memory.offsets[partition] = high
        low = 0 if from_start is not None else await self._first(call, partition, at)
        return Bounds(low, high)

    async def _readable(self, call: Call, partition: int, offset: int) -> int | None:
        """The furthest offset that is known to be readable by this one being so; None where it is not."""
        records = await self._records(call, partition, offset, 1, 0)
        if records is None:
            return None
        return records[-1].offset + 1 if records else offset

    async def _last(self, call: Call, partition: int, at: int) -> int:
        """The highest offset that can be read, which is the end; `at` can be."""
        step = 1
        while (found := await self._readable(call, partition, at + step)) is not None:
            at, step = found, step * 2
        beyond = at + step
        while beyond - at > 1:
            middle = (at + beyond) // 2
            found = await self._readable(call, partition, middle)
            at, beyond = (at, middle) if found is None else (found, beyond)
        return at

    async def _first(self, call: Call, partition: int, at: int) -> int:
        """The lowest offset that can be read; `at` can be, and 0 cannot."""
        below = 0
        while at - below > 1:
            middle = (at + below) // 2
            if await self._readable(call, partition, middle) is None:
                below = middle
            else:
                at = middle
        return at

    async def _oldest(self, call: Call, partition: int) -> int:
        """The offset of the oldest record, by a consumer that begins there. It joins a group of its own."""
        group, name = f"eventsource-{secrets.token_hex(8)}", "oldest"
        body = {"name": name, "format": "binary", "auto.offset.reset": "earliest", "auto.commit.enable": "false"}
        consumer = f"/consumers/{group}/instances/{name}"
        ask = Ask("POST", f"/consumers/{group}", msgspec.json.encode(body), V2, V2)
        await self._transport.ask_or(call, ask, bytes, EXISTS)
        try:
            ask = Ask("POST", f"{consumer}/subscription", msgspec.json.encode({"topics": [self._topic]}), V2, V2)
            await self._transport.ask(call, ask, bytes)
            for wait in JOINS_MS:
                ask = Ask("GET", f"{consumer}/records?timeout={wait}&max_bytes={MIN_BYTES}", accept=BINARY)
                for record in await self._transport.ask(call, ask, decode_records):
                    if record.partition == partition:
                        return record.offset
        finally:
            await self._transport.attempt(call, Ask("DELETE", consumer, accept=V2, kind=V2), bytes)
        raise Refused(
            f"{self._transport.where}: {call.what}: partition {partition} of topic {self._topic!r} begins somewhere "
            "after offset 0, and has no record by which it could be told where. Read it by Kafka's own protocol"
        )


def _out_of_range(problem: Problem) -> bool:
    return "offset_out_of_range" in problem.text.lower().replace(" ", "_")
