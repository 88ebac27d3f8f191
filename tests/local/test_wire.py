"""The protocol spoken to the engine: nothing is changed on the way, wherever the bytes are cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash.local.redis.replies import as_resp2
from eventsource_upstash.local.redis.wire import Address, EngineError, EngineGone, Status, _Incomplete, _Parser, pack

lines = st.binary(max_size=20).filter(lambda text: b"\r\n" not in text and not text.endswith(b"\r"))
leaves: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=200),
    lines.map(Status),
    st.text("abc ERR", min_size=1, max_size=20).map(EngineError),
)
replies = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, EngineError):
        return isinstance(other, EngineError) and one.text == other.text
    return type(one) is type(other) and one == other


@given(st.lists(replies, min_size=1, max_size=4), st.lists(st.integers(1, 40), max_size=60))
def test_replies_are_read_however_they_are_cut(sent: list[Any], cuts: list[int]) -> None:
    data = b"".join(map(as_resp2, sent))
    parser, got = _Parser(), []
    while data:
        size = cuts.pop() if cuts else len(data)
        parser.feed(data[:size])
        data = data[size:]
        while not isinstance(reply := parser.next(), _Incomplete):
            got.append(reply)
    assert same(sent, got)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6))
def test_commands_are_written_as_lists_of_strings(command: list[bytes]) -> None:
    parser = _Parser()
    parser.feed(pack(command))
    assert parser.next() == command


def test_what_is_no_resp2() -> None:
    parser = _Parser()
    parser.feed(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(EngineGone):
        parser.next()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1", Address("127.0.0.1", 6379)),
        ("redis://127.0.0.1:1234/5", Address("127.0.0.1", 1234, database=5)),
        ("rediss://user:p%40ss@redis.example:1", Address("redis.example", 1, "user", "p@ss", tls=True)),
        ("redis://:secret@[::1]:1/", Address("::1", 1, None, "secret")),
        ("unix:///run/redis.sock?db=2", Address("", 0, database=2, socket="/run/redis.sock")),
    ],
)
def test_addresses(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://h/x", "redis://h:99999"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)redis|port"):
        Address.parse(url)
