"""The indexes of types and tags in a SQLite file: used by every look, kept by every writer, made for older files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Query, SQLite
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.sqlite import querying, schema
from eventsource_upstash.domain.codec import encode_tags
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Log
from tests.faults.test_sqlite_versions import VERSION_1

STATEMENTS = [querying._EVERYTHING, querying._BY_TYPE, querying._RARITY]
STATEMENTS += [querying.tagged(count, typed=typed) for count in (1, 2, 3) for typed in (False, True)]
INSERT = "INSERT INTO events VALUES (?, 's', ?, 1, 1, ?, 1, NULL, ?, x'7b7d')"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    for statement in schema.CREATE:
        connection.execute(statement)
    yield connection
    connection.close()


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_look_goes_through_a_table(statement: str, connection: sqlite3.Connection) -> None:
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * statement.count("?")).fetchall()
    steps = [str(step[3]) for step in plan]
    looks = [step for step in steps if "event" in step]
    assert looks
    assert all(step.startswith("SEARCH") for step in looks), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_a_longer_log_makes_a_look_no_dearer(connection: sqlite3.Connection) -> None:
    def steps() -> int:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        connection.set_progress_handler(step, 1)
        query = Query.of(types=["rare"]) | Query.of(tags=["x", "common"]) | Query.of(types=["rare"], tags=["common"])
        assert querying.find(connection.cursor(), query, 0, 100) == [1, 2]
        connection.set_progress_handler(None, 0)
        return count

    def write(place: int, type: str, *tags: str) -> None:
        connection.execute(INSERT, (place, place, type, encode_tags(tags)))
        connection.executemany("INSERT INTO event_tags VALUES (?, ?, ?)", [(tag, place, type) for tag in tags])

    write(1, "rare", "x")
    write(2, "other", "x", "common")
    for place in range(3, 300):
        write(place, "other", "common")
    before = steps()
    for place in range(300, 10_000):
        write(place, "other", "common")
    assert steps() <= before + 20


def test_a_file_of_version_1_is_indexed_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1)
        for place, tags in enumerate([b'["a","\xc3\xa4"]', None, b"damaged", b'["a"]'], 1):
            connection.execute(INSERT, (place, place, "noted", tags))
        connection.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
        connection.execute("PRAGMA user_version=1")
    connection.close()
    backend = SQLite(path)
    log: Log = backend.log(blocking.PORT)

    def found(query: Query) -> list[int]:
        return [row[0] for row in blocking.run(log.read(0, 100, MAX_PAGE_BYTES, query)).events]

    assert found(Query.of(tags=["a"])) == [1, 4]
    assert found(Query.of(types=["noted"], tags=["ä"])) == [1]
    assert found(Query.of(types=["noted"])) == [1, 2, 3, 4]
    blocking.run(log.append(Append("s", 4, [("noted", 1, b"{}")], 5, 5, tags=b'["a"]')))
    assert found(Query.of(tags=["a"])) == [1, 4, 5]
    backend.close()
    with sqlite3.connect(path) as again:
        assert again.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    again.close()
