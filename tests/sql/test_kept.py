"""Where it is kept how far tables are: under names of one's own, deleted by somebody, while others are in the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from eventsource_upstash import App, Unavailable, connect
from eventsource_upstash.sql import SqlFollower, Sync, follower, sql_projection, syncing
from eventsource_upstash.sql.applying import Applying
from eventsource_upstash.sql.engines import Lost
from eventsource_upstash.sql.flow import Flow
from tests.sql.accounts import Registered, accounts, rows_of, users_table

Call = Callable[[], object]


def made(engine: sa.Engine, **named: str) -> tuple[App, Call, Call]:
    """An app with an event; what brings a table in step with its view, and what has a SQL projection follow."""
    known = accounts()
    app = connect("memory:", known.registry)
    table = users_table()
    table.create(engine)
    app.event_store.append("user", Registered("u1", 100))
    sync = Sync(
        engine,
        app.projection_store.view(known.users),
        table,
        name=named.get("name"),
        checkpoints=named.get("syncs", "eventsource_syncs"),
    )
    projection = sql_projection("seen", known.registry)
    projection.on(Registered)(lambda event, connection: None)
    app.projector.follow(SqlFollower(engine, projection, table=named.get("checkpoints", "eventsource_checkpoints")))
    return app, sync.run, app.projector.catch_up


def test_tables_and_rows_are_called_as_somebody_wants_them(engine: sa.Engine) -> None:
    _, sync, catch_up = made(engine, name="mine", syncs="my_syncs", checkpoints="my_checkpoints")
    sync()
    catch_up()
    names = set(sa.inspect(engine).get_table_names())
    assert names >= {"my_syncs", "my_checkpoints"}
    assert not names & {"eventsource_syncs", "eventsource_checkpoints"}
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT name FROM my_syncs")).scalars().all() == ["mine"]
        assert connection.execute(sa.text("SELECT name FROM my_checkpoints")).scalars().all() == ["seen"]


@pytest.mark.parametrize(("table", "which"), [("eventsource_syncs", 1), ("eventsource_checkpoints", 2)])
def test_a_row_that_somebody_has_deleted_is_made_again(engine: sa.Engine, table: str, which: int) -> None:
    call = made(engine)[which]
    assert callable(call)
    call()
    with engine.begin() as connection:
        connection.execute(sa.text(f"DELETE FROM {table}"))
    with pytest.raises(Unavailable, match="its checkpoint has just been deleted"):
        call()
    call()
    with engine.connect() as connection:
        assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == 1


def test_who_never_gets_on_is_told_so(lite: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _, sync, catch_up = made(lite)

    def lost(*given: object) -> None:
        raise Lost

    for module in (syncing, follower):
        monkeypatch.setattr(module, "MAX_LOST", 3)
    monkeypatch.setattr(Flow, "write", lost)
    monkeypatch.setattr(Applying, "apply", lost)
    for call in (sync, catch_up):
        with pytest.raises(Unavailable, match="others were in the way each time"):
            call()
    assert rows_of(lite, users_table()) == {}
