"""View -> table: what changed in a view since the last run is copied into a SQL table. The faces of both colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar, cast

from sqlalchemy import Engine, Table

from .._io import blocking, event_loop
from ..aio.views import AsyncView
from ..blocking.views import View
from ..errors import Misuse
from .flow import Flow
from .results import Synced, Syncing
from .syncing import PAGE, Run
from .tables import SYNCS

D = TypeVar("D")


class Sync(Generic[D]):
    """Keeps a SQL table in step with a view: `Sync(engine, app.projection_store.view(users), table).run()`.

    Each run copies what events have changed since the last one: it reads those events, and the documents that they
    concern, and writes rows and its own checkpoint in one transaction. The whole view is copied by the first run, after
    a rebuild or a new version of the projection, while events are parked, and by each run where documents expire: what
    changes without an event cannot be found otherwise. A run that was ended, whatever ended it, goes on where it was,
    with the next call. Of two runs at once one loses its transaction, and goes on from where the other one is.

    The table is the sync's own: rows that the view has not are deleted. A table that is empty is copied anew.

    Args:
        engine: The database: a synchronous engine with transactions.
        view: The view.
        table: The table; it has to be there.
        name: What the checkpoint is kept under; made of projection and table without one.
        key: The unique column of the documents' keys; the single column of the primary key without one.
        row: What answers the columns of a key and document, the same ones for each; the document's fields that are
            columns without one. An Enum is written as its value, a moment in UTC, and what a JSON column holds as JSON.
        checkpoints: The table that the checkpoints of syncs are kept in, made when it is first needed.
        schema: Its schema; the connection's own without one.
        page_size: Most documents or events in one transaction, up to 1,000.

    Raises:
        Misuse: The engine cannot be used, or the table does not fit.
    """

    def __init__(
        self,
        engine: Engine,
        view: View[D],
        table: Table,
        *,
        name: str | None = None,
        key: str | None = None,
        row: Callable[[str, D], Mapping[str, object]] | None = None,
        checkpoints: str = SYNCS,
        schema: str | None = None,
        page_size: int = PAGE,
    ) -> None:
        if not isinstance(cast("object", view), View):
            raise Misuse(f"Sync: it takes a view, as app.projection_store.view(...) answers it, not {view!r}")
        self.flow: Flow[D] = Flow(engine, view, table, name, key, row, checkpoints, schema, page_size)

    def __repr__(self) -> str:
        return f"Sync({self.flow.name!r})"

    def run(
        self,
        *,
        time_budget: float | None = None,
        progress: Callable[[Syncing], None] | None = None,
        full: bool = False,
    ) -> Synced:
        """Bring the view up, and the table in step with it.

        Args:
            time_budget: Seconds after which no further transaction is begun; at least one is made. A copy of the whole
                view may then take several runs: as long as `Synced.more`, the next one goes on with it.
            progress: Called after each transaction, with how far it is and how long it may take.
            full: Whether the whole view is copied, whatever is in the table.

        Raises:
            Unavailable: The database, or the backend, cannot serve it now. What was written stays, and holds together.
            Refused: The database does not take the rows.
            LogRewound: The table is beyond the log's head; or `LogReplaced`, where it has reached an event that the log
                does not have. Nothing was written. With `full=True`, or where it is empty, it is brought in step.
            Misuse: A key or a document does not fit the table, or the table does not tell keys apart.

        Cost: one step for the log, which brings the first 500 events along, and two for the view; for each 500 events
        one of the view and one transaction, and one more of the log from the second on. A full copy: one step of the
        log; one of the view and one transaction for each 500 documents.
        """
        return blocking.run(Run(self.flow, blocking.PORT, time_budget, progress, full=full).run())


class AsyncSync(Generic[D]):
    """Keeps a SQL table in step with a view, on an event loop: what blocks is done in its threads. See `Sync`.

    Args:
        engine: The database: a synchronous engine with transactions.
        view: The view.
        table: The table; it has to be there.
        name: What the checkpoint is kept under; made of projection and table without one.
        key: The unique column of the documents' keys; the single column of the primary key without one.
        row: What answers the columns of a key and document, the same ones for each; the document's fields that are
            columns without one. An Enum is written as its value, a moment in UTC, and what a JSON column holds as JSON.
        checkpoints: The table that the checkpoints of syncs are kept in, made when it is first needed.
        schema: Its schema; the connection's own without one.
        page_size: Most documents or events in one transaction, up to 1,000.

    Raises:
        Misuse: The engine cannot be used, or the table does not fit.
    """

    def __init__(
        self,
        engine: Engine,
        view: AsyncView[D],
        table: Table,
        *,
        name: str | None = None,
        key: str | None = None,
        row: Callable[[str, D], Mapping[str, object]] | None = None,
        checkpoints: str = SYNCS,
        schema: str | None = None,
        page_size: int = PAGE,
    ) -> None:
        if not isinstance(cast("object", view), AsyncView):
            raise Misuse(f"AsyncSync: it takes a view, as app.projection_store.view(...) answers it, not {view!r}")
        self.flow: Flow[D] = Flow(engine, view, table, name, key, row, checkpoints, schema, page_size)

    def __repr__(self) -> str:
        return f"AsyncSync({self.flow.name!r})"

    async def run(
        self,
        *,
        time_budget: float | None = None,
        progress: Callable[[Syncing], None] | None = None,
        full: bool = False,
    ) -> Synced:
        """Bring the view up, and the table in step with it. Arguments, errors and cost as for `Sync.run`."""
        return await Run(self.flow, event_loop.PORT, time_budget, progress, full=full).run()


def sync(
    engine: Engine,
    view: View[D],
    table: Table,
    *,
    key: str | None = None,
    row: Callable[[str, D], Mapping[str, object]] | None = None,
    time_budget: float | None = None,
) -> Synced:
    """One run of a `Sync`, in one call. Arguments, errors and cost as there."""
    return Sync(engine, view, table, key=key, row=row).run(time_budget=time_budget)
