"""What a sync does where keys, documents and the table do not fit: it says so, and never leaves a wrong table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from eventsource_upstash import App, LogRewound, Misuse, Refused, Registry, View, connect
from eventsource_upstash.sql import Sync, sync
from tests.sql.accounts import Left, Registered, Used, User, accounts, rows_of, users_table
from tests.sql.servers import Servers, database

KEY = users_table().c.user.type


def world(*events: object) -> tuple[App, View[User]]:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *events)
    return app, app.projection_store.view(known.users)


def keyed(engine: sa.Engine, kind: sa.types.TypeEngine[str]) -> sa.Table:
    table = sa.Table("keyed", sa.MetaData(), sa.Column("user", kind, primary_key=True), sa.Column("quota", sa.Integer))
    table.create(engine)
    return table


def keys_of(engine: sa.Engine, table: sa.Table) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(sa.select(table.c.user)).scalars())


def test_keys_that_differ_only_in_spaces_at_the_end_are_rows_of_their_own_or_are_refused(engine: sa.Engine) -> None:
    app, view = world(Registered("a", 1), Registered("a ", 2), Registered("😀", 3))
    table = keyed(engine, KEY)
    if engine.dialect.name == "mariadb":
        with pytest.raises(Misuse, match=r"takes different ones for equal: .* utf8mb4_nopad_bin \(MariaDB\)"):
            sync(engine, view, table)
        table.drop(engine)
        table = keyed(engine, sa.dialects.mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_nopad_bin"))
    assert sync(engine, view, table).complete
    assert keys_of(engine, table) == {"a", "a ", "😀"}
    app.event_store.append("user", Left("a "))
    sync(engine, view, table)
    assert keys_of(engine, table) == {"a", "😀"}


def test_a_column_that_ignores_case_is_refused(engine: sa.Engine) -> None:
    app, view = world(Registered("a", 1))
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
    table = keyed(engine, sa.String(64, "utf8mb4_general_ci" if engine.dialect.name == "mariadb" else "nocase"))
    if engine.dialect.name != "mariadb":  # where it is refused at once
        sync(engine, view, table)
        app.event_store.append("user", Registered("A", 2), Left("A"))
    with pytest.raises(Misuse, match=r"different (ones for|keys are) equal"):
        sync(engine, view, table)
    assert keys_of(engine, table) <= {"a"}


def test_a_column_that_fills_keys_up_with_spaces_is_refused_and_loses_nothing(databases: Servers) -> None:
    _, view = world(Registered("a", 1))
    with database(databases.postgresql) as empty:
        engine = sa.create_engine(empty.url, connect_args=empty.options)
        table = keyed(engine, sa.CHAR(8))
        with engine.begin() as connection:
            connection.execute(table.insert().values(user="zz", quota=1))
        with pytest.raises(Misuse, match="fills up with them"):
            sync(engine, view, table)
        assert keys_of(engine, table) == {"zz      "}
        engine.dispose()


def test_a_column_that_is_not_unique_is_refused(engine: sa.Engine) -> None:
    app, view = world(Registered("a", 1))
    columns = (sa.Column("id", sa.Integer, primary_key=True), sa.Column("user", KEY), sa.Column("quota", sa.Integer))
    table = sa.Table("loose", sa.MetaData(), *columns)
    table.create(engine)
    job = Sync(engine, view, table, key="user")
    if engine.dialect.name == "mariadb":  # which takes any row for a new one then
        job.run()
        app.event_store.append("user", Registered("a", 2))
    with pytest.raises(
        (Misuse, Refused), match=r"Column 'user' is not unique there: make|'user' is not unique: a key is"
    ):
        job.run()
    with engine.connect() as connection:
        assert len(connection.execute(table.select()).all()) <= 1


def test_a_unique_value_may_go_from_a_document_to_another_and_a_swap_is_refused(engine: sa.Engine) -> None:
    app, view = world(Registered("a", 1), Registered("b", 2))
    table = users_table()
    table.append_constraint(sa.UniqueConstraint("quota"))
    table.create(engine)
    sync(engine, view, table)
    app.event_store.append("user", Left("a"), Registered("c", 1))
    assert sync(engine, view, table).complete
    assert rows_of(engine, table) == {"b": (2, 0), "c": (1, 0)}
    app.event_store.append("user", Registered("b", 1), Registered("c", 2))
    with pytest.raises(Refused, match=r"IntegrityError.* swap such a value"):
        sync(engine, view, table)
    assert rows_of(engine, table) == {"b": (2, 0), "c": (1, 0)}


def test_rows_of_other_columns_than_before_are_refused(lite: sa.Engine) -> None:
    app, view = world(Registered("a", 10))
    table = users_table()
    table.create(lite)

    def row(key: str, user: User) -> Mapping[str, object]:
        return {"quota": user.quota, **({"used": 0} if user.quota == 10 else {})}

    job = Sync(lite, view, table, row=row)
    job.run()
    app.event_store.append("user", Registered("a", 3))
    with pytest.raises(Misuse, match="answered column 'used' for one document and not for another"):
        job.run()


def test_a_table_that_was_emptied_or_made_anew_is_copied_anew(engine: sa.Engine) -> None:
    app, view = world(Registered("a", 1), Registered("b", 2))
    table = users_table()
    table.create(engine)
    sync(engine, view, table)
    table.drop(engine)
    with pytest.raises(Refused, match="There is no such table there: make it first"):
        sync(engine, view, table)
    table.create(engine)
    assert sync(engine, view, table).complete
    assert rows_of(engine, table) == {"a": (1, 0), "b": (2, 0)}
    app.event_store.append("user", Left("a"), Left("b"))
    assert sync(engine, view, table).deleted == 2
    assert not sync(engine, view, table).full, "a table may be empty because the view is"


def test_a_table_that_lacks_a_column_is_told(engine: sa.Engine) -> None:
    _, view = world(Registered("a", 1))
    keyed(engine, KEY)
    wider = users_table("keyed")
    with pytest.raises(Refused, match="The table lacks column 'used' there"):
        sync(engine, view, wider)


def test_rows_whose_keys_no_document_could_have_are_deleted(engine: sa.Engine) -> None:
    _, view = world(Registered("a", 1))
    table = keyed(engine, KEY)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"user": "", "quota": 1}, {"user": "a\nb", "quota": 1}])
    assert sync(engine, view, table).deleted == 2
    assert keys_of(engine, table) == {"a"}


class Plan(Enum):
    FREE = "free-plan"


class Address(msgspec.Struct, frozen=True):
    city: str


@dataclass(frozen=True)
class Customer:
    plan: Plan = Plan.FREE
    address: Address = Address("Ulm")  # noqa: RUF009 - frozen
    since: datetime = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    big: int = 2**70


def customers(engine: sa.Engine, *columns: sa.Column[Any]) -> tuple[View[Customer], sa.Table]:
    registry = Registry()
    registry.event("registered")(Registered)
    known = registry.projection("customers", Customer)
    known.on(Registered, key="user")(lambda customer, event: Customer())
    app = connect("memory:", registry)
    app.event_store.append("user", Registered("a", 1))
    table = sa.Table("customers", sa.MetaData(), sa.Column("user", KEY, primary_key=True), *columns)
    table.create(engine)
    return app.projection_store.view(known), table


def test_values_mean_the_same_on_each_database(engine: sa.Engine) -> None:
    columns = (sa.Column("plan", sa.String(20)), sa.Column("address", sa.JSON), sa.Column("since", sa.DateTime))
    view, table = customers(engine, *columns)
    sync(engine, view, table)
    with engine.connect() as connection:
        row = connection.execute(table.select()).one()
    assert tuple(row) == ("a", "free-plan", {"city": "Ulm"}, datetime(2026, 1, 1, 10))  # noqa: DTZ001 - as is kept


def test_values_that_a_column_cannot_hold_are_told(engine: sa.Engine) -> None:
    view, table = customers(engine, sa.Column("address", sa.String(20)))
    with pytest.raises(Misuse, match=r"column 'address' \(String\(length=20\)\) cannot hold a Address"):
        sync(engine, view, table)
    table.drop(engine)
    view, table = customers(engine, sa.Column("big", sa.BigInteger))
    with pytest.raises((Misuse, Refused), match=r"the driver cannot write a value|the database refused it") as told:
        sync(engine, view, table)
    assert str(2**70) not in str(told.value)


def test_a_view_whose_documents_end_is_copied_within_several_budgets(lite: sa.Engine) -> None:
    known = accounts()
    known.users.expires(lambda user: 9e9)
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(f"u{each}", each) for each in range(9)])
    app.projector.catch_up()
    table = users_table()
    table.create(lite)
    job = Sync(lite, app.projection_store.view(known.users), table, page_size=2)
    runs = 1
    while job.run(time_budget=0).more:
        runs += 1
        if runs == 4:
            app.event_store.append("user", Used("u1", 1))
            app.projector.catch_up()
        assert runs < 20, "it would begin anew each time"
    assert runs > 5
    assert rows_of(lite, table)["u1"] == (1, 1)
    assert len(rows_of(lite, table)) == 9


def test_a_view_that_is_stopped_leaves_nothing_more_to_do(lite: sa.Engine) -> None:
    known, other = accounts(), accounts()
    app = connect("memory:", other.registry)
    view = App(app.backend, known.registry, None).projection_store.view(known.users)

    @dataclass(frozen=True)
    class Unknown:
        pass

    other.registry.event("unknown")(Unknown)
    app.event_store.append("user", Registered("a", 1), Unknown())
    table = users_table()
    table.create(lite)
    result = Sync(lite, view, table).run(time_budget=100)
    assert (result.complete, result.more) == (False, False)
    assert rows_of(lite, table) == {"a": (1, 0)}


def test_a_log_that_was_taken_back_within_a_copy_is_told_and_a_full_copy_mends_it(lite: sa.Engine) -> None:
    _, view = world(*[Registered(f"u{each}", 1) for each in range(5)])
    table = users_table()
    table.create(lite)
    job = Sync(lite, view, table, page_size=2)
    job.run(time_budget=0)
    job.run(time_budget=0)
    app, view = world(Registered("u0", 7), Registered("u9", 7))
    app.projector.catch_up()
    job = Sync(lite, view, table, page_size=2)
    with pytest.raises(LogRewound, match="is at position 5, but the log ends at 2"):
        job.run()
    for _ in range(9):
        if not job.run(time_budget=0, full=True).more:
            break
    assert rows_of(lite, table) == {"u0": (7, 0), "u9": (7, 0)}
    assert job.run().complete
