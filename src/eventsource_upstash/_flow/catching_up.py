"""Notification -> catch-up -> folds -> view: read the next page, fold it, commit it, until the head is met."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from .._io.port import Port, Signal
from ..domain.events import FREE, CatchUp, StoredEvent
from ..domain.projections import Folded, Projection, ProjectionId, Stopped
from ..domain.registry import Registry
from ..errors import EventSourceError, LogRewound, Misuse, ProjectionStopped, TooLarge
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Commit, Outcome, Progress, Pull, Pulled, Views

_log: Final = logging.getLogger("eventsource_upstash.projector")
_view_log: Final = logging.getLogger("eventsource_upstash.view")

MAX_PAUSE: Final = 30.0
"""Longest pause, in seconds, of a worker whose catch-up keeps failing."""


class _Failure(NamedTuple):
    projection: ProjectionId
    position: int
    error: BaseException


class _Batch(NamedTuple):
    """What a page became: a commit for each view that it changes, and what went wrong."""

    commits: list[Commit]
    folds: list[Folded]
    failures: list[_Failure]


class _Pass:
    """The state of one catch-up: what is left to do, and what went wrong."""

    def __init__(
        self,
        projections: Sequence[Projection[object]],
        until: int | None,
        deadline: float | None,
        *,
        everybody: bool,
    ) -> None:
        self.open = {projection.id: projection for projection in projections}
        self.until = until
        self.deadline = deadline
        # Only who brings all of them to the head may say that no notification is outstanding. So nobody is let go of
        # at the head: it may have moved by the time that the last one gets there.
        self.settles = everybody and until is None
        self.failures: list[_Failure] = []
        self.rewound: LogRewound | None = None
        self.reached: dict[ProjectionId, int] = {}
        self.applied = 0
        self.head = 0
        self.receipt = FREE
        self.rear = True
        self.ended = False

    def next_pull(self, page_size: int) -> Pull | None:
        """What to pull next: front and rear in turns, so that neither a busy log nor a new projection starves."""
        self.rear = not self.rear
        if not self.open:
            return None
        return Pull(tuple(self.open), page_size, MAX_PAGE_BYTES, self.rear, self.settles)

    def take(self, pulled: Pulled) -> None:
        """Note how far everybody is, and let go of those who have arrived."""
        self.head = pulled.head
        goal = pulled.head if self.until is None else min(self.until, pulled.head)
        for progress in pulled.progress:
            name = progress.projection
            if progress.checkpoint > pulled.head:
                self.rewound = LogRewound(projection=name.name, checkpoint=progress.checkpoint, head=pulled.head)
                del self.open[name]
                continue
            self.reached[name] = progress.checkpoint
            if progress.checkpoint >= goal and not self.settles:
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
        work = _Pass(self._registry.projections if only is None else only, until, deadline, everybody=only is None)
        pull = work.next_pull(self._page_size)
        if pull is None:
            _log.info("no projection is registered: nothing to fold")
            return CatchUp(0, 0, 0, complete=True)
        pulled: Pulled | None = await self._pull(work, pull)
        while pulled is not None:
            work.take(pulled)
            if work.ended or not work.open or not pulled.events:
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

    async def _pull(self, work: _Pass, pull: Pull) -> Pulled:
        pulled = await self._views.pull(pull)
        work.receipt += pulled.receipt
        return pulled

    async def _page(self, work: _Pass, pulled: Pulled) -> Pulled | None:
        """Fold one page into every projection that is there, commit, and pull the next one."""
        rows = pulled.events
        here = [p for p in pulled.progress if p.checkpoint == pulled.after and p.projection in work.open]
        if work.until is not None:
            rows = [row for row in rows if row[0] <= work.until]
            if not rows:  # the next event is beyond `until`: this is as near as it gets
                for progress in here:
                    work.reached[progress.projection] = work.until
                    del work.open[progress.projection]
                then = work.next_pull(self._page_size)
                return None if then is None else await self._pull(work, then)
        refused: dict[ProjectionId, TooLarge] = {}
        while True:
            batch = await self._fold_all(work, here, rows, refused)
            open_before = dict(work.open)
            for failure in batch.failures:
                del work.open[failure.projection]
            then = work.next_pull(self._page_size)
            if then is not None and batch.commits and work.late:
                # Where the head is, is asked all the same: what was appended meanwhile owes no notification, and
                # whoever went by the head of before would take it for folded.
                _log.info("out of time at position %d of %d", rows[-1][0], pulled.head)
                work.ended = True
                then = then._replace(limit=1)
            if not batch.commits:
                work.failures += batch.failures
                return None if then is None else await self._pull(work, then)
            try:
                committed = await self._views.commit(batch.commits, then)
            except TooLarge as error:
                # The documents of a page may be far larger than its events: fold fewer of them.
                work.open.update(open_before)
                work.ended = False
                if len(rows) > 1:
                    rows = rows[: len(rows) // 2]
                elif len(here) > 1:
                    here = here[: len(here) // 2]
                else:  # one event, one projection: it stops there, and holds up nobody else
                    refused[here[0].projection] = error
                _log.info("%s; folding %d events at once", error, len(rows))
                continue
            break
        work.failures += batch.failures
        work.receipt += committed.receipt
        for commit, folded, outcome in zip(batch.commits, batch.folds, committed.outcomes, strict=True):
            self._note(work, commit, folded, outcome)
        return committed.pulled

    async def _fold_all(
        self,
        work: _Pass,
        here: Sequence[Progress],
        rows: list[StoredEvent],
        refused: Mapping[ProjectionId, TooLarge],
    ) -> _Batch:
        batch = _Batch([], [], [])
        shared: dict[int, object] | None = {} if len(here) > 1 else None
        plans = [
            work.open[each.projection].plan([] if each.projection in refused else rows, each.checkpoint, shared)
            for each in here
        ]
        wanted = [(each.projection, plan.keys) for each, plan in zip(here, plans, strict=True) if plan.keys]
        stored: dict[ProjectionId, dict[str, bytes]] = {}
        if wanted:
            found, receipt = await self._views.load(wanted)
            work.receipt += receipt
            stored = {projection: documents for (projection, _), documents in zip(wanted, found, strict=True)}
        for progress, plan in zip(here, plans, strict=True):
            name = progress.projection
            documents = stored.get(name, {})
            if (error := refused.get(name)) is not None:
                position = rows[0][0]
                folded = Folded({}, position - 1, 0, error, Stopped(position, str(error)))
            else:
                folded = work.open[name].fold(plan, documents)
            if folded.error is not None:
                batch.failures.append(_Failure(name, folded.checkpoint + 1, folded.error))
            commit = self._commit(progress, folded, documents)
            if commit is not None:
                batch.commits.append(commit)
                batch.folds.append(folded)
        return batch

    def _commit(self, progress: Progress, folded: Folded, stored: Mapping[str, bytes]) -> Commit | None:
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
            [key for key in folded.documents if key not in stored],
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
