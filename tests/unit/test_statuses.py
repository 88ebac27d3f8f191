"""What is told of a projection, from all its builds."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from eventsource_upstash._flow.statuses import BuildStatus, Failure, PartStatus, status_of
from eventsource_upstash.domain.positions import Vector, position_at
from eventsource_upstash.domain.progress import Notes, ProjectionId, Stopped
from eventsource_upstash.ports import Progress, Role

TASKS = ProjectionId("tasks", 2)
SINCE = datetime(2027, 1, 15, 8, microsecond=7, tzinfo=timezone.utc)
STOPPED = Stopped(8, "ValueError: no", 1_800_000_000_000_007)


def test_why_and_since_when_it_is_stopped_and_how_far_its_builds_are() -> None:
    builds = [
        Progress(TASKS, 3, 7, notes=Notes(stopped=STOPPED, parked=4, skipped=5), met=True),
        Progress(TASKS, 4, 9, role=Role.BUILDING),
        Progress(TASKS, 2, 10, role=Role.KEPT),
        Progress(TASKS, 1, 2, role=Role.KEPT, notes=Notes(stopped=STOPPED)),
        Progress(TASKS, 5, 1, role=Role.DROPPED),
    ]
    status = status_of(builds, 9)
    assert (status.name, status.version, status.generation, status.live) == ("tasks", 2, 3, True)
    assert (status.checkpoint, status.head, status.lag, status.state) == (7, 9, 2, "stopped")
    assert (status.parked, status.skipped) == (4, 5)
    failure = Failure(8, "ValueError: no", SINCE)
    assert status.stopped == failure
    assert status.rebuilding == BuildStatus(4, 9, 0)
    assert status.kept == (BuildStatus(2, 10, 0), BuildStatus(1, 2, 7, failure))


@pytest.mark.parametrize(
    ("checkpoint", "lag", "state"), [(9, 0, "current"), (8, 1, "behind"), (10, 0, "rewound"), (0, 9, "behind")]
)
def test_how_a_projection_is(checkpoint: int, lag: int, state: str) -> None:
    status = status_of([Progress(TASKS, 1, checkpoint)], 9)
    assert (status.lag, status.state, status.stopped, status.rebuilding, status.kept) == (lag, state, None, None, ())


def test_each_part_is_told_with_how_far_it_is_in_its_own_partition() -> None:
    head = Vector([4, 6, 2])
    parts = (
        (0, Progress(TASKS, 1, Vector([4]))),
        (1, Progress(TASKS, 2, Vector([0, 5]), notes=Notes(parked=3, stopped=STOPPED))),
        (2, Progress(TASKS, 1, Vector([]))),
    )
    status = status_of([Progress(TASKS, 1, Vector([4, 5]), parts=parts)], head)
    assert status.lag == 3
    assert status.parts == (
        PartStatus(0, 1, position_at(0, 4), 0, 0),
        PartStatus(1, 2, position_at(1, 5), 1, 3, Failure(8, "ValueError: no", SINCE)),
        PartStatus(2, 1, 0, 2, 0),
    )
