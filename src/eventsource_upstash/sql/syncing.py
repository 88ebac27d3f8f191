"""View -> table: what a run of a sync does, step by step, each one a transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, NamedTuple, TypeVar, cast

import msgspec
from sqlalchemy import Engine, Table
from sqlalchemy.exc import DBAPIError

from .._flow.freshness import Fresh
from .._io.port import Port
from ..aio import AsyncView
from ..blocking import View
from ..domain.events import FREE, Receipt
from ..domain.projections import Projection
from ..errors import LogRewound, Misuse, ProjectionStopped, StaleView, Unavailable
from ..ports import MAX_PAGE_BYTES, Got, Listed, Page, Progress
from .columns import Columns
from .engines import check_engine, is_contended, telling
from .tables import Rows, syncs_table

D = TypeVar("D")

_log: Final = logging.getLogger("eventsource_upstash.sql")

PAGE: Final = 500
"""Documents, or events, that make one transaction."""

CATCH_UP: Final = 30.0
"""Seconds that the view may take to be brought up, where the run has no time budget."""

MAX_LOST: Final = 100


class Synced(msgspec.Struct, frozen=True):
    """What a sync did.

    Attributes:
        upserted: Rows written; one may be written several times.
        deleted: Rows deleted.
        position: The table holds what the view held at this position of the log, or later.
        head: The log's last position as of the beginning.
        complete: Whether the table reached what the view held at the beginning, and that is the head. Without, the time
            was over, or the view cannot get to the head.
        full: Whether the whole view was copied, or a part of a copy of it.
        receipt: What it cost of the log and the view.
    """

    upserted: int
    deleted: int
    position: int
    head: int
    complete: bool
    full: bool = False
    receipt: Receipt = FREE


class Syncing(msgspec.Struct, frozen=True):
    """How far a sync is, for a progress bar.

    Attributes:
        done: Documents copied, where the whole view is; else events looked at, since the call began.
        total: How many of them there are, about.
        upserted: Rows written so far.
        deleted: Rows deleted so far.
        full: Whether the whole view is copied.
        elapsed: Seconds since the call began.
        remaining: Seconds that it may still take, about; None where that cannot be told yet.
    """

    done: int
    total: int
    upserted: int
    deleted: int
    full: bool
    elapsed: float
    remaining: float | None

    @property
    def fraction(self) -> float:
        """How much of it is done, from 0 to 1."""
        return 1.0 if not self.total else min(1.0, self.done / self.total)


class _State(NamedTuple):
    """What is kept of a sync.

    Attributes:
        edition: Counts its transactions: each takes effect only if nobody else's came between.
        version: Version of the projection that the table holds; 0 before the first copy.
        generation: Build of its view.
        position: Every event up to it is in the table.
        parked: Whether events were parked in the view when it was read: they may be folded without a new event.
        started: Checkpoint of the view when the copy under way began; None where none is.
        phase: "copy" while documents are copied, "sweep" while rows are looked at that the view may not have.
        place: The last key of that; None at its beginning.
        copied: Documents copied by it.
    """

    edition: int = 0
    version: int = 0
    generation: int = 0
    position: int = 0
    parked: int = 0
    started: int | None = None
    phase: str = ""
    place: str | None = None
    copied: int = 0


class _Lost(Exception):
    """Internal: another run wrote meanwhile. This one wrote nothing."""


class Flow(Generic[D]):
    """The sync itself, over a port. See `Sync`."""

    def __init__(
        self,
        engine: Engine,
        view: View[D] | AsyncView[D],
        table: Table,
        name: str | None,
        key: str | None,
        row: Callable[[str, D], Mapping[str, object]] | None,
        checkpoints: str,
        schema: str | None,
        page_size: int,
    ) -> None:
        self.engine: Engine = check_engine(engine, "Sync")
        if not isinstance(cast("object", table), Table):
            raise Misuse(
                f"Sync: it takes a Table of SQLAlchemy, not a {type(table).__name__}; of a class, its __table__"
            )
        if type(page_size) is not int or not 1 <= page_size <= 1000:
            raise Misuse(f"page_size={page_size!r}: it is a whole number from 1 to 1000")
        self.projection: Projection[D] = view.projection
        self._reads = view.flow
        self.columns: Columns[D] = Columns(view.projection, table, key, row)
        self.where: str = self.columns.where
        self.name: str = name if name is not None else f"{view.projection.name}:{table.fullname}"
        if not 0 < len(self.name) <= 255:
            raise Misuse(f"{self.where}: name={self.name!r}: it has 1 to 255 characters")
        self._page = page_size
        self._table = syncs_table(checkpoints, schema)
        self._rows = Rows(engine, self._table, self.where)

    async def run(
        self, port: Port, time_budget: float | None, progress: Callable[[Syncing], None] | None, full: bool
    ) -> Synced:
        """See `Sync.run`."""
        if time_budget is not None and not time_budget >= 0:  # NaN is not either
            raise Misuse(f"time_budget={time_budget!r}: it is a number of seconds from 0")
        return await _Run(self, port, time_budget, progress, full=full).run()

    # What follows blocks: it is done by the port's `call`.

    def state(self) -> _State:
        """What is kept of it."""
        with telling(self.where):
            self._rows.prepare(self.name, _State()._asdict())
            with self.engine.connect() as connection:
                mine = self._table.select().where(self._table.c.name == self.name)
                row = connection.execute(mine).mappings().first()
                self.columns.check(connection)
                connection.rollback()
        if row is None:
            self._rows.forget()
            raise Unavailable(f"{self.where}: its checkpoint has just been deleted. Try again")
        return _State(*(row[field] for field in _State._fields))

    def write(self, before: _State, after: _State, put: Sequence[dict[str, object]], gone: Sequence[str]) -> int:
        """Write rows and state in one transaction, unless another run wrote meanwhile. Answers how many rows went.

        Raises:
            _Lost: It did. Nothing was written.
            Unavailable: The database cannot serve it now. Nothing was written.
            Refused: It does not take the rows.
        """
        table = self._table
        with telling(self.where):
            try:
                with self.engine.begin() as connection:
                    changed = connection.execute(
                        table.update()
                        .where(table.c.name == self.name, table.c.edition == before.edition)
                        .values(**after._replace(edition=before.edition + 1)._asdict())
                    )
                    if changed.rowcount != 1:
                        raise _Lost
                    self.columns.put(connection, put)
                    return self.columns.delete(connection, gone)
            except DBAPIError as error:
                if is_contended(error):
                    raise _Lost from None
                raise

    def surplus(self, copied: int) -> bool:
        """Whether the table may hold rows that were not among so many that were copied."""
        with telling(self.where), self.engine.connect() as connection:
            return self.columns.count(connection) != copied

    def keys_after(self, place: str | None) -> list[str]:
        """The next keys of the table, in the database's own order."""
        with telling(self.where), self.engine.connect() as connection:
            return self.columns.keys_after(connection, place, self._page)

    # What follows reads the log and the view.

    async def got(self, keys: Sequence[str], fresh: Fresh = Fresh()) -> Got:  # noqa: B008 - a value
        """Documents, and how far the build is that they are from."""
        return await self._reads.got(self.projection, keys, fresh, latest=True)

    async def listed(self, place: str | None) -> Listed:
        """The next documents in order of key."""
        return await self._reads.listed(self.projection, Fresh(), None, place, self._page)

    def decoded(self, answer: Got | Listed) -> list[tuple[str, D]]:
        """Documents out of an answer."""
        documents = answer.documents.items() if isinstance(answer, Got) else answer.documents
        return self._reads.decode(self.projection, answer, documents)

    async def page(self, after: int) -> Page:
        """The next events of the log."""
        return await self._reads.log.read(after, self._page, MAX_PAGE_BYTES)

    async def head(self) -> tuple[int, Receipt]:
        """The log's last position."""
        return await self._reads.log.head()

    async def total(self) -> int:
        """How many documents there are."""
        return await self._reads.count(self.projection, Fresh())


