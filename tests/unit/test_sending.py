"""When a message is due, and what it is called."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from eventsource_upstash import Misuse
from eventsource_upstash.domain.outgoing import Outgoing
from eventsource_upstash.domain.sending import (
    MAX_RETRIES,
    MAX_URL,
    check_destination,
    check_headers,
    check_id,
    check_retries,
    due_us,
    encode_body,
    new_id,
)
from eventsource_upstash.domain.telling import without_user_and_query

NOW = 1_700_000_000_000_000
YEAR_10000 = 253_402_300_800


def test_ids_are_of_128_bits_that_differ() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"msg-[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize(
    ("delay", "not_before", "due"),
    [
        (None, None, 0),
        (0, None, 0),
        (0.5, None, NOW + 500_000),
        (timedelta(days=1, seconds=2, microseconds=3), None, NOW + 86_402_000_003),
        (YEAR_10000 - NOW // 1_000_000 - 1, None, (YEAR_10000 - 1) * 1_000_000),
        (None, 0, 0),
        (None, 1.5, 1_500_000),
        (None, datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (None, datetime(2030, 1, 1, microsecond=7, tzinfo=timezone.utc), 1_893_456_000_000_007),
        (None, YEAR_10000 - 1, (YEAR_10000 - 1) * 1_000_000),
    ],
)
def test_when_a_message_is_due(delay: Any, not_before: Any, due: int) -> None:
    assert due_us(delay, not_before, NOW) == due


@pytest.mark.parametrize("what", ["delay", "not_before"])
@pytest.mark.parametrize(
    "given", [-1, -0.5, float("nan"), float("inf"), 1e300, 1.7e308, 10**400, YEAR_10000, True, "1"], ids=str
)
def test_what_is_no_time(what: str, given: Any) -> None:
    if what == "delay" and given == YEAR_10000:
        given -= NOW // 1_000_000
    with pytest.raises(Misuse, match=f"^{what}="):
        due_us(**{"delay": None, "not_before": None, what: given}, now_us=NOW)


@pytest.mark.parametrize("id", ["a", "X", "XX", "a" * 64, "A.b_c-9", ".a", "a..b"])
def test_what_may_be_an_id(id: str) -> None:
    check_id(id, "schedule_id", 64)


@pytest.mark.parametrize("id", ["", "a" * 65, ".", "..", "...", "a b", "a/b", "ä", 5, None, b"a"])
def test_what_may_be_none(id: Any) -> None:
    with pytest.raises(Misuse, match=r"^schedule_id=.*: it has 1 to 64 letters, digits"):
        check_id(id, "schedule_id", 64)


def test_an_id_that_is_no_text_is_told_by_its_kind_and_a_long_one_by_its_beginning() -> None:
    with pytest.raises(Misuse, match=r"^id=<class 'int'>: it has 1 to 255 letters"):
        check_id(5)
    with pytest.raises(Misuse, match=r"^id='a{40}': it has 1 to 255 letters"):
        check_id("a" * 256)


def test_a_destination_has_so_many_characters_at_most() -> None:
    url = "https://example.com/"
    check_destination(url + "a" * (MAX_URL - len(url)))
    with pytest.raises(Misuse, match=rf"has {MAX_URL + 1} characters, at most {MAX_URL} are allowed"):
        check_destination(url + "a" * (MAX_URL + 1 - len(url)))
    with pytest.raises(Misuse, match="a destination is a str, not bytes"):
        check_destination(b"https://example.com/")
    with pytest.raises(Misuse, match="the destination has a fragment"):
        check_destination(url + "a" * (MAX_URL - len(url) - 1) + "#")


@pytest.mark.parametrize(
    ("destination", "told"),
    [("ftp://example.com/a?token=secret", "ftp://example.com/a?..."), ("ftp://example.com/a", "ftp://example.com/a")],
)
def test_of_a_destination_that_is_none_the_query_is_not_told(destination: str, told: str) -> None:
    with pytest.raises(Misuse, match=rf"^destination {re.escape(repr(told))}: it is a whole URL"):
        check_destination(destination)


@pytest.mark.parametrize(
    ("body", "encoded"),
    [
        (b"\xff", b"\xff"),
        (bytearray(b"\xff"), b"\xff"),
        ("grün", "grün".encode()),
        ({"a": [1]}, b'{"a":[1]}'),
        (None, b"null"),
    ],
)
def test_a_body_is_sent_as_bytes(body: Any, encoded: bytes) -> None:
    sent = encode_body(body)
    assert (type(sent), sent) == (bytes, encoded)


def test_a_body_that_cannot_be_written_is_told_by_its_class() -> None:
    with pytest.raises(Misuse, match=r"^the body, a Pattern, cannot be written as JSON"):
        encode_body(re.compile("a"))


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([("a", "b")], "headers are a dict of names and values, not a list"),
        ({"X-A": "1", "x-a": "2"}, "header 'x-a' is given twice"),
        ({"x a": "1"}, "header 'x a': a name has letters"),
        ({"Host": "a"}, "header 'host' is set by whoever sends"),
        ({"X-A": "secret\n"}, "header 'x-a': its value is a text"),
    ],
)
def test_headers_that_can_be_none_are_told_by_their_names(headers: Any, told: str) -> None:
    with pytest.raises(Misuse, match=f"^{told}") as caught:
        check_headers(headers, body=b"")
    assert "secret" not in str(caught.value)


def test_how_often_it_may_be_tried_again() -> None:
    for retries in (None, 0, 1, MAX_RETRIES):
        check_retries(retries)
    for wrong in (-1, MAX_RETRIES + 1, True, 1.0, "1"):
        with pytest.raises(Misuse, match=f"^retries={wrong!r}: it is a whole number from 0 to {MAX_RETRIES}"):
            check_retries(wrong)


def test_a_moment_without_a_time_zone_is_told_with_what_to_give() -> None:
    with pytest.raises(Misuse) as caught:
        due_us(None, datetime(2030, 1, 1), NOW)  # noqa: DTZ001
    assert str(caught.value) == (
        "not_before=datetime.datetime(2030, 1, 1, 0, 0) has no time zone: give one, as in datetime.now(timezone.utc)"
    )


def test_of_a_message_only_the_names_of_its_headers_are_told() -> None:
    headers = {"x-token": "secret", "authorization": "Bearer secret"}
    told = repr(Outgoing("ship-1-0", "send", 1, "order-1", "shipped", "/hook", headers=headers))
    assert "headers=['authorization', 'x-token']" in told
    assert told.startswith("Outgoing(id='ship-1-0', kind='send', position=1, source='order-1', type='shipped', ")
    assert "secret" not in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a.example", "https://a.example"),
        ("https://user:secret@a.example", "https://a.example"),
        ("https://user:secret@a.example/x/y", "https://a.example/x/y"),
        ("https://user:se@cret@a.example/x?key=secret", "https://a.example/x?..."),
        ("https://user:secret@a.example/to/http://b.example/x", "https://a.example/to/http://b.example/x"),
        ("https://a.example/@me/x", "https://a.example/@me/x"),
        ("https://a.example/x#secret", "https://a.example/x"),
        ("https://a.example/x?a#secret", "https://a.example/x?..."),
        ("/workers/report?key=secret", "/workers/report?..."),
        ("", ""),
    ],
)
def test_a_url_is_told_without_its_user_and_its_query(url: str, told: str) -> None:
    assert without_user_and_query(url) == told
