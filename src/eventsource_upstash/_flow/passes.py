"""How far everybody is in the course of one catch-up, and what is left to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from ..domain.events import FREE, CatchUp, Receipt
from ..domain.positions import meet, nearer
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..errors import LogReplaced, LogRewound, LogTrimmed
from ..ports import MAX_PAGE_BYTES, Progress, Pull, Pulled, Role

_log: Final = logging.getLogger("eventsource_upstash.projector")

Build: TypeAlias = "tuple[ProjectionId, int]"
"""A build of a view: its projection and its generation."""


class Failure(msgspec.Struct, frozen=True):
    """Where a projection cannot go on, and why."""

    projection: ProjectionId
    position: int
    error: BaseException


class Reach(msgspec.Struct, frozen=True):
    """Who is brought up by a catch-up.

    Attributes:
        projections: Which projections.
        everybody: Whether these are all that are registered.
        building: Whether builds are brought up that do not serve yet.
    """

    projections: Sequence[Projection[object]]
    everybody: bool = False
    building: bool = False


class Pass:
    """The state of one catch-up: what is left to do, and what went wrong."""

    def __init__(self, reach: Reach, until: int | None, deadline: float | None) -> None:
        self.everybody: bool = reach.everybody
        self.projections: Sequence[Projection[object]] = reach.projections
        self.open: dict[ProjectionId, Projection[object]] = {each.id: each for each in reach.projections}
        self.parking: set[ProjectionId] = {each.id for each in reach.projections if each.on_error == "park"}
        self.building: bool = reach.building
        self.until = until
        self.deadline = deadline
        # Only who brings all of them to the head may say that no notification is outstanding. So nobody is let go of
        # at the head: it may have moved by the time that the last one gets there.
        self.settles: bool = reach.everybody and until is None
        self.failures: list[Failure] = []
        self.trouble: LogRewound | LogTrimmed | None = None
        self.serving: dict[ProjectionId, int] = {}
        self.rebuilt: dict[Build, int] = {}
        self.aside: dict[ProjectionId, int] = {}
        self.latest: dict[Build, Progress] = {}
        self.switched: set[Build] = set()
        self.applied: int = 0
        self.head: int = 0
        self.receipt: Receipt = FREE
        self.rear: bool = True
        self.ended: bool = False
        self.unsent: bool = False

    def next_pull(self, page_size: int) -> Pull | None:
        """What to pull next: front and rear in turns, so that neither a busy log nor a new projection starves."""
        self.rear = not self.rear
        if not self.open:
            return None
        return Pull(
            tuple(self.open), page_size, MAX_PAGE_BYTES, self.rear, self.settles, dict(self.aside), not self.building
        )

    def counts(self, progress: Progress) -> bool:
        """Whether a build is one that this pass brings up, and can."""
        return (
            progress.projection in self.open
            and (self.building or progress.role is Role.SERVING)
            and self.aside.get(progress.projection) != progress.generation
        )

    def leave(self, progress: Progress) -> None:
        """Let go of a build; of the whole projection when no build of it is left."""
        name = progress.projection
        others = [
            each
            for build, each in self.latest.items()
            if build[0] == name and build[1] != progress.generation and self.counts(each)
        ]
        if others:
            self.aside[name] = progress.generation
        else:
            self.open.pop(name, None)

    def take(self, pulled: Pulled) -> None:
        """Note how far everybody is, and let go of those who have arrived."""
        self.head = pulled.head
        goal = pulled.head if self.until is None else nearer(self.until, pulled.head)
        asked = {progress.projection for progress in pulled.progress}
        self.latest = {build: each for build, each in self.latest.items() if build[0] not in asked}
        self.latest.update({(each.projection, each.generation): each for each in pulled.progress})
        # Those that are still there are noted below: a rebuild that was given up meanwhile, or whose place another one
        # took, or that serves now, is none that is behind.
        self.rebuilt = {build: at for build, at in self.rebuilt.items() if build[0] not in asked}
        for progress in pulled.progress:
            if not self.counts(progress):
                continue
            name = progress.projection
            if not progress.checkpoint <= pulled.head:
                self.trouble = LogRewound(projection=name.known, checkpoint=progress.checkpoint, head=pulled.head)
                self.leave(progress)
                continue
            if pulled.mark is not None and progress.checkpoint == pulled.after:
                known = progress.notes.mark
                if known and known != pulled.mark:
                    self.trouble = _replaced(name.known, progress.checkpoint, pulled.head)
                    self.leave(progress)
                    continue
            self.reach(progress, progress.checkpoint)
            if pulled.lost is not None and progress.checkpoint == pulled.after:
                _log.error("%s, at position %s, cannot go on: %s", name, progress.checkpoint, pulled.lost)
                if progress.role is Role.SERVING or not self.everybody:  # a rebuild holds up only who asked for it
                    self.trouble = pulled.lost
                self.leave(progress)
                continue
            if progress.checkpoint >= goal and not self.settles and progress.role is Role.SERVING:
                self.leave(progress)

    def reach(self, progress: Progress, position: int) -> None:
        """Note how far a build is."""
        if progress.role is Role.SERVING:
            self.serving[progress.projection] = position
        else:
            self.rebuilt[progress.projection, progress.generation] = position

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def result(self) -> CatchUp:
        position = meet(*(self.serving.values() or [self.head]))
        goal = self.head if self.until is None else self.until
        # A rebuild that cannot go on holds up nobody: what it will replace serves, and is as it should be.
        rebuilt = [at for build, at in self.rebuilt.items() if self.aside.get(build[0]) != build[1]]
        complete = position >= goal and (self.until is not None or all(at >= self.head for at in rebuilt))
        complete = complete and not self.unsent
        return CatchUp(self.applied, position, self.head, complete, self.receipt)


def _replaced(projection: str, checkpoint: int, head: int) -> LogReplaced:
    remedy = "raise its version, and the view is built of this one"
    if projection.startswith("reactor~"):  # its outbox
        remedy = (
            "take the reactor out of the code, delete what it keeps with "
            f"projector.drop_version({projection!r}, 1), and put it back with since= the time that this one begins at"
        )
    where = f"the view of projection {projection!r}"
    return LogReplaced(projection=projection, checkpoint=checkpoint, head=head, where=where, remedy=remedy)
