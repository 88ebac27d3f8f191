"""Whatever a log holds, a copy holds it too; wherever a copy was ended, it goes on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import LogCopy, Memory, SQLite, UpstashRedis
from eventsource_upstash.domain.events import ANY
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Append, Backend
from tests.copying.support import fill, rows_of
from tests.searching import examples

TAGS = st.sampled_from([None, b'["x"]', b'["x","y"]', '["ä\u2028"]'.encode()])
PAYLOADS = st.one_of(st.binary(max_size=20), st.sampled_from([b"{}", b'{"a":"\\u0000"}', b"\x00", b"\x01", b"null"]))


@st.composite
def appends(draw: st.DrawFn) -> list[Append]:
    """A history: few times and numbers, so that they go on from each other by chance."""
    made: list[Append] = []
    number = draw(st.integers(0, 2**61 - 100))
    for _ in range(draw(st.integers(0, 8))):
        payloads = draw(st.lists(PAYLOADS, min_size=1, max_size=4))
        types = st.sampled_from(["paid", "paid:in/full", "0:1", "paid.-_"])
        events = [(draw(types), draw(st.integers(1, 3)), payload) for payload in payloads]
        tags = draw(st.one_of(TAGS, st.lists(TAGS, min_size=len(events), max_size=len(events))))
        metadata = draw(st.sampled_from([None, b"{}", b'{"a":1}']))
        stream = draw(st.sampled_from(["a", "b", "a b", "ä:{}"]))
        time = draw(st.sampled_from([0, 1_700_000_000_000_000, 1_700_000_000_000_001]))
        made.append(Append(stream, ANY, events, time, number, metadata, tags))
        number += len(events)
    return made


def check(history: list[Append], end: int, one: Backend, other: Backend) -> None:
    fill(one, history[:end])
    first = LogCopy(one, other).run()
    assert rows_of(other) == rows_of(one)
    fill(one, history[end:])
    second = LogCopy(one, other).run()
    assert rows_of(other) == rows_of(one)
    assert (second.found, second.found + second.copied) == (first.copied, len(rows_of(one)))
    back = Memory()
    assert LogCopy(other, back).run().compared == second.compared
    assert rows_of(back) == rows_of(one)


@given(appends(), st.integers(0, 8))
def test_in_memory(history: list[Append], end: int) -> None:
    check(history, end, Memory(), Memory())


@settings(max_examples=examples(12))
@given(appends(), st.integers(0, 8))
def test_in_files(history: list[Append], end: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = SQLite(Path(folder) / "a.db"), SQLite(Path(folder) / "b.db")
        check(history, end, one, other)
        one.close()
        other.close()


@settings(max_examples=examples(12))
@given(appends(), st.integers(0, 8))
def test_on_upstash(upstash: LocalUpstash, history: list[Append], end: int) -> None:
    other = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    check(history, end, Memory(), other)
