"""A query in memory goes to what it finds, and not through the log before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from eventsource_upstash.backends.memory.index import Index
from eventsource_upstash.backends.memory.state import Row
from eventsource_upstash.domain.codec import encode_tags
from eventsource_upstash.domain.queries import Query


class Rows(list[Row]):
    """A log through which nobody may go from its beginning."""

    def __iter__(self) -> NoReturn:
        raise AssertionError("somebody goes through the whole log")


def rows_of(first: int, count: int) -> Iterator[Row]:
    for number in range(first, first + count):
        tags = encode_tags((f"team:{number % 10}",))
        yield "game", number + 1, 0, number, ("scored", 1, None, tags), b"{}"


def test_a_look_goes_through_no_row_that_was_looked_at_before() -> None:
    rows = Rows(rows_of(0, 100))
    index = Index()
    query = Query.of(tags=["team:3"])
    assert list(index.find(rows, query, 0)) == list(range(4, 101, 10))
    rows.extend(rows_of(100, 10))
    assert list(index.find(rows, query, 94)) == [104]
    assert list(index.find(rows, query, 104)) == []
