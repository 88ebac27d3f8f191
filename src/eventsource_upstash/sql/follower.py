"""Log -> SQL tables: projections that follow the log, each a page of events at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, cast

import msgspec
from sqlalchemy import Engine

from .._flow.statuses import Failure
from .._io.port import Port
from ..backends.marks import Next, read_on
from ..domain.events import FREE, CatchUp, Receipt, StoredEvent, to_datetime
from ..domain.positions import Vector, join, meet, vector
from ..errors import Misuse, ProjectionStopped, Unavailable
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Followed, Log
from .applying import Applied, Applying, State
from .engines import MAX_LOST, Lost, check_engine
from .marks import Expected, check
from .projection import SqlProjection
from .tables import CHECKPOINTS, checkpoints_table

_log: Final = logging.getLogger("eventsource_upstash.sql")


class SqlStatus(msgspec.Struct, frozen=True):
    """How a SQL projection is.

    Attributes:
        name: Its name.
        version: The version that its tables hold; 0 before the first event.
        checkpoint: Position that they have reached.
        skipped: Events passed over because their handler failed, ever.
        stopped: Why it does not go on, if it does not.
        superseded: Whether the tables are of a higher version than this code has: then it does nothing.
    """

    name: str
    version: int
    checkpoint: int
    skipped: int = 0
    stopped: Failure | None = None
    superseded: bool = False


class SqlFollower:
    """Lets SQL projections follow the log: `app.projector.follow(SqlFollower(engine, users, orders))`.

    Each page of the log becomes one transaction for each projection: the checkpoint is locked and compared, the
    handlers write, the checkpoint moves. Any number of workers may do so at once: whoever loses writes nothing, and
    goes on from where the other one is. Tables of another log are told, with `LogRewound` or `LogReplaced`, before
    anything is written; a higher version of the projection begins anew, with whichever log there is.

    Args:
        engine: The database: a synchronous engine with transactions, in both colours.
        projections: What follows.
        table: The table that the checkpoints are kept in, made when it is first needed.
        schema: Its schema; the connection's own without one.
        name: What the follower is called in messages; made of the projections' names without one.
        page_size: Most events in one transaction, up to 1,000.
        clock: Nanoseconds since 1970 (UTC), for when a projection stopped.

    Raises:
        Misuse: The engine cannot be used; there is no projection, or a name twice; a version above 1 has no `reset`.
    """

    def __init__(
        self,
        engine: Engine,
        *projections: SqlProjection,
        table: str = CHECKPOINTS,
        schema: str | None = None,
        name: str | None = None,
        page_size: int = MAX_PAGE_EVENTS,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.engine: Engine = check_engine(engine, "SqlFollower")
        for each in projections:
            if not isinstance(cast("object", each), SqlProjection):
                raise Misuse(f"SqlFollower: {each!r} is no SQL projection, as sql_projection(...) answers it")
            if each.version > 1 and not each.resets:
                raise Misuse(
                    f"{each.where}, version {each.version}, begins at the first event again, over tables that hold "
                    "rows: give it a @projection.reset handler that empties them"
                )
        names = [each.name for each in projections]
        if not names or len(set(names)) < len(names):
            raise Misuse(f"SqlFollower is given at least one projection, and each once, not {names!r}")
        if type(page_size) is not int or page_size < 1:
            raise Misuse(f"page_size={page_size!r}: it is a whole number from 1")
        self.projections: tuple[SqlProjection, ...] = projections
        self._name = name or f"SQL projections {', '.join(names)}"
        self._page_size = min(page_size, MAX_PAGE_EVENTS)
        self._applying = Applying(engine, checkpoints_table(table, schema), clock)
        self._met: dict[SqlProjection, tuple[int, str | None]] = {}  # where each was found to be of this log

    def __repr__(self) -> str:
        return f"SqlFollower({', '.join(map(repr, self.projections))})"

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._name

    def status(self) -> tuple[SqlStatus, ...]:
        """How each projection is. It blocks: on an event loop, `await asyncio.to_thread(follower.status)`.

        Raises:
            Unavailable: The database cannot serve it now.
        """
        return tuple(self._status(each, self._applying.state(each)) for each in self.projections)

    async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
        """See `Follower.follow`. The projections take turns, a page each."""
        reached = dict.fromkeys(self.projections, 0)
        waiting = list(self.projections)
        lost = dict.fromkeys(self.projections, 0)
        failures: list[Exception] = []
        last: tuple[int, Next] | None = None
        applied, receipt = 0, FREE
        late = False
        while waiting and not late:
            for each in tuple(waiting):
                try:
                    state = await port.call(partial(self._applying.state, each))
                    at_rest = await self._at_rest(port, log, each, state, head)
                    if at_rest is not None:
                        reached[each], cost = at_rest
                        receipt += cost
                        waiting.remove(each)
                        continue
                    after = state.checkpoint if state.version == each.version else 0
                    if last is None or last[0] != after:
                        last = (after, await read_on(log, after, self._page_size, MAX_PAGE_BYTES))
                        receipt += last[1].receipt
                    check(_expected(each, state, after), last[1])
                    rows, end = _to_apply(last[1], head)
                    if isinstance(last[1].head, Vector):
                        state = state._replace(checkpoint=vector(state.checkpoint))
                    done = await port.call(partial(self._applying.apply, each, state, rows, end))
                except Lost:
                    lost[each] += 1
                    if lost[each] > MAX_LOST:
                        waiting.remove(each)
                        failures.append(Unavailable(f"{each.where}: others were in the way each time. Try again later"))
                    continue
                except Exception as error:
                    waiting.remove(each)
                    failures.append(error)
                    continue
                applied += done.events
                self._met[each] = (done.checkpoint, done.mark)
                reached[each] = done.checkpoint
                if done.error is not None:
                    waiting.remove(each)
                    failures.append(_stopped(each, done))
                elif head <= done.checkpoint or (not rows and done.checkpoint == after):
                    reached[each] = join(done.checkpoint, head)  # the next event is beyond it
                    waiting.remove(each)
            late = deadline is not None and time.monotonic() >= deadline
        if failures:
            raise failures[0]
        position = meet(*reached.values())
        return Followed(applied, position, head <= position, receipt)

    async def _at_rest(
        self, port: Port, log: Log, projection: SqlProjection, state: State, head: int
    ) -> tuple[int, Receipt] | None:
        """Where a projection is that has nothing to do, and what it cost to see whether that is in this log.

        Where this process has seen its tables there, at the head, it does not look again: nothing is written before a
        page is read, and that tells as well.

        Raises:
            LogRewound: The tables are of another log.
        """
        if self._supersedes(projection, state):
            return head, FREE
        if not head <= state.checkpoint or state.version != projection.version:
            return None
        at = (state.checkpoint, state.mark)
        if state.checkpoint == head and (head == 0 or self._met.get(projection) == at):
            return head, FREE
        found = await read_on(log, state.checkpoint, 0, MAX_PAGE_BYTES)
        check(_expected(projection, state, state.checkpoint), found)
        if state.mark is None and found.mark is not None:
            await port.call(partial(self._applying.note, projection, state, found.mark))
        self._met[projection] = (state.checkpoint, found.mark)
        return state.checkpoint, found.receipt

    def _supersedes(self, projection: SqlProjection, state: State) -> bool:
        if state.version <= projection.version:
            return False
        _log.warning(
            "%s: its tables are of version %d; this code has version %d, and leaves them alone",
            projection.where,
            state.version,
            projection.version,
        )
        return True

    @staticmethod
    def _status(projection: SqlProjection, state: State) -> SqlStatus:
        stopped: Failure | None = None
        if state.stopped is not None:
            since: datetime = to_datetime(state.since_us or 0)
            stopped = Failure(state.stopped, state.reason or "", since)
        superseded = state.version > projection.version
        return SqlStatus(projection.name, state.version, state.checkpoint, state.skipped, stopped, superseded)


def _to_apply(found: Next, head: int) -> tuple[list[StoredEvent], int | None]:
    """What of a page is applied, and how far it reaches where its last event does not tell."""
    if isinstance(found.head, Vector):  # all of it: behind events beyond `head` there may be others, elsewhere
        return found.events, found.reached
    rows = [row for row in found.events if row[0] <= head]
    return rows, found.reached if len(rows) == len(found.events) else None


def _expected(projection: SqlProjection, state: State, position: int) -> Expected:
    remedy = "raise the projection's version, with a @projection.reset handler that empties its tables"
    return Expected(projection.name, projection.where, position, state.mark if position else None, remedy)


def _stopped(projection: SqlProjection, done: Applied) -> ProjectionStopped:
    error = done.error
    assert error is not None
    result = CatchUp(done.events, done.checkpoint, done.checkpoint, complete=False)
    stopped = ProjectionStopped(
        projection=projection.name, position=done.position or 0, reason=str(error), result=result
    )
    stopped.__cause__ = error.__cause__ or error
    return stopped
