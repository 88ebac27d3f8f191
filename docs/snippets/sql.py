"""Views in a SQL database: tables that follow the log, and copies of views."""

from collections.abc import Mapping

# --8<-- [start:events]
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from eventsource_upstash import Registry, connect, connect_async
from eventsource_upstash.sql import SqlFollower, sql_projection

registry = Registry()


@registry.event("user-registered")
@dataclass(frozen=True)
class UserRegistered:
    user: str
    quota: int


@registry.event("quota-used")
@dataclass(frozen=True)
class QuotaUsed:
    user: str
    calls: int


# --8<-- [end:events]

# --8<-- [start:tables]
metadata = sa.MetaData()
usage = sa.Table(
    "usage",
    metadata,
    sa.Column("user", sa.String(64), primary_key=True),
    sa.Column("quota", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
)
# --8<-- [end:tables]

# --8<-- [start:projection]
usage_tables = sql_projection("usage", registry)


@usage_tables.on(UserRegistered)
def registered(connection: sa.Connection, event: UserRegistered) -> None:
    connection.execute(usage.insert().values(user=event.user, quota=event.quota, used=0))


@usage_tables.on(QuotaUsed)
def used(connection: sa.Connection, event: QuotaUsed) -> None:
    more = usage.update().where(usage.c.user == event.user)
    connection.execute(more.values(used=usage.c.used + event.calls))


@usage_tables.reset
def reset(connection: sa.Connection) -> None:
    connection.execute(usage.delete())


# --8<-- [end:projection]


# --8<-- [start:view]
@dataclass(frozen=True)
class Usage:
    quota: int
    used: int = 0


users = registry.projection("users", Usage)


@users.on(UserRegistered, key="user")
def begin(before: Usage | None, event: UserRegistered) -> Usage:
    return Usage(event.quota)


@users.on(QuotaUsed, key="user")
def count(before: Usage | None, event: QuotaUsed) -> Usage | None:
    return before and replace(before, used=before.used + event.calls)


# --8<-- [end:view]


def engine_for(tmp_path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{tmp_path / 'tables.db'}")


def test_follow(tmp_path: Path) -> None:
    engine = engine_for(tmp_path)
    app = connect("memory:", registry)
    # --8<-- [start:follow]
    metadata.create_all(engine)
    follower = SqlFollower(engine, usage_tables)
    app.projector.follow(follower)

    app.event_store.append(
        "user-ada", UserRegistered("ada", quota=1_000), QuotaUsed("ada", calls=3)
    )
    app.projector.catch_up()
    with engine.connect() as connection:
        assert connection.execute(sa.select(usage.c.used)).scalar_one() == 3
    # --8<-- [end:follow]
    # --8<-- [start:status]
    (status,) = follower.status()
    assert (status.name, status.version, status.checkpoint, status.stopped) == ("usage", 1, 2, None)
    # --8<-- [end:status]
    engine.dispose()


def test_sync(tmp_path: Path) -> None:
    engine = engine_for(tmp_path)
    metadata.create_all(engine)
    app = connect("memory:", registry)
    # --8<-- [start:sync]
    from eventsource_upstash.sql import Sync

    job = Sync(engine, app.projection_store.view(users), usage)

    app.event_store.append(
        "user-ada", UserRegistered("ada", quota=1_000), QuotaUsed("ada", calls=3)
    )
    synced = job.run()
    assert (synced.upserted, synced.deleted, synced.complete) == (1, 0, True)
    with engine.connect() as connection:
        assert connection.execute(usage.select()).one() == ("ada", 1_000, 3)
    # --8<-- [end:sync]
    # --8<-- [start:job]
    from eventsource_upstash import Job, RetryLater

    @app.job("/workers/sync")
    def sync_usage(job_: Job) -> None:
        if job.run(time_budget=20).more:
            raise RetryLater(after=5)  # the next run goes on where this one ended

    app.schedules.create("0 * * * *", "/workers/sync", schedule_id="sync-usage")  # each hour
    # --8<-- [end:job]
    app.messages.send("/workers/sync")
    assert app.messages.deliver_due().failed == 0
    engine.dispose()
    app.close()


def test_row(tmp_path: Path) -> None:
    engine = engine_for(tmp_path)
    app = connect("memory:", registry)
    left = sa.Table(
        "left_over",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("calls", sa.Integer),
        sa.Column("over", sa.Boolean),
    )
    left.create(engine)

    from eventsource_upstash.sql import Sync

    # --8<-- [start:row]
    def row(key: str, document: Usage) -> Mapping[str, object]:
        rest = document.quota - document.used
        return {"calls": rest, "over": rest < 0}

    job = Sync(engine, app.projection_store.view(users), left, row=row)
    # --8<-- [end:row]
    app.event_store.append("user-7", UserRegistered("7", quota=10), QuotaUsed("7", calls=11))

    # --8<-- [start:progress]
    from eventsource_upstash.sql import Syncing

    def show(syncing: Syncing) -> None:
        print(f"\r{syncing.fraction:4.0%}  {syncing.upserted} rows", end="")

    job.run(progress=show)
    # --8<-- [end:progress]
    with engine.connect() as connection:
        assert connection.execute(left.select()).one() == (7, -1, True)
    engine.dispose()


async def test_async(tmp_path: Path) -> None:
    engine = engine_for(tmp_path)
    metadata.create_all(engine)
    app = connect_async("memory:", registry)
    # --8<-- [start:async]
    from eventsource_upstash.sql import AsyncSync

    app.projector.follow(SqlFollower(engine, usage_tables))
    await app.projector.catch_up()

    job = AsyncSync(engine, app.projection_store.view(users), usage, name="copy")
    await job.run()
    # --8<-- [end:async]
    engine.dispose()
    await app.close()
