"""What only a server can do to a worker: be away, cut connections, take keys for equal that are not."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa

from eventsource_upstash import Misuse, ProjectionStopped, Unavailable, connect
from eventsource_upstash.sql import SqlFollower, Sync, sql_projection, sync
from tests.sql.accounts import Registered, Used, accounts, rows_of, sql_users, users_table
from tests.sql.servers import PASSWORD, Servers, database, free_port


def test_a_mariadb_column_that_takes_different_keys_for_equal_is_refused(databases: Servers) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    with database(databases.mariadb) as empty:
        engine = sa.create_engine(empty.url, poolclass=sa.pool.NullPool)
        columns = (sa.Column("user", sa.String(64), primary_key=True), sa.Column("used", sa.Integer))
        table = sa.Table("users", sa.MetaData(), *columns)
        table.create(engine)
        app.event_store.append("users", Registered("a", 1), Registered("A", 2))
        with pytest.raises(Misuse, match=r"different keys are equal \('a' and 'A'\); let it be utf8mb4_bin"):
            sync(engine, app.projection_store.view(known.users), table)


def test_an_engine_of_a_mariadb_without_a_database_is_refused(databases: Servers) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", Registered("a", 1))
    engine = sa.create_engine(databases.mariadb.set(database=None))
    table = users_table()
    with pytest.raises(Misuse, match="the engine's URL names no database"):
        sync(engine, app.projection_store.view(known.users), table)
    with pytest.raises(Misuse, match="the engine's URL names no database"):
        SqlFollower(engine, sql_users(known.registry, table)).status()
    engine.dispose()


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_server_that_is_away_is_unavailable_and_no_password_is_told(
    databases: Servers, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    url: sa.URL = getattr(databases, name)
    engine = sa.create_engine(url.set(port=free_port()))
    app.projector.follow(SqlFollower(engine, sql_users(known.registry, users_table())))
    app.event_store.append("users", Registered("a", 1))
    with caplog.at_level(logging.DEBUG, "eventsource_upstash"):
        with pytest.raises(Unavailable, match="the database cannot serve it now") as followed:
            app.projector.catch_up()
        with pytest.raises(Unavailable) as synced:
            Sync(engine, app.projection_store.view(known.users), users_table()).run()
    for told in (followed.value, synced.value):
        assert PASSWORD not in f"{told!r}{told.__cause__!r}{caplog.text}"
        assert "127.0.0.1" not in str(told)


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_connection_that_is_cut_within_the_transaction_loses_nothing(databases: Servers, name: str) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    with database(getattr(databases, name)) as empty:
        engine = sa.create_engine(empty.url, connect_args=empty.options)
        other = sa.create_engine(empty.url, connect_args=empty.options, poolclass=sa.pool.NullPool)
        table = users_table()
        table.create(engine)
        users = sql_users(known.registry, table, on_error="skip")
        app.projector.follow(SqlFollower(engine, users))
        app.event_store.append("users", Registered("a", 1), Registered("b", 2))
        cut: list[object] = []

        def before(connection: sa.Connection, *_: object) -> None:
            driver = connection.connection.dbapi_connection
            if cut or "INSERT INTO users" not in str(_[1]):
                return
            cut.append(driver)
            with other.connect().execution_options(isolation_level="AUTOCOMMIT") as killer:
                if name == "mariadb":
                    killer.exec_driver_sql(f"KILL {driver.thread_id()}")  # type: ignore[union-attr]
                else:
                    killer.exec_driver_sql(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 10000)")  # type: ignore[union-attr]

        sa.event.listen(engine, "before_cursor_execute", before)
        with pytest.raises(Unavailable, match="nothing was written"):
            app.projector.catch_up()
        assert cut
        assert app.projector.catch_up().complete
        assert rows_of(engine, table) == {"a": (1, 0), "b": (2, 0)}
        engine.dispose()


def test_a_lock_that_a_handler_does_not_get_in_time_is_no_failure_of_the_event(databases: Servers) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    with database(databases.mariadb) as empty:
        engine = sa.create_engine(empty.url, connect_args={"init_command": "SET innodb_lock_wait_timeout = 0"})
        table = users_table()
        table.create(engine)
        app.projector.follow(SqlFollower(engine, sql_users(known.registry, table, on_error="skip")))
        app.event_store.append("users", Registered("a", 1))
        app.projector.catch_up()
        app.event_store.append("users", Used("a", 5))
        with engine.begin() as other:
            other.execute(table.update().values(quota=7))
            with pytest.raises(Unavailable, match="code 1205"):
                app.projector.catch_up()
        assert app.projector.catch_up().complete
        assert rows_of(engine, table) == {"a": (7, 5)}
        engine.dispose()


def test_a_constraint_that_is_looked_at_at_the_end_stops_at_the_event_that_breaks_it(databases: Servers) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    with database(databases.postgresql) as empty:
        engine = sa.create_engine(empty.url, connect_args=empty.options)
        table = users_table()
        table.append_constraint(sa.UniqueConstraint("quota", deferrable=True, initially="DEFERRED"))
        table.create(engine)
        users = sql_projection("users", known.registry)

        @users.on(Registered)
        def registered(connection: sa.Connection, event: Registered) -> None:
            connection.execute(table.insert().values(user=event.user, quota=event.quota, used=0))

        app.projector.follow(SqlFollower(engine, users))
        app.event_store.append("users", *[Registered(f"u{each}", each % 5) for each in range(8)])
        with pytest.raises(ProjectionStopped, match="stopped at position 6: the transaction could not be ended after"):
            app.projector.catch_up()
        assert set(rows_of(engine, table)) == {f"u{each}" for each in range(5)}
        engine.dispose()
