"""A table is of one log: another one is told by the event that the table has reached, before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import sqlalchemy as sa

from eventsource_upstash import App, LogReplaced, LogRewound, Memory, Misuse, Receipt, SQLite
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.memory import InProcess
from eventsource_upstash.ports import Followed, Log, Page
from eventsource_upstash.sql import SqlFollower, Sync, Synced, flow
from eventsource_upstash.sql.flow import State
from tests.sql.accounts import Left, Registered, Used, User, accounts, rows_of, sql_users, users_table


@pytest.fixture
def table(engine: sa.Engine) -> sa.Table:
    return made(engine)


@pytest.fixture
def small(lite: sa.Engine) -> sa.Table:
    return made(lite)


def made(engine: sa.Engine) -> sa.Table:
    table = users_table()
    table.create(engine)
    return table


class World:
    """A log in memory, a view of it, and what keeps tables in step with either."""

    def __init__(self, *events: object, backend: Memory | SQLite | None = None) -> None:
        self.known = accounts(on_error="skip")
        self.app = App(backend or Memory(), self.known.registry, InProcess())
        self.app.event_store.append("user", *events)

    def append(self, *events: object) -> None:
        self.app.event_store.append("user", *events)

    def sync(self, engine: sa.Engine, table: sa.Table, page_size: int = 500) -> Sync[User]:
        return Sync(engine, self.app.projection_store.view(self.known.users), table, page_size=page_size)

    def run(self, engine: sa.Engine, table: sa.Table) -> Synced:
        return self.sync(engine, table).run()

    def follow(self, engine: sa.Engine, table: sa.Table, **options: int) -> None:
        users = sql_users(self.known.registry, table, on_error="skip", **options)
        self.app.projector.follow(SqlFollower(engine, users))


def people(names: str, quota: int = 1) -> Sequence[Registered]:
    return [Registered(name, quota) for name in names]


@pytest.mark.parametrize("others", ["xy", "xyz"], ids=["as long", "longer"])
def test_a_sync_tells_another_log_and_a_full_copy_takes_it(engine: sa.Engine, table: sa.Table, others: str) -> None:
    assert World(*people("ab")).run(engine, table).complete
    other = World(*people(others))
    with pytest.raises(LogReplaced, match=r"is at position 2 .* has another event there.*Sync\.run\(full=True\)"):
        other.run(engine, table)
    assert rows_of(engine, table) == {"a": (1, 0), "b": (1, 0)}
    assert other.sync(engine, table).run(full=True).complete
    assert rows_of(engine, table) == dict.fromkeys(others, (1, 0))
    other.append(Left("x"))
    assert other.run(engine, table).deleted == 1


def test_a_sync_tells_another_log_within_a_copy_and_a_full_one_begins_anew(lite: sa.Engine, small: sa.Table) -> None:
    old = World(*people("abcde"))
    for _ in range(2):
        old.sync(lite, small, page_size=2).run(time_budget=0)
    before = rows_of(lite, small)
    assert 0 < len(before) < 5
    other = World(*people("abcdef", 7))
    with pytest.raises(LogReplaced, match="is at position 5"):
        other.sync(lite, small, page_size=2).run(time_budget=0)
    assert rows_of(lite, small) == before
    more = other.sync(lite, small, page_size=2).run(time_budget=0, full=True).more
    while more:
        more = other.sync(lite, small, page_size=2).run(time_budget=0).more
    assert rows_of(lite, small) == dict.fromkeys("abcdef", (7, 0))


def test_a_table_that_was_emptied_is_of_any_log(engine: sa.Engine, table: sa.Table) -> None:
    World(*people("ab")).run(engine, table)
    with engine.begin() as connection:
        connection.execute(table.delete())
    for other, left in ((World(*people("xyz")), "xyz"), (World(Registered("x", 1), Left("x")), "")):
        assert other.run(engine, table).complete
        assert rows_of(engine, table) == dict.fromkeys(left, (1, 0))
        other.append(Registered("u", 1))
        assert other.run(engine, table).upserted == 1
        with engine.begin() as connection:
            connection.execute(table.delete())


def test_a_sync_whose_table_is_taken_for_another_log_meanwhile_writes_nothing(
    lite: sa.Engine, small: sa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = World(*people("a")), World(*people("xyz"))
    one.run(lite, small)
    one.append(Registered("b", 1))
    job = one.sync(lite, small)
    write = job.flow.write

    def overtaken(before: State, after: State, put: Sequence[dict[str, object]], gone: Sequence[str]) -> int:
        monkeypatch.undo()
        other.sync(lite, small).run(full=True)
        return write(before, after, put, gone)

    monkeypatch.setattr(job.flow, "write", overtaken)
    with pytest.raises(LogRewound, match="position 3, but the log ends at 2"):
        job.run()
    assert set(rows_of(lite, small)) == set("xyz")


def test_tables_of_a_projection_tell_another_log_and_a_higher_version_takes_it(
    engine: sa.Engine, table: sa.Table
) -> None:
    one = World(*people("ab"))
    one.follow(engine, table)
    assert one.app.projector.catch_up().complete
    other = World(*people("xyz"))
    other.follow(engine, table)
    beside = users_table("beside")
    beside.create(engine)
    free = sql_users(other.known.registry, beside)
    free.name = "beside"
    other.app.projector.follow(SqlFollower(engine, free))
    for _ in range(2):
        with pytest.raises(LogReplaced, match=r"'users'.* is at position 2 .*raise the projection's version"):
            other.app.projector.catch_up()
    assert rows_of(engine, table) == {"a": (1, 0), "b": (1, 0)}
    assert set(rows_of(engine, beside)) == set("xyz"), "nobody else is held up"
    newer = World(*people("pqr"))
    newer.follow(engine, table, version=2)
    assert newer.app.projector.catch_up().complete
    assert rows_of(engine, table) == dict.fromkeys("pqr", (2, 0))
    newer.append(Used("p", 3))
    assert newer.app.projector.catch_up().complete
    assert rows_of(engine, table)["p"] == (2, 3)


def test_a_log_of_the_same_length_is_told_where_there_is_nothing_to_do(lite: sa.Engine, small: sa.Table) -> None:
    one = World(*people("ab"))
    one.follow(lite, small)
    one.app.projector.catch_up()
    other = World(*people("xy"))
    other.follow(lite, small)
    with pytest.raises(LogReplaced, match="is at position 2"):
        other.app.projector.catch_up()


def test_a_log_that_was_restored_and_has_grown_is_told(lite: sa.Engine, small: sa.Table, tmp_path: Path) -> None:
    """Its first event is the same; a copy of the whole log elsewhere is the same log."""
    followed = users_table("followed")
    followed.create(lite)

    def opened(name: str, *events: object) -> World:
        world = World(*events, backend=SQLite(tmp_path / name))
        world.follow(lite, followed)
        return world

    log = opened("log.db", *people("ab"))
    log.app.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "backup.db")
    log = opened("log.db", *people("cd"))
    assert log.run(lite, small).complete
    assert log.app.projector.catch_up().complete
    log.app.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "moved.db")
    moved = opened("moved.db", Registered("e", 1))
    assert (moved.run(lite, small).upserted, moved.app.projector.catch_up().complete) == (1, True)
    moved.app.close()
    restored = opened("backup.db", *people("vwxyz"))
    with pytest.raises(LogReplaced, match="is at position 5"):
        restored.run(lite, small)
    with pytest.raises(LogReplaced, match="is at position 5"):
        restored.app.projector.catch_up()
    restored.app.close()
    assert set(rows_of(lite, small)) == set(rows_of(lite, followed)) == set("abcde")


@pytest.mark.parametrize("idle", [True, False])
def test_tables_that_say_nothing_of_their_log_take_the_first_one_they_meet(
    engine: sa.Engine, table: sa.Table, *, idle: bool
) -> None:
    followed = users_table("followed")
    followed.create(engine)
    one = World(*people("ab"))
    one.run(engine, table)
    one.follow(engine, followed)
    one.app.projector.catch_up()
    with engine.begin() as connection:
        for each in ("eventsource_syncs", "eventsource_checkpoints"):
            connection.execute(sa.text(f"UPDATE {each} SET mark = NULL"))
    again = World(*people("xyz"[: 2 if idle else 3]))
    again.follow(engine, followed)
    assert again.run(engine, table).complete
    assert again.app.projector.catch_up().complete
    with pytest.raises(LogReplaced):
        World(*people("pqrst")).run(engine, table)
    other = World(*people("pqrst"))
    other.follow(engine, followed)
    with pytest.raises(LogReplaced):
        other.app.projector.catch_up()


@pytest.mark.parametrize("kind", ["eventsource_syncs", "eventsource_checkpoints"])
def test_a_table_of_checkpoints_that_lacks_the_column_is_told_with_the_statement_that_adds_it(
    engine: sa.Engine, table: sa.Table, kind: str
) -> None:
    def work() -> None:
        one = World(*people("ab"))
        if kind == "eventsource_syncs":
            one.run(engine, table)
            return
        one.follow(engine, table)
        one.app.projector.catch_up()

    work()
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {kind} DROP COLUMN mark"))
    with pytest.raises(Misuse, match=f"table '{kind}' has no column 'mark'.*: ALTER TABLE {kind} ADD") as caught:
        work()
    with engine.begin() as connection:
        connection.execute(sa.text(str(caught.value).rpartition(": ")[2]))
    work()
    with pytest.raises(LogReplaced):
        work()


def test_events_that_fail_are_noted_as_reached_too(engine: sa.Engine, table: sa.Table) -> None:
    one = World(*people("ab"), Used("a", 13))
    one.follow(engine, table)
    for each in range(2):
        assert one.app.projector.catch_up().complete
        assert rows_of(engine, table)["b"] == (1, each)
        one.append(Used("b", 1), Used("a", 13))


class Counted:
    """A log that tells what it is asked for."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.asked: list[str] = []

    async def read(self, after: int, limit: int, max_bytes: int) -> Page:
        self.asked.append(f"{limit} after {after}")
        return await self.log.read(after, limit, max_bytes)

    async def head(self) -> tuple[int, Receipt]:
        self.asked.append("head")
        return await self.log.head()

    def told(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


def test_what_a_sync_asks_of_the_log(lite: sa.Engine, small: sa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    one = World(*people("abc"))
    view = one.app.projection_store.view(one.known.users)
    log = Counted(view.flow.log)
    job = Sync(lite, view, small, page_size=2)
    monkeypatch.setattr(view.flow, "log", log)
    job.run()
    assert log.told() == ["head", "1 after 2"], "where the copy begins"
    job.run()
    assert log.told() == ["3 after 2"], "the event that was reached, instead of the head"
    one.append(*people("defg"))
    job.run(full=True)
    assert log.told() == ["1 after 2", "1 after 6"]
    one.append(*people("hij"))
    job.run()
    assert log.told() == ["3 after 6", "3 after 8"], "a page begins with it"
    monkeypatch.setattr(flow, "MAX_PAGE_BYTES", 1)
    one.append(*people("kl"))
    job.run()
    assert log.told() == ["3 after 9", "2 after 10", "3 after 10", "2 after 11"], "where a page has room for one event"
    assert set(rows_of(lite, small)) == set("abcdefghijkl")


def test_what_a_projection_of_tables_asks_of_the_log(lite: sa.Engine, small: sa.Table) -> None:
    one = World(*people("abc"))
    logs: list[Counted] = []

    class Watched(SqlFollower):
        async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
            logs.append(Counted(log))
            return await super().follow(port, cast("Log", logs[-1]), head, deadline)

    def asked() -> list[str]:
        logs.clear()
        assert one.app.projector.catch_up().complete
        return logs[-1].asked

    one.app.projector.follow(Watched(lite, sql_users(one.known.registry, small), page_size=2, name="one"))
    assert asked() == ["2 after 0", "3 after 1"]
    assert asked() == []
    one.append(*people("de"))
    assert asked() == ["3 after 2"], "no request more"
    one.app.projector.follow(Watched(lite, sql_users(one.known.registry, small), page_size=2, name="another process"))
    assert asked() == ["1 after 4"], "once, where there is nothing to read"
    assert asked() == []
