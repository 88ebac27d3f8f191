"""Notification -> catch-up -> folds -> view: read the next page, fold it, commit it, until the head is met."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from .._io.port import Port, Signal
from ..domain.events import FREE, CatchUp
from ..domain.projections import Folded, Plan, Projection, ProjectionId, Stopped
from ..domain.registry import Registry
from ..errors import EventSourceError, LogRewound, Misuse, ProjectionStopped
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Commit, Outcome, Progress, Pull, Pulled, Views

_log: Final = logging.getLogger("eventsource_upstash.projector")
_view_log: Final = logging.getLogger("eventsource_upstash.view")

MAX_PAUSE: Final = 30.0
"""Longest pause, in seconds, of a worker whose catch-up keeps failing."""


class _Failure(NamedTuple):
    projection: ProjectionId
    position: int
    error: BaseException


class _Pass:
    """The state of one catch-up: what is left to do, and what went wrong."""

    def __init__(self, projections: Sequence[Projection[object]], until: int | None, deadline: float | None) -> None:
        self.open = {projection.id: projection for projection in projections}
        self.until = until
        self.deadline = deadline
        self.failures: list[_Failure] = []
        self.rewound: LogRewound | None = None
        self.reached: dict[ProjectionId, int] = {}
        self.applied = 0
        self.head = 0
        self.receipt = FREE
        self.rear = True

    def next_pull(self, page_size: int) -> Pull | None:
        """What to pull next: front and rear in turns, so that neither a busy log nor a new projection starves."""
        self.rear = not self.rear
        return Pull(tuple(self.open), page_size, MAX_PAGE_BYTES, self.rear) if self.open else None

    def take(self, pulled: Pulled) -> None:
        """Note how far everybody is, and let go of those who have arrived."""
        self.head = pulled.head
        self.receipt += pulled.receipt
        goal = pulled.head if self.until is None else min(self.until, pulled.head)
        for progress in pulled.progress:
            name = progress.projection
            if progress.checkpoint > pulled.head:
                self.rewound = LogRewound(projection=name.name, checkpoint=progress.checkpoint, head=pulled.head)
                del self.open[name]
                continue
            self.reached[name] = progress.checkpoint
            if progress.checkpoint >= goal:
                self.open.pop(name, None)

    @property
    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def result(self) -> CatchUp:
        position = min(self.reached.values(), default=self.head)
        goal = self.head if self.until is None else self.until
        return CatchUp(self.applied, position, self.head, position >= goal, self.receipt)


class CatchingUp:
    """Folds what is new in the log into the views."""

    def __init__(
        self,
        views: Views,
        registry: Registry,
        clock: Callable[[], int],
        page_size: int,
    ) -> None:
        if type(page_size) is not int or page_size < 1:
            raise Misuse(f"page_size={page_size!r}: it is a whole number from 1")
        self._views = views
        self._registry = registry
        self._clock = clock
        self._page_size = min(page_size, MAX_PAGE_EVENTS)

    async def catch_up(
        self,
        until: int | None,
        time_budget: float | None,
        only: Sequence[Projection[object]] | None = None,
    ) -> CatchUp:
        """See `Projector.catch_up`; `only` these projections."""
        if until is not None and (type(until) is not int or until < 0):
            raise Misuse(f"until={until!r}: it is a position, a whole number from 0")
        if time_budget is not None and time_budget < 0:
            raise Misuse(f"time_budget={time_budget!r}: it is a number of seconds from 0")
        deadline = None if time_budget is None else time.monotonic() + time_budget
        work = _Pass(self._registry.projections if only is None else only, until, deadline)
        pull = work.next_pull(self._page_size)
        if pull is None:
            _log.info("no projection is registered: nothing to fold")
            return CatchUp(0, 0, 0, complete=True)
        pulled: Pulled | None = await self._views.pull(pull)
        while pulled is not None:
            work.take(pulled)
            if not work.open or not pulled.events:
                break
            pulled = await self._page(work, pulled)
        result = work.result()
        if work.rewound is not None:
            raise work.rewound
        if work.failures:
            raise _stopped(work.failures, result)
        if result.applied:
            _log.info("caught up: %d events folded, at position %d", result.applied, result.position)
        return result

    async def _page(self, work: _Pass, pulled: Pulled) -> Pulled | None:
        """Fold one page into every projection that is there, commit, and pull the next one."""
        rows = pulled.events
        if work.until is not None:
            rows = [row for row in rows if row[0] <= work.until]
        here = [p for p in pulled.progress if p.checkpoint == pulled.after and p.projection in work.open]
        shared: dict[int, object] | None = {} if len(here) > 1 else None
        commits: list[Commit] = []
        folds: list[Folded] = []
        for progress in here:
            if not rows:  # the next event is beyond `until`: this is as near as it gets
                work.reached[progress.projection] = work.until or 0
                del work.open[progress.projection]
                continue
            projection = work.open[progress.projection]
            plan = projection.plan(rows, progress.checkpoint, shared)
            folded = await self._fold(work, projection, plan)
            if folded.error is not None:
                work.failures.append(_Failure(projection.id, folded.checkpoint + 1, folded.error))
                del work.open[projection.id]
            commit = self._commit(progress, folded)
            if commit is not None:
                commits.append(commit)
                folds.append(folded)
        then = work.next_pull(self._page_size)
        # A page that nobody wanted, since who is there has reached `until`, is no reason to stop before the first one.
        if then is not None and commits and work.late:
            _log.info("out of time at position %d of %d", rows[-1][0], pulled.head)
            then = None
        if not commits:
            return None if then is None else await self._views.pull(then)
        committed = await self._views.commit(commits, then)
        work.receipt += committed.receipt
        for commit, folded, outcome in zip(commits, folds, committed.outcomes, strict=True):
            self._note(work, commit, folded, outcome)
        return committed.pulled

    async def _fold(self, work: _Pass, projection: Projection[object], plan: Plan[object]) -> Folded:
        stored: dict[str, bytes] = {}
        if plan.keys:
            stored, receipt = await self._views.get_many(projection.id, plan.keys)
            work.receipt += receipt
        return projection.fold(plan, stored)

    def _commit(self, progress: Progress, folded: Folded) -> Commit | None:
        """What is to be written, or None when it would change nothing: the same stop at the same event again."""
        stopped = folded.stopped
        if stopped is not None:
            before = progress.stopped
            if before is not None and (before.position, before.reason) == (stopped.position, stopped.reason):
                if folded.checkpoint == progress.checkpoint:
                    return None
                stopped = before
            else:
                stopped = Stopped(stopped.position, stopped.reason, self._clock() // 1000)
        return Commit(
            progress.projection,
            progress.generation,
            progress.checkpoint,
            folded.checkpoint,
            folded.documents,
            stopped,
        )

    @staticmethod
    def _note(work: _Pass, commit: Commit, folded: Folded, outcome: Outcome) -> None:
        name = commit.projection
        if outcome is not Outcome.COMMITTED:
            _log.info("%s: position %d was %s; nothing was written", name, commit.checkpoint, outcome.value)
            return
        work.applied += folded.applied
        work.reached[name] = commit.checkpoint
        if _view_log.isEnabledFor(logging.INFO):
            _view_log.info(
                "%s: checkpoint %d -> %d, documents written: %d",
                name,
                commit.expected,
                commit.checkpoint,
                len(commit.documents),
            )

    async def run(self, port: Port, wake: Signal, stop: Signal, poll_interval: float) -> None:
        """See `Projector.run`. Ends when `stop` is raised."""
        check_poll_interval(poll_interval)
        failing = 0
        told = ""
        stop.listen(wake.set, 0)
        while True:
            # Read before the look at `stop` and at the log: what is set from here on ends the sleep below at once.
            seen = wake.count
            if stop.raised:
                return
            try:
                await self.catch_up(None, None)
            except Exception as error:  # whatever it is, the worker stays: the next try may do
                failing += 1
                if str(error) != told:  # the same trouble once more is not news
                    told = str(error)
                    _log.error("%s", error, exc_info=error.__cause__ or not isinstance(error, EventSourceError))
            else:
                failing = 0
                told = ""
            pause = poll_interval if not failing else min(MAX_PAUSE, poll_interval * 2 ** min(failing, 10))
            await port.sleep(pause, wake, seen)


def check_poll_interval(seconds: float) -> None:
    """Refuse what is no pause between two looks at the log. Raises `Misuse`."""
    if not seconds > 0:  # NaN is not either
        raise Misuse(f"poll_interval={seconds!r}: it is a number of seconds above 0")


def _stopped(failures: Sequence[_Failure], result: CatchUp) -> ProjectionStopped:
    first, *others = failures
    error = ProjectionStopped(
        projection=first.projection.name,
        position=first.position,
        reason=str(first.error),
        result=result,
        others=[failure.projection.name for failure in others],
    )
    error.__cause__ = first.error.__cause__ or first.error
    return error
