"""Users with a quota, for tests of tables that follow a log: what a fold makes of events, to compare tables with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import sqlalchemy as sa

from eventsource_upstash import Projection, Registry
from eventsource_upstash.sql import SqlProjection, sql_projection


@dataclass(frozen=True)
class Registered:
    user: str
    quota: int


@dataclass(frozen=True)
class Used:
    user: str
    amount: int


@dataclass(frozen=True)
class Left:
    user: str


@dataclass(frozen=True)
class User:
    quota: int
    used: int = 0
    until: float | None = None


class Accounts(NamedTuple):
    registry: Registry
    users: Projection[User]


def accounts(*, version: int = 1, on_error: str = "stop") -> Accounts:
    registry = Registry()
    registry.event("registered")(Registered)
    registry.event("used")(Used)
    registry.event("left")(Left)
    users = registry.projection("users", User, version=version, on_error=on_error)  # type: ignore[arg-type]

    @users.on(Registered, key="user")
    def registered(user: User | None, event: Registered) -> User:
        return User(event.quota * version)

    @users.on(Used, key="user")
    def used(user: User | None, event: Used) -> User | None:
        if event.amount == 13 and on_error != "stop":
            raise ValueError("thirteen")
        return user and replace(user, used=user.used + event.amount)

    @users.on(Left, key="user")
    def left(user: User | None, event: Left) -> None:
        return None

    return Accounts(registry, users)


def users_table(name: str = "users") -> sa.Table:
    key = sa.String(64).with_variant(sa.dialects.mysql.VARCHAR(64, collation="utf8mb4_bin"), "mysql", "mariadb")
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("user", key, primary_key=True),
        sa.Column("quota", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        mysql_engine="InnoDB",
    )


def rows_of(engine: sa.Engine, table: sa.Table) -> dict[str, tuple[int, int]]:
    with engine.connect() as connection:
        return {row.user: (row.quota, row.used) for row in connection.execute(table.select())}


def sql_users(registry: Registry, table: sa.Table, *, version: int = 1, on_error: str = "stop") -> SqlProjection:
    """The same as `accounts`, as a SQL projection."""
    users = sql_projection("users", registry, version=version, on_error=on_error)  # type: ignore[arg-type]

    @users.reset
    def reset(connection: sa.Connection) -> None:
        connection.execute(table.delete())

    @users.on(Registered)
    def registered(connection: sa.Connection, event: Registered) -> None:
        connection.execute(table.delete().where(table.c.user == event.user))
        connection.execute(table.insert().values(user=event.user, quota=event.quota * version, used=0))

    @users.on(Used)
    def used(connection: sa.Connection, event: Used) -> None:
        changed = table.update().where(table.c.user == event.user).values(used=table.c.used + event.amount)
        connection.execute(changed)
        if event.amount == 13:
            raise ValueError("thirteen")

    @users.on(Left)
    def left(connection: sa.Connection, event: Left) -> None:
        connection.execute(table.delete().where(table.c.user == event.user))

    return users
