"""View -> table: what a run of a sync does, step by step, each one a transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import Final, Generic, TypeVar, cast

from .._flow.freshness import Fresh
from .._io.port import Port
from ..backends.marks import Next
from ..domain.events import FREE, StoredEvent, stored_id
from ..domain.names import check_key
from ..domain.positions import Vector, meet, partition_of, past, vector
from ..errors import LogRewound, Misuse, ProjectionStopped, StaleView, Unavailable
from ..ports import Got, Progress
from .engines import MAX_LOST, Lost
from .flow import Flow, State
from .results import Synced, Syncing

D = TypeVar("D")

_log: Final = logging.getLogger("eventsource_upstash.sql")

PAGE: Final = 500
"""Documents, or events, that make one transaction."""

CATCH_UP: Final = 30.0
"""Seconds that the view may take to be brought up, where the run has no time budget."""


class Run(Generic[D]):
    """One call of a sync.

    Args:
        flow: What it reads and writes.
        port: What waits.
        time_budget: Seconds after which no further transaction is begun.
        progress: Called after each transaction.
        full: Whether the whole view is copied in any case.

    Raises:
        Misuse: The time budget can be none.
    """

    def __init__(
        self,
        flow: Flow[D],
        port: Port,
        time_budget: float | None,
        progress: Callable[[Syncing], None] | None,
        *,
        full: bool,
    ) -> None:
        given = cast("object", time_budget)
        if given is not None and not (isinstance(given, (int, float)) and given >= 0):  # NaN is not either
            raise Misuse(f"time_budget={time_budget!r}: it is a number of seconds from 0")
        self.flow: Flow[D] = flow
        self._port = port
        self._began = time.monotonic()
        self._time_budget = time_budget
        self._progress = progress
        self._full = full
        self._resumed = False
        self._begun = False
        self._decided = False
        self._copying = False
        self._upserted = self._deleted = self._lost = 0
        self._total: int | None = None
        self._earlier = 0  # documents that earlier calls have copied
        self._first: int | None = None
        self._receipt = FREE
        self._state = State()
        self._next = (0, Next(None, [], 0, FREE))
        self._unmarked = False

    @property
    def _late(self) -> bool:
        return self._time_budget is not None and time.monotonic() - self._began >= self._time_budget

    async def run(self) -> Synced:
        """See `Sync.run`."""
        head = await self._look()
        goal, stopped = await self._bring_up(head)
        state = self._state
        # Where a copy does not fit into one call, it has to do that it fits into several.
        self._resumed = self._time_budget is not None and state.phase != ""
        reached = False
        while not reached:
            try:
                step = await self._step(goal)
            except Lost:
                self._lost += 1
                if self._lost > MAX_LOST:
                    raise Unavailable(f"{self.flow.where}: others were in the way each time. Try again later") from None
                await self._look()
                continue
            self._lost = 0
            reached = not step
            if step and self._late:
                if self._resumed and self._state.started is None:
                    await self._decide()
                begun = self._decided or self._begun
                reached = begun and self._state.started is None and goal <= self._state.position
                break
        complete = reached and head <= goal and not (self._resumed and self._changes and not self._begun)
        return Synced(
            self._upserted,
            self._deleted,
            self._state.position,
            head,
            complete,
            self._copying,
            not (reached and (stopped or head <= goal)),
            self._receipt,
        )

    async def _look(self) -> int:
        """Look at the table, then at the log. Answers the log's head.

        Raises:
            LogRewound: It is not the log of the table, and not everything is copied anyway.
        """
        self._state = state = await self._port.call(self.flow.state)
        # The events that come next come in the same step, where they are likely to be wanted.
        only_events = state.started is None and not self._full and not self._changes
        only_events = only_events and not isinstance(state.position, Vector)  # which partitions are, is not known yet
        found = await self.flow.next(state.reaches, events=only_events and state.position > 0)
        self._receipt += found.receipt
        self._next = (state.reaches, found)
        try:
            self.flow.check(state, found)
        except LogRewound:
            if not self._full and not await self._port.call(self.flow.is_empty):
                raise
            # Nothing of that log counts any more, nor a copy that was under way.
            self._state = state._replace(position=0, started=None, phase="", place=None, copied=0, mark=None)
            self._full, self._begun, self._decided, self._resumed = True, False, False, False
        self._unmarked = state.mark is None and found.mark is not None
        return found.head

    async def _bring_up(self, head: int) -> tuple[int, bool]:
        """Fold what is new into the view. Answers how far the view is, and whether it has stopped."""
        timeout = CATCH_UP if self._time_budget is None else self._time_budget
        stopped = False
        try:
            progress = (await self._got((), Fresh(head, timeout))).progress
        except (ProjectionStopped, StaleView) as error:
            _log.warning("%s: the view is not at the head, and is copied as it is: %s", self.flow.where, error)
            progress = (await self._got(())).progress
            stopped = isinstance(error, ProjectionStopped)
        return meet(progress.checkpoint, head), stopped

    async def _got(self, keys: Sequence[str], fresh: Fresh = Fresh()) -> Got:  # noqa: B008 - a value
        got = await self.flow.got(keys, fresh)
        self._receipt += got.receipt
        return got

    def _is_of(self, progress: Progress) -> bool:
        """Whether an answer is of the build that the table holds."""
        return (progress.projection.version, progress.generation) == (self._state.version, self._state.generation)

    async def _wants_copy(self, progress: Progress) -> bool:
        """Whether the whole view has to be copied, and not only what events have changed."""
        # What ends, or was parked, changes without an event. A copy that an earlier call began does not count: what it
        # copied may have changed so since. It does where this call has a time budget, for which that one may have been
        # too long. Which documents an event concerns is not known of an older version.
        projection = self.flow.projection
        if not self._is_of(progress) or progress.projection != projection.id:
            return True
        return ((self._full or self._changes) and not self._resumed) or await self._is_gone()

    @property
    def _changes(self) -> bool:
        """Whether documents may change without an event."""
        return self.flow.projection.ends or self._state.parked > 0

    async def _is_gone(self) -> bool:
        """Whether somebody has emptied the table, or made it anew."""
        if self._state.position == 0 or not await self._port.call(self.flow.is_empty):
            return False
        return await self.flow.total() > 0

    async def _step(self, goal: int) -> bool:
        """One transaction. Answers whether there was anything to do."""
        if self._unmarked:
            self._unmarked = False
            await self._write(self._state._replace(mark=await self._mark_at(self._state.reaches)), (), ())
            return True
        if self._state.started is not None:
            return await (self._copy() if self._state.phase == "copy" else self._sweep(goal))
        if not self._decided and not self._begun:
            progress = await self._decide()
            if not self._decided:
                await self._begin(progress)
                return True
        return not goal <= self._state.position and await self._events(goal)

    async def _decide(self) -> Progress:
        """Decide whether events are enough; else the whole view is to be copied."""
        progress = (await self._got(())).progress
        self._decided = not await self._wants_copy(progress)
        return progress

    async def _begin(self, progress: Progress) -> None:
        """Begin to copy the whole view."""
        version, generation = progress.projection.version, progress.generation
        state = self._state._replace(
            version=version,
            generation=generation,
            position=meet(self._state.position, progress.checkpoint),
            parked=int(progress.notes.parked > 0),
            started=progress.checkpoint,
            phase="copy",
            place=None,
            copied=0,
            mark=await self._mark_at(progress.checkpoint),
        )
        await self._write(state, (), ())
        self._begun = self._copying = True
        self._total = None

    async def _copy(self) -> bool:
        listed = await self.flow.listed(self._state.place)
        self._receipt += listed.receipt
        self._copying = True
        if not self._is_of(listed.progress):
            await self._begin(listed.progress)
            return True
        documents = self.flow.decoded(listed)
        rows = [self.flow.columns.row_of(key, document) for key, document in documents]
        copied = self._state.copied + len(rows)
        place = listed.last[1] if listed.last is not None else self._state.place
        state = self._seen(listed.progress)._replace(place=place, copied=copied)
        if not listed.more or listed.last is None:
            state = state._replace(phase="sweep", place=None)
        await self._write(state, rows, ())
        if self._progress is not None:
            if self._total is None:  # the call's first step, of a copy that an earlier one may have begun
                self._total, self._earlier = await self.flow.total(), copied - len(rows)
            self._tell(copied, max(self._total, copied), self._earlier)
        return True

    async def _sweep(self, goal: int) -> bool:
        """Delete rows that the view has not. By the keys of the table, since each database has an order of its own."""
        self._copying = True
        state = self._state
        if state.place is None and not await self._port.call(partial(self.flow.surplus, state.copied)):
            await self._write(_copied(state, goal), (), ())
            return True
        keys = await self._port.call(partial(self.flow.keys_after, state.place))
        # What can be no key of a document needs not be asked for.
        got = await self._got([key for key in keys if _is_key(key)])
        if not self._is_of(got.progress):
            await self._begin(got.progress)
            return True
        gone = [key for key in keys if key not in got.documents]
        state = self._seen(got.progress)
        await self._write(state._replace(place=keys[-1]) if keys else _copied(state, goal), (), gone)
        self._tell(state.copied, state.copied)
        return True

    async def _events(self, goal: int) -> bool:
        """Copy the documents that the next page of events concerns."""
        flow, after = self.flow, self._state.position
        several = isinstance(self._next[1].head, Vector)
        rows, end = await (self._page_of_partitions(after, goal) if several else self._page(after, goal))
        keys: list[str] = []
        if rows:
            plan = flow.projection.plan(rows, after, None)
            keys = plan.keys
            if plan.error is not None:
                before = takewhile(lambda row: row[0] != plan.checkpoint + 1, rows)
                end = past(vector(after) if several else after, [row[0] for row in before])
                if end == after:
                    raise plan.error
        put: list[dict[str, object]] = []
        gone: list[str] = []
        state = self._state
        for start in range(0, max(1, len(keys)), 1000):
            some = keys[start : start + 1000]
            got = await self._got(some, Fresh(meet(end, goal)))
            if not self._is_of(got.progress):
                await self._begin(got.progress)
                return True
            put += [flow.columns.row_of(key, document) for key, document in flow.decoded(got)]
            gone += [key for key in some if key not in got.documents]
            state = state._replace(parked=state.parked or int(got.progress.notes.parked > 0))
        self._first = after if self._first is None else self._first
        mark = next((stored_id(row) for row in rows if row[0] == end), None)
        phase = "" if goal <= end else state.phase
        await self._write(state._replace(position=end, phase=phase, mark=mark), put, gone)
        self._tell(end - self._first, goal - self._first)
        return True

    async def _page(self, after: int, goal: int) -> tuple[list[StoredEvent], int]:
        """The next events up to the goal, and the position that is reached with them."""
        found = await self._events_after(after)
        rows = [row for row in found.events if row[0] <= goal]
        if found.reached is not None and found.reached != after and len(rows) == len(found.events):
            return rows, found.reached
        return rows, rows[-1][0] if rows else goal

    async def _page_of_partitions(self, after: int, goal: int) -> tuple[list[StoredEvent], int]:
        """The same in several partitions: of those that are at the goal nothing is read, whatever is new in them."""
        start, wanted, head = vector(after), vector(goal), vector(self._next[1].head)
        behind = [at for at in range(len(wanted.places)) if start.at(at) < wanted.at(at)]
        past_goal = head.moved({at: start.at(at) for at in behind})
        found = await self.flow.next(past_goal, events=True)
        self._receipt += found.receipt
        self.flow.check(self._state, found)
        self._next = (past_goal, found._replace(events=[]))  # its head, for the next page
        rows = [row for row in found.events if row[0] <= goal]
        beyond = {partition_of(row[0]) for row in found.events if not row[0] <= goal}
        reached = vector(past_goal if found.reached is None else found.reached)
        return rows, start.moved({at: wanted.at(at) if at in beyond else reached.at(at) for at in behind})

    async def _events_after(self, after: int) -> Next:
        at, found = self._next
        if at != after or (not found.events and found.reached is None and not found.head <= after):
            found = await self.flow.next(after, events=True)
            self._receipt += found.receipt
            self.flow.check(self._state, found)
        return found

    async def _mark_at(self, position: int) -> str | None:
        """The id of the event at a position."""
        at, found = self._next
        if at != position:
            found = await self.flow.next(position, events=False)
            self._receipt += found.receipt
        return found.mark

    def _seen(self, progress: Progress) -> State:
        return self._state._replace(parked=self._state.parked or int(progress.notes.parked > 0))

    async def _write(self, after: State, put: Sequence[dict[str, object]], gone: Sequence[str]) -> None:
        self._deleted += await self._port.call(partial(self.flow.write, self._state, after, put, gone))
        self._upserted += len(put)
        self._state = after._replace(edition=self._state.edition + 1)

    def _tell(self, done: int, total: int, earlier: int = 0) -> None:
        if self._progress is None:
            return
        elapsed = time.monotonic() - self._began
        remaining = elapsed / (done - earlier) * (total - done) if done > earlier else None
        self._progress(Syncing(done, total, self._upserted, self._deleted, self._copying, elapsed, remaining))


def _copied(state: State, goal: int) -> State:
    """The state when a copy is done: what came since it began is in the log."""
    position = state.started or 0
    phase = "" if goal <= position else "events"
    return state._replace(position=position, started=None, phase=phase, place=None, copied=0)


def _is_key(key: str) -> bool:
    try:
        check_key(key)
    except Misuse:
        return False
    return True
