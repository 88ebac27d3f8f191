"""How a projection is: where its view stands, what is built beside it, what is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from ..domain.events import to_datetime
from ..domain.positions import place_in, position_at, vector
from ..domain.progress import Stopped
from ..ports import Progress, Role

State = Literal["current", "behind", "stopped", "rewound"]


class Failure(msgspec.Struct, frozen=True):
    """Why a projection is stopped.

    Attributes:
        position: Position of the event that it cannot fold.
        reason: What went wrong there.
        since: When it stopped there first (UTC).
    """

    position: int
    reason: str
    since: datetime


class BuildStatus(msgspec.Struct, frozen=True):
    """How a build of a view is that does not serve.

    Attributes:
        generation: Which.
        checkpoint: Position that it has reached.
        lag: Head minus checkpoint.
        stopped: Why it is stopped, if it is.
    """

    generation: int
    checkpoint: int
    lag: int
    stopped: Failure | None = None


class PartStatus(msgspec.Struct, frozen=True):
    """How a part of a view is that is folded from one partition of the log.

    Attributes:
        partition: Which.
        generation: Which build of it is being served.
        checkpoint: Position that it has reached, in that partition.
        lag: How many places of the partition are ahead of it.
        parked: Events of it set aside.
        stopped: Why it is stopped, if it is.
    """

    partition: int
    generation: int
    checkpoint: int
    lag: int
    parked: int
    stopped: Failure | None = None


class ProjectionStatus(msgspec.Struct, frozen=True):
    """How a projection is.

    Attributes:
        name: Its name.
        version: Its version.
        generation: Which build of its view is being served.
        checkpoint: Position that its view has reached: of a log in several partitions a `Vector`.
        head: The log's last position, likewise.
        lag: Head minus checkpoint.
        parked: Events set aside because their fold failed, or one before them of the same document.
        state: "current" at the head, "behind" below it, "stopped" at an event that it cannot fold, "rewound" when the
            log ends before the checkpoint.
        stopped: Why it is stopped, if it is.
        skipped: Events passed over because their fold failed, ever.
        rebuilding: The build that is made to take the place of the one that serves, if there is one.
        kept: Builds that have served and are kept, newest first.
        live: Whether the view has ever been at the head. Before, reads are answered from the version before this one,
            if there is one that has.
        parts: Of a view that is kept in parts, each of them; none of another one.
    """

    name: str
    version: int
    generation: int
    checkpoint: int
    head: int
    lag: int
    parked: int
    state: State
    stopped: Failure | None = None
    skipped: int = 0
    rebuilding: BuildStatus | None = None
    kept: tuple[BuildStatus, ...] = ()
    live: bool = True
    parts: tuple[PartStatus, ...] = ()


def status_of(builds: Sequence[Progress], head: int) -> ProjectionStatus:
    """The status of a projection, from all its builds."""
    serving = builds[0]
    lag = max(0, head - serving.checkpoint)
    state: State = "behind" if lag else "current"
    if serving.stopped is not None:
        state = "stopped"
    if not serving.checkpoint <= head:
        state = "rewound"
    return ProjectionStatus(
        name=serving.projection.name,
        version=serving.projection.version,
        generation=serving.generation,
        checkpoint=serving.checkpoint,
        head=head,
        lag=lag,
        parked=serving.notes.parked,
        state=state,
        stopped=_failure(serving.stopped),
        skipped=serving.notes.skipped,
        rebuilding=next((_build(each, head) for each in builds if each.role is Role.BUILDING), None),
        kept=tuple(_build(each, head) for each in builds if each.role is Role.KEPT),
        live=serving.met,
        parts=tuple([_part(number, each, head) for number, each in serving.parts]),
    )


def _part(partition: int, part: Progress, head: int) -> PartStatus:
    place = place_in(part.checkpoint, partition)
    return PartStatus(
        partition,
        part.generation,
        position_at(partition, place) if place else 0,
        max(0, vector(head).at(partition) - place),
        part.notes.parked,
        _failure(part.stopped),
    )


def _build(build: Progress, head: int) -> BuildStatus:
    return BuildStatus(build.generation, build.checkpoint, max(0, head - build.checkpoint), _failure(build.stopped))


def _failure(stopped: Stopped | None) -> Failure | None:
    return None if stopped is None else Failure(stopped.position, stopped.reason, to_datetime(stopped.since_us))
