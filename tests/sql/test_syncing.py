"""A table that is kept in step with a view: after each run it holds what the view holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from eventsource_upstash import (
    App,
    AsyncApp,
    LogRewound,
    Memory,
    Misuse,
    Projection,
    ProjectionStore,
    Projector,
    Refused,
    connect,
)
from eventsource_upstash.backends.memory import InProcess
from eventsource_upstash.sql import AsyncSync, Sync, Synced, Syncing, sync
from eventsource_upstash.sql.flow import State
from eventsource_upstash.testing.colours import Colour, Face
from tests.sql.accounts import Left, Registered, Used, User, accounts, rows_of, users_table


@pytest.fixture
def table(engine: sa.Engine) -> sa.Table:
    table = users_table()
    table.create(engine)
    return table


def view_of(app: App, users: Projection[User]) -> dict[str, tuple[int, int]]:
    return {key: (user.quota, user.used) for key, user in app.projection_store.view(users).items()}


@pytest.mark.parametrize("colour", list(Colour))
def test_each_run_copies_what_has_changed(colour: Colour, engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    face = Face(colour, Memory(), known.registry, InProcess())

    async def run() -> Synced:
        app = face.app
        if isinstance(app, AsyncApp):
            return await AsyncSync(engine, app.projection_store.view(known.users), table).run()
        return Sync(engine, app.projection_store.view(known.users), table).run()

    async def work() -> None:
        for each in range(5):
            await face.append(f"user-{each}", Registered(f"u{each}", 100), Used(f"u{each}", each))
        first = await run()
        assert (first.upserted, first.deleted, first.position, first.head) == (5, 0, 10, 10)
        assert first.complete
        assert first.full
        await face.append("user-1", Used("u1", 41), Left("u2"), Used("u1", 1), Registered("u9", 7))
        then = await run()
        assert (then.upserted, then.deleted, then.position, then.full) == (2, 1, 14, False)
        assert then.complete
        assert rows_of(engine, table) == {
            "u0": (100, 0),
            "u1": (100, 43),
            "u3": (100, 3),
            "u4": (100, 4),
            "u9": (7, 0),
        }
        assert await run() == Synced(0, 0, 14, 14, complete=True)

    colour.run(work())


def test_a_full_copy_deletes_what_the_view_has_not(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(7)])
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"user": f"x{each}", "quota": 1, "used": 1} for each in range(7)])
        connection.execute(table.insert().values(user="u3", quota=99, used=99))
    job = Sync(engine, app.projection_store.view(known.users), table, page_size=2)
    result = job.run()
    assert (result.upserted, result.deleted, result.complete) == (7, 7, True)
    assert rows_of(engine, table) == view_of(app, known.users)
    assert not job.run().full
    with engine.begin() as connection:
        connection.execute(table.update().values(used=5))
    assert job.run(full=True).full
    assert rows_of(engine, table) == view_of(app, known.users)


def test_a_run_that_ends_goes_on_where_it_was(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(9)])
    with engine.begin() as connection:
        connection.execute(table.insert().values(user="x", quota=99, used=99))
    runs = 0
    while True:
        # a new one each time, as each invocation of a function has it
        result = Sync(engine, app.projection_store.view(known.users), table, page_size=2).run(time_budget=0)
        runs += 1
        app.event_store.append("user", Used(f"u{runs % 9}", 1)) if runs < 9 else None
        if result.complete:
            break
    assert runs > 9
    app.projector.catch_up()
    assert rows_of(engine, table) == view_of(app, known.users)


def test_progress_is_told(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(4)])
    told: list[Syncing] = []
    job = Sync(engine, app.projection_store.view(known.users), table, page_size=2)
    job.run(progress=told.append)
    assert [(each.done, each.total, each.upserted, each.full) for each in told] == [(2, 4, 2, True), (4, 4, 4, True)]
    assert [each.fraction for each in told] == [0.5, 1.0]
    told.clear()
    app.event_store.append("user", *[Used(f"u{each}", each) for each in range(4)])
    job.run(progress=told.append)
    assert [(each.done, each.total, each.full) for each in told] == [(2, 4, False), (4, 4, False)]
    assert all(each.remaining is not None for each in told)


def test_progress_of_a_copy_that_an_earlier_call_began(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(6)])
    told: list[Syncing] = []
    job = Sync(engine, app.projection_store.view(known.users), table, page_size=2)
    job.run(time_budget=0)
    job.run(time_budget=0)
    job.run(progress=told.append)
    assert [(each.done, each.total, each.full) for each in told] == [(4, 6, True), (6, 6, True)]
    assert [each.remaining is not None for each in told] == [True, True]


def test_progress_over_events_from_an_empty_log_on(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    told: list[Syncing] = []
    job = Sync(engine, app.projection_store.view(known.users), table, page_size=2)
    job.run()
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(4)])
    job.run(progress=told.append)
    assert [(each.done, each.total, each.full) for each in told] == [(2, 4, False), (4, 4, False)]


def test_a_rebuild_and_a_raised_version_copy_everything(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    memory = Memory()
    app = App(memory, known.registry, InProcess())
    app.event_store.append("user", Registered("u1", 10), Registered("u2", 10))
    job = Sync(engine, app.projection_store.view(known.users), table)
    job.run()
    app.projector.rebuild(known.users)
    assert job.run().full
    assert not job.run().full
    raised = accounts(version=2)
    app = App(memory, raised.registry, InProcess())
    job = Sync(engine, app.projection_store.view(raised.users), table)
    assert job.run().full
    assert rows_of(engine, table) == {"u1": (10, 0), "u2": (10, 0)}, "the old version serves until the new one is built"
    app.projector.catch_up()
    assert job.run().full
    assert rows_of(engine, table) == {"u1": (20, 0), "u2": (20, 0)}
    assert not job.run().full


def test_parked_events_that_are_folded_later_are_not_missed(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts(on_error="park")
    memory = Memory()
    app = App(memory, known.registry, InProcess())
    app.event_store.append("user", Registered("u1", 10), Registered("u2", 10))
    Sync(engine, app.projection_store.view(known.users), table).run()
    app.event_store.append("user", Used("u1", 13), Used("u1", 1))
    Sync(engine, app.projection_store.view(known.users), table).run()
    assert rows_of(engine, table) == {"u1": (10, 0), "u2": (10, 0)}
    mended = accounts()
    app = App(memory, mended.registry, InProcess())
    app.projector.retry_parked(mended.users)
    job = Sync(engine, app.projection_store.view(mended.users), table)
    assert job.run().full
    assert rows_of(engine, table) == {"u1": (10, 14), "u2": (10, 0)}
    assert not job.run().full


def test_documents_that_end_leave_the_table(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    known.users.expires(lambda user: float(user.quota))
    memory = Memory()
    now = 5.0

    def clock() -> int:
        return int(now * 1_000_000_000)

    app = App(memory, known.registry, InProcess())
    store = ProjectionStore(memory, known.registry, clock=clock)
    Projector(app.event_store, store)
    app.event_store.append("user", Registered("u1", 10), Registered("u2", 20), Registered("u3", 30))
    job = Sync(engine, store.view(known.users), table, page_size=1)
    assert set(rows_of(engine, table)) == set()
    assert job.run().complete
    assert set(rows_of(engine, table)) == {"u1", "u2", "u3"}
    now = 15.0
    assert job.run().complete
    assert set(rows_of(engine, table)) == {"u2", "u3"}
    job.run(time_budget=0, full=True)
    now = 25.0
    assert job.run().complete, "what an earlier run has copied may have ended since: it is copied again"
    assert set(rows_of(engine, table)) == {"u3"}


def test_a_view_that_is_stopped_is_copied_as_it_is(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()

    @dataclass(frozen=True)
    class Unknown:
        pass

    other = accounts().registry
    other.event("unknown")(Unknown)
    memory = Memory()
    App(memory, other, None).event_store.append("user", Registered("u1", 1), Unknown(), Registered("u2", 1))
    app = App(memory, known.registry, InProcess())
    job = Sync(engine, app.projection_store.view(known.users), table)
    result = job.run()
    assert (result.complete, result.position, result.head) == (False, 1, 3)
    assert rows_of(engine, table) == {"u1": (1, 0)}
    known.registry.ignore("unknown")
    assert job.run().complete
    assert rows_of(engine, table) == {"u1": (1, 0), "u2": (1, 0)}


def test_of_two_runs_at_once_one_goes_on_from_where_the_other_is(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(8)])
    view = app.projection_store.view(known.users)
    one, other = Sync(engine, view, table, page_size=2), Sync(engine, view, table, page_size=3)
    write = one.flow.write
    turns = 0

    def overtaken(*arguments: object) -> int:
        nonlocal turns
        turns += 1
        if turns % 2:
            other.run(time_budget=0)
        return write(*arguments)  # type: ignore[arg-type]

    one.flow.write = overtaken  # type: ignore[method-assign, assignment]
    assert one.run().complete
    assert rows_of(engine, table) == view_of(app, known.users)
    app.event_store.append("user", *[Used(f"u{each}", each) for each in range(8)], Left("u2"))
    assert one.run().complete
    assert rows_of(engine, table) == view_of(app, known.users)


def test_a_run_that_another_one_overtakes_with_newer_events_takes_the_log_for_whole(
    lite: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    table = users_table()
    table.create(lite)
    app.event_store.append("user", Registered("u1", 1))
    view = app.projection_store.view(known.users)
    one, other = Sync(lite, view, table), Sync(lite, view, table)
    state = one.flow.state

    def overtaken() -> State:  # between the look at the log's head and the one at the table's position
        monkeypatch.undo()
        app.event_store.append("user", Registered("u2", 2))
        other.run()
        return state()

    monkeypatch.setattr(one.flow, "state", overtaken)
    assert one.run().complete
    assert rows_of(lite, table) == {"u1": (1, 0), "u2": (2, 0)}


def test_a_log_that_was_taken_back_is_told_and_a_full_copy_mends_it(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", Registered("u1", 1), Registered("u2", 1))
    Sync(engine, app.projection_store.view(known.users), table).run()
    restored = connect("memory:", known.registry)
    restored.event_store.append("user", Registered("u1", 1))
    job = Sync(engine, restored.projection_store.view(known.users), table)
    with pytest.raises(LogRewound):
        job.run()
    assert job.run(full=True).complete
    assert rows_of(engine, table) == {"u1": (1, 0)}
    assert job.run().complete


Row = Callable[[str, User], Mapping[str, object]]


UUIDS = [str(UUID(int=7)), str(UUID(int=1))]


@pytest.mark.parametrize(
    ("kind", "keys"), [(sa.Integer(), ["7", "10"]), (sa.Uuid(), UUIDS), (sa.Uuid(native_uuid=False), UUIDS)]
)
def test_keys_may_be_integers_and_uuids(engine: sa.Engine, kind: sa.types.TypeEngine[Any], keys: list[str]) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    table = sa.Table("numbered", sa.MetaData(), sa.Column("id", kind, primary_key=True), sa.Column("used", sa.Integer))
    table.create(engine)
    app.event_store.append("user", *[Registered(key, 1) for key in keys])
    view = app.projection_store.view(known.users)
    with engine.begin() as connection:
        surplus = 99 if isinstance(kind, sa.Integer) else UUID(int=99)
        connection.execute(table.insert().values(id=surplus, used=1))
    sync(engine, view, table)
    app.event_store.append("user", Left(keys[0]), Used(keys[1], 2))
    assert sync(engine, view, table).deleted == 1
    with engine.connect() as connection:
        assert [(str(row.id), row.used) for row in connection.execute(table.select())] == [(keys[1], 2)]
    app.event_store.append("user", Registered("no number", 1))
    with pytest.raises(Misuse, match="cannot hold the key 'no number'"):
        sync(engine, view, table)


def test_a_function_makes_the_rows(engine: sa.Engine) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    table = sa.Table(
        "reports",
        sa.MetaData(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", users_table().c.user.type, unique=True, nullable=False),
        sa.Column("left_over", sa.Integer),
        sa.Column("note", sa.String(10)),
    )
    table.create(engine)

    def row(key: str, user: User) -> Mapping[str, object]:
        note = "much" if user.quota > 50 else None
        return {"number": int(key), "left_over": user.quota - user.used, "note": note}

    view = app.projection_store.view(known.users)
    app.event_store.append("user", Registered("1", 100), Used("1", 5), Registered("2", 10))
    sync(engine, view, table, key="name", row=row)
    app.event_store.append("user", Used("1", 5))
    sync(engine, view, table, key="name", row=row)
    with engine.connect() as connection:
        rows = [tuple(each) for each in connection.execute(table.select().order_by(table.c.number))]
    assert rows == [(1, "1", 90, "much"), (2, "2", 10, None)]


def test_a_table_of_keys_alone_is_kept_in_step(engine: sa.Engine) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    table = sa.Table("names", sa.MetaData(), sa.Column("name", users_table().c.user.type, primary_key=True))
    table.create(engine)
    view = app.projection_store.view(known.users)
    app.event_store.append("user", Registered("1", 100), Registered("2", 10))
    sync(engine, view, table)
    app.event_store.append("user", Used("1", 5), Left("2"))
    assert sync(engine, view, table).complete
    with engine.connect() as connection:
        assert list(connection.execute(table.select()).scalars()) == ["1"]


def mistakes() -> Iterator[tuple[str, Callable[[sa.Engine, App, Projection[User]], object]]]:
    text = sa.String(64)
    other = sa.Table("t", sa.MetaData(), sa.Column("id", text, primary_key=True), sa.Column("colour", text))
    floats = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Float, primary_key=True), sa.Column("used", sa.Integer))
    two = sa.Table("t", sa.MetaData(), sa.Column("a", text, primary_key=True), sa.Column("b", text, primary_key=True))

    def making(table: sa.Table, **given: object) -> Callable[[sa.Engine, App, Projection[User]], object]:
        return lambda engine, app, users: Sync(engine, app.projection_store.view(users), table, **given)  # type: ignore[arg-type]

    def running(**given: object) -> Callable[[sa.Engine, App, Projection[User]], object]:
        return lambda engine, app, users: Sync(engine, app.projection_store.view(users), users_table()).run(**given)  # type: ignore[arg-type]

    yield r"no column but the key's is called as a field of User \(it has quota, until, used\)", making(other)
    yield "column 'id' holds no keys", making(floats)
    yield "its primary key has 2 columns", making(two)
    yield "key='z' is no column", making(two, key="z")
    yield "page_size=0", making(users_table(), page_size=0)
    yield "it is a text of 1 to 255 characters", making(users_table(), name="")
    yield "takes a Table of SQLAlchemy, not a str", making("users")  # type: ignore[arg-type]
    yield "takes a view, as", lambda engine, app, users: Sync(engine, users, users_table())  # type: ignore[arg-type]
    yield "takes a view, as", lambda engine, app, users: AsyncSync(engine, users, users_table())  # type: ignore[arg-type]
    for budget in (-1, float("nan"), "20"):
        yield f"time_budget={budget!r}", running(time_budget=budget)


@pytest.mark.parametrize(("why", "make"), list(mistakes()))
def test_mistakes_are_told(
    lite: sa.Engine, why: str, make: Callable[[sa.Engine, App, Projection[User]], object]
) -> None:
    known = accounts()
    with pytest.raises(Misuse, match=why):
        make(lite, connect("memory:", known.registry), known.users)


@pytest.mark.parametrize(
    ("why", "row"),
    [
        ("answered 'colour', which is no column", lambda key, user: {"colour": 1}),
        ("answers a mapping of columns, not a int", lambda key, user: 3),
        ("another key than the document's", lambda key, user: {"user": "secret"}),
        (r"row= failed for a document \(ZeroDivisionError\)", lambda key, user: 1 / 0),
    ],
)
def test_rows_that_do_not_fit_are_told(lite: sa.Engine, why: str, row: Row) -> None:
    table = users_table()
    table.create(lite)
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", Registered("u1", 100))
    with pytest.raises(Misuse, match=why) as told:
        sync(lite, app.projection_store.view(known.users), table, row=row)
    assert "secret" not in str(told.value)


def test_what_the_database_refuses_is_told_without_what_was_to_be_stored(engine: sa.Engine, table: sa.Table) -> None:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", Registered("the-secret-user", 100))

    def row(key: str, user: User) -> Mapping[str, object]:
        return {"quota": None, "used": 77_777}

    with pytest.raises(Refused, match="the database refused it") as told:
        sync(engine, app.projection_store.view(known.users), table, row=row)
    cause = f"{told.value!r} {told.value.__cause__!r}"
    assert "77777" not in cause
    assert "the-secret-user" not in cause
    assert rows_of(engine, table) == {}
