"""What a dialect does, and what those have in common whose servers tell where partitions end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from ....errors import Unavailable
from ...sending import Call
from ..topic import Bounds, Fetched, NewRecord, OutOfRange, Record
from .paging import page, sorted_out

BACK: Final = (1, 2, 4, 8, 16, 32)
"""How far before an offset a record is looked for, where nothing came from it on."""


class Memory:
    """What was found out about a topic: to be looked at first, not to be believed. Shared by all ports.

    Attributes:
        cluster: The cluster's id; "" before it was asked for.
        offsets: For each partition an offset that could be read.
        partitions: How many partitions there were; 0 before anybody looked.
    """

    def __init__(self, cluster: str = "") -> None:
        self.cluster: str = cluster
        self.offsets: dict[int, int] = {}
        self.partitions: int = 0


class Speaker(Protocol):
    """One topic in one dialect. What each method sends is noted in the call; errors are as `RestTransport.ask` has."""

    async def partitions(self, call: Call) -> int:
        """How many partitions the topic has."""
        ...

    async def bounds(self, call: Call, partitions: Sequence[int]) -> dict[int, Bounds]:
        """What can be read of each partition."""
        ...

    async def fetch(self, call: Call, asked: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """See `TopicClient.fetch`."""
        ...

    async def prepare(self, call: Call) -> None:
        """Find out what has to be known before something is written: with the call of a read, which is tried again."""
        ...

    async def produce(self, call: Call, partition: int, record: NewRecord) -> int:
        """Write a record; answers its offset."""
        ...


class EndsAreTold:
    """Fetches where the server tells the ends: it is asked for records only where there are some.

    So nothing waits for what is not there, and an answer without records is not taken for the end.
    """

    async def prepare(self, call: Call) -> None:
        """See `Speaker.prepare`: nothing."""

    async def highs(self, call: Call, partitions: Sequence[int]) -> dict[int, int]:
        """The end of each partition."""
        raise NotImplementedError

    async def lows(self, call: Call, partitions: Sequence[int]) -> dict[int, int]:
        """The beginning of each partition."""
        raise NotImplementedError

    async def read(
        self, call: Call, offsets: Mapping[int, int], highs: Mapping[int, int], limit: int, max_bytes: int
    ) -> list[Record]:
        """Records from offsets on, of partitions that have some: at least one of each, if it can be had."""
        raise NotImplementedError

    async def bounds(self, call: Call, partitions: Sequence[int]) -> dict[int, Bounds]:
        """See `Speaker.bounds`."""
        lows = await self.lows(call, partitions)
        highs = await self.highs(call, partitions)
        return {partition: Bounds(lows[partition], highs[partition]) for partition in partitions}

    async def fetch(self, call: Call, asked: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """See `TopicClient.fetch`."""
        highs = await self.highs(call, list(asked))
        for partition, offset in asked.items():
            if offset > highs[partition]:
                raise OutOfRange(partition, offset, (await self.bounds(call, [partition]))[partition])
        behind = {partition: offset for partition, offset in asked.items() if offset < highs[partition]}
        found: dict[int, list[Record]] = {}
        cut: set[int] = set()
        if behind:
            found = sorted_out(behind, await self.read(call, behind, highs, limit, max_bytes))
            cut = await self._cut(call, behind, found, highs)
            late = {
                partition: await self._look_before(call, partition, offset)
                for partition, offset in behind.items()
                if not found[partition]
            }
            found |= late
            cut |= await self._cut(call, behind, {partition: each for partition, each in late.items() if each}, highs)
        exhausted = {
            partition
            for partition in asked
            if not found.get(partition) or found[partition][-1].offset + 1 >= highs[partition]
        }
        return page(asked, found, exhausted - cut, limit, max_bytes, call.receipt())

    async def _look_before(self, call: Call, partition: int, offset: int) -> list[Record]:
        """Records from an offset on, where none came though there should be some: read from a record before it on.

        Where that one comes alone, nothing behind it can be read: the end of a transaction, or one that is not over.
        Where nothing comes either, the server is slow, and has said nothing about what there is.
        """
        for back in BACK:
            if back > offset:
                break
            start = {partition: offset - back}
            seen = sorted_out(start, await self.read(call, start, {partition: offset}, 1, 1))[partition]
            if seen:
                return [record for record in seen if record.offset >= offset]
        raise nothing_came(call, partition, offset)

    async def _cut(
        self, call: Call, asked: Mapping[int, int], found: dict[int, list[Record]], highs: Mapping[int, int]
    ) -> set[int]:
        """Leave out what follows on a gap that retention may have made while it was read; of which partitions it was.

        A server that is to read where nothing is kept any more goes on elsewhere, and does not say so.
        """
        seen = {partition: _gap(asked[partition], each) for partition, each in found.items()}
        gaps = {partition: gap for partition, gap in seen.items() if gap is not None}
        lows = await self.lows(call, list(gaps)) if gaps else {}
        lost = {partition for partition, gap in gaps.items() if gap < lows[partition]}
        for partition in lost:
            if gaps[partition] == asked[partition]:
                bounds = Bounds(lows[partition], max(lows[partition], highs[partition]))
                raise OutOfRange(partition, asked[partition], bounds)
            found[partition] = [record for record in found[partition] if record.offset < gaps[partition]]
        return lost


def nothing_came(call: Call, partition: int, offset: int) -> Unavailable:
    """The error where a server hands out nothing of what it has."""
    return Unavailable(
        f"{call.what}: partition {partition} goes on from offset {offset}, but nothing of that was handed out in time; "
        "nothing was skipped. Try again later"
    )


def _gap(asked: int, records: Sequence[Record]) -> int | None:
    """The first offset that is not there; None where there is no gap. Nothing at all is a gap."""
    for expected, record in enumerate(records, asked):
        if record.offset != expected:
            return expected
    return None if records else asked
