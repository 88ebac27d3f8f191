"""Signatures and URLs, over what one would not think of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qstash import Receiver
from qstash.errors import SignatureError

from eventsource_upstash.local.qstash.delivering import loopback, mapped
from eventsource_upstash.local.qstash.signing import new_key, sign

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(WORDS, WORDS, WORDS)
def test_the_official_receiver_takes_every_signature_and_none_for_something_else(
    body: str, url: str, other: str
) -> None:
    current, next_ = new_key(), new_key()
    receiver = Receiver(current, next_)
    signature = sign(current, url, body.encode())
    receiver.verify(signature=signature, body=body, url=url)
    Receiver(new_key(), current).verify(signature=signature, body=body, url=url)
    for wrong in ({"body": body + other}, {"url": url + other}):
        with pytest.raises(SignatureError):
            receiver.verify(**{"signature": signature, "body": body, "url": url, **wrong})
    with pytest.raises(SignatureError):
        Receiver(new_key(), new_key()).verify(signature=signature, body=body, url=url)


MAPPING = {"https://app.example.com": "http://127.0.0.1:3000", "https://app.example.com/b/": "http://127.0.0.1:4000/x"}


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("https://app.example.com", "http://127.0.0.1:3000"),
        ("https://app.example.com/", "http://127.0.0.1:3000/"),
        ("https://app.example.com/a?b=c", "http://127.0.0.1:3000/a?b=c"),
        ("https://app.example.com?b=c", "http://127.0.0.1:3000?b=c"),
        ("https://APP.example.com/a", "http://127.0.0.1:3000/a"),
        ("https://app.example.com/b", "http://127.0.0.1:4000/x"),
        ("https://app.example.com/b/c", "http://127.0.0.1:4000/x/c"),
        ("https://app.example.com/bc", "http://127.0.0.1:3000/bc"),
        ("https://app.example.company/a", "https://app.example.company/a"),
        ("https://app.example.com:8443/a", "https://app.example.com:8443/a"),
        ("http://app.example.com/a", "http://app.example.com/a"),
    ],
)
def test_a_public_url_is_mapped_by_its_longest_beginning(url: str, local: str) -> None:
    assert mapped(url, MAPPING) == local


def test_what_is_loopback() -> None:
    here = [
        "localhost",
        "a.localhost",
        "localhost.",
        "127.0.0.1",
        "127.1.2.3",
        "[::1]",
        "0.0.0.0",
        "[::]",
        "user@localhost:1",
    ]
    there = ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", "[2001:db8::1]", "example.com"]
    assert [loopback(f"http://{host}/") for host in here + there] == [True] * len(here) + [False] * len(there)
