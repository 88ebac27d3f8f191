"""What a sync reads and writes: the view and the log on one side; rows, and how far it is, on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Generic, NamedTuple, TypeVar, cast

from sqlalchemy import Engine, Table
from sqlalchemy.exc import DBAPIError

from .._flow.freshness import Fresh
from ..aio.views import AsyncView
from ..backends.marks import Next, read_on
from ..blocking.views import View
from ..domain.positions import join
from ..domain.projections import Projection
from ..errors import Misuse
from ..ports import MAX_PAGE_BYTES, Got, Listed
from .columns import Columns
from .engines import Lost, check_engine, is_contended, telling
from .marks import Expected, check
from .statements import Statements
from .tables import Rows, check_name, syncs_table

D = TypeVar("D")


class State(NamedTuple):
    """What is kept of a sync.

    Attributes:
        edition: Counts its transactions: each takes effect only if nobody else's came between.
        version: Version of the projection that the table holds; 0 before the first copy.
        generation: Build of its view.
        position: Every event up to it is in the table.
        parked: Whether events were parked in the view when it was read: they may be folded without a new event.
        started: Checkpoint of the view when the copy under way began; None where none is.
        phase: "copy" while documents are copied, "sweep" while rows are looked at that the view may not have, "events"
            after that until a run reaches the head.
        place: The last key of that; None at its beginning.
        copied: Documents copied by it.
        mark: Id of the event at the position that it `reaches`; None where it is not known.
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
    mark: str | None = None

    @property
    def reaches(self) -> int:
        """The highest position that the table may hold something of."""
        return self.position if self.started is None else join(self.position, self.started)


class Flow(Generic[D]):
    """Both sides of a sync. See `Sync`."""

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
        self._statements = Statements(table, self.columns.key, self.where)
        self.name: str = name if name is not None else f"{view.projection.name}:{table.fullname}"
        check_name(f"{self.where}: name", self.name)
        self._page = page_size
        self._table = syncs_table(checkpoints, schema)
        self._rows = Rows(engine, self._table, self.where)

    # What follows blocks: it is done by the port's `call`.

    def state(self) -> State:
        """What is kept of it."""
        with telling(self.where):
            row = self._rows.read(self.name, State()._asdict(), self.where, self._statements.check)
        kept = self._rows.with_vectors(row)
        return State(*(kept[field] for field in State._fields))

    def write(self, before: State, after: State, put: Sequence[dict[str, object]], gone: Sequence[str]) -> int:
        """Write rows and state in one transaction, unless another run wrote meanwhile. Answers how many rows went.

        Raises:
            Lost: It did. Nothing was written.
            Unavailable: The database cannot serve it now. Nothing was written.
            Refused: It does not take the rows.
            Misuse: A key, or a row, does not fit the table.
        """
        table = self._table
        values = [self.columns.value_of(key) for key in gone]
        places = self._rows.values(position=after.position, started=after.started)
        with self._telling():
            try:
                with self.engine.begin() as connection:
                    changed = connection.execute(
                        table.update()
                        .where(table.c.name == self.name, table.c.edition == before.edition)
                        .values({**after._replace(edition=before.edition + 1)._asdict(), **places})
                    )
                    if changed.rowcount != 1:
                        raise Lost
                    # First what goes: it may leave a unique value to what comes.
                    deleted = self._statements.delete(connection, values)
                    self._statements.put(connection, put)
                    return deleted
            except DBAPIError as error:
                if is_contended(error):
                    raise Lost from None
                raise

    def surplus(self, copied: int) -> bool:
        """Whether the table may hold rows that were not among so many that were copied."""
        with self._telling(), self.engine.connect() as connection:
            return self._statements.count(connection) != copied

    def is_empty(self) -> bool:
        """Whether the table holds nothing."""
        return not self.keys_after(None, 1)

    def keys_after(self, place: str | None, limit: int | None = None) -> list[str]:
        """The next keys of the table, in the database's own order."""
        after = None if place is None else self.columns.value_of(place)
        with self._telling(), self.engine.connect() as connection:
            return [str(key) for key in self._statements.keys_after(connection, after, limit or self._page)]

    def _telling(self) -> AbstractContextManager[None]:
        return telling(self.where, lambda: self._statements.hint(self.engine))

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

    async def next(self, after: int, *, events: bool) -> Next:
        """What the log has at a position, and with `events` the next ones."""
        return await read_on(self._reads.log, after, self._page if events else 0, MAX_PAGE_BYTES)

    def check(self, state: State, found: Next) -> None:
        """Raise `LogRewound` or `LogReplaced` where the table is of another log."""
        remedy = "copy the whole view: Sync.run(full=True)"
        check(Expected(self.projection.name, self.where, state.reaches, state.mark, remedy), found)

    async def total(self) -> int:
        """How many documents there are."""
        return await self._reads.count(self.projection, Fresh())
