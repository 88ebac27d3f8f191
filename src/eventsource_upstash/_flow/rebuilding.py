"""Log -> another build of a view: folded beside the one that serves, which it takes the place of at the head."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ..domain.events import FREE, CatchUp, Receipt
from ..domain.progress import Notes, ProjectionId, Stopped
from ..domain.projections import Projection
from ..errors import LogRewound, Misuse, ProjectionStopped
from ..ports import MAX_PAGE_EVENTS, Progress, Pulled, Role, Views, Wanted
from .catching_up import CatchingUp, reshaped
from .notifying import Notifying
from .noting import CHANGES_KEPT, PARKED, SKIPPED_KEPT, changes_record, directory_of, parked_record, skipped_record
from .passes import Reach

_log: Final = logging.getLogger("eventsource_upstash.projector")


class Rebuilding(msgspec.Struct, frozen=True):
    """How far a rebuild is.

    Attributes:
        projection: The projection's name.
        generation: The build that is being made.
        position: The position that it has reached.
        head: The log's last position.
        elapsed: Seconds since this call began.
        remaining: Seconds that it will go on at the pace of this call, about; None before there is any.
    """

    projection: str
    generation: int
    position: int
    head: int
    elapsed: float
    remaining: float | None

    @property
    def fraction(self) -> float:
        """How much of the log is done, from 0 to 1."""
        return 1.0 if not self.head else min(1.0, self.position / self.head)


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuild came to.

    Attributes:
        generation: The build that was made, or is being made.
        position: The position that it has reached.
        head: The log's last position.
        complete: Whether it serves now. If not, whoever catches up goes on with it; so does the same call again.
        receipt: What this call cost.
    """

    generation: int
    position: int
    head: int
    complete: bool
    receipt: Receipt = FREE


class Dropped(msgspec.Struct, frozen=True):
    """What was deleted.

    Attributes:
        generations: The builds that are gone.
        receipt: What it cost.
    """

    generations: tuple[int, ...]
    receipt: Receipt = FREE


class _Watch:
    """Tells a caller how far a rebuild is, page by page."""

    def __init__(
        self, projection: Projection[object], generation: int, progress: Callable[[Rebuilding], None] | None
    ) -> None:
        self._projection = projection.id
        self._generation = generation
        self._tell = progress
        self._began = time.monotonic()
        self._first: int | None = None
        self.position: int  # this and the next one are known from the first page on
        self.head: int
        self.serves = False

    def __call__(self, pulled: Pulled) -> None:
        self.head = pulled.head
        mine = [each for each in pulled.progress if each.generation == self._generation]
        if not mine:  # somebody gave it up, or another one took its place already
            return
        self.position = mine[0].checkpoint
        self.serves = mine[0].role is Role.SERVING
        if self._first is None:
            self._first = self.position
        if self._tell is None:
            return
        elapsed = time.monotonic() - self._began
        done = self.position - self._first
        left = max(0, self.head - self.position)
        remaining = elapsed * left / done if done else 0.0 if not left else None
        self._tell(Rebuilding(self._projection.name, self._generation, self.position, self.head, elapsed, remaining))


