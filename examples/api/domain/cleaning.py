"""The nightly clean-up: what is old is archived, and each run leaves a line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eventsource_upstash import Recorded

from .rules import registry

JOB = "/workers/clean-up"
"""Where the clock sends its message."""

SCHEDULE = "nightly-clean-up"
CRON = "0 3 * * *"
"""At three in the morning, UTC."""

STREAM = "clean-up"


@registry.event("cleaned-up")
@dataclass(frozen=True)
class CleanedUp:
    archived: int


@dataclass(frozen=True)
class CleanUps:
    runs: int
    last_at: datetime
    archived: int
    """Posts that the last run archived."""


clean_ups = registry.projection("clean-ups", CleanUps)


@clean_ups.on_recorded(CleanedUp)
def cleaned_up(state: CleanUps | None, recorded: Recorded[CleanedUp]) -> CleanUps:
    runs = state.runs if state else 0
    return CleanUps(runs + 1, recorded.recorded_at, recorded.event.archived)


@dataclass(frozen=True)
class FinishCleanUp:
    archived: int


@dataclass(frozen=True)
class Runs:
    count: int


runs = registry.aggregate("clean-up", Runs)


@runs.on(CleanedUp)
def ran(state: Runs | None, event: CleanedUp) -> Runs:
    return Runs((state.count if state else 0) + 1)


@runs.decide(FinishCleanUp)
def finish(state: Runs | None, command: FinishCleanUp) -> CleanedUp:
    return CleanedUp(command.archived)
