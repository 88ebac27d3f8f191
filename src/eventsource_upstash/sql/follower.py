"""Log -> SQL tables: a page of events and the checkpoint in one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, cast

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from .._flow.statuses import Failure
from .._io.port import Port
from ..domain.events import FREE, CatchUp, Receipt, StoredEvent, to_datetime
from ..errors import LogRewound, Misuse, ProjectionStopped, Unavailable, UndecodableEvent, UnknownEventType
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Followed, Log, Page
from .engines import check_engine, is_contended, is_passing, telling, told
from .projection import HandlerError, SqlProjection
from .tables import CHECKPOINTS, Rows, checkpoints_table

_log: Final = logging.getLogger("eventsource_upstash.sql")

MAX_LOST: Final = 100
"""So often a page may be lost to others, who do not get on either, before it is left to a later call."""


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


class _State(NamedTuple):
    version: int
    checkpoint: int
    skipped: int
    stopped: int | None
    reason: str | None
    since_us: int | None


class _Applied(NamedTuple):
    """What became of a page: how many events were handled, where the tables are, and what stopped it there."""

    events: int
    checkpoint: int
    error: Exception | None = None


class _Lost(Exception):
    """Internal: another worker has moved the checkpoint meanwhile. Nothing was written."""


class SqlFollower:
    """Lets SQL projections follow the log: `app.projector.follow(SqlFollower(engine, users, orders))`.

    Each page of the log becomes one transaction for each projection: the checkpoint is locked and compared, the
    handlers write, the checkpoint moves. Any number of workers may do so at once: whoever loses writes nothing, and
    goes on from where the other one is.

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
        self._clock = clock
        self._table = checkpoints_table(table, schema)
        self._rows = Rows(engine, self._table, "SqlFollower")

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
        return tuple(self._status(each, self._state(each)) for each in self.projections)

    async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
        """See `Follower.follow`. The projections take turns, a page each."""
        reached = dict.fromkeys(self.projections, 0)
        waiting = list(self.projections)
        lost = dict.fromkeys(self.projections, 0)
        failures: list[Exception] = []
        last: tuple[int, Page] | None = None
        applied, receipt = 0, FREE
        late = False
        while waiting and not late:
            for each in tuple(waiting):
                try:
                    state = await port.call(partial(self._state, each))
                    if self._supersedes(each, state):
                        reached[each] = head
                        waiting.remove(each)
                        continue
                    after = state.checkpoint if state.version == each.version else 0
                    if after >= head and state.version == each.version:
                        receipt += await _check_head(log, each, after, head)
                        reached[each] = after
                        waiting.remove(each)
                        continue
                    if last is None or last[0] != after:
                        last = (after, await log.read(after, self._page_size, MAX_PAGE_BYTES))
                        receipt += last[1].receipt
                    rows = [row for row in last[1].events if row[0] <= head]
                    done = await port.call(partial(self._apply, each, state, rows))
                except _Lost:
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
                reached[each] = done.checkpoint
                if done.error is not None:
                    waiting.remove(each)
                    failures.append(_stopped(each, done))
                elif not rows or done.checkpoint >= head:
                    reached[each] = max(done.checkpoint, head)  # the next event is beyond it
                    waiting.remove(each)
            late = deadline is not None and time.monotonic() >= deadline
        if failures:
            raise failures[0]
        position = min(reached.values())
        return Followed(applied, position, position >= head, receipt)

    def _supersedes(self, projection: SqlProjection, state: _State) -> bool:
        if state.version <= projection.version:
            return False
        _log.warning(
            "%s: its tables are of version %d; this code has version %d, and leaves them alone",
            projection.where,
            state.version,
            projection.version,
        )
        return True

    def _state(self, projection: SqlProjection) -> _State:
        name = projection.name
        with telling(projection.where):
            self._rows.prepare(name, {"version": 0, "checkpoint": 0, "skipped": 0})
            with self.engine.connect() as connection:
                row = connection.execute(self._table.select().where(self._table.c.name == name)).mappings().first()
                connection.rollback()
        if row is None:
            self._rows.forget()
            raise Unavailable(f"{projection.where}: its checkpoint has just been deleted. Try again")
        return _State(*(row[field] for field in _State._fields))

    def _apply(self, projection: SqlProjection, state: _State, rows: list[StoredEvent]) -> _Applied:
        """Apply a page in one transaction; where an event fails, in another one up to that event.

        Raises:
            _Lost: Another worker was there first.
            Unavailable: The database cannot serve it now.
        """
        try:
            if state.version != projection.version:
                self._begin(projection, state)
                state = _State(projection.version, 0, 0, None, None, None)
            if not rows:
                return _Applied(0, state.checkpoint)
            try:
                with self.engine.begin() as connection:
                    self._lock(connection, projection, state)
                    count = sum([projection.handle(connection, row) for row in rows])
                    self._move(connection, projection, rows[-1][0], state.skipped)
            except (HandlerError, UnknownEventType, UndecodableEvent) as error:
                _raise_passing(projection, error)
                return self._one_by_one(projection, state, rows)
            return _Applied(count, rows[-1][0])
        except DBAPIError as error:
            if is_contended(error):
                raise _Lost from None
            with telling(projection.where):
                raise
            raise AssertionError from error

    def _begin(self, projection: SqlProjection, state: _State) -> None:
        """Let this version take the place of the one before it, with its tables as `reset` leaves them."""
        with self.engine.begin() as connection:
            self._lock(connection, projection, state)
            try:
                projection.begin(connection)
            except Exception as error:
                _raise_passing(projection, error)
                told_ = told(error) if isinstance(error, DBAPIError) else type(error).__name__
                raise Misuse(f"{projection.where}: its reset handler failed ({told_}); nothing was written") from error
            changed = connection.execute(
                self._table.update()
                .where(self._table.c.name == projection.name, self._table.c.version == state.version)
                .values(version=projection.version, checkpoint=0, skipped=0, stopped=None, reason=None, since_us=None)
            )
            if changed.rowcount != 1:
                raise _Lost
        _log.info("%s: version %d begins at the first event", projection.where, projection.version)

    def _lock(self, connection: Connection, projection: SqlProjection, state: _State) -> None:
        """Compare the checkpoint, and keep others from it until the transaction ends.

        An UPDATE as the first statement does both on every database: it locks the row (SQLite: the file), and it makes
        sqlite3, which begins no transaction for anything but a change, begin one.
        """
        table = self._table
        changed = connection.execute(
            table.update()
            .where(
                table.c.name == projection.name,
                table.c.version == state.version,
                table.c.checkpoint == state.checkpoint,
            )
            .values(checkpoint=state.checkpoint)
        )
        if changed.rowcount != 1:
            raise _Lost

    def _move(self, connection: Connection, projection: SqlProjection, checkpoint: int, skipped: int) -> None:
        table = self._table
        connection.execute(
            table.update()
            .where(table.c.name == projection.name)
            .values(checkpoint=checkpoint, skipped=skipped, stopped=None, reason=None, since_us=None)
        )

    def _one_by_one(self, projection: SqlProjection, state: _State, rows: list[StoredEvent]) -> _Applied:
        """Apply each event within a savepoint: up to the one that fails, or past it where failures are skipped."""
        checkpoint, skipped, count = state.checkpoint, state.skipped, 0
        failed: Exception | None = None
        aside: list[tuple[int, Exception]] = []
        with self.engine.begin() as connection:
            self._lock(connection, projection, state)
            for row in rows:
                try:
                    with connection.begin_nested():
                        count += projection.handle(connection, row)
                except (HandlerError, UnknownEventType, UndecodableEvent) as error:
                    _raise_passing(projection, error)
                    ended = not connection.in_transaction()
                    if projection.on_error == "stop" or isinstance(error, UnknownEventType) or ended:
                        failed = error
                        break
                    skipped += 1
                    aside.append((row[0], error))
                checkpoint = row[0]
            if failed is None:
                self._move(connection, projection, checkpoint, skipped)
            elif connection.in_transaction():
                self._stop(connection, projection, state, checkpoint, skipped, failed)
        for position, why in aside:
            _log.warning("%s: the event at position %d was skipped: %s", projection.where, position, why)
        return _Applied(count, checkpoint, failed)

    def _stop(
        self,
        connection: Connection,
        projection: SqlProjection,
        state: _State,
        checkpoint: int,
        skipped: int,
        error: Exception,
    ) -> None:
        reason = str(error)[:2000]
        known = state.stopped == checkpoint + 1 and state.reason == reason
        connection.execute(
            self._table.update()
            .where(self._table.c.name == projection.name)
            .values(
                checkpoint=checkpoint,
                skipped=skipped,
                stopped=checkpoint + 1,
                reason=reason,
                since_us=state.since_us if known else self._clock() // 1000,
            )
        )

    @staticmethod
    def _status(projection: SqlProjection, state: _State) -> SqlStatus:
        stopped: Failure | None = None
        if state.stopped is not None:
            since: datetime = to_datetime(state.since_us or 0)
            stopped = Failure(state.stopped, state.reason or "", since)
        superseded = state.version > projection.version
        return SqlStatus(projection.name, state.version, state.checkpoint, state.skipped, stopped, superseded)


