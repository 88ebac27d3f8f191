"""One read of the log: partitions are fetched, repeats dropped, and the rest put in one order."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from ...domain.events import Receipt, StoredEvent
from ...domain.positions import PLACE_BITS, Vector, place_of
from ...domain.queries import Query
from ...errors import LogTrimmed
from ...ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS
from .merging import Page, Strip
from .records import Records
from .repeats import REPEAT_WINDOW, Window
from .topic import Fetched, OutOfRange, TopicClient

SHARE: Final = 50
"""Fewest records that are fetched of a partition at once, however many partitions there are."""

SHARE_BYTES: Final = 64 * 1024
"""Likewise the bytes: what is fetched of all partitions waits in memory, until it is its turn."""

KEPT: Final = 2
"""Places of a partition at which it is kept: one reader follows the log, say, while a rebuild is read far behind."""


class Look(Protocol):
    """Looks which partitions there are, once all was fetched that is known of, or when it is time to look again."""

    async def __call__(self, *, ended: bool) -> tuple[Mapping[int, int], Receipt] | None:
        """Of each partition the offset to begin with, and what it cost to look; None where it is not time."""
        ...


class Shelf:
    """What was fetched and not handed out, for whoever reads on from there. Safe under threads: each takes its own."""

    def __init__(self) -> None:
        self._strips: dict[int, tuple[Strip, ...]] = {}
        self._lock = threading.Lock()

    def take(self, partition: int, offset: int) -> Strip:
        """What is there of a partition after an offset: nothing, mostly."""
        with self._lock:
            kept = self._strips.get(partition, ())
            strip = next((each for each in kept if each.offset == offset), None)
            if strip is None:
                return Strip(offset)
            self._strips[partition] = tuple([each for each in kept if each is not strip])
        strip.ended, strip.error = False, None  # that was then
        return strip

    def put(self, partition: int, strip: Strip) -> None:
        """Keep what is left of a partition."""
        with self._lock:
            self._strips[partition] = (*self._strips.get(partition, ())[-KEPT + 1 :], strip)


class Reading:
    """A page of the log, as it is read.

    Attributes:
        rows: Its events.
        receipt: What it cost so far.
    """

    def __init__(
        self,
        client: TopicClient,
        topic: str,
        records: Records,
        shelf: Shelf,
        highs: dict[int, int],
        offsets: Mapping[int, int],
        receipt: Receipt,
    ) -> None:
        self.rows: list[StoredEvent] = []
        self.receipt: Receipt = receipt
        self._client = client
        self._topic = topic
        self._records = records
        self._shelf = shelf
        self._highs = highs
        self._strips = {partition: shelf.take(partition, offset) for partition, offset in offsets.items()}
        self._beyond: dict[int, int] = {}

    @property
    def ended(self) -> bool:
        """Whether everything was read that there is."""
        return all(strip.dry and strip.ended for strip in self._strips.values())

    async def _grow(self, look: Look, *, ended: bool) -> bool:
        """Go on with partitions that have come; False when there are none."""
        found = await look(ended=ended)
        if found is None:
            return False
        offsets, cost = found
        self.receipt += cost
        new = {partition: offset for partition, offset in offsets.items() if partition not in self._strips}
        self._strips.update({partition: self._shelf.take(partition, offset) for partition, offset in new.items()})
        return bool(new)

    async def read(self, limit: int, max_bytes: int, query: Query | None, look: Look | None = None) -> None:
        """Read until the page is full, or nothing is left.

        Args:
            limit: Most events.
            max_bytes: Bytes of payload that are enough.
            query: Which events.
            look: Looks for partitions that have come. It is asked before anything is handed out of what was fetched:
                what stands in them may be older, and of the same streams.

        Raises:
            UndecodableEvent: The app's own function fails at the record that comes next.
        """
        page = Page(limit - len(self.rows), max_bytes - sum([len(row[9]) for row in self.rows]), query)
        if query is not None:
            limit = MAX_PAGE_EVENTS
        while not page.full:
            dry = [strip for strip in self._strips.values() if strip.dry and not strip.ended]
            failed = next((strip.error for strip in dry if strip.error is not None), None)
            if failed is not None:
                if not (self.rows or page.rows):
                    raise failed
                break  # what comes before it is handed out
            if dry:
                await self._refill(limit, max_bytes)
                if look is not None:
                    ended = all(strip.ended for strip in self._strips.values())
                    if await self._grow(look, ended=ended):
                        continue
                    look = None if ended else look
            page.take(self._strips)
            if self.ended:
                break
        self.rows += page.rows

    async def _refill(self, limit: int, max_bytes: int) -> None:
        """Fetch more of where nothing is left, and of where little is: they all go on about equally."""
        # Of those that have ended nothing waits in memory: the others have their shares.
        going = len([strip for strip in self._strips.values() if not (strip.dry and strip.ended)])
        share, share_bytes = max(limit // going, SHARE), max(max_bytes // going, SHARE_BYTES)
        least = share // 2, share_bytes // 2
        low = {partition: strip.end for partition, strip in self._strips.items() if strip.low(*least)}
        await self._fetch(low, share * len(low), min(max_bytes, share_bytes * len(low)))

    async def highs(self) -> Vector:
        """Where the partitions end. Whoever has not reached that finds something there."""
        unknown = [
            partition
            for partition, strip in self._strips.items()
            if not strip.ended and self._highs.get(partition, 0) <= strip.offset
        ]
        if unknown:
            bounds, cost = await self._client.bounds(unknown)
            self.receipt += cost
            self._highs.update({partition: each.high for partition, each in bounds.items()})
        return Vector().moved({partition: self._high(partition, strip) for partition, strip in self._strips.items()})

    def _high(self, partition: int, strip: Strip) -> int:
        if partition in self._beyond:
            return self._beyond[partition]
        if strip.ended:
            self._highs[partition] = strip.end
        return max(self._highs.get(partition, 0), strip.end)

    def offsets(self) -> dict[int, int]:
        """Where each partition goes on, and put back what is left of them for who reads on from there."""
        offsets = {partition: strip.offset for partition, strip in self._strips.items()}
        for partition, strip in self._strips.items():
            self._shelf.put(partition, strip)
        return offsets

    async def _fetch(self, offsets: dict[int, int], limit: int, max_bytes: int) -> None:
        """Fetch what comes next in partitions."""
        while offsets:
            try:
                fetched = await self._client.fetch(offsets, limit, max_bytes)
            except OutOfRange as out:
                self._miss(out)
                offsets = {partition: offset for partition, offset in offsets.items() if partition != out.partition}
                continue
            self.receipt += fetched.receipt
            await self._look_back({record.partition for record in fetched.records})
            self._sort(offsets, fetched)
            return

    def _miss(self, out: OutOfRange) -> None:
        """What an offset means that is not there. Raises `LogTrimmed`."""
        if out.offset < out.bounds.low:
            raise LogTrimmed(topic=self._topic, partition=out.partition, first=out.offset, last=out.bounds.low - 1)
        # The topic is another one, or was taken back: whoever was there sees it in the head.
        self._beyond[out.partition] = out.bounds.high
        self._strips[out.partition].ended = True

    def _sort(self, offsets: Mapping[int, int], fetched: Fetched) -> None:
        (rows, keyed), failed = self._records.decode(fetched.records)
        apart: dict[int, list[StoredEvent]] = {partition: [] for partition in offsets}
        if len(apart) == 1:
            apart = dict.fromkeys(apart, rows)
        else:
            for row in rows:
                apart[row[0] >> PLACE_BITS].append(row)
        for partition, own in apart.items():
            strip = self._strips[partition]
            error = failed.get(partition)
            end = fetched.reached[partition] if error is None else place_of(error.position) - 1
            strip.fill(strip.window.sift(own, keyed, end), end, ended=error is None and partition in fetched.ended)
            strip.error = error

    async def _look_back(self, partitions: Iterable[int]) -> None:
        """Read what stands before a page, where this is not known: what comes again within the window is dropped."""
        goals = {partition: self._strips[partition].end for partition in sorted(partitions)}
        wanted = {
            partition: max(0, goal - REPEAT_WINDOW)
            for partition, goal in goals.items()
            if self._strips[partition].window.since > max(0, goal - REPEAT_WINDOW)
        }
        for partition, offset in wanted.items():
            self._strips[partition].window = Window(offset)
        while wanted:
            try:
                fetched = await self._client.fetch(wanted, REPEAT_WINDOW * len(wanted), MAX_PAGE_BYTES)
            except OutOfRange as out:
                low = max(out.bounds.low, out.offset + 1)
                wanted = {
                    partition: low if partition == out.partition else offset for partition, offset in wanted.items()
                }
                wanted = {partition: offset for partition, offset in wanted.items() if offset < goals[partition]}
                continue
            self.receipt += fetched.receipt
            for partition in wanted:
                goal = goals[partition]
                found = [each for each in fetched.records if each.partition == partition and each.offset < goal]
                self._strips[partition].window.sift(*self._records.look(found), min(goal, fetched.reached[partition]))
            wanted = {
                partition: fetched.reached[partition]
                for partition in wanted
                if fetched.reached[partition] < goals[partition] and partition not in fetched.ended
            }
