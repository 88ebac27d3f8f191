"""Events -> topic. Where the answer is lost, the tail is read for them before they are sent again, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from ...domain.events import FREE, Appended, Receipt, StoredEvent
from ...domain.positions import place_of, position_at
from ...errors import EventSourceError, Misuse, OutcomeUnknown
from ...ports import MAX_PAGE_BYTES, Append, KeyReused
from .records import Keyed, Records, digest_of, encode
from .repeats import REPEAT_WINDOW
from .topic import NewRecord, OutOfRange, TopicClient

MANY_EVENTS: Final = REPEAT_WINDOW // 2
"""Most events of several appends in one transaction: so that they are found in the tail where its answer is lost."""

MANY_BYTES: Final = 1024 * 1024
"""Bytes of payload that are enough for one transaction of several appends."""

CLOCKS_APART_US: Final = 60_000_000
"""What was recorded so many microseconds before an append stands before it, whatever clocks say: none is so far off."""


class _Tail:
    """The last places of a partition.

    Attributes:
        rows: The events that stand there, in order.
        keyed: By their positions, those that were appended under a key.
        start: The offset that they begin with.
        whole: Whether nothing stands before them.
    """

    def __init__(self, start: int, *, whole: bool) -> None:
        self.rows: list[StoredEvent] = []
        self.keyed: dict[int, Keyed] = {}
        self.start: int = start
        self.whole: bool = whole


class Appending:
    """Writes appends to a topic."""

    def __init__(self, client: TopicClient, topic: str, *, atomic: bool, records: Records) -> None:
        self._client = client
        self._topic = topic
        self._atomic = atomic
        self._records = records

    async def append(self, append: Append, partition: int, high: int) -> Appended | KeyReused:
        """Write an append to a partition.

        Args:
            append: The append.
            partition: The partition of its stream.
            high: Where the partition ended when somebody looked last: it cannot stand before that.
        """
        if len(append.events) > 1 and not self._atomic:
            raise Misuse(
                f"append of {len(append.events)} events to stream {append.stream!r}: over Kafka's REST protocol "
                "nothing could write them all or none, so append one at a time. Kafka's own protocol (NativeTopic) "
                "writes them in a transaction; Redis and SQLite do as well"
            )
        receipt = FREE
        if append.key is not None:
            tail, receipt = await self._tail(partition, 0)
            known = _under_key(tail, append.stream, append.key)
            if known:
                return _answered(append, known, tail.keyed[known[0][0]], receipt)
        (answer,) = await self._write([append], partition, high)
        return answer if receipt is FREE else replace(answer, receipt=answer.receipt + receipt)

    async def append_many(self, appends: Sequence[Append], partition: int, high: int) -> list[Appended]:
        """Write appends without keys to a partition, in one transaction: the first of them, or several.

        Args:
            appends: Appends of streams of that partition.
            partition: The partition.
            high: As for `append`.
        """
        some, events = 0, 0
        size = 0
        for append in appends:
            events += len(append.events)
            size += sum([len(event[2]) for event in append.events])
            if some and (events > MANY_EVENTS or size > MANY_BYTES):
                break
            some += 1
        return await self._write(appends[:some] if self._atomic else appends[:1], partition, high)

    async def _write(self, appends: Sequence[Append], partition: int, high: int) -> list[Appended]:
        """Write appends, all or none; where the answer is lost, look for them, and send them once more."""
        records = [encode(append) for append in appends]
        try:
            return await self._produce(partition, records, FREE)
        except OutcomeUnknown as unknown:
            found, receipt = await self._look(appends, partition, high, unknown)
        if not found:
            try:
                return await self._produce(partition, records, receipt)
            except OutcomeUnknown as unknown:
                found, cost = await self._look(appends, partition, high, unknown)
                if not found:
                    raise
            receipt += cost
        *others, last = [Appended(position, place_of(position), repeated=True) for position in found]
        return [*others, replace(last, receipt=receipt)]

    async def _produce(
        self, partition: int, records: Sequence[Sequence[NewRecord]], receipt: Receipt
    ) -> list[Appended]:
        offsets, cost = await self._client.produce(partition, [record for each in records for record in each])
        answers: list[Appended] = []
        end = 0
        for each in records:
            end += len(each)
            place = offsets[end - 1] + 1
            answers.append(Appended(position_at(partition, place), place))
        answers[-1] = replace(answers[-1], receipt=receipt + cost)
        return answers

    async def recall(self, stream: str, key: str, partition: int) -> Appended | KeyReused | Receipt:
        """What the append under a key answered, where it stands in the last places of a partition."""
        tail, receipt = await self._tail(partition, 0)
        known = _under_key(tail, stream, key)
        if not known:
            return receipt
        if known[0][1] != stream:
            return KeyReused(receipt)
        return Appended(known[-1][0], known[-1][2], receipt, repeated=True)

    async def _look(
        self, appends: Sequence[Append], partition: int, high: int, unknown: OutcomeUnknown
    ) -> tuple[list[int], Receipt]:
        """Where appends stand whose answer was lost; nothing where they do not, and may be sent again.

        Raises:
            OutcomeUnknown: That cannot be told.
        """
        try:
            tail, receipt = await self._tail(partition, high)
        except EventSourceError:
            raise unknown from None
        places = {(row[3], row[4]): row[0] for row in tail.rows}
        found = [places.get((append.recorded_us, append.number + len(append.events) - 1)) for append in appends]
        known = [position for position in found if position is not None]
        if len(known) == len(found):
            return known, receipt
        # They may stand further back, if so much was written since that the window does not reach back before them.
        before = any(row[3] < appends[0].recorded_us - CLOCKS_APART_US for row in tail.rows)
        if known or not (tail.whole or before):
            raise unknown
        return [], receipt

    async def _tail(self, partition: int, since: int) -> tuple[_Tail, Receipt]:
        """The last places of a partition, from an offset on if that is within them."""
        bounds, receipt = await self._client.bounds([partition])
        low, high = bounds[partition]
        since = since if since <= high else 0  # else the topic was made anew
        start = max(low, since, high - REPEAT_WINDOW)
        tail = _Tail(start, whole=start in (low, since))
        offset = start
        while offset < high:
            try:
                fetched = await self._client.fetch({partition: offset}, REPEAT_WINDOW, MAX_PAGE_BYTES)
            except OutOfRange as out:
                offset = max(offset + 1, out.bounds.low)  # retention is at it
                high = min(high, out.bounds.high)
                continue
            receipt += fetched.receipt
            rows, keyed = self._records.look(fetched.records)
            tail.rows += rows
            tail.keyed.update(keyed)
            offset = fetched.reached[partition]
            if partition in fetched.ended:
                break
        return tail, receipt


def _under_key(tail: _Tail, stream: str, key: str) -> list[StoredEvent]:
    """The events of the append under a key; of another stream where this one has none.

    Where it was written twice, those that were first: the others are never handed out. The window may have cut them.
    """
    found = [row for row in tail.rows if row[0] in tail.keyed and tail.keyed[row[0]].key == key]
    own = [row for row in found if row[1] == stream] or found
    places = [tail.keyed[row[0]].ordinal for row in own]
    again = next((index for index in range(1, len(own)) if places[index] <= places[index - 1]), None)
    return own[:again]


def _answered(append: Append, known: Sequence[StoredEvent], keyed: Keyed, receipt: Receipt) -> Appended | KeyReused:
    """What an append is answered under whose key some events stand already."""
    if known[0][1] != append.stream or keyed.digest != digest_of(append):
        return KeyReused(receipt)
    return Appended(known[-1][0], known[-1][2], receipt, repeated=True)