class _Run(Generic[D]):
    """One call of a sync."""

    def __init__(
        self,
        flow: Flow[D],
        port: Port,
        time_budget: float | None,
        progress: Callable[[Syncing], None] | None,
        *,
        full: bool,
    ) -> None:
        self.flow = flow
        self.port = port
        self.began = time.monotonic()
        self.time_budget = time_budget
        self.progress = progress
        self.full = full
        self.begun = False
        self.decided = False
        self.copying = False
        self.upserted = self.deleted = self.lost = 0
        self.total: int | None = None
        self.earlier = 0  # documents that earlier calls have copied
        self.first: int | None = None
        self.receipt = FREE
        self.state = _State()

    @property
    def late(self) -> bool:
        return self.time_budget is not None and time.monotonic() - self.began >= self.time_budget

    async def run(self) -> Synced:
        head, goal = await self._bring_up()
        self.state = await self.port.call(self.flow.state)
        if self.state.position > head and not self.full:
            raise LogRewound(projection=self.flow.projection.name, checkpoint=self.state.position, head=head)
        complete = False
        while True:
            try:
                step = await self._step(goal)
            except _Lost:
                self.lost += 1
                if self.lost > MAX_LOST:
                    raise Unavailable(f"{self.flow.where}: others were in the way each time. Try again later") from None
                self.state = await self.port.call(self.flow.state)
                continue
            if not step:
                complete = goal >= head
                break
            self.lost = 0
            if self.late:
                done = (self.decided or self.begun) and self.state.started is None and self.state.position >= goal
                complete = done and goal >= head
                break
        state = self.state
        return Synced(self.upserted, self.deleted, state.position, head, complete, self.copying, self.receipt)

    async def _bring_up(self) -> tuple[int, int]:
        """Fold what is new into the view. Answers the log's head, and how far the view is, which may be less."""
        head, receipt = await self.flow.head()
        self.receipt += receipt
        timeout = CATCH_UP if self.time_budget is None else self.time_budget
        try:
            progress = (await self._got((), Fresh(head, timeout))).progress
        except (ProjectionStopped, StaleView) as error:
            _log.warning("%s: the view is not at the head, and is copied as it is: %s", self.flow.where, error)
            progress = (await self._got(())).progress
        return head, min(progress.checkpoint, head)

    async def _got(self, keys: Sequence[str], fresh: Fresh = Fresh()) -> Got:  # noqa: B008 - a value
        got = await self.flow.got(keys, fresh)
        self.receipt += got.receipt
        return got

    def _is_of(self, progress: Progress) -> bool:
        """Whether an answer is of the build that the table holds."""
        return (progress.projection.version, progress.generation) == (self.state.version, self.state.generation)

    def _wants_copy(self, progress: Progress) -> bool:
        """Whether the whole view has to be copied, and not only what events have changed."""
        # What ends, or was parked, changes without an event. A copy that an earlier call began does not count: what it
        # copied may have changed so since. Which documents an event concerns is not known of an older version.
        projection = self.flow.projection
        others = not self._is_of(progress) or progress.projection != projection.id
        return others or self.full or projection.ends or self.state.parked > 0

    async def _step(self, goal: int) -> bool:
        """One transaction. Answers whether there was anything to do."""
        if self.state.started is not None:
            return await (self._copy() if self.state.phase == "copy" else self._sweep())
        if not self.decided and not self.begun:
            progress = (await self._got(())).progress
            if self._wants_copy(progress):
                await self._begin(progress)
                return True
            self.decided = True
        return self.state.position < goal and await self._events(goal)

    async def _begin(self, progress: Progress) -> None:
        """Begin to copy the whole view."""
        version, generation = progress.projection.version, progress.generation
        state = self.state._replace(
            version=version,
            generation=generation,
            parked=int(progress.notes.parked > 0),
            started=progress.checkpoint,
            phase="copy",
            place=None,
            copied=0,
        )
        await self._write(state, (), ())
        self.begun = self.copying = True
        self.total = None

    async def _copy(self) -> bool:
        listed = await self.flow.listed(self.state.place)
        self.receipt += listed.receipt
        self.copying = True
        if not self._is_of(listed.progress):
            await self._begin(listed.progress)
            return True
        documents = self.flow.decoded(listed)
        rows = [self.flow.columns.row_of(key, document) for key, document in documents]
        copied = self.state.copied + len(rows)
        place = listed.last[1] if listed.last is not None else self.state.place
        state = self._seen(listed.progress)._replace(place=place, copied=copied)
        if not listed.more or listed.last is None:
            state = state._replace(phase="sweep", place=None)
        await self._write(state, rows, ())
        if self.progress is not None:
            if self.total is None:  # the call's first step, of a copy that an earlier one may have begun
                self.total, self.earlier = await self.flow.total(), copied - len(rows)
            self._tell(copied, max(self.total, copied), self.earlier)
        return True

    async def _sweep(self) -> bool:
        """Delete rows that the view has not. By the keys of the table, since each database has an order of its own."""
        self.copying = True
        state = self.state
        if state.place is None and not await self.port.call(partial(self.flow.surplus, state.copied)):
            await self._write(self._copied(state), (), ())
            return True
        keys = await self.port.call(partial(self.flow.keys_after, state.place))
        got = await self._got(keys)
        if not self._is_of(got.progress):
            await self._begin(got.progress)
            return True
        gone = [key for key in keys if key not in got.documents]
        state = self._seen(got.progress)
        await self._write(state._replace(place=keys[-1]) if keys else self._copied(state), (), gone)
        self._tell(state.copied, state.copied)
        return True

    @staticmethod
    def _copied(state: _State) -> _State:
        """The state when a copy is done: what came since it began is in the log."""
        return state._replace(position=state.started or 0, started=None, phase="", place=None, copied=0)

    async def _events(self, goal: int) -> bool:
        """Copy the documents that the next page of events concerns."""
        flow, after = self.flow, self.state.position
        page = await flow.page(after)
        self.receipt += page.receipt
        rows = [row for row in page.events if row[0] <= goal]
        end, keys = goal, list[str]()
        if rows:
            plan = flow.projection.plan(rows, after, None)
            if plan.checkpoint <= after:
                assert plan.error is not None
                raise plan.error
            end, keys = plan.checkpoint, plan.keys
        put: list[dict[str, object]] = []
        gone: list[str] = []
        state = self.state
        for start in range(0, max(1, len(keys)), 1000):
            some = keys[start : start + 1000]
            got = await self._got(some, Fresh(end))
            if not self._is_of(got.progress):
                await self._begin(got.progress)
                return True
            put += [flow.columns.row_of(key, document) for key, document in flow.decoded(got)]
            gone += [key for key in some if key not in got.documents]
            state = state._replace(parked=state.parked or int(got.progress.notes.parked > 0))
        self.first = after if self.first is None else self.first
        await self._write(state._replace(position=end), put, gone)
        self._tell(end - self.first, goal - self.first)
        return True

    def _seen(self, progress: Progress) -> _State:
        return self.state._replace(parked=self.state.parked or int(progress.notes.parked > 0))

    async def _write(self, after: _State, put: Sequence[dict[str, object]], gone: Sequence[str]) -> None:
        self.deleted += await self.port.call(partial(self.flow.write, self.state, after, put, gone))
        self.upserted += len(put)
        self.state = after._replace(edition=self.state.edition + 1)

    def _tell(self, done: int, total: int, earlier: int = 0) -> None:
        if self.progress is None:
            return
        elapsed = time.monotonic() - self.began
        remaining = elapsed / (done - earlier) * (total - done) if done > earlier else None
        self.progress(Syncing(done, total, self.upserted, self.deleted, self.copying, elapsed, remaining))
