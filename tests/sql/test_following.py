"""A projection whose view is SQL tables: each event takes effect once, whatever fails and whoever else is at work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from eventsource_upstash import (
    App,
    LogRewound,
    Memory,
    Misuse,
    ProjectionStopped,
    Recorded,
    RegistrationError,
    Registry,
    Unavailable,
    connect,
)
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.memory import InProcess
from eventsource_upstash.ports import Followed, Log, Page
from eventsource_upstash.sql import SqlFollower, sql_projection
from eventsource_upstash.testing.colours import Colour, Face, settled
from tests.sql.accounts import Left, Registered, Used, accounts, rows_of, sql_users, users_table
from tests.sql.servers import Database


@pytest.fixture
def table(engine: sa.Engine) -> sa.Table:
    table = users_table()
    table.create(engine)
    return table


@pytest.mark.parametrize("colour", list(Colour))
def test_tables_follow_the_log_exactly_once(colour: Colour, engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    face = Face(colour, Memory(), known.registry, InProcess())

    async def work() -> None:
        follower = SqlFollower(engine, sql_users(known.registry, table), page_size=3)
        face.app.projector.follow(follower)
        for each in range(5):
            await face.append(f"user-{each}", Registered(f"u{each}", 100), Used(f"u{each}", each), Used(f"u{each}", 1))
        await face.append("user-0", Left("u0"))
        for _ in range(2):  # the second finds nothing to do
            result = await settled(face.app.projector.catch_up())
            assert result.complete
        assert rows_of(engine, table) == {f"u{each}": (100, each + 1) for each in range(1, 5)}
        (status,) = follower.status()
        assert (status.name, status.version, status.checkpoint, status.stopped) == ("users", 1, 16, None)

    colour.run(work())


def test_several_projections_share_the_pages_and_each_is_where_it_is(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    for each in range(10):
        app.event_store.append(f"user-{each}", Registered(f"u{each}", 100))
    app.projector.follow(SqlFollower(engine, sql_users(known.registry, table)))
    app.projector.catch_up()

    seen: list[Recorded[Registered]] = []
    audit = sql_projection("audit", known.registry)

    @audit.on_recorded(Registered)
    def registered(connection: sa.Connection, event: Recorded[Registered]) -> None:
        seen.append(event)

    both = SqlFollower(engine, sql_users(known.registry, table), audit, page_size=4, name="both")
    app = App(app.backend, known.registry, InProcess())
    app.projector.follow(both)
    app.event_store.append("user-10", Registered("u10", 100))
    assert app.projector.catch_up(until=10, time_budget=0).complete is False  # a page each
    assert [status.checkpoint for status in both.status()] == [10, 4]
    assert app.projector.catch_up().complete
    assert [event.position for event in seen] == list(range(1, 12))
    assert len(rows_of(engine, table)) == 11


def test_an_event_that_fails_stops_it_there_and_what_is_before_stays(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    follower = SqlFollower(engine, sql_users(known.registry, table), clock=lambda: 7_000_000_000)
    app.projector.follow(follower)
    app.event_store.append("user-1", Registered("u1", 100), Used("u1", 5), Used("u1", 13), Used("u1", 1))
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match="'users' stopped at position 3: handler used: ValueError") as told:
            app.projector.catch_up()
        assert isinstance(told.value.__cause__, ValueError)
        assert rows_of(engine, table) == {"u1": (100, 5)}
        (status,) = follower.status()
        assert status.checkpoint == 2
        assert status.stopped is not None
        assert (status.stopped.position, status.stopped.since.timestamp()) == (3, 7)
    skipping = SqlFollower(engine, sql_users(known.registry, table, on_error="skip"))
    app = App(app.backend, known.registry, InProcess())
    app.projector.follow(skipping)
    assert app.projector.catch_up().complete
    assert rows_of(engine, table) == {"u1": (100, 6)}, "the failed event's own statements are not in it"
    (status,) = skipping.status()
    assert (status.skipped, status.stopped) == (1, None)


def test_what_the_database_refuses_of_a_handler_stops_it_too(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    users = sql_projection("users", known.registry)

    @users.on(Registered)
    def registered(connection: sa.Connection, event: Registered) -> None:
        connection.execute(table.insert().values(user=event.user, quota=event.quota, used=0))

    app.projector.follow(SqlFollower(engine, users))
    app.event_store.append("user-1", Registered("secret-1", 100), Registered("u2", 100), Registered("secret-1", 7))
    with pytest.raises(ProjectionStopped, match="stopped at position 3: handler registered: IntegrityError") as told:
        app.projector.catch_up()
    assert "secret-1" not in str(told.value), "MariaDB repeats the value"
    assert rows_of(engine, table) == {"secret-1": (100, 0), "u2": (100, 0)}


def test_a_type_that_nobody_knows_stops_it_even_where_failures_are_skipped(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user-1", Registered("u1", 100), Left("u1"), Registered("u2", 1))
    old = Registry()
    old.event("registered")(Registered)
    for_registered = sql_projection("users", old, on_error="skip")

    @for_registered.on(Registered)
    def registered(connection: sa.Connection, event: Registered) -> None:
        connection.execute(table.insert().values(user=event.user, quota=event.quota, used=0))

    app = App(app.backend, old, InProcess())
    app.projector.follow(SqlFollower(engine, for_registered))
    with pytest.raises(ProjectionStopped, match="stopped at position 2: event type 'left'"):
        app.projector.catch_up()
    old.ignore("left")
    assert app.projector.catch_up().complete
    assert set(rows_of(engine, table)) == {"u1", "u2"}


def test_a_raised_version_begins_anew_and_old_code_leaves_it_alone(
    engine: sa.Engine, table: sa.Table, caplog: pytest.LogCaptureFixture
) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user-1", Registered("u1", 100), Used("u1", 5))
    old = SqlFollower(engine, sql_users(known.registry, table), name="old")
    app.projector.follow(old)
    app.projector.catch_up()
    assert rows_of(engine, table) == {"u1": (100, 5)}
    app.projector.follow(SqlFollower(engine, sql_users(known.registry, table, version=2), name="new"))
    app.event_store.append("user-1", Used("u1", 1))
    assert app.projector.catch_up().complete
    assert rows_of(engine, table) == {"u1": (200, 6)}
    app.event_store.append("user-1", Used("u1", 1))
    with caplog.at_level(logging.WARNING):
        assert app.projector.catch_up().complete
    assert "its tables are of version 2; this code has version 1" in caplog.text
    assert rows_of(engine, table) == {"u1": (200, 7)}
    assert [status.superseded for status in old.status()] == [True]
    with pytest.raises(Misuse, match=r"give it a @projection\.reset handler"):
        SqlFollower(engine, sql_projection("users", known.registry, version=3))


def test_two_workers_at_once_apply_each_event_once(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    memory = Memory()
    app = App(memory, known.registry, InProcess())
    for each in range(40):
        app.event_store.append(f"user-{each % 4}", Registered(f"u{each}", 100), Used(f"u{each}", 1))
    errors: list[Exception] = []
    begin = threading.Barrier(3)

    def work() -> None:
        mine = App(memory, known.registry, InProcess())
        mine.projector.follow(SqlFollower(engine, sql_users(known.registry, table), page_size=3))
        begin.wait()
        while True:
            try:
                assert mine.projector.catch_up().complete
            except Unavailable:  # the database was locked: as said, a later try does
                continue
            except Exception as error:
                errors.append(error)
            return

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert rows_of(engine, table) == {f"u{each}": (100, 1) for each in range(40)}


def test_a_worker_that_lost_goes_on_from_where_the_other_is(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    memory = Memory()
    app = App(memory, known.registry, InProcess())
    other = App(memory, known.registry, InProcess())
    app.event_store.append("user-1", *[Registered(f"u{each}", 100) for each in range(9)])
    turns: list[int] = []

    class Overtaken(SqlFollower):
        async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
            return await super().follow(port, cast("Log", SlowLog(log)), head, deadline)

    class SlowLog:
        def __init__(self, log: Log) -> None:
            self.log = log

        async def read(self, after: int, limit: int, max_bytes: int) -> Page:
            if len(turns) < 2:
                turns.append(after)
                other.projector.catch_up(until=3 * len(turns))  # after the look at the checkpoint
            return await self.log.read(after, limit, max_bytes)

    app.projector.follow(Overtaken(engine, sql_users(known.registry, table), page_size=2))
    other.projector.follow(SqlFollower(engine, sql_users(known.registry, table), page_size=3))
    assert app.projector.catch_up().applied == 9 + 3, "the views, and what the other one has left"
    assert turns == [0, 2], "a page is read from the event on that the tables have reached"
    assert len(rows_of(engine, table)) == 9


def commit(connection: sa.Connection) -> None:
    connection.commit()


def rollback(connection: sa.Connection) -> None:
    connection.rollback()


def commit_and_bear_with_it(connection: sa.Connection) -> None:
    with suppress(Misuse):
        connection.commit()


def commit_a_session_that_takes_over(connection: sa.Connection) -> None:
    with Session(connection, join_transaction_mode="control_fully") as session:
        session.execute(sa.select(1))
        session.commit()


@pytest.mark.parametrize("end", [commit, rollback, commit_and_bear_with_it, commit_a_session_that_takes_over])
def test_a_handler_that_ends_the_transaction_is_told_so_and_nothing_is_applied_twice(
    engine: sa.Engine, table: sa.Table, end: Callable[[sa.Connection], None]
) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    users = sql_projection("users", known.registry, on_error="skip")

    @users.on(Registered)
    def registered(connection: sa.Connection, event: Registered) -> None:
        connection.execute(table.insert().values(user=event.user, quota=event.quota, used=0))

    @users.on(Used)
    def used(connection: sa.Connection, event: Used) -> None:
        connection.execute(table.update().values(used=table.c.used + event.amount))
        if event.amount == 2:
            end(connection)

    follower = SqlFollower(engine, users)
    app.projector.follow(follower)
    app.event_store.append("user-1", Registered("u1", 1), Used("u1", 1), Used("u1", 2), Used("u1", 1))
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match=r"stopped at position 3: .*it ended the transaction"):
            app.projector.catch_up()
        assert rows_of(engine, table) == {"u1": (1, 1)}
        (status,) = follower.status()
        assert status.checkpoint == 2
        assert status.stopped is not None


def test_a_session_within_the_transaction_is_welcome(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    users = sql_projection("users", known.registry)

    @users.on(Registered)
    def registered(connection: sa.Connection, event: Registered) -> None:
        with Session(connection) as session:
            session.execute(table.insert().values(user=event.user, quota=event.quota, used=0))
            session.commit()
        if event.quota == 3:
            raise ValueError("three")

    app.projector.follow(SqlFollower(engine, users))
    app.event_store.append("user-1", Registered("u1", 1), Registered("u2", 2), Registered("u3", 3))
    with pytest.raises(ProjectionStopped, match="stopped at position 3"):
        app.projector.catch_up()
    assert rows_of(engine, table) == {"u1": (1, 0), "u2": (2, 0)}


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_handler_that_bears_with_a_failed_statement_does_not_hold_up_other_events(
    engine: sa.Engine, table: sa.Table, policy: Literal["stop", "skip"]
) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    users = sql_projection("users", known.registry, on_error=policy)

    @users.on(Registered)
    def registered(connection: sa.Connection, event: Registered) -> None:
        with suppress(sa.exc.IntegrityError):
            connection.execute(table.insert().values(user=event.user, quota=event.quota, used=0))

    app.projector.follow(SqlFollower(engine, users))
    names = ["u1", "u2", "u1", "u3", "u4", "u5"]
    app.event_store.append("user-1", *[Registered(name, 1) for name in names])
    if engine.dialect.name == "postgresql" and policy == "stop":  # which takes no statement after one that failed
        with pytest.raises(ProjectionStopped, match=r"stopped at position 3: .*let it be in connection\.begin_nested"):
            app.projector.catch_up()
        assert set(rows_of(engine, table)) == {"u1", "u2"}
    else:
        assert app.projector.catch_up().complete
        assert set(rows_of(engine, table)) == set(names)


def test_a_database_that_is_locked_is_unavailable_and_nothing_is_lost(lite: sa.Engine) -> None:
    table = users_table()
    table.create(lite)
    impatient = sa.create_engine(lite.url, connect_args={"timeout": 0})
    known = accounts()
    app = connect("memory:", known.registry)
    app.projector.follow(SqlFollower(impatient, sql_users(known.registry, table)))
    app.projector.catch_up()
    app.event_store.append("user-1", Registered("u1", 1))
    with lite.begin() as blocker:
        blocker.execute(table.delete())
        with pytest.raises(Unavailable, match="the database cannot serve it now"):
            app.projector.catch_up()
    assert app.projector.catch_up().complete
    assert rows_of(impatient, table) == {"u1": (1, 0)}
    impatient.dispose()


def impatient_options(empty: Database) -> dict[str, object]:
    """What makes an engine that waits for no lock."""
    match empty.url.get_backend_name():
        case "sqlite":
            return {"timeout": 0}
        case "postgresql":
            return {"options": f"{empty.options['options']} -clock_timeout=1ms"}
        case _:
            return {"init_command": "SET innodb_lock_wait_timeout = 0"}


def test_nobody_waits_for_a_page_of_somebody_else_to_tell_how_it_is(
    empty: Database, engine: sa.Engine, table: sa.Table
) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    users = sql_users(known.registry, table)
    app.projector.follow(SqlFollower(engine, users))
    app.event_store.append("user-1", Registered("u1", 1))
    app.projector.catch_up()
    impatient = sa.create_engine(empty.url, connect_args=impatient_options(empty))
    with engine.begin() as busy:
        busy.execute(sa.text("UPDATE eventsource_checkpoints SET checkpoint = 0"))
        (status,) = SqlFollower(impatient, users).status()
    assert status.checkpoint == 1
    impatient.dispose()


def test_a_log_that_was_taken_back_is_told(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.projector.follow(SqlFollower(engine, sql_users(known.registry, table)))
    app.event_store.append("user-1", Registered("u1", 1), Registered("u2", 1))
    app.projector.catch_up()
    restored = connect("memory:", known.registry)
    restored.event_store.append("user-1", Registered("u1", 1))
    restored.projector.follow(SqlFollower(engine, sql_users(known.registry, table)))
    with pytest.raises(LogRewound, match="'users' is at position 2, but the log ends at 1"):
        restored.projector.catch_up()


def test_mistakes_are_told_when_they_are_made(lite: sa.Engine) -> None:
    known = accounts()
    users = sql_projection("users", known.registry)
    with pytest.raises(RegistrationError, match="on_error='park'; it is 'stop' or 'skip'"):
        sql_projection("users", known.registry, on_error="park")  # type: ignore[arg-type]
    with pytest.raises(RegistrationError, match="a version is a whole number from 1"):
        sql_projection("users", known.registry, version=0)
    with pytest.raises(RegistrationError, match="its name has 1 to 128 letters"):
        sql_projection("no name", known.registry)
    with pytest.raises(RegistrationError, match="is no Registry"):
        sql_projection("users", object())  # type: ignore[arg-type]
    with pytest.raises(RegistrationError, match="is not registered as an event here"):
        users.on(int)(lambda connection, event: None)
    with pytest.raises(RegistrationError, match="cannot be called as"):
        users.on(Registered)(lambda event: None)  # type: ignore[arg-type, misc]
    users.on(Registered)(lambda connection, event: None)
    with pytest.raises(RegistrationError, match="has a handler already"):
        users.on(Registered)(lambda connection, event: None)
    users.reset(lambda connection: None)
    with pytest.raises(RegistrationError, match="there is a reset handler already"):
        users.reset(lambda connection: None)
    with pytest.raises(Misuse, match="at least one projection, and each once"):
        SqlFollower(lite)
    with pytest.raises(Misuse, match="at least one projection, and each once"):
        SqlFollower(lite, users, users)
    with pytest.raises(Misuse, match="is no SQL projection"):
        SqlFollower(lite, known.users)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="page_size=0"):
        SqlFollower(lite, users, page_size=0)


def test_an_engine_that_cannot_be_used_is_refused() -> None:
    known = accounts()
    users = sql_projection("users", known.registry)
    with pytest.raises(Misuse, match="not a str"):
        SqlFollower("sqlite://", users)  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="one for each thread; use a file, or"):
        SqlFollower(sa.create_engine("sqlite://", poolclass=sa.pool.SingletonThreadPool), users)

    class Async:
        dialect = type("Dialect", (), {"is_async": True, "name": "postgresql"})()

    with pytest.raises(Misuse, match="asynchronous engine"):
        SqlFollower(Async(), users)  # type: ignore[arg-type]


def test_an_engine_without_transactions_is_refused(engine: sa.Engine, table: sa.Table) -> None:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    known = accounts()
    app = connect("memory:", known.registry)
    app.projector.follow(SqlFollower(autocommit, sql_users(known.registry, table)))
    app.event_store.append("user-1", Registered("u1", 1))
    with pytest.raises(Misuse, match="commits each statement by itself"):
        app.projector.catch_up()
    assert rows_of(engine, table) == {}
