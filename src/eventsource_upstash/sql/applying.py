"""Page of events -> SQL tables: transactions that hold events and the checkpoint, and what becomes of a failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.exc import DBAPIError

from ..domain.events import StoredEvent, stored_id
from ..domain.positions import Vector, past
from ..errors import Misuse, Unavailable, UndecodableEvent, UnknownEventType
from .engines import Lost, is_aborted, is_contended, is_passing, telling, told
from .projection import HandlerError, SqlProjection, TransactionEnded
from .tables import Rows

_log: Final = logging.getLogger("eventsource_upstash.sql")


class State(NamedTuple):
    """What is kept of a SQL projection: where its tables are, why they stay there, and the id of the event there."""

    version: int = 0
    checkpoint: int = 0
    skipped: int = 0
    stopped: int | None = None
    reason: str | None = None
    since_us: int | None = None
    mark: str | None = None


class Applied(NamedTuple):
    """What became of a page: how many events were handled, where the tables are, and what stopped them before what."""

    events: int
    checkpoint: int
    mark: str | None
    error: Exception | None = None
    position: int | None = None


class _Failed(Exception):
    """Internal: a transaction was rolled back, for the fault of an event.

    Attributes:
        index: Which of its events it was, or who noticed; None where it showed at the end.
        error: What it is.
    """

    def __init__(self, index: int | None, error: Exception) -> None:
        super().__init__(str(error))
        self.index = index
        self.error = error


class Applying:
    """Writes pages of events into the tables of projections. All of it blocks.

    Args:
        engine: The database.
        table: The table of checkpoints.
        clock: Nanoseconds since 1970 (UTC), for when a projection stopped.
    """

    def __init__(self, engine: Engine, table: Table, clock: Callable[[], int]) -> None:
        self.engine: Engine = engine
        self.table: Table = table
        self._clock = clock
        self._rows = Rows(engine, table, "SqlFollower")

    def state(self, projection: SqlProjection) -> State:
        """What is kept of a projection. Makes the table and its row where they are not there.

        Raises:
            Unavailable: The database cannot serve it now.
            Refused: It lacks the right to.
        """
        with telling(projection.where):
            row = self._rows.read(projection.name, {"version": 0, "checkpoint": 0, "skipped": 0}, projection.where)
        kept = self._rows.with_vectors(row)
        return State(*(kept[field] for field in State._fields))

    def apply(
        self, projection: SqlProjection, state: State, rows: Sequence[StoredEvent], reached: int | None = None
    ) -> Applied:
        """Apply a page: in one transaction, or where an event fails, in several: before it, it alone, after it.

        Args:
            projection: Whose.
            state: Where its tables are.
            rows: The page.
            reached: How far it reaches, where the position of its last event does not tell.

        Raises:
            Lost: Another worker was there first.
            Unavailable: The database cannot serve it now.
            Misuse: The reset handler failed.
        """
        try:
            if state.version != projection.version:
                self._begin(projection, state)
                state = State(projection.version, Vector() if isinstance(state.checkpoint, Vector) else 0)
            return self._apply(projection, state, rows, reached)
        except DBAPIError as error:
            if is_contended(error):
                raise Lost from None
            with telling(projection.where):
                raise
            raise AssertionError from error

    def _apply(
        self, projection: SqlProjection, state: State, rows: Sequence[StoredEvent], reached: int | None
    ) -> Applied:
        count = 0
        left = [rows] if rows or (reached is not None and reached != state.checkpoint) else []
        while left:
            part = left.pop()
            end = reached if reached is not None and not left else past(state.checkpoint, [row[0] for row in part])
            after = state._replace(checkpoint=end, mark=_mark(part, end))
            try:
                count += self._write(projection, state, part, after)
            except _Failed as failed:
                if len(part) > 1:
                    left += reversed(_parts(part, failed.index))
                    continue
                position = part[0][0]
                if projection.on_error == "stop" or not _is_events(failed.error):
                    self._stop(projection, state, position, failed.error)
                    return Applied(count, state.checkpoint, state.mark, failed.error, position)
                after = after._replace(skipped=state.skipped + 1)
                self._skip(projection, state, part[0], failed.error, after)
                state = after
                continue
            state = after
        return Applied(count, state.checkpoint, state.mark)

    def note(self, projection: SqlProjection, state: State, mark: str) -> None:
        """Note which event it is that tables have reached, where that is not known.

        Raises:
            Lost: Another worker has moved the checkpoint meanwhile.
            Unavailable: The database cannot serve it now.
        """
        with telling(projection.where), self.engine.begin() as connection:
            self._lock(connection, projection, state)
            connection.execute(self.table.update().where(self.table.c.name == projection.name).values(mark=mark))

    def _write(self, projection: SqlProjection, state: State, rows: Sequence[StoredEvent], after: State) -> int:
        """Apply events and move the checkpoint, in one transaction. Answers how many concerned the projection.

        Raises:
            _Failed: One of them failed. Nothing was written.
            Lost: Another worker was there first.
            Unavailable: The database cannot serve it now.
        """
        at: int | None = None
        locked, count = False, 0
        try:
            with self.engine.begin() as connection:
                self._lock(connection, projection, state)
                locked = True
                with _not_committing(connection):
                    for at, row in enumerate(rows):  # noqa: B007 - where it failed
                        count += projection.handle(connection, row)
                self._move(connection, projection, after)
        except (HandlerError, UnknownEventType, UndecodableEvent) as error:
            _raise_passing(projection, error)
            raise _Failed(at, error) from error
        except DBAPIError as error:
            if not locked or is_contended(error) or is_passing(error):
                raise
            # Of a constraint that is looked at when the transaction ends, or of a handler that bore with a failure.
            reason = f"the transaction could not be ended after it ({told(error)})"
            if is_aborted(error):
                reason += ": a statement failed, and the handler went on; let it be in connection.begin_nested()"
            why = HandlerError(reason)
            why.__cause__ = error
            raise _Failed(None, why) from error
        return count

    def _begin(self, projection: SqlProjection, state: State) -> None:
        """Let this version take the place of the one before it, with its tables as `reset` leaves them."""
        with self.engine.begin() as connection:
            self._lock(connection, projection, state)
            try:
                with _not_committing(connection):
                    projection.begin(connection)
            except Exception as error:
                _raise_passing(projection, error)
                why = str(error) if isinstance(error, Misuse) else told(error)
                raise Misuse(f"{projection.where}: its reset handler failed ({why}); nothing was written") from error
            # Again: on MySQL and MariaDB a reset that makes or drops tables has committed, and given up the lock.
            changed = connection.execute(
                self.table.update()
                .where(self.table.c.name == projection.name, self.table.c.version == state.version)
                .values(
                    version=projection.version,
                    skipped=0,
                    stopped=None,
                    reason=None,
                    since_us=None,
                    mark=None,
                    **self._rows.values(checkpoint=0),
                )
            )
            if changed.rowcount != 1:
                raise Lost
        _log.info("%s: version %d begins at the first event", projection.where, projection.version)

    def _lock(self, connection: Connection, projection: SqlProjection, state: State) -> None:
        """Compare the checkpoint, and keep others from it until the transaction ends.

        Of a vector the number of places behind it: it only grows, so that it names one vector of the tables' history.

        An UPDATE as the first statement does both on every database: it locks the row (SQLite: the file), and it makes
        sqlite3, which begins no transaction for anything but a change, begin one.
        """
        table = self.table
        changed = connection.execute(
            table.update()
            .where(
                table.c.name == projection.name,
                table.c.version == state.version,
                table.c.checkpoint == int(state.checkpoint),
            )
            .values(checkpoint=int(state.checkpoint))
        )
        if changed.rowcount != 1:
            raise Lost

    def _move(self, connection: Connection, projection: SqlProjection, after: State) -> None:
        table = self.table
        connection.execute(
            table.update()
            .where(table.c.name == projection.name)
            .values(
                skipped=after.skipped,
                stopped=None,
                reason=None,
                since_us=None,
                mark=after.mark,
                **self._rows.values(checkpoint=after.checkpoint),
            )
        )

    def _skip(self, projection: SqlProjection, state: State, row: StoredEvent, error: Exception, after: State) -> None:
        with self.engine.begin() as connection:
            self._lock(connection, projection, state)
            self._move(connection, projection, after)
        _log.warning("%s: the event at position %d was skipped: %s", projection.where, row[0], error)

    def _stop(self, projection: SqlProjection, state: State, stopped: int, error: Exception) -> None:
        reason = str(error)[:2000]
        known = state.stopped == stopped and state.reason == reason
        since_us = state.since_us if known else self._clock() // 1000
        with self.engine.begin() as connection:
            self._lock(connection, projection, state)
            connection.execute(
                self.table.update()
                .where(self.table.c.name == projection.name)
                .values(stopped=stopped, reason=reason, since_us=since_us)
            )


def _mark(rows: Sequence[StoredEvent], end: int) -> str | None:
    """The id of the event at a checkpoint, if it is one's: a page may end behind its last event."""
    return stored_id(rows[-1]) if rows and not isinstance(end, Vector) and rows[-1][0] == end else None


