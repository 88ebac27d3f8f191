"""What SQLite does for each statement of the views: it goes through an index, and looks at no more than it has to."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from types import ModuleType

import pytest

from eventsource_upstash.backends.sqlite import builds, documents, indexes, mailbox
from eventsource_upstash.backends.sqlite.schema import CREATE
from eventsource_upstash.domain.indexes import NUMBERS, Entries, encode_value
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.ports import Commit, Role, Span

PLAYERS = ProjectionId("players", 1)
ALL = Span("score", *NUMBERS)


@contextmanager
def tables() -> Iterator[sqlite3.Cursor]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        cursor = connection.cursor()
        for statement in CREATE:
            cursor.execute(statement)
        yield cursor


@pytest.fixture
def cursor() -> Iterator[sqlite3.Cursor]:
    with tables() as cursor:
        yield cursor


def statements(module: ModuleType) -> list[tuple[str, str]]:
    found = [(name, value) for name, value in vars(module).items() if isinstance(value, str)]
    return [(name, value) for name, value in found if re.match("SELECT|UPDATE|DELETE|INSERT", value)]


STATEMENTS = [
    pytest.param(statement, id=f"{module.__name__.rpartition('.')[2]}-{name}")
    for module in (builds, documents, indexes)
    for name, statement in statements(module)
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_each_statement_searches_and_none_scans_or_sorts(cursor: sqlite3.Cursor, statement: str) -> None:
    nothing = [None] * statement.count("?")
    plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", nothing)]
    assert all(line.startswith("SEARCH ") and " USING " in line for line in plan), plan
    assert plan or statement.startswith("INSERT")


def test_there_are_statements_to_look_at() -> None:
    assert len(STATEMENTS) > 25


@pytest.mark.parametrize(
    ("statement", "searched"),
    [
        (indexes.FORWARDS, "USING PRIMARY KEY (build=? AND index_name=? AND (value,key)>(?,?) AND value<?)"),
        (indexes.BACKWARDS, "USING PRIMARY KEY (build=? AND index_name=? AND value>? AND (value,key)<(?,?))"),
        (indexes.COUNT, "USING PRIMARY KEY (build=? AND index_name=? AND value>? AND value<?)"),
        (indexes.BEFORE, "USING PRIMARY KEY (build=? AND index_name=? AND value>? AND (value,key)<(?,?))"),
        (indexes.ITEMS, "USING PRIMARY KEY (build=? AND key>?)"),
        (indexes.ENDED, "USING INDEX documents_that_end (build=? AND expires_us<?)"),
        (mailbox.DUE, "USING INDEX messages_due (<expr>=? AND due_us<?)"),
        (mailbox.FIRST, "USING INDEX messages_due (<expr>=? AND due_us>?)"),
    ],
)
def test_a_span_is_bounded_at_both_ends(cursor: sqlite3.Cursor, statement: str, searched: str) -> None:
    nothing = [None] * statement.count("?")
    plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", nothing)]
    assert plan[0].endswith(searched)
    assert not any("SORT" in line or "TEMP" in line for line in plan)


def score(number: int) -> str:
    return encode_value(number, "a test")


def filled(cursor: sqlite3.Cursor, players: int) -> int:
    """A view of so many players, of whom each tenth has ended, found by their scores. Answers the build's row."""
    put = {f"p{number:06d}": b"{}" for number in range(players)}
    found = {
        key: Entries((("score", score(number)),), 5 if number % 10 == 0 else None) for number, key in enumerate(put)
    }
    builds.commit(cursor, Commit(PLAYERS, 1, 0, 1, dict(put), entries=found, created=put.keys()), 1)
    row = builds.row_of(cursor, PLAYERS, 1)
    assert row is not None
    return row


def steps(cursor: sqlite3.Cursor, work: Callable[[], object]) -> int:
    """How many instructions SQLite's virtual machine carries out for some work."""
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1

    cursor.connection.set_progress_handler(counted, 1)
    work()
    cursor.connection.set_progress_handler(None, 1)
    return count


