"""The SQL table that billing and reports read: a copy of the view, one row per user."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, DateTime, Integer, MetaData, String, Table, func, select
from sqlalchemy.dialects.mysql import VARCHAR

from .domain import Usage

metadata = MetaData()

# MySQL and MariaDB take "a" and "A" for one key, unless they are told otherwise.
Name = String(64).with_variant(VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")

# --8<-- [start:table]
api_usage = Table(
    "api_usage",
    metadata,
    Column("user_id", Name, primary_key=True),
    Column("plan", String(16), nullable=False),
    Column("month", String(7), nullable=False),
    Column("used", Integer, nullable=False),
    Column("allowed", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("last_call", DateTime(timezone=True)),
)


def row(user: str, usage: Usage) -> Mapping[str, object]:
    """The row of a document."""
    return {
        "plan": usage.plan,
        "month": usage.month,
        "used": usage.used,
        "allowed": usage.allowed,
        "total": usage.total,
        "last_call": usage.last_call,
    }


# --8<-- [end:table]


def totals(connection: Connection) -> tuple[int, int]:
    """How many users the table knows, and how many calls of theirs."""
    found = connection.execute(
        select(func.count(), func.coalesce(func.sum(api_usage.c.total), 0)).select_from(api_usage)
    )
    users, calls = found.one()
    return int(users), int(calls)


def used_of(connection: Connection, users: list[str]) -> dict[str, int]:
    """The calls of some users as the table has them."""
    found = connection.execute(select(api_usage.c.user_id, api_usage.c.used).where(api_usage.c.user_id.in_(users)))
    return {user: used for user, used in found}  # noqa: C416  rows are no plain tuples to every checker