def _parts(rows: Sequence[StoredEvent], at: int | None) -> list[Sequence[StoredEvent]]:
    """What to try of events that failed together: those before the one that failed, it alone, those after it.

    Where it showed only at the end, halves, until it is alone.
    """
    ends = [len(rows) // 2, len(rows)] if at is None else [at, at + 1, len(rows)]
    parts = [rows[start:end] for start, end in pairwise([0, *ends])]
    return [part for part in parts if part]


def _is_events(error: Exception) -> bool:
    """Whether a failure is one of the event's, which may be skipped, and not one of the code for all events."""
    return not isinstance(error, UnknownEventType) and not isinstance(error.__cause__, TransactionEnded)


@contextmanager
def _not_committing(connection: Connection) -> Generator[None]:
    """Turn a commit within the block into a rollback and an error: half of a page must not stay without its checkpoint.

    Raises:
        TransactionEnded: At the commit.
    """
    ended = False

    def refuse(committing: Connection) -> None:
        if not ended:
            # SQLAlchemy takes the transaction for ended either way.
            committing.dialect.do_rollback(committing.connection)
            raise TransactionEnded

    event.listen(connection, "commit", refuse)
    try:
        yield
    finally:
        ended = True


def _raise_passing(projection: SqlProjection, error: Exception) -> None:
    """Raise, where it was no fault of the event's: the database was away, or another transaction in the way.

    Raises:
        Lost: Another transaction was in the way.
        Unavailable: A later try may do.
    """
    cause = error.__cause__ if isinstance(error, HandlerError) else error
    if isinstance(cause, DBAPIError) and is_contended(cause):
        raise Lost from None
    if cause is not None and is_passing(cause):
        raise Unavailable(
            f"{projection.where}: the database cannot serve it now ({told(cause)}); nothing was written. Try again"
        ) from None
