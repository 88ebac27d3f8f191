"""Partitions -> catch-ups: the parts of views are folded from their partitions, whole views from the whole log."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from ..domain.events import CatchUp
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..errors import EventSourceError, Misuse, PartitionsChanged
from ..ports import Membership, Pulled, Role
from .parted_work import Course, Work
from .partitions import Partition, Partitions
from .passes import Reach
from .purging import PURGE_EVERY
from .running import pause_after
from .sharing import WHOLE, Sharing

if TYPE_CHECKING:
    from .catching_up import CatchingUp

T = TypeVar("T")

_log: Final = logging.getLogger("eventsource_upstash.projector")

SLICE: Final = 2.0
"""Seconds that a worker folds before it looks again which partitions are its own."""


class Parting:
    """Catches up views of which some are kept in parts.

    Args:
        partitions: The log's partitions.
        clock: Nanoseconds since 1970 (UTC), by which leases end.
        page_size: Most events in a page: with fewer to fold in a partition, nobody asks who else does.
        open: Makes what folds one partition.
    """

    def __init__(
        self,
        partitions: Partitions,
        clock: Callable[[], int],
        page_size: int,
        open: Callable[[Partition], CatchingUp],
    ) -> None:
        self.partitions: Partitions = partitions
        self._clock = clock
        self._page_size = page_size
        self._open = open
        self._folding: dict[int, CatchingUp] = {}
        self._purged: dict[int, float] = {}
        self._in_parts: dict[ProjectionId, bool] = {}
        self._turn = 0

    def folding(self, number: int) -> CatchingUp:
        """What folds one partition."""
        found = self._folding.get(number)
        if found is None:
            found = self._folding[number] = self._open(self.partitions.at(number))
        return found

    def shift(self, whole: CatchingUp, projections: Sequence[Projection[object]], pause: float) -> Shift:
        """What a worker does that stays."""
        membership = self.partitions.membership() or Sharing(self.partitions.whole, self._clock)
        return Shift(self, whole, projections, membership, pause)

    def concerns(self, projections: Sequence[Projection[object]]) -> bool:
        """Whether some of them are kept in parts; or may be, by code of before, which is looked at once."""
        return any(each.partitioned or self._in_parts.get(each.id, True) for each in projections if not each.outbox)

    async def rest(self, work: Work) -> list[Projection[object]]:
        """What is not kept in parts. What was, and is not declared so any more, would be begun anew in silence."""
        whole = [each for each in work.reach.projections if not each.partitioned]
        asked = [each.id for each in whole if not each.outbox and each.id not in self._in_parts]
        if asked:
            builds, _, cost = await self.partitions.whole.progress([each.parts for each in asked])
            work.receipt += cost
            begun = {build.projection for build in builds if build.role is Role.SERVING and build.checkpoint}
            self._in_parts.update({each: each.parts in begun for each in asked})
        for each in whole:
            if self._in_parts.get(each.id):
                work.errors.append(
                    Misuse(
                        f"projection {each.name!r}, version {each.version}: its view is kept in parts, and is not "
                        "partitioned=True any more; raise its version, and it is built anew as a whole"
                    )
                )
        return [each for each in whole if not self._in_parts.get(each.id)]

    async def catch_up(
        self,
        whole: CatchingUp,
        until: int | None,
        time_budget: float | None,
        reach: Reach,
        watch: Callable[[Pulled], None] | None,
    ) -> CatchUp:
        """As `CatchingUp.catch_up`, where some of the views are kept in parts.

        Args:
            whole: Folds what is not kept in parts.
            until: As there.
            time_budget: As there.
            reach: As there; of projections that `concerns` says this of.
            watch: As there, of what is not kept in parts.
        """
        deadline = None if time_budget is None else time.monotonic() + time_budget
        work = Work(until, reach)
        rest = await self.rest(work)
        course = await self.begin(work)
        if course is not None:
            await self._go(course, self.wanted(course, work), work, deadline if not rest else _half(deadline))
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        await work.take(whole, left, replace(reach, projections=rest), watch)
        return work.result()

    async def begin(self, work: Work) -> Course | None:
        """Look how far the parts of views are, of those that can be folded; the others hold up nobody."""
        parted = [each for each in work.reach.projections if each.partitioned]
        if not parted:
            return None
        count, cost = await self.partitions.count()
        work.receipt += cost
        admitted: list[Projection[object]] = []
        for each in parted:
            try:
                work.receipt += await self.partitions.admit(each, count)
                admitted.append(each)
            except (PartitionsChanged, Misuse) as error:  # noqa: PERF203  each stands for itself
                work.errors.append(error)
        if not admitted:
            return None
        course = Course(work, self.partitions, admitted, count, self.folding)
        await course.begin()
        return course

    def wanted(self, course: Course, work: Work) -> list[int]:
        """The partitions in which there is something to do."""
        numbers = [number for number in self._in_turn(course.count) if course.behind.wants(number, work.until)]
        if work.reach.everybody and any(each.ends for each in work.reach.projections if each.partitioned):
            now = time.monotonic()
            idle = [each for each in range(course.count) if now - self._purged.get(each, -PURGE_EVERY) >= PURGE_EVERY]
            self._purged.update(dict.fromkeys(idle, now))
            numbers += [number for number in idle if number not in numbers]
        return numbers

    async def _go(self, course: Course, numbers: Sequence[int], work: Work, deadline: float | None) -> None:
        """Fold partitions, those first that nobody else is folding; and then the others all the same.

        A partition with less than a page to fold is folded at once: to ask for its lease would cost more than the page
        of the loser.
        """
        far = [number for number in numbers if course.lag(number) > self._page_size]
        if not far or not work.reach.everybody or work.until is not None:
            await course.go(numbers, deadline)
        else:
            visitor = Sharing(self.partitions.whole, self._clock)
            free = await _quietly(visitor.visit([str(number) for number in far]), frozenset[str]())
            held = [number for number in far if str(number) not in free]
            try:
                await course.go([number for number in numbers if number not in held], deadline)
            except Exception:
                await _quietly(visitor.leave(), None)
                raise
            if free:
                await _quietly(visitor.leave(), None)
            if held:
                await course.go(await course.wait(held, deadline), deadline)
        await course.end()

    def _in_turn(self, count: int) -> Iterator[int]:
        """The partitions, beginning with another one each time: where the time is short, each comes first in turn."""
        self._turn += 1
        return ((self._turn + number) % count for number in range(count))


def _half(deadline: float | None) -> float | None:
    """Half of the time that is left: the other half is for what is not kept in parts."""
    now = time.monotonic()
    return None if deadline is None else now + max(0.0, deadline - now) / 2


async def _quietly(doing: Awaitable[T], otherwise: T) -> T:
    """Do what only saves work: where it fails, that is logged, and everything else goes on."""
    try:
        return await doing
    except EventSourceError as error:
        _log.warning("who folds which partition could not be agreed on: %s", error)
        return otherwise


class Shift:
    """What a worker does that stays: it folds the partitions that are its own, and tells that it is there.

    What cannot be folded in one partition holds up no other one: it is tried again after a pause that grows.

    Args:
        parting: Folds the partitions.
        whole: Folds what is not kept in parts.
        projections: All that is folded.
        membership: Tells which partitions are its own.
        pause: Seconds of the first pause.
    """

    def __init__(
        self,
        parting: Parting,
        whole: CatchingUp,
        projections: Sequence[Projection[object]],
        membership: Membership,
        pause: float,
    ) -> None:
        self._parting = parting
        self._whole = whole
        self._projections = projections
        self._membership = membership
        self._pause = pause
        self._mine: frozenset[str] | None = None
        self._failing: dict[str, int] = {}
        self._again: dict[str, float] = {}
        self._told: dict[str, str] = {}

    async def go(self) -> bool:
        """Fold for a while what is its own. Answers whether there is more to fold at once."""
        reach = Reach(self._projections, everybody=True, building=True)
        work = Work(None, reach, stays=True)
        rest = replace(reach, projections=await self._parting.rest(work))
        self._note("in parts", work)
        parted = any(each.partitioned for each in self._projections)
        count = (await self._parting.partitions.count())[0] if parted else 0
        shares = [str(number) for number in range(count)]
        if rest.projections or self._whole.following:
            shares.append(WHOLE)
        # Where it cannot be told who has what, it goes on with what it had; at first with everything, as if alone.
        otherwise = frozenset(shares) if self._mine is None else self._mine
        self._mine = mine = await _quietly(self._membership.tend(shares), otherwise)
        end = time.monotonic() + SLICE
        more = False
        if mine - {WHOLE}:
            course = await self._parting.begin(work)
            self._note("admitted", work)
            numbers = [] if course is None else self._parting.wanted(course, work)
            numbers = [number for number in numbers if str(number) in mine and self._due(str(number))]
            for done, number in enumerate(numbers):
                assert course is not None
                left = max(0.0, end - time.monotonic()) / (len(numbers) - done)
                folded = await course.fold(number, left)
                failed = self._note(str(number), work)
                more = more or (folded is not None and not folded.complete and not failed)
            if course is not None:
                await course.end(mine)
        if WHOLE in mine and self._due(WHOLE):
            taken = await work.take(self._whole, max(0.0, end - time.monotonic()), rest)
            failed = self._note(WHOLE, work)
            more = more or (taken is not None and not taken.complete and not failed)
        return more

    async def end(self) -> None:
        """Hand over what it has, at once."""
        await _quietly(self._membership.leave(), None)

    def _due(self, share: str) -> bool:
        return time.monotonic() >= self._again.get(share, 0.0)

    def _note(self, share: str, work: Work) -> bool:
        """Note what went wrong in a share, if anything did; once, and not each time that it is the same again."""
        errors, work.errors = work.errors, []
        if not errors:
            for kept in (self._failing, self._again, self._told):
                kept.pop(share, None)
            return False
        failing = self._failing[share] = self._failing.get(share, 0) + 1
        self._again[share] = time.monotonic() + pause_after(failing, self._pause)
        told = "; ".join(map(str, errors))
        if told != self._told.get(share):
            self._told[share] = told
            _log.error("%s", told, exc_info=errors[0].__cause__)
        return True
