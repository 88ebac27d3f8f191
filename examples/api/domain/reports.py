"""Reports: asked for now, made in the background. The document tells whoever waits how far it is.

report-requested   somebody wants one
report-advanced    a part of it is done
report-made        here it is
report-failed      it could not be made this time
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from eventsource_upstash import Recorded, Send

from .rules import registry

KEPT = timedelta(days=7)
"""How long a report can be fetched."""

JOB = "/workers/report"
"""Where the message goes that has a report made."""

PARTS = 4
"""Steps that the making of a report is told in."""


# --8<-- [start:events]
@registry.event("report-requested")
@dataclass(frozen=True)
class ReportRequested:
    id: str
    user: str
    fails: bool = False
    """Whether the first attempt is to fail, for whoever wants to see what becomes of it."""


@registry.event("report-advanced")
@dataclass(frozen=True)
class ReportAdvanced:
    id: str
    done: int


@dataclass(frozen=True)
class Summary:
    posts: int
    likes: int
    points: int
    rank: int | None
    best: str | None
    """The text of the post that most like."""


@registry.event("report-made")
@dataclass(frozen=True)
class ReportMade:
    id: str
    summary: Summary


@registry.event("report-failed")
@dataclass(frozen=True)
class ReportFailed:
    id: str
    reason: str


# --8<-- [end:events]


# --8<-- [start:view]
@dataclass(frozen=True)
class Report:
    id: str
    user: str
    asked_at: datetime
    state: Literal["queued", "working", "ready", "failed"] = "queued"
    done: int = 0
    of: int = PARTS
    reason: str | None = None
    summary: Summary | None = None


reports = registry.projection("reports", Report)
reports.index("user", "user")
reports.expires(lambda report: report.asked_at + KEPT)


@reports.on_recorded(ReportRequested, key=lambda event: event.id)
def requested(report: Report | None, recorded: Recorded[ReportRequested]) -> Report:
    return Report(recorded.event.id, recorded.event.user, recorded.recorded_at)


@reports.on(ReportAdvanced, key="id")
def advanced(report: Report | None, event: ReportAdvanced) -> Report | None:
    return report and replace(report, state="working", done=event.done, reason=None)


@reports.on(ReportMade, key="id")
def made(report: Report | None, event: ReportMade) -> Report | None:
    return report and replace(report, state="ready", done=report.of, reason=None, summary=event.summary)


@reports.on(ReportFailed, key="id")
def failed(report: Report | None, event: ReportFailed) -> Report | None:
    return report and replace(report, state="failed", done=0, reason=event.reason)


# --8<-- [end:view]


# --8<-- [start:reactor]
desk = registry.reactor("report-desk")


@desk.on(ReportRequested)
def order(event: ReportRequested) -> Send:
    return Send(JOB, {"id": event.id})


# --8<-- [end:reactor]


# -- What the job does is commands as well: a delivery that comes again decides on nothing --


@dataclass(frozen=True)
class RequestReport:
    id: str
    user: str
    fails: bool = False


@dataclass(frozen=True)
class AdvanceReport:
    id: str
    done: int


@dataclass(frozen=True)
class MakeReport:
    id: str
    summary: Summary


@dataclass(frozen=True)
class FailReport:
    id: str
    reason: str


ReportCommand = RequestReport | AdvanceReport | MakeReport | FailReport


@dataclass(frozen=True)
class Progress:
    user: str
    fails: bool
    done: int = 0
    made: bool = False
    failures: int = 0


progress = registry.aggregate("report", Progress)


@progress.on(ReportRequested)
def was_requested(state: Progress | None, event: ReportRequested) -> Progress:
    return Progress(event.user, event.fails)


@progress.on(ReportAdvanced)
def was_advanced(state: Progress | None, event: ReportAdvanced) -> Progress | None:
    return state and replace(state, done=event.done)


@progress.on(ReportMade)
def was_made(state: Progress | None, event: ReportMade) -> Progress | None:
    return state and replace(state, made=True)


@progress.on(ReportFailed)
def has_failed(state: Progress | None, event: ReportFailed) -> Progress | None:
    return state and replace(state, done=0, failures=state.failures + 1)


@progress.decide(RequestReport)
def request(state: Progress | None, command: RequestReport) -> ReportRequested | None:
    return None if state is not None else ReportRequested(command.id, command.user, command.fails)


@progress.decide(AdvanceReport)
def advance(state: Progress | None, command: AdvanceReport) -> ReportAdvanced | None:
    if state is None or state.made or state.done >= command.done:
        return None
    return ReportAdvanced(command.id, command.done)


@progress.decide(MakeReport)
def make(state: Progress | None, command: MakeReport) -> ReportMade | None:
    return None if state is None or state.made else ReportMade(command.id, command.summary)


@progress.decide(FailReport)
def fail(state: Progress | None, command: FailReport) -> ReportFailed | None:
    return None if state is None or state.made else ReportFailed(command.id, command.reason)


def stream_of(command: ReportCommand) -> str:
    return f"report-{command.id}"
