"""A view of any size is copied in bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import sqlalchemy as sa

from eventsource_upstash import App, SQLite
from eventsource_upstash.backends.memory import InProcess
from eventsource_upstash.sql import Sync
from tests.sql.accounts import Registered, accounts, users_table


def test_fifty_thousand_documents_take_no_more_memory_than_ten_thousand(lite: sa.Engine, tmp_path: Path) -> None:
    known = accounts()
    backend = SQLite(tmp_path / "log.db", synchronous="NORMAL")
    app = App(backend, known.registry, InProcess())
    view = app.projection_store.view(known.users)
    peaks: list[int] = []
    for start, end in ((0, 10_000), (10_000, 50_000)):
        for first in range(start, end, 5000):
            app.event_store.append("users", *[Registered(f"u{each}", each) for each in range(first, first + 5000)])
        app.projector.catch_up()
        table = users_table(f"users_{end}")
        table.create(lite)
        job = Sync(lite, view, table, page_size=1000)
        tracemalloc.start()
        try:
            assert job.run().upserted == end
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    app.close()
    assert peaks[1] < peaks[0] * 1.5, peaks
