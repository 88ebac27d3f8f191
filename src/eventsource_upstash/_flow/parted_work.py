"""What one catch-up over partitions knows, has done, and what went wrong in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from ..domain.events import FREE, CatchUp, Receipt
from ..domain.positions import join, meet, place_in, place_of, position_at, vector
from ..domain.projections import Projection
from ..errors import CorruptLog, EventSourceError, LogRewound, ProjectionStopped, ReactorStopped
from ..ports import Progress, Pulled, Role
from .noting import staying
from .partitions import Partitions, position_in
from .passes import Reach

if TYPE_CHECKING:
    from .catching_up import CatchingUp

PAUSE: Final = 0.2
"""Seconds between two looks at partitions that somebody else folds."""


class Behind(NamedTuple):
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

    def moved(self, number: int, before: Behind) -> bool:
        """Whether a partition has been gone on with since."""
        return self.builds[number] != before.builds[number]


class Work:
    """What a catch-up over partitions has done, and what went wrong."""

    def __init__(self, until: int | None, reach: Reach, *, stays: bool = False) -> None:
        self.until = until
        self.reach = reach
        # Whoever stays tries again, each partition for itself: what cannot be reached now holds up no other one either.
        self._taken: tuple[type[EventSourceError], ...] = (EventSourceError,) if stays else (LogRewound, CorruptLog)
        self.applied: int = 0
        self.receipt: Receipt = FREE
        self.position: int | None = None
        self.head: int = 0
        self.late = False
        self.complete: bool = True
        self.errors: list[Exception] = []

    async def fold(self, folding: CatchingUp, number: int, budget: float | None, reach: Reach) -> CatchUp | None:
        """Fold one partition. What cannot go on there holds up no other one."""
        until = None if self.until is None else position_at(number, vector(self.until).at(number))
        try:
            return self._done(await folding.catch_up(until, budget, reach))
        except ProjectionStopped as stopped:
            self.errors.append(stopped)
            return self._done(stopped.result)
        except self._taken as error:
            self.errors.append(error)
            return None

    async def take(
        self,
        whole: CatchingUp,
        budget: float | None,
        reach: Reach,
        watch: Callable[[Pulled], None] | None = None,
    ) -> CatchUp | None:
        """Fold what is not kept in parts, if there is anything. Answers as `fold`."""
        if not reach.projections and not (reach.everybody and whole.following):
            return None
        try:
            result = await whole.catch_up(self.until, budget, reach, watch)
        except ProjectionStopped as stopped:
            self.errors.append(stopped)
            result = stopped.result
        except self._taken as error:
            self.errors.append(error)
            return None
        self.reached(result.position, result.head)
        return self._done(result)

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


class Course:
    """The partitions in the course of one catch-up: those with something to fold, and how far each is.

    Args:
        work: What the catch-up has done.
        partitions: The log's partitions.
        parted: The views that are kept in parts.
        count: How many partitions there are.
        folding: What folds a partition.
    """

    def __init__(
        self,
        work: Work,
        partitions: Partitions,
        parted: Sequence[Projection[object]],
        count: int,
        folding: Callable[[int], CatchingUp],
    ) -> None:
        self._work = work
        self._partitions = partitions
        self._parted = parted
        self._folding = folding
        self.count: int = count
        self.behind: Behind
        self.places: dict[int, int]
        self.heads: dict[int, int]

    async def begin(self) -> None:
        """Look how far everybody is."""
        self.behind = await self.look()
        self.places, self.heads = self.behind.places(), dict(self.behind.heads)

    async def look(self) -> Behind:
        """How far the parts of the views are, all of them. Cost: a step, and a look at the log's head."""
        behind = await look(self._partitions, self._parted, self.count)
        self._work.receipt += behind.receipt
        return behind

    def lag(self, number: int) -> int:
        """How many places of a partition are ahead of the rearmost."""
        return self.behind.heads[number] - self.behind.places()[number]

    async def go(self, numbers: Sequence[int], deadline: float | None) -> None:
        """Fold some partitions, one after another, each with its share of the time; at least the first."""
        for done, number in enumerate(numbers):
            now = time.monotonic()
            if deadline is not None and now >= deadline and done:
                self._work.late = True
                return
            await self.fold(number, None if deadline is None else max(0.0, (deadline - now) / (len(numbers) - done)))

    async def fold(self, number: int, budget: float | None) -> CatchUp | None:
        """Fold one partition. Answers what was done; None where nothing can be, which is noted."""
        reach = self._work.reach
        parts = tuple([self._partitions.part(each, number, self.count) for each in self._parted])
        done = await self._work.fold(
            self._folding(number), number, budget, Reach(parts, reach.everybody, reach.building)
        )
        if done is not None:
            self.places[number] = place_of(done.position)
            self.heads[number] = max(self.heads[number], place_of(done.head))
        return done

    async def wait(self, held: Iterable[int], deadline: float | None) -> list[int]:
        """Wait for those who fold partitions, as long as they are seen to go on. Answers those that are left.

        Nobody is relied on: what is not gone on with from one look to the next is left to be folded here.
        """
        left: list[int] = []
        waiting: list[int] = list(held)
        before = self.behind
        while waiting and (pause := _pause(deadline)) > 0:
            await self._partitions.port.sleep(pause)
            now = await self.look()
            places = now.places()
            self.places.update({number: places[number] for number in waiting})
            there = [number for number in waiting if places[number] >= self.behind.heads[number]]
            still = [number for number in waiting if number not in there and now.moved(number, before)]
            left += [number for number in waiting if number not in there and number not in still]
            waiting, before = still, now
        return left + waiting

    async def end(self, mine: Collection[str] | None = None) -> None:
        """Note that parts of partitions without events have met the head, which nothing that is folded would tell.

        Args:
            mine: Of these partitions only; None for all.
        """
        empty = [number for number, head in self.heads.items() if not head and (mine is None or str(number) in mine)]
        for number in empty if self._work.until is None else ():
            commits = [
                staying(each)._replace(checkpoint=0, head=0)  # numbers, as all positions of a partition
                for each in self.behind.builds[number]
                if each.role is Role.SERVING and not each.met and not each.checkpoint
            ]
            if commits:
                self._work.receipt += (await self._partitions.at(number).views.commit(commits, None)).receipt
        self._work.reached(position_in(self.places, self.count), position_in(self.heads, self.count))


def _pause(deadline: float | None) -> float:
    """Seconds until the next look: none where the time is out."""
    return PAUSE if deadline is None else min(PAUSE, deadline - time.monotonic())


async def look(partitions: Partitions, parted: Sequence[Projection[object]], count: int) -> Behind:
    """How far the parts of views are, all of them."""
    of = {each.id.part(number): number for number in range(count) for each in parted}
    found, head, receipt = await partitions.whole.progress(list(of))
    builds: dict[int, list[Progress]] = {number: [] for number in range(count)}
    for build in found:
        builds[of[build.projection]].append(build)
    return Behind(builds, {number: vector(head).at(number) for number in range(count)}, receipt)