async def _check_head(log: Log, projection: SqlProjection, checkpoint: int, head: int) -> Receipt:
    """Raise `LogRewound` where tables hold more than the log has; which may have grown since the head was looked at."""
    if checkpoint == head:
        return FREE
    now, receipt = await log.head()
    if checkpoint > now:
        raise LogRewound(projection=projection.name, checkpoint=checkpoint, head=now)
    return receipt


def _raise_passing(projection: SqlProjection, error: Exception) -> None:
    """Raise, where it was no fault of the event's: the database was away, or another transaction in the way.

    Raises:
        Unavailable: A later try may do.
    """
    cause = error.__cause__ if isinstance(error, HandlerError) else error
    if isinstance(cause, DBAPIError) and is_contended(cause):
        raise _Lost from None
    if cause is not None and is_passing(cause):
        raise Unavailable(
            f"{projection.where}: the database cannot serve it now ({told(cause)}); nothing was written. Try again"
        ) from None


def _stopped(projection: SqlProjection, done: _Applied) -> ProjectionStopped:
    error = done.error
    assert error is not None
    result = CatchUp(done.events, done.checkpoint, done.checkpoint, complete=False)
    stopped = ProjectionStopped(
        projection=projection.name, position=done.checkpoint + 1, reason=str(error), result=result
    )
    stopped.__cause__ = error.__cause__ or error
    return stopped
