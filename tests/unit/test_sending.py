"""When a message is due, and what it is called."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from eventsource_upstash import Misuse
from eventsource_upstash.domain.outgoing import Outgoing
from eventsource_upstash.domain.sending import MAX_URL, check_destination, check_id, due_us, new_id

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


def test_a_destination_has_so_many_characters_at_most() -> None:
    url = "https://example.com/"
    check_destination(url + "a" * (MAX_URL - len(url)))
    with pytest.raises(Misuse, match=rf"has {MAX_URL + 1} characters, at most {MAX_URL} are allowed"):
        check_destination(url + "a" * (MAX_URL + 1 - len(url)))
    with pytest.raises(Misuse, match="a destination is a str, not bytes"):
        check_destination(b"https://example.com/")


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
