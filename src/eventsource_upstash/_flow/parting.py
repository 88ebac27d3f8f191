"""Partitions -> catch-ups: the parts of views are folded from their partitions, whole views from the whole log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from ..domain.events import FREE, CatchUp, Receipt
from ..domain.positions import join, meet, place_in, position_at, vector
from ..domain.projections import Projection
from ..errors import (
    CorruptLog,
    EventSourceError,
    LogRewound,
    Misuse,
    PartitionsChanged,
    ProjectionStopped,
    ReactorStopped,
)
from ..ports import Progress, Role
from .noting import staying
from .partitions import Partition, Partitions, position_in
from .passes import Reach
from .purging import PURGE_EVERY

if TYPE_CHECKING:
    from .catching_up import CatchingUp

_log: Final = logging.getLogger("eventsource_upstash.projector")


class _Behind(NamedTuple):
    """How far the parts of some views are.

    Attributes:
        builds: Of each partition the builds of all the parts that are folded from it.
        heads: Of each partition the last place.
        receipt: What it cost to look.
    """

    builds: dict[int, list[Progress]]
    heads: dict[int, int]
    receipt: Receipt

    def places(self) -> dict[int, int]:
        """Of each partition the place that all that serves has reached."""
        return {
            number: min(place_in(each.checkpoint, number) for each in builds if each.role is Role.SERVING)
            for number, builds in self.builds.items()
        }

    def wants(self, number: int, until: int | None) -> bool:
        """Whether a partition has something to be folded, of what is asked for."""
        builds = self.builds[number]
        goal = self.heads[number] if until is None else vector(until).at(number)
        if until is None and any(each.role is Role.BUILDING for each in builds):
            return True
        # Beyond the head as well: the log was rewound, which is told by whoever folds.
        return any(
            place_in(each.checkpoint, number) < goal or place_in(each.checkpoint, number) > self.heads[number]
            for each in builds
            if each.role in (Role.SERVING, Role.BUILDING)
        )


class Parting:
    """Catches up views of which some are kept in parts.

    Args:
        partitions: The log's partitions.
        open: Makes what folds one partition.
    """

    def __init__(self, partitions: Partitions, open: Callable[[Partition], CatchingUp]) -> None:
        self.partitions: Partitions = partitions
        self._open = open
        self._folding: dict[int, CatchingUp] = {}
        self._purged: dict[int, float] = {}
        self._turn = 0

    def folding(self, number: int) -> CatchingUp:
        """What folds one partition."""
        found = self._folding.get(number)
        if found is None:
            found = self._folding[number] = self._open(self.partitions.at(number))
        return found

    async def catch_up(self, whole: CatchingUp, until: int | None, time_budget: float | None, reach: Reach) -> CatchUp:
        """As `CatchingUp.catch_up`, where some of the views are kept in parts.

        Args:
            whole: Folds what is not kept in parts.
            until: As there.
            time_budget: As there.
            reach: As there; with at least one view that is kept in parts.
        """
        deadline = None if time_budget is None else time.monotonic() + time_budget
        parted = [each for each in reach.projections if each.partitioned]
        rest = [each for each in reach.projections if not each.partitioned]
        work = _Work(until, reach)
        admitted, count = await self._admit(work, parted)
        if admitted:
            await self._fold(work, admitted, count, deadline if not rest else _half(deadline))
        if rest or reach.everybody:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            await work.take(whole, left, replace(reach, projections=rest))
        return work.result()

    async def _admit(self, work: _Work, parted: Sequence[Projection[object]]) -> tuple[list[Projection[object]], int]:
        """Those that can be folded; the others hold up nobody."""
        count, work.receipt = await self.partitions.count()
        admitted: list[Projection[object]] = []
        for each in parted:
            try:
                work.receipt += await self.partitions.admit(each, count)
            except (PartitionsChanged, Misuse) as error:  # noqa: PERF203  each stands for itself
                work.errors.append(error)
            else:
                admitted.append(each)
        return admitted, count

    async def look(self, parted: Sequence[Projection[object]], count: int) -> _Behind:
        """How far the parts of views are, all of them."""
        parts = [each.id.part(number) for number in range(count) for each in parted]
        found, head, receipt = await self.partitions.whole.progress(parts)
        of = {each.id.part(number): number for number in range(count) for each in parted}
        builds: dict[int, list[Progress]] = {number: [] for number in range(count)}
        for build in found:
            builds[of[build.projection]].append(build)
        return _Behind(builds, {number: vector(head).at(number) for number in range(count)}, receipt)

    async def _fold(
        self, work: _Work, parted: Sequence[Projection[object]], count: int, deadline: float | None
    ) -> None:
        behind = await self.look(parted, count)
        work.receipt += behind.receipt
        places, heads = behind.places(), behind.heads
        numbers = [number for number in self._in_turn(count) if behind.wants(number, work.until)]
        if work.reach.everybody and any(each.ends for each in parted):
            now = time.monotonic()
            idle = [each for each in range(count) if now - self._purged.get(each, -PURGE_EVERY) >= PURGE_EVERY]
            self._purged.update(dict.fromkeys(idle, now))
            numbers += [number for number in idle if number not in numbers]
        for done, number in enumerate(numbers):
            now = time.monotonic()
            if deadline is not None and now >= deadline and done:
                work.late = True
                break
            share = None if deadline is None else max(0.0, (deadline - now) / (len(numbers) - done))
            parts = tuple([self.partitions.part(each, number, count) for each in parted])
            result = await work.fold(
                self.folding(number), number, share, Reach(parts, work.reach.everybody, work.reach.building)
            )
            if result is not None:
                places[number] = place_in(result.position, number)
                heads[number] = max(heads[number], place_in(result.head, number))
        if work.until is None:
            await self._met(work, behind)
        work.reached(position_in(places, count), position_in(heads, count))

    async def _met(self, work: _Work, behind: _Behind) -> None:
        """Note that parts of partitions without events have met the head: nothing that is folded would tell."""
        for number, builds in behind.builds.items():
            commits = [
                staying(each)._replace(expected=0, checkpoint=0, head=0)
                for each in builds
                if not behind.heads[number] and each.role is Role.SERVING and not each.met and not each.checkpoint
            ]
            if commits:
                work.receipt += (await self.partitions.at(number).views.commit(commits, None)).receipt

    def _in_turn(self, count: int) -> Iterator[int]:
        """The partitions, beginning with another one each time: where the time is short, each comes first in turn."""
        self._turn += 1
        return ((self._turn + number) % count for number in range(count))


class _Work:
    """What a catch-up over partitions has done, and what went wrong."""

    def __init__(self, until: int | None, reach: Reach) -> None:
        self.until = until
        self.reach = reach
        self.applied = 0
        self.receipt: Receipt = FREE
        self.position: int | None = None
        self.head = 0
        self.late = False
        self.complete = True
        self.errors: list[Exception] = []

    async def fold(self, folding: CatchingUp, number: int, budget: float | None, reach: Reach) -> CatchUp | None:
        """Fold one partition. What cannot go on there holds up no other one."""
        until = None if self.until is None else _packed(number, vector(self.until).at(number))
        try:
            return self._done(await folding.catch_up(until, budget, reach))
        except ProjectionStopped as stopped:
            self.errors.append(stopped)
            return self._done(stopped.result)
        except (LogRewound, CorruptLog) as error:
            self.errors.append(error)
            self.complete = False
            return None

    async def take(self, whole: CatchingUp, budget: float | None, reach: Reach) -> None:
        """Fold what is not kept in parts."""
        if not reach.projections and not whole.following:
            return
        try:
            result = await whole.catch_up(self.until, budget, reach)
        except ProjectionStopped as stopped:
            self.errors.append(stopped)
            result = stopped.result
        except (LogRewound, CorruptLog) as error:
            self.errors.append(error)
            self.complete = False
            return
        self._done(result)
        self.reached(result.position, result.head)

    def _done(self, result: CatchUp) -> CatchUp:
        self.applied += result.applied
        self.receipt += result.receipt
        self.complete = self.complete and result.complete
        return result

    def reached(self, position: int, head: int) -> None:
        """Note how far some of the views are."""
        self.position = position if self.position is None else meet(self.position, position)
        self.head = join(self.head, head)

    def result(self) -> CatchUp:
        """What was done. Raises what has gone wrong, now that everything else is done."""
        position = self.head if self.position is None else self.position
        goal = self.head if self.until is None else self.until
        there = goal <= position
        result = CatchUp(self.applied, position, self.head, self.complete and there and not self.late, self.receipt)
        for kind in (LogRewound, EventSourceError):
            for error in self.errors:
                if isinstance(error, kind) and not isinstance(error, ProjectionStopped):
                    raise error
        stopped = [error for error in self.errors if isinstance(error, ProjectionStopped)]
        stopped.sort(key=lambda error: isinstance(error, ReactorStopped))
        if stopped:
            first, *others = stopped
            names = dict.fromkeys([name for each in others for name in (each.projection, *each.others)])
            first.result = result
            first.others = tuple(dict.fromkeys([*first.others, *[each for each in names if each != first.projection]]))
            raise first
        return result


def _packed(number: int, place: int) -> int:
    return position_at(number, place) if place else 0


def _half(deadline: float | None) -> float | None:
    """Half of the time that is left: the other half is for what is not kept in parts."""
    now = time.monotonic()
    return None if deadline is None else now + max(0.0, deadline - now) / 2