READS: list[tuple[str, Callable[[sqlite3.Cursor, int], object]]] = [
    ("the top", lambda c, b: indexes.find(c, b, ALL, None, 10, 2**20, 9, reverse=True)),
    ("the first", lambda c, b: indexes.find(c, b, ALL, None, 10, 2**20, 9, reverse=False)),
    ("a page in the middle", lambda c, b: indexes.find(c, b, ALL, (score(500), ""), 10, 2**20, 9, reverse=False)),
    ("a page back from there", lambda c, b: indexes.find(c, b, ALL, (score(500), "z"), 10, 2**20, 9, reverse=True)),
    ("one value", lambda c, b: indexes.find(c, b, Span("score", score(501), score(501)), None, 9, 9, 9, reverse=False)),
    ("a count of a span", lambda c, b: indexes.count(c, b, Span("score", score(400), score(450)), 9)),
    ("a rank in a span", lambda c, b: indexes.rank(c, b, Span("score", score(400), score(450)), "p000441", 9)),
    ("items", lambda c, b: indexes.items(c, b, "p000500", 10, 2**20, 9)),
    ("some documents", lambda c, b: documents.load(c, b, ["p000500", "p000501"], ["feed"])),
    ("some that have ended", lambda c, b: indexes.ended(c, b, 9, 10)),
]


@pytest.mark.parametrize(("name", "read"), READS)
def test_a_read_costs_the_same_in_a_view_ten_times_as_large(
    name: str, read: Callable[[sqlite3.Cursor, int], object]
) -> None:
    counts: list[int] = []
    for players in (1_000, 10_000):
        with tables() as cursor:
            build = filled(cursor, players)
            read(cursor, build)  # what it compiles is not counted
            counts.append(steps(cursor, partial(read, cursor, build)))
    assert 0 < counts[1] <= counts[0], name


def test_a_part_of_a_drop_costs_the_same_however_much_there_is() -> None:
    counts: list[int] = []
    for players in (1_000, 10_000):
        with tables() as cursor:
            filled(cursor, players)
            drop = partial(builds.drop, PLAYERS, 1, 100, cursor, serving=True)
            assert not drop()
            counts.append(steps(cursor, drop))
    assert 0 < counts[1] <= counts[0]


def test_dropping_leaves_nothing_behind(cursor: sqlite3.Cursor) -> None:
    filled(cursor, 1_000)
    builds.commit(cursor, Commit(PLAYERS, 1, 1, 2, {}, records={"parked": b"1", "feed": b"2"}), 2)
    calls = 1
    while not builds.drop(PLAYERS, 1, 300, cursor, serving=True):
        calls += 1
        roles = {each.generation: each.role for each in builds.look(cursor, PLAYERS).builds.all}
        assert roles == {1: Role.DROPPED, 2: Role.SERVING}
    assert calls == 4
    assert [each.generation for each in builds.look(cursor, PLAYERS).builds.all] == [2]
    for table in ("documents", "entries", "records"):
        assert cursor.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_documents_of_one_value_are_paged_in_order_of_their_keys(cursor: sqlite3.Cursor) -> None:
    found = {key: Entries((("score", score(1)),), 5) for key in ("b", "a", "c")}
    builds.commit(cursor, Commit(PLAYERS, 1, 0, 1, dict.fromkeys(found, b"{}"), entries=found), 1)
    build = builds.row_of(cursor, PLAYERS, 1)
    for reverse, expected in ((False, ["a", "b", "c"]), (True, ["c", "b", "a"])):
        for bounds in (ALL, Span("score", score(1), score(1))):
            after: tuple[str, str] | None = None
            keys: list[str] = []
            for more in (True, True, False):
                page = indexes.find(cursor, build, bounds, after, 1, 100, 4, reverse=reverse)
                assert page.more is more
                keys += [key for key, _ in page.documents]
                after = page.last
            assert keys == expected
    assert list(indexes.ended(cursor, build, 5, 9)) == ["a", "b", "c"]
    assert not indexes.ended(cursor, build, 4, 9)
