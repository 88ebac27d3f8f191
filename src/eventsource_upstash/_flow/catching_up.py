"""Notification -> catch-up -> folds -> view: read the next page, fold it, commit it, until the head is met."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import msgspec

from .._io.port import Port, Signal
from ..domain.events import CatchUp, StoredEvent
from ..domain.folding import Folded, Plan
from ..domain.positions import Vector, first_behind, is_position, nearer, past
from ..domain.progress import Stopped
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import EventSourceError, Misuse, ProjectionStopped, TooLarge, told_position
from ..ports import (
    MAX_PAGE_EVENTS,
    Commit,
    Outcome,
    Progress,
    Pull,
    Pulled,
    Role,
    Stored,
    Views,
    Wanted,
)
from .noting import MAX_PARKED, PARKED, Noting, directory_of, fits, mark_of, staying, to_be_parked
from .passes import Build, Failure, Pass, Reach
from .purging import Purging
from .wiring import once

if TYPE_CHECKING:
    from ..ports import Follower, Log
    from .following import Followers, Following
    from .parting import Parting
    from .partitions import Partitions
    from .reacting import Outboxes, Reacting

_log: Final = logging.getLogger("eventsource_upstash.projector")
_view_log: Final = logging.getLogger("eventsource_upstash.view")

NOTHING: Final = Stored({}, {}, {})


class _Batch(msgspec.Struct, frozen=True):
    """What a page became: a commit for each build that it changes, and what went wrong."""

    commits: list[Commit]
    folds: list[Folded]
    failures: list[tuple[Progress, Failure]]


class CatchingUp:
    """Folds what is new in the log into the views.

    Attributes:
        reacts: Answers what carries out what reactors decided; asked where there are any.
        following: What follows the log besides the views; None where nothing does.
        parting: What folds views that are kept in parts; None where the log is one sequence.
    """

    following: Following | None = None

    def __init__(
        self,
        views: Views,
        registry: Registry,
        clock: Callable[[], int],
        page_size: int,
        partitions: Partitions | None = None,
    ) -> None:
        if type(page_size) is not int or page_size < 1:
            raise Misuse(f"page_size={page_size!r}: it is a whole number from 1")
        self._views = views
        self._registry = registry
        self.noting: Noting = Noting(clock)
        self._page_size = min(page_size, MAX_PAGE_EVENTS)
        self._purging = Purging(views, self.noting)
        self.parting: Parting | None = None
        if partitions is not None:
            from .parting import Parting  # for logs in partitions

            self.parting = Parting(
                partitions, clock, page_size, lambda one: CatchingUp(one.views, registry, clock, page_size)
            )
        self.reacts: Callable[[], Reacting] | None = None

    def follow(self, follower: Follower, port: Port, log: Log) -> None:
        """See `Projector.follow`."""
        from .following import Following  # for those who have anything that follows

        following = once(self, "following", lambda: Following(port, log))
        following.add(follower)

    async def catch_up(
        self,
        until: int | None,
        time_budget: float | None,
        reach: Reach | None = None,
        watch: Callable[[Pulled], None] | None = None,
    ) -> CatchUp:
        """See `Projector.catch_up`.

        Args:
            until: A position to stop at, instead of the head.
            time_budget: Seconds after which no further page is begun.
            reach: Who is brought up; without it everybody.
            watch: Told how far everybody is, at each page.
        """
        if until is not None and not is_position(until):
            raise Misuse(f"until={until!r}: it is a position, a whole number from 0, or a Vector")
        if time_budget is not None and not time_budget >= 0:  # NaN is not either
            raise Misuse(f"time_budget={time_budget!r}: it is a number of seconds from 0")
        deadline = None if time_budget is None else time.monotonic() + time_budget
        if reach is None:
            reach = Reach(self._registry.subscriptions, everybody=True, building=True)
        if self.parting is not None and self.parting.concerns(reach.projections):
            return await self.parting.catch_up(self, until, time_budget, reach, watch)
        work = Pass(reach, until, deadline)
        # Nothing of reactors is loaded where there are none.
        outboxes = self.reacts().begin(work) if self.reacts is not None and self._registry.reactors else None
        pull = work.next_pull(self._page_size)
        following = self.following if reach.everybody else None
        if pull is None and following:
            return await following.alone(until, lambda: work.late, deadline)
        if pull is None:
            _log.debug("no projection is registered: nothing to fold")
            return CatchUp(0, 0, 0, complete=True)
        pulled: Pulled | None = await self._pull(work, pull)
        while pulled is not None:
            work.take(pulled)
            if watch is not None:
                watch(pulled)
            if work.ended:
                break
            if outboxes is not None and (left := outboxes.left(pulled)):
                pulled = await outboxes.clear(left, pulled.head, work.next_pull(self._page_size))
                continue
            if not work.open:
                break
            pulled = await self._step(work, pulled, outboxes)
        followed: Followers | None = None
        result = work.result()
        if following:
            followed = await following.follow(work.head if until is None else nearer(until, work.head), deadline)
            result = followed.added_to(result)
        if work.trouble is not None:
            raise work.trouble
        if work.failures:
            raise _stopped(work.failures, result)
        if followed is not None:
            followed.raise_failures(result)
        if outboxes is not None and (trouble := outboxes.trouble(result)) is not None:
            raise trouble
        if reach.everybody and result.complete and not work.late:
            try:
                result = msgspec.structs.replace(result, receipt=result.receipt + await self._purging.purge(work))
            except EventSourceError as error:  # everything is folded; that is what was asked for
                _log.warning("documents that have ended were not deleted, a later catch-up tries again: %s", error)
        if result.applied:
            _log.info("caught up: %d events folded, at position %s", result.applied, result.position)
        return result

    async def _pull(self, work: Pass, pull: Pull | None) -> Pulled | None:
        if pull is None:  # nobody is left
            return None
        pulled = await self._views.pull(pull)
        work.receipt += pulled.receipt
        return pulled

    async def _step(self, work: Pass, pulled: Pulled, outboxes: Outboxes | None) -> Pulled | None:
        """Do what there is to do with what was pulled, and pull what comes next."""
        if pulled.lost is not None:  # whoever was there has been let go of: what comes next for the others?
            return await self._pull(work, work.next_pull(self._page_size))
        if pulled.events or (pulled.reached is not None and pulled.reached != pulled.after):
            return await self._page(work, pulled, outboxes)
        return await self._switch(work, pulled)

    async def _switch(self, work: Pass, pulled: Pulled) -> Pulled | None:
        """At the head: let serve what is building there, without a page that would do it."""
        commits = [
            staying(each)._replace(
                notes=msgspec.structs.replace(each.notes, shape=work.open[each.projection].shape), head=pulled.head
            )
            for each in pulled.progress
            if each.role is Role.BUILDING
            and each.checkpoint >= pulled.head
            and work.counts(each)
            and (each.projection, each.generation) not in work.switched
        ]
        work.switched.update((each.projection, each.generation) for each in commits)
        then = work.next_pull(self._page_size)
        if not commits or then is None:
            return None
        committed = await self._views.commit(commits, then)
        work.receipt += committed.receipt
        return committed.pulled

    async def _page(self, work: Pass, pulled: Pulled, outboxes: Outboxes | None) -> Pulled | None:
        """Fold one page into every build that is there, commit, and pull the next one."""
        rows = pulled.events
        here = [each for each in pulled.progress if each.checkpoint == pulled.after and work.counts(each)]
        if work.until is not None and not isinstance(pulled.after, Vector):
            # Of partitions a whole page is folded: none of its rows is beyond `until` for all that it says.
            rows = [row for row in rows if row[0] <= work.until]
            if not rows and pulled.events:  # the next event is beyond `until`: this is as near as it gets
                for progress in here:
                    work.reach(progress, work.until)
                    work.leave(progress)
                return await self._pull(work, work.next_pull(self._page_size))
        refused: dict[Build, TooLarge] = {}
        while True:
            batch = await self._fold_all(work, here, rows, refused, pulled)
            before = dict(work.open), dict(work.aside), work.rear
            for progress, _ in batch.failures:
                work.leave(progress)
            then = work.next_pull(self._page_size)
            more = then is not None and then.rear and _others(work, pulled, here)
            if then is not None and batch.commits and work.late and not more:
                # Where the head is, is asked all the same: what was appended meanwhile owes no notification, and
                # whoever went by the head of before would take it for folded.
                _log.info("out of time at position %s of %s", batch.commits[0].checkpoint, pulled.head)
                work.ended = True
                then = then._replace(limit=1)
            if not batch.commits:
                self._fail(work, batch)
                return await self._pull(work, then)
            writing = outboxes if outboxes is not None and outboxes.wrote(batch.commits) else None
            try:
                committed = await self._views.commit(batch.commits, then if writing is None else None)
            except TooLarge as error:
                # The documents of a page may be far larger than its events: fold fewer of them.
                work.open, work.aside, work.rear = before
                work.ended = False
                if len(rows) > 1:
                    rows = rows[: len(rows) // 2]
                elif len(here) > 1:
                    here = here[: len(here) // 2]
                else:  # one event, one build: it stops there, and holds up nobody else
                    refused[here[0].projection, here[0].generation] = error
                _log.info("%s; folding %d events at once", error, len(rows))
                continue
            break
        self._fail(work, batch)
        work.receipt += committed.receipt
        by_build = {(each.projection, each.generation): each for each in here}
        for commit, folded, outcome in zip(batch.commits, batch.folds, committed.outcomes, strict=True):
            self._note(work, by_build[commit.projection, commit.generation], commit, folded, outcome)
        if writing is not None:
            return await writing.after(batch.commits, committed, pulled.head, then, more=more)
        return committed.pulled

    @staticmethod
    def _fail(work: Pass, batch: _Batch) -> None:
        for progress, failure in batch.failures:
            if progress.role is Role.SERVING:
                work.failures.append(failure)
            elif not _is_known(progress, failure):
                # Once, and not at each look: whoever catches up tries it again, and stops there again.
                _log.error(
                    "the rebuild of projection %r is stopped at position %s: %s. What it will replace goes on serving",
                    failure.projection.known,
                    told_position(failure.position),
                    failure.error,
                    exc_info=failure.error.__cause__,
                )

    async def _fold_all(
        self,
        work: Pass,
        here: Sequence[Progress],
        rows: list[StoredEvent],
        refused: Mapping[Build, TooLarge],
        pulled: Pulled,
    ) -> _Batch:
        batch = _Batch([], [], [])
        shared: dict[int, object] | None = {} if len(here) > 1 else None
        plans: list[Plan[object] | None] = []
        wanted: list[Wanted] = []
        for each in here:
            projection = work.open[each.projection]
            barred = (each.projection, each.generation) in refused or reshaped(projection, each) is not None
            plan = None if barred else projection.plan(rows, each.checkpoint, shared)
            plans.append(plan)
            if plan is not None and (plan.keys or each.notes.parked):
                # Only where events are parked already is it asked for which ones.
                records = (PARKED,) if each.notes.parked else ()
                wanted.append(Wanted(each.projection, each.generation, plan.keys, records))
        loaded: dict[Build, Stored] = {}
        if wanted:
            found, receipt = await self._views.load(wanted)
            work.receipt += receipt
            loaded = {(each.projection, each.generation): stored for each, stored in zip(wanted, found, strict=True)}
        for progress, plan in zip(here, plans, strict=True):
            build = (progress.projection, progress.generation)
            projection = work.open[progress.projection]
            stored = loaded.get(build, NOTHING)
            if plan is not None:
                folded = _fold(projection, plan, stored)
            else:
                error = refused.get(build) or reshaped(projection, progress)
                first = rows[0][0] if rows else first_behind(pulled.after, pulled.head)
                folded = Folded({}, progress.checkpoint, 0, error, Stopped(first, str(error)))
            if folded.error is not None:
                assert folded.stopped is not None  # the same in words
                failure = Failure(progress.projection, folded.stopped.position, folded.error)
                batch.failures.append((progress, failure))
            if pulled.reached is not None:
                folded = folded._replace(checkpoint=_reached(pulled, rows, folded))
            mark = mark_of(pulled, rows, folded.checkpoint)
            commit = self.noting.commit(projection, progress, folded, stored, pulled.head, mark)
            if commit is not None:
                batch.commits.append(commit)
                batch.folds.append(folded)
        return batch

    @staticmethod
    def _note(work: Pass, progress: Progress, commit: Commit, folded: Folded, outcome: Outcome) -> None:
        name = commit.projection
        if outcome is not Outcome.COMMITTED:
            _log.info("%s: position %s was %s; nothing was written", name, commit.checkpoint, outcome.value)
            return
        work.applied += folded.applied
        work.reach(progress, commit.checkpoint)
        _view_log.info(
            "%s: checkpoint %s -> %s, documents written: %d%s",
            name,
            commit.expected,
            commit.checkpoint,
            len(commit.documents),
            "" if progress.role is Role.SERVING else f" (generation {commit.generation}, building)",
        )
        for each in folded.aside:
            if each.error is not None:
                _view_log.warning(
                    "%s: the event at position %s was %s: %s",
                    name,
                    told_position(each.row[0]),
                    "parked" if progress.projection in work.parking else "skipped",
                    each.error,
                )

    async def run(self, port: Port, wake: Signal, stop: Signal, poll_interval: float) -> None:
        """See `Projector.run`. Ends when `stop` is raised."""
        from .running import run  # for a process that stays up

        shift = None if self.parting is None else self.parting.shift(self, self._registry.subscriptions, poll_interval)
        await run(self, shift, port, wake, stop, poll_interval)


def _stopped(failures: Sequence[Failure], result: CatchUp) -> ProjectionStopped:
    first, *others = failures
    error = ProjectionStopped(
        projection=first.projection.known,
        position=first.position,
        reason=str(first.error),
        result=result,
        others=[failure.projection.known for failure in others],
    )
    error.__cause__ = first.error.__cause__ or first.error
    return error


def _is_known(progress: Progress, failure: Failure) -> bool:
    """Whether a build was stopped there, for that, before."""
    stopped = progress.stopped
    return stopped is not None and failure.position == stopped.position and str(failure.error) == stopped.reason


def _reached(pulled: Pulled, rows: Sequence[StoredEvent], folded: Folded) -> int:
    """The checkpoint after a folded page of a log that says itself how far its pages reach.

    Of several partitions it is a vector: the position of the last event says nothing of the others.
    """
    assert pulled.reached is not None
    if folded.error is None and len(rows) == len(pulled.events):
        return pulled.reached
    stopped = None if folded.stopped is None else folded.stopped.position
    return past(pulled.after, [row[0] for row in takewhile(lambda row: row[0] != stopped, rows)])


def _fold(projection: Projection[object], plan: Plan[object], stored: Stored) -> Folded:
    """Fold a page, with what waits behind parked events set aside; up to the event that is too much to be parked."""
    directory = directory_of(stored)
    folded = projection.fold(plan, stored.documents, stored.entries, directory.keys)
    waiting = to_be_parked(projection, folded.aside)
    index = fits(directory, waiting)
    if index is None:
        return folded
    position = waiting[index].row[0]
    rows = list(takewhile(lambda row: row[0] != position, plan.rows))
    error = ProjectionFull(
        f"{directory.count + index} events are parked, and no more than {MAX_PARKED} may be: the folds fail too often. "
        "Mend them, and retry_parked; or discard_parked"
    )
    if not rows:
        return Folded({}, position - 1, 0, error, Stopped(position, str(error)))
    before = projection.plan(rows, rows[0][0] - 1, None)
    folded = projection.fold(before, stored.documents, stored.entries, directory.keys)
    return folded._replace(checkpoint=position - 1, error=error, stopped=Stopped(position, str(error)))


class ProjectionFull(Exception):
    """Internal: more events would be parked than may be. Told as the reason why a projection stops."""


def _others(work: Pass, pulled: Pulled, here: Sequence[Progress]) -> bool:
    """Whether somebody else is behind.

    They get a page each time as well: where the time is enough for one page only, those who are nearly there would
    come first every time.
    """
    return any(each.checkpoint < pulled.head and work.counts(each) and each not in here for each in pulled.progress)


def reshaped(projection: Projection[object], progress: Progress) -> Misuse | None:
    """Why a build cannot go on with the folds as they are: its documents are found by something else."""
    if progress.notes.shape == projection.shape or (progress.checkpoint == 0 and not progress.notes.parked):
        return None
    return Misuse(
        f"the view of projection {projection.name!r} was built with other indexes than the projection has now "
        f"({progress.notes.shape or 'none'!r}, now {projection.shape or 'none'!r}): raise its version above "
        f"{projection.version}, or call rebuild"
    )
