"""What the fuzzer's targets must bear, with what Hypothesis makes up; and inputs that were found by it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attacks.fuzz import SEEDS, TARGETS
from tests.searching import examples

PIECES = [
    *(b"[", b"{", b"]", b"}", b'"', b"\\", b"\\ud800", b":", b",", b".", b"-", b"=", b"\0", b"\1", b"\n", b"\xff"),
    *(b"null", b"1e400", b"NaN", b"9" * 30, b"0", b"8191:1", b"data_base64", b"\xef\xbb\xbf"),
]


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=examples(60))
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[name]))
    TARGETS[name](seed)
    at = data.draw(st.integers(0, len(seed)))
    piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=8))
    TARGETS[name](seed[:at] + piece + seed[at + data.draw(st.integers(0, 3)) :])
    TARGETS[name](piece * data.draw(st.integers(0, 5)))


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"anything":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
        b"9" * 100_000,
        b'{"number":' + b"9" * 5_000 + b"}",
        b'{"share":1e400}',
        b'{"text":"\\ud800"}',
        b'{"text":"\0"}',
        b"\xef\xbb\xbf{}",
        b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}",
        b'{"text":"a","text":"b"}',
        b"\x00" * 10_000,
    ],
    ids=lambda data: repr(data[:16]),
)
def test_bombs(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_the_targets_have_seeds() -> None:
    assert set(SEEDS) == set(TARGETS)
