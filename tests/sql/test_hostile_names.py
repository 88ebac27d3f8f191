"""Hostile names and keys in the SQL room: kept and read back as they are, or refused, and nothing else is touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from eventsource_upstash import EventSourceError, Registry, connect
from eventsource_upstash.sql import SqlFollower, Sync, sql_projection, sync
from tests.sql.accounts import Left, Registered, Used, accounts

CANARY = "untouched"
LONG = "n" * 500
NAMES = (
    *('a"b', "a'b", "a`b", "a]b", "a;b", "--", "/* */", "a b", "a.b", "a%b", "a%sb", "a:b", "a?b", "a\\b", "{0}"),
    *('x"; DROP TABLE untouched; --', "x'; DROP TABLE untouched; --", "x`; DROP TABLE untouched; --"),
    *("select", "table", "user", "order", "SELECT", "Ünïcode", "\u0430dmin", "admin\u202e", "😀", "\u212aelvin"),
    *("a\0b", "a\nb", "\ud800", "", LONG),
)
IDS = [ascii(name)[:40].replace("\\x00", "NUL") for name in NAMES]


@contextmanager
def beside(engine: sa.Engine) -> Iterator[set[str]]:
    """A table of somebody else's; at the end it is there with its row, and there are no tables but those expected."""
    other = sa.Table(CANARY, sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("t", sa.String(9)))
    other.create(engine)
    with engine.begin() as connection:
        connection.execute(other.insert().values(id=1, t="here"))
    expected = {CANARY, "eventsource_checkpoints", "eventsource_syncs"}
    yield expected
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(other.select())] == [(1, "here")]
    assert {name.lower() for name in sa.inspect(engine).get_table_names()} <= {name.lower() for name in expected}


def named(engine: sa.Engine, table: str, column: str) -> sa.Table | None:
    """A table with that column, if the database has such names."""
    key = sa.String(64).with_variant(sa.dialects.mysql.VARCHAR(64, collation="utf8mb4_bin"), "mysql", "mariadb")
    columns = (sa.Column(column, key, primary_key=True), sa.Column("quota", sa.Integer))
    try:
        made = sa.Table(table, sa.MetaData(), *columns, mysql_charset="utf8mb4")
        made.create(engine)
    except (sa.exc.SQLAlchemyError, ValueError):
        return None
    return made


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_tables_and_columns_of_any_name_are_in_step_or_refused(name: str, lite: sa.Engine) -> None:
    in_step(name, lite)


@pytest.mark.filterwarnings(
    "ignore:Unknown (schema content|column definition)"
)  # by SQLAlchemy, of a backtick in MariaDB
def test_tables_and_columns_of_any_name_on_each_server(engine: sa.Engine) -> None:
    """In one database, one after the other, which is quicker."""
    if engine.dialect.name == "sqlite":
        return
    with beside(engine) as expected:
        kept = [name for name in NAMES if step(name, engine, expected)]
    assert len(kept) > 15, "most are names there"


def in_step(name: str, engine: sa.Engine) -> None:
    with beside(engine) as expected:
        step(name, engine, expected)


def step(name: str, engine: sa.Engine, expected: set[str]) -> bool:
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", Registered("ada", 1), Registered("bob", 2), Left("bob"))
    view = app.projection_store.view(known.users)
    kept = False
    for table, column in ((name, "user"), ("plain", name)):
        made = named(engine, table, column)
        if made is None:
            continue
        expected.add(table)
        try:
            sync(engine, view, made, key=made.primary_key.columns[0].key)
        except EventSourceError:
            pass
        else:
            with engine.connect() as connection:
                assert [tuple(row) for row in connection.execute(made.select())] == [("ada", 1)]
            kept = True
        made.drop(engine)
    for options in () if engine.dialect.name != "sqlite" else ({"checkpoints": name}, {"schema": name}, {"name": name}):
        made = named(engine, "plain", "user")
        assert made is not None
        try:
            expected.add(options.get("checkpoints", CANARY))
            Sync(engine, view, made, **options).run()  # type: ignore[arg-type]
        except EventSourceError:
            pass
        made.drop(engine)
    return kept


@pytest.mark.parametrize("option", ["table", "schema", "name"])
def test_checkpoints_of_any_name_are_kept_or_refused(option: str, engine: sa.Engine) -> None:
    with beside(engine) as expected:
        for name in NAMES:
            registry = Registry()
            registry.event("used")(Used)
            seen: list[str] = []
            users = sql_projection("users", registry)
            users.on(Used)(lambda _, event, seen=seen: seen.append(event.user))
            app = connect("memory:", registry)
            app.event_store.append("user", Used("ada", 1))
            expected.add(name if option == "table" else CANARY)
            try:
                app.projector.follow(SqlFollower(engine, users, **{option: name}))  # type: ignore[arg-type]
                app.projector.catch_up()
            except EventSourceError:
                assert seen in ([], ["ada"])
            else:
                assert seen == ["ada"], name


def test_keys_and_values_of_any_text_are_kept_as_they_are(engine: sa.Engine) -> None:
    keys = [name for name in NAMES if name and name.isprintable() and len(name) <= 64]
    known = accounts()
    app = connect("memory:", known.registry)
    app.event_store.append("user", *[Registered(key, at) for at, key in enumerate(keys)])
    with beside(engine) as expected:
        table = named(engine, "plain", "user")
        assert table is not None
        expected.add("plain")
        sync(engine, app.projection_store.view(known.users), table)
        with engine.connect() as connection:
            assert {row.user: row.quota for row in connection.execute(table.select())} == {
                key: at for at, key in enumerate(keys)
            }
        app.event_store.append("user", *[Left(key) for key in keys])
        assert sync(engine, app.projection_store.view(known.users), table).deleted == len(keys)


@pytest.mark.parametrize("name", NAMES, ids=IDS)
def test_a_projection_is_called_by_letters_and_digits(name: str) -> None:
    if re.fullmatch("[A-Za-z0-9.]{1,128}", name):
        assert sql_projection(name, Registry()).name == name
    else:
        with pytest.raises(EventSourceError):
            sql_projection(name, Registry())


def test_a_statement_that_is_put_together_by_hand_would_be_seen(lite: sa.Engine) -> None:
    """The guard: what a name does where it is not quoted."""
    with pytest.raises(sa.exc.OperationalError, match="no such table: untouched"), beside(lite):
        by_hand(lite, "x (id INTEGER); DROP TABLE untouched")


def by_hand(engine: sa.Engine, name: str) -> None:
    with engine.begin() as connection:
        for statement in f"CREATE TABLE {name}".split(";"):
            connection.exec_driver_sql(statement)