class Rebuild:
    """Makes builds of views, goes back to kept ones, and deletes those that are not needed any more."""

    def __init__(self, views: Views, catching_up: CatchingUp, notifying: Notifying | None) -> None:
        self._views = views
        self._catching_up = catching_up
        self._notifying = notifying

    async def rebuild(
        self,
        projection: Projection[object],
        progress: Callable[[Rebuilding], None] | None,
        time_budget: float | None,
    ) -> Rebuilt:
        """See `Projector.rebuild`."""
        building, receipt = await self.begin(projection)
        return await self.go_on(projection, building, progress, time_budget, receipt)

    async def go_on(
        self,
        projection: Projection[object],
        building: Progress,
        progress: Callable[[Rebuilding], None] | None,
        time_budget: float | None,
        receipt: Receipt,
    ) -> Rebuilt:
        """Go on with a rebuild that was begun; `receipt` is what that cost."""
        generation = building.generation
        _log.info("%s: rebuilding, generation %d from position %s", projection.id, generation, building.checkpoint)
        watch = _Watch(projection, generation, progress)
        try:
            result = await self._catching_up.catch_up(None, time_budget, Reach((projection,), building=True), watch)
            receipt += result.receipt
        except ProjectionStopped as stopped:
            # The one that serves is stopped: that may be just why another one is built.
            receipt += stopped.result.receipt
        except LogRewound:
            if not watch.serves:
                raise
        if watch.serves:
            return Rebuilt(generation, watch.position, watch.head, complete=True, receipt=receipt)
        builds, head, cost = await self._views.progress((projection.id,))
        receipt += cost
        build = next((each for each in builds if each.generation == generation), None)
        if build is None or build.role is Role.DROPPED:
            raise Misuse(
                f"projection {projection.name!r}: the rebuild, generation {generation}, was given up meanwhile"
            )
        if build.role is Role.BUILDING and build.stopped is not None:
            raise _stopped(projection, build, build.stopped, head, receipt)
        complete = build.role is not Role.BUILDING
        if not complete:
            receipt += await self.tell(projection, head)
        return Rebuilt(generation, build.checkpoint, head, complete, receipt)

    async def tell(self, projection: Projection[object], head: int) -> Receipt:
        """Notify, so that a worker goes on with it. Answers what that cost."""
        if self._notifying is None:
            return FREE
        try:
            return await self._notifying.notify(head) or FREE
        except Exception as error:
            _log.warning("nobody was told to go on with the rebuild of projection %r: %s", projection.name, error)
            return FREE

    async def begin(self, projection: Projection[object]) -> tuple[Progress, Receipt]:
        """Begin another build, or go on with the one that there is; unless it can be gone on with no more."""
        building, receipt = await self._views.begin(projection.id)
        if building.checkpoint == 0:
            return building, receipt
        _, head, cost = await self._views.progress((projection.id,))
        receipt += cost
        if building.checkpoint <= head and reshaped(projection, building) is None:
            return building, receipt
        _log.info("%s: generation %d can be gone on with no more, and is given up", projection.id, building.generation)
        dropped = await self.drop(projection.id, building.generation, version=False)
        begun, cost = await self._views.begin(projection.id)
        return begun, receipt + dropped.receipt + cost

    async def go_back(self, projection: Projection[object], generation: int | None) -> tuple[int, Receipt]:
        """See `Projector.go_back`."""
        builds, _, receipt = await self._views.progress((projection.id,))
        serving = builds[0].generation
        kept = [each.generation for each in builds if each.role is Role.KEPT]
        wanted = generation if generation is not None else max(kept, default=None)
        if wanted == serving:
            return serving, receipt
        if wanted not in kept:
            have = ", ".join(map(str, sorted(kept))) or "none"
            which = "a generation before this one" if wanted is None else f"generation {wanted}"
            raise Misuse(
                f"projection {projection.name!r}: {which} of its view is not kept (kept: {have}); there is nothing to "
                "go back to"
            )
        done, cost = await self._views.serve(projection.id, serving, wanted)
        if not done:
            raise Misuse(
                f"projection {projection.name!r}: the builds of its view changed meanwhile; look at status(), and "
                "decide again"
            )
        _log.info("%s: generation %d serves again, instead of %d", projection.id, wanted, serving)
        return wanted, receipt + cost

    async def drop(self, projection: ProjectionId, generation: int | None, *, version: bool) -> Dropped:
        """See `Projector.drop_generations` and `Projector.drop_version`."""
        builds, _, receipt = await self._views.progress((projection,))
        if version:
            chosen = [each for each in builds if each.checkpoint or each.edition or each.role is not Role.SERVING]
        elif generation is None:
            chosen = [each for each in builds if each.role in (Role.KEPT, Role.DROPPED)]
        else:
            chosen = [each for each in builds if each.generation == generation]
            if any(each.role is Role.SERVING for each in chosen):
                raise Misuse(
                    f"projection {projection.name!r}: generation {generation} of its view is the one that serves; go "
                    "back to another one first"
                )
        for each in chosen:
            records, cost = await self._records(each)
            receipt += cost
            left = True
            while left:
                gone, cost = await self._views.drop(
                    projection, each.generation, records, MAX_PAGE_EVENTS, serving=version
                )
                receipt += cost
                left = not gone
            _log.info("%s: generation %d is deleted", projection, each.generation)
        return Dropped(tuple(each.generation for each in chosen), receipt)

    async def _records(self, build: Progress) -> tuple[Sequence[str], Receipt]:
        """The names of all records that a build may have."""
        notes = build.notes
        if build.role is Role.DROPPED:  # by somebody who did not end it: the notes are gone, and the records may not be
            notes = Notes(parked=1, skipped=SKIPPED_KEPT, changes=CHANGES_KEPT)
        names = [PARKED]
        names += [changes_record(number) for number in range(1, min(CHANGES_KEPT, notes.changes) + 1)]
        names += [skipped_record(number) for number in range(1, min(SKIPPED_KEPT, notes.skipped) + 1)]
        if not notes.parked:
            return names, FREE
        found, receipt = await self._views.load([Wanted(build.projection, build.generation, (), (PARKED,))])
        directory = directory_of(found[0])
        names += [parked_record(at, key) for key, positions in directory.keys.items() for at in positions]
        return names, receipt


def _stopped(
    projection: Projection[object], build: Progress, why: Stopped, head: int, receipt: Receipt
) -> ProjectionStopped:
    return ProjectionStopped(
        projection=projection.name,
        position=why.position,
        reason=f"its rebuild, generation {build.generation}: {why.reason}",
        result=CatchUp(0, build.checkpoint, head, complete=False, receipt=receipt),
    )
