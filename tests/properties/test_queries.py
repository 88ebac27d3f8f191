"""Any log and any query: what is found is what a look at every event finds, and a condition fails exactly then."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import AppendCondition, Memory, Query, QueryItem, SQLite
from eventsource_upstash._io import blocking
from eventsource_upstash.domain.codec import decode_tags, encode_tags
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Backend, Unmet
from tests.searching import examples

TYPES = st.sampled_from(["a", "A", "a:b", "b", "t"])
TAGS = st.sampled_from(["a", "A", "a:b", "b", "ä", "%", "'", '"', "a" * 255])
EVENTS = st.tuples(TYPES, st.lists(TAGS, max_size=4, unique=True))
APPENDS = st.lists(st.lists(EVENTS, min_size=1, max_size=4), max_size=12)
ITEMS = st.builds(QueryItem, st.frozensets(TYPES, max_size=3), st.frozensets(TAGS, max_size=3))
QUERIES = st.lists(st.builds(Query, st.lists(ITEMS, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=4)


@pytest.mark.parametrize("backend", [lambda _: Memory(), lambda path: SQLite(path / "log.db", synchronous="NORMAL")])
@settings(max_examples=examples(60), deadline=None)
@given(appends=APPENDS, queries=QUERIES, limit=st.integers(1, 5), data=st.data())
def test_a_query_is_a_filter_and_a_condition_its_answer(
    backend: Callable[[Path], Backend],
    appends: list[list[tuple[str, list[str]]]],
    queries: list[Query],
    limit: int,
    data: st.DataObject,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = backend(Path(folder))
        log = opened.log(blocking.PORT)
        for number, events in enumerate(appends):
            new = [(type_, 1, b"{}") for type_, _ in events]
            tags = [encode_tags(tuple(tags)) for _, tags in events]
            blocking.run(log.append(Append(f"s-{number}", 0, new, number, number << 8, tags=tags)))
        rows = blocking.run(log.read(0, 1_000, MAX_PAGE_BYTES)).events
        head = len(rows)
        for query in queries:
            after = data.draw(st.integers(0, head + 1))
            meant = [row for row in rows if row[0] > after and query.matches(row[5], decode_tags(row[8]))]
            found, reached = [], after
            while reached < head:
                page = blocking.run(log.read(reached, limit, MAX_PAGE_BYTES, query))
                found += page.events
                assert page.reached is not None
                assert page.reached > reached
                reached = page.reached
            assert found == meant
        condition = AppendCondition(queries[0], data.draw(st.integers(0, head)))
        excluded = [
            row[0] for row in rows if row[0] > condition.after and queries[0].matches(row[5], decode_tags(row[8]))
        ]
        answer = blocking.run(log.append(Append("new", 0, [("z", 1, b"{}")], 1, 1, condition=condition)))
        assert isinstance(answer, Unmet) == bool(excluded)
        assert not isinstance(answer, Unmet) or answer.position in excluded
        opened.close()
