"""Outbox -> appends, commands, messages: what reactors decided is carried out, and taken out of their outboxes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from ..domain.events import FREE, CatchUp, Receipt
from ..domain.outgoing import Outgoing
from ..domain.progress import ProjectionId, Stopped
from ..domain.reactors import Outbox, OutboxProjection
from ..domain.registry import Registry
from ..errors import OutcomeUnknown, ReactorStopped, Unavailable, told_position
from ..ports import Commit, Committed, Listed, Outcome, Progress, Pull, Pulled, Role, Views, Wanted
from .carrying import PASSING, Carrying
from .executing import Attempt, Overtaken
from .noting import Noting
from .outboxes import FAILED, Work
from .passes import Pass

_log: Final = logging.getLogger("eventsource_upstash.reactor")

AT_ONCE: Final = 100
"""Messages that are handed over together, and documents of an outbox that are listed together."""

MAX_BATCH_BYTES: Final = 512 * 1024
"""Messages are handed over together as long as their bodies have no more bytes, and documents are listed so."""

TRIES: Final = 10
"""How often it is tried to take out of an outbox what was carried out, while others move it."""


class Reacting:
    """Carries out what stands in outboxes.

    Args:
        views: The outboxes.
        registry: The reactors.
        noting: Tells the time.
        carrying: Carries single reactions out.
    """

    def __init__(self, views: Views, registry: Registry, noting: Noting, carrying: Carrying) -> None:
        self._registry = registry
        self.views: Views = views
        self.noting: Noting = noting
        self.carrying: Carrying = carrying

    def begin(self, work: Pass) -> Outboxes:
        """What is carried out in the course of one catch-up."""
        outboxes = [cast("OutboxProjection", each.outbox) for each in self._registry.reactors]
        return Outboxes(self, work.deadline, outboxes, work)

    def alone(self, outbox: OutboxProjection) -> Outboxes:
        """The same of one outbox, without a catch-up."""
        return Outboxes(self, None, [outbox], None)


class Outboxes:
    """What is carried out in the course of one catch-up.

    Attributes:
        error: The first failure that may go better later.
        stopped: The outboxes of reactors that have stopped at a reaction, and where.
        unsent: Whether the time was out before everything was carried out.
        receipt: What it cost besides the catch-up.
    """

    def __init__(
        self, of: Reacting, deadline: float | None, outboxes: Sequence[OutboxProjection], work: Pass | None
    ) -> None:
        self._of = of
        self._views = of.views
        self._deadline = deadline
        self._outboxes = {each.id: each for each in outboxes}
        self._pass = work
        self._cleared: set[ProjectionId] = set()
        self._failing: dict[ProjectionId, set[str]] = {each.id: set() for each in outboxes}
        self._held: set[ProjectionId] = set()
        self.error: Exception | None = None
        self.stopped: dict[ProjectionId, Stopped] = {}
        self.unsent: bool = False
        self.receipt: Receipt = FREE

    @property
    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def left(self, pulled: Pulled) -> list[Progress]:
        """The outboxes in which somebody left something: looked through once in a catch-up."""
        return [
            each
            for each in pulled.progress
            if each.role is Role.SERVING
            and each.checkpoint <= pulled.head  # else what it decided on is not in the log any more
            and each.projection in self._outboxes
            and each.projection not in self._cleared
            and each.notes.pending > (0 if self._stops(each.projection) else each.notes.failed)
        ]

    def _stops(self, outbox: ProjectionId) -> bool:
        return self._outboxes[outbox].on_error == "stop"

    def wrote(self, commits: Sequence[Commit]) -> bool:
        """Whether commits put something into outboxes that is to be carried out now."""
        return any(self._concerns(each) for each in commits)

    def _concerns(self, commit: Commit) -> bool:
        return commit.projection in self._outboxes and bool(commit.documents) and commit.projection not in self._held

    async def after(
        self, commits: Sequence[Commit], committed: Committed, head: int, then: Pull | None, *, more: bool
    ) -> Pulled | None:
        """Carry out what a page was just decided to lead to, and pull what is next with what takes it out.

        Args:
            commits: The commits of the page.
            committed: What became of them.
            head: The log's last position.
            then: What is to be pulled.
            more: Whether another page is folded even where the time is out.
        """
        works: list[Work] = []
        for commit, outcome in zip(commits, committed.outcomes, strict=True):
            if not self._concerns(commit) or outcome is not Outcome.COMMITTED:
                continue
            # What was decided on is behind the checkpoint, which has moved: nothing was written there yet.
            progress = Progress(commit.projection, commit.generation, commit.checkpoint, 0, notes=commit.notes)
            works.append(self._work(progress, commit.documents))
            if commit.notes.pending <= len(commit.documents):  # that is all there is
                self._cleared.add(commit.projection)
        await self.carry_out(works, head)
        if then is not None and self._late and not more and self._pass is not None:
            self._pass.ended = True
            then = then._replace(limit=1)
        return self._noted(await self.settle(works, head, then))

    async def clear(self, left: Sequence[Progress], head: int, then: Pull | None) -> Pulled | None:
        """Carry out what somebody left in outboxes, and pull what is next."""
        for each in left:
            self._cleared.add(each.projection)
            if self._stops(each.projection) and each.notes.failed:
                await self._try_again(each, head)
            if each.projection not in self._held:
                await self._clear(each.projection, head)
        return self._noted(None if then is None else await self._pull(then))

    def _noted(self, pulled: Pulled | None) -> Pulled | None:
        if self._pass is not None:
            self._pass.unsent = self.unsent
            self._pass.receipt += self.receipt
            self.receipt = FREE
        return pulled

    def trouble(self, result: CatchUp) -> Exception | None:
        """What a catch-up has to raise, now that everything else is done."""
        if self.error is not None:  # first, since trying again helps
            return self.error
        for outbox, stopped in self.stopped.items():
            return ReactorStopped(
                reactor=self._outboxes[outbox].reactor, position=stopped.position, reason=stopped.reason, result=result
            )
        return None

    async def _try_again(self, progress: Progress, head: int) -> None:
        """Try that first which has failed, and hold what comes after it where it does again.

        That is the reaction that the reactor has stopped at; others too where `on_error` was another one when they
        failed, or where two processes came upon one at the same time.
        """
        outbox = self._outboxes[progress.projection]
        (stored,), cost = await self._views.load([Wanted(outbox.id, progress.generation, (), (FAILED,))])
        self.receipt += cost
        left = progress.notes.failed
        if FAILED in stored.records:
            left = await self._retry([stored.records[FAILED].decode()], left, head, outbox)
        after: str | None = None
        while left > 0:
            listed = await self._listed(outbox.id, after)
            found = [key for key, each in outbox.documents(listed.documents) if each.failed is not None]
            left = await self._retry(found, left, head, outbox)
            if not listed.more or listed.last is None:
                return
            after = listed.last[1]

    async def _retry(self, keys: Sequence[str], left: int, head: int, outbox: OutboxProjection) -> int:
        """Try again what stands under some keys, up to where it fails: then everything else is held.

        Answers how many that have failed are still to be tried, of those that were left: none where it is held.
        """
        for key in keys:
            work = await self.load(outbox, [key])
            left -= any(each.failed is not None for each in work.stored.values())
            await self.carry_out([work], head)
            await self.settle([work], head, None)
            if left > 0 and self._late:
                self.unsent = True
                self._held.add(outbox.id)
            if key in self._failing[outbox.id]:
                self._held.add(outbox.id)
            if outbox.id in self._held:
                return 0
        return left

    async def load(self, outbox: OutboxProjection, keys: Sequence[str]) -> Work:
        """What stands under some keys now, to be worked on whether it has failed or not."""
        progress = await self._progress(outbox.id)
        return Work(outbox, progress, await self._documents(outbox, progress, keys), again=True)

    async def _clear(self, outbox: ProjectionId, head: int) -> None:
        after: str | None = None
        while True:
            listed = await self._listed(outbox, after)
            work = self._work(listed.progress, dict(listed.documents))
            await self.carry_out([work], head)
            await self.settle([work], head, None)
            if not listed.more or listed.last is None or work.stopped is not None:
                return
            if self._late:
                self.unsent = True
                return
            after = listed.last[1]

    async def _listed(self, outbox: ProjectionId, after: str | None) -> Listed:
        listed = await self._views.items(outbox, after, AT_ONCE, MAX_BATCH_BYTES, self._of.noting.now_us)
        self.receipt += listed.receipt
        return listed

    def _work(self, progress: Progress, documents: Mapping[str, bytes | None]) -> Work:
        outbox = self._outboxes[progress.projection]
        found = {key: outbox.decode_document(key, each) for key, each in documents.items() if each is not None}
        work = Work(outbox, progress, found)
        for key in self._failing[outbox.id]:  # once in a catch-up
            work.failed_for_now(key)
        return work

    async def carry_out(self, works: Sequence[Work], head: int) -> None:
        """Carry out what can be, messages together, each key in order: at least a part, then as time allows.

        What was done and nothing but the outbox knows of is taken out of it before what comes next under its key.
        """
        while True:
            await self._carry_out(works)
            paused = [work for work in works if work.paused]
            if not paused:
                return
            await self.settle(paused, head, None)
            if self._late:
                self.unsent = True
                return
            for work in paused:
                progress = await self._progress(work.outbox.id)
                work.resume(progress, await self._documents(work.outbox, progress, work.paused))

    async def _carry_out(self, works: Sequence[Work]) -> None:
        while any(work.open for work in works):
            for batch in _batches(works):
                await self._publish(batch)
                if self._is_late(works):
                    return
            for work in works:
                for key in list(work.open):
                    outgoing = work.first(key)
                    if outgoing is not None and outgoing.kind != "send":
                        await self._do(work, key, outgoing)
                        if self._is_late(works):
                            return

    def _is_late(self, works: Sequence[Work]) -> bool:
        if not self._late:
            return False
        self.unsent = self.unsent or any(work.open for work in works)
        return True

    async def _publish(self, batch: Sequence[tuple[Work, str, Outgoing]]) -> None:
        try:
            self.receipt += await self._of.carrying.publish([each for _, _, each in batch])
        except Exception as error:
            if isinstance(error, (Unavailable, OutcomeUnknown)) or (len(batch) == 1 and isinstance(error, PASSING)):
                for work, key, _ in batch:
                    self._fail(work, key, error)
                return
            if len(batch) == 1:
                work, key, outgoing = batch[0]
                self._give_up(work, key, outgoing, error)
                return
            for each in batch:  # which of them is it?
                if each[1] in each[0].open:
                    await self._publish([each])
        else:
            for work, key, outgoing in batch:
                work.succeeded(key, outgoing)
                _told(work, outgoing)

    async def _do(self, work: Work, key: str, outgoing: Outgoing) -> None:
        async def stands() -> bool:
            found = (await self._documents(work.outbox, work.progress, [key])).get(key)
            return found is not None and any(each.id == outgoing.id for each in found.reactions)

        attempt = Attempt(stands)
        try:
            idle = await self._of.carrying.do(outgoing, attempt)
        except PASSING as error:
            self._fail(work, key, error)
        except Overtaken:
            work.drop(key, outgoing)
            work.pause(key)
        except Exception as error:  # whatever a decide handler raises
            self._give_up(work, key, outgoing, error)
        else:
            work.succeeded(key, outgoing)
            if idle:
                work.pause(key)
            _told(work, outgoing)
        self.receipt += attempt.spent

    def _fail(self, work: Work, key: str, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self._failing[work.outbox.id].add(key)
        work.failed_for_now(key)
        _log.warning(
            "reactor %r: a reaction stays in the outbox, the next catch-up tries it: %s", work.outbox.reactor, error
        )

    def _give_up(self, work: Work, key: str, outgoing: Outgoing, error: Exception) -> None:
        private = self._of.carrying.is_private(outgoing)
        line = work.failed_for_good(key, outgoing, error, self._of.noting.now_us, private=private)
        if work.stopped is not None:
            self.stopped[work.outbox.id] = work.stopped
            self._held.add(work.outbox.id)
        _log.warning(
            "reactor %r: the reaction to the event at position %s cannot be carried out, and is %s: %s",
            work.outbox.reactor,
            told_position(outgoing.position),
            {"stop": "kept: the reactor is stopped", "park": "set aside", "skip": "passed over"}[work.outbox.on_error],
            line,
        )

    async def settle(self, works: Sequence[Work], head: int, then: Pull | None) -> Pulled | None:
        """Take what was carried out out of the outboxes, over whatever came in meanwhile; pull what is next.

        Raises:
            Unavailable: Others moved the outbox each time. What was carried out is carried out again then, under the
                same ids.
        """
        lost: Sequence[Work] = works
        for _ in range(TRIES):
            commits = [(work, commit) for work in lost if (commit := work.commit(head)) is not None]
            for work in lost:
                if work.stopped is not None and work.overtaken:  # the reactor has not stopped: others saw to it
                    self.stopped.pop(work.outbox.id, None)
                    self._held.discard(work.outbox.id)
            if not commits:
                return None if then is None else await self._pull(then)
            committed = await self._views.commit([commit for _, commit in commits], then)
            self.receipt += committed.receipt
            lost = [
                work
                for (work, _), outcome in zip(commits, committed.outcomes, strict=True)
                if outcome is not Outcome.COMMITTED
            ]
            if not lost:
                return committed.pulled
            for work in lost:
                work.progress = await self._progress(work.outbox.id)
                work.stored = await self._documents(work.outbox, work.progress, list(work.stored))
        names = ", ".join(repr(work.outbox.reactor) for work in lost)
        raise Unavailable(
            f"reactor {names}: others moved its outbox each of {TRIES} times that what was carried out was to be taken "
            "out of it; nothing of it is lost, and it is done again under the same ids"
        )

    async def _progress(self, outbox: ProjectionId) -> Progress:
        builds, _, cost = await self._views.progress((outbox,))
        self.receipt += cost
        return next(each for each in builds if each.role is Role.SERVING)

    async def _documents(self, outbox: OutboxProjection, progress: Progress, keys: Sequence[str]) -> dict[str, Outbox]:
        (stored,), cost = await self._views.load([Wanted(outbox.id, progress.generation, keys)])
        self.receipt += cost
        return {key: outbox.decode_document(key, each) for key, each in stored.documents.items()}

    async def _pull(self, then: Pull) -> Pulled:
        pulled = await self._views.pull(then)
        self.receipt += pulled.receipt
        return pulled


def _batches(works: Sequence[Work]) -> Iterator[list[tuple[Work, str, Outgoing]]]:
    batch: list[tuple[Work, str, Outgoing]] = []
    size = 0
    for work in works:
        for key, outgoing in work.sends():
            if batch and (len(batch) >= AT_ONCE or size + len(outgoing.body) > MAX_BATCH_BYTES):
                if batch := [each for each in batch if each[1] in each[0].open]:
                    yield batch
                batch, size = [], 0
            batch.append((work, key, outgoing))
            size += len(outgoing.body)
    batch = [each for each in batch if each[1] in each[0].open]
    if batch:
        yield batch


def _told(work: Work, outgoing: Outgoing) -> None:
    _log.info("reactor %r: %s %s is done", work.outbox.reactor, outgoing.kind, outgoing.id)
