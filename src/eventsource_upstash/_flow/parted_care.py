"""Views in parts -> rebuilds, kept builds, parked events: what is done to a view is done to each of its parts."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from ..domain.events import FREE, CatchUp, Receipt
from ..domain.positions import place_of
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..errors import Misuse, ProjectionStopped
from ..ports import Log, Progress, Role, Views
from .catching_up import CatchingUp
from .notifying import Notifying
from .noting import SKIPPED_KEPT
from .parking import ParkedEvent, Parking, Retried, SkippedEvent
from .parted_work import look
from .parting import Parting
from .partitions import Partitions, each_part, position_in
from .rebuilding import Dropped, Rebuild, Rebuilding, Rebuilt

_log: Final = logging.getLogger("eventsource_upstash.projector")


class PartedParking(Parking):
    """Parked and skipped events, of views in parts too: each part has its own."""

    def __init__(self, views: Views, log: Log, catching_up: CatchingUp, partitions: Partitions) -> None:
        super().__init__(views, log, catching_up.noting)
        self._whole = Parking(views, log, catching_up.noting)
        self._partitions = partitions

    async def _parts(
        self, projection: Projection[object], key: str | None = None
    ) -> tuple[list[tuple[Parking, Projection[object]]], Receipt]:
        """What deals with the parts that are concerned, each with its folds."""
        if not projection.partitioned:
            return [(self._whole, projection)], FREE
        width, receipt = await self._partitions.width(projection.id)
        numbers = range(width) if key is None or not width else (self._partitions.partition_of(key, width),)
        opened = [(self._partitions.at(number), number) for number in numbers]
        return [
            (Parking(one.views, one.log, self._noting), self._partitions.part(projection, number, width))
            for one, number in opened
        ], receipt

    async def parked(
        self, projection: Projection[object], key: str | None
    ) -> AsyncGenerator[Sequence[ParkedEvent], None]:
        """See `Parking.parked`: part by part."""
        parts, _ = await self._parts(projection, key)
        for parking, part in parts:
            async for page in parking.parked(part, key):
                yield page

    async def skipped(self, projection: Projection[object]) -> tuple[SkippedEvent, ...]:
        """See `Parking.skipped`: the last ones of all parts, by the time."""
        parts, _ = await self._parts(projection)
        found = [each for parking, part in parts for each in await parking.skipped(part)]
        if len(parts) > 1:
            found.sort(key=lambda each: each.at, reverse=True)
        return tuple(found[:SKIPPED_KEPT])

    async def retry(self, projection: Projection[object], key: str | None) -> Retried:
        """See `Parking.retry`."""
        return await self._each(projection, key, Parking.retry)

    async def discard(self, projection: Projection[object], key: str | None) -> Retried:
        """See `Parking.discard`."""
        return await self._each(projection, key, Parking.discard)

    async def _each(
        self,
        projection: Projection[object],
        key: str | None,
        work: Callable[[Parking, Projection[object], str | None], Awaitable[Retried]],
    ) -> Retried:
        parts, receipt = await self._parts(projection, key)
        done = Retried(0, 0, receipt=receipt)
        for parking, part in parts:
            one = await work(parking, part, key)
            done = Retried(
                done.done + one.done, done.left + one.left, (*done.failed, *one.failed), done.receipt + one.receipt
            )
        return done


class PartedRebuild(Rebuild):
    """Rebuilds, of views in parts too: each part has builds of its own, and a new one serves once it is at the head."""

    def __init__(self, views: Views, catching_up: CatchingUp, notifying: Notifying | None, parting: Parting) -> None:
        super().__init__(views, catching_up, notifying)
        self._parting = parting
        self._partitions = parting.partitions

    def _of(self, number: int) -> Rebuild:
        """What rebuilds one part. Nobody is notified by it."""
        return Rebuild(self._partitions.at(number).views, self._parting.folding(number), None)

    async def rebuild(
        self,
        projection: Projection[object],
        progress: Callable[[Rebuilding], None] | None,
        time_budget: float | None,
    ) -> Rebuilt:
        """See `Rebuild.rebuild`. All parts are begun first, so that whoever catches up works on them as well."""
        if not projection.partitioned:
            return await super().rebuild(projection, progress, time_budget)
        deadline = None if time_budget is None else time.monotonic() + time_budget
        count, receipt = await self._partitions.count()
        receipt += await self._partitions.admit(projection, count)
        parts = {number: self._partitions.part(projection, number, count) for number in range(count)}
        begun: dict[int, Progress] = {}
        for number, part in parts.items():
            begun[number], cost = await self._of(number).begin(part)
            receipt += cost
        behind = await look(self._partitions, (projection,), count)
        receipt += behind.receipt
        watch = _Watch(projection, begun, behind.heads, progress)
        complete = True
        stopped: ProjectionStopped | None = None
        for number, part in parts.items():
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) / (count - number)
            try:
                rebuilt = await self._of(number).go_on(part, begun[number], watch.of(number), left, FREE)
            except ProjectionStopped as error:
                stopped = stopped or error
                receipt += error.result.receipt
                continue
            receipt += rebuilt.receipt
            complete = complete and rebuilt.complete
            watch.note(number, rebuilt.position, rebuilt.head)
        done = Rebuilt(watch.generation, watch.position, watch.head, complete and stopped is None, receipt)
        if stopped is not None:
            stopped.result = CatchUp(0, done.position, done.head, complete=False, receipt=receipt)
            raise stopped
        if not done.complete:
            done = msgspec.structs.replace(done, receipt=done.receipt + await self.tell(projection, done.head))
        return done

    async def go_back(self, projection: Projection[object], generation: int | None) -> tuple[int, Receipt]:
        """See `Rebuild.go_back`: part by part, after a look whether each of them can."""
        if not projection.partitioned:
            return await super().go_back(projection, generation)
        width, receipt = await self._partitions.width(projection.id)
        builds, _, cost = await self._partitions.whole.progress(each_part(projection.id, width))
        receipt += cost
        kept: dict[ProjectionId, list[int]] = {each: [] for each in each_part(projection.id, width)}
        for each in builds:
            if each.role is Role.KEPT or (each.generation == generation and each.role is Role.SERVING):
                kept[each.projection].append(each.generation)
        wanted = {
            part: (max(found, default=None) if generation is None else generation if generation in found else None)
            for part, found in kept.items()
        }
        lacking = [str(number) for number, each in enumerate(wanted.values()) if each is None]
        if lacking or not width:
            which = "a generation before this one" if generation is None else f"generation {generation}"
            where = f" of partition {', '.join(lacking)}" if lacking else ""
            raise Misuse(
                f"projection {projection.name!r}: {which} of its view is not kept{where}; there is nothing to go "
                "back to"
            )
        served = 0
        for number, part in enumerate(kept):
            back, cost = await self._of(number).go_back(self._partitions.part(projection, number, width), wanted[part])
            served = max(served, back)
            receipt += cost
        return served, receipt

    async def drop(self, projection: ProjectionId, generation: int | None, *, version: bool) -> Dropped:
        """See `Rebuild.drop`: part by part."""
        width, receipt = await self._partitions.width(projection)
        parts = each_part(projection, width)
        if generation is not None and parts:
            builds, _, cost = await self._partitions.whole.progress(parts)
            receipt += cost
            if any(each.generation == generation and each.role is Role.SERVING for each in builds):
                raise Misuse(
                    f"projection {projection.name!r}: generation {generation} of its view is one that serves; go back "
                    "to another one first"
                )
        gone: dict[int, None] = {}
        for number, part in enumerate(parts):
            dropped = await self._of(number).drop(part, generation, version=version)
            gone.update(dict.fromkeys(dropped.generations))
            receipt += dropped.receipt
        if version or not width:
            whole = await Rebuild(self._partitions.whole, self._catching_up, None).drop(
                projection, generation, version=version
            )
            gone.update(dict.fromkeys(whole.generations))
            receipt += whole.receipt
        if version and width:
            kept = await self._of(0).drop(projection.parts, None, version=True)
            self._partitions.forget(projection)
            receipt += kept.receipt
        return Dropped(tuple(gone), receipt)


class _Watch:
    """Tells a caller how far a rebuild of all parts is, page by page."""

    def __init__(
        self,
        projection: Projection[object],
        begun: Mapping[int, Progress],
        heads: Mapping[int, int],
        tell: Callable[[Rebuilding], None] | None,
    ) -> None:
        self._projection = projection
        self._tell = tell
        self._places = {number: place_of(each.checkpoint) for number, each in begun.items()}
        self._heads = dict(heads)
        self._first = sum(self._places.values())
        self._began = time.monotonic()
        self.generation = max(each.generation for each in begun.values())

    @property
    def position(self) -> int:
        """How far it is."""
        return position_in(self._places, len(self._places))

    @property
    def head(self) -> int:
        """The log's last position."""
        return position_in(self._heads, len(self._places))

    def of(self, number: int) -> Callable[[Rebuilding], None]:
        """What is told of one part."""
        return lambda rebuilding: self.note(number, rebuilding.position, rebuilding.head, tells=True)

    def note(self, number: int, position: int, head: int, *, tells: bool = False) -> None:
        """Note how far one part is."""
        self._places[number] = max(self._places[number], place_of(position))
        self._heads[number] = max(self._heads[number], place_of(head))
        if self._tell is None or not tells:
            return
        elapsed = time.monotonic() - self._began
        done = sum(self._places.values()) - self._first
        left = max(0, sum(self._heads.values()) - sum(self._places.values()))
        remaining = elapsed * left / done if done else 0.0 if not left else None
        self._tell(Rebuilding(self._projection.name, self.generation, self.position, self.head, elapsed, remaining))
