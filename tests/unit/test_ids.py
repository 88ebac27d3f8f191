"""Event ids: a UUID of version 7, the same wherever and whenever it is read, and never drawn twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import EventStore, Memory, Recorded, Registry, SQLite, connect
from eventsource_upstash.domain.events import NUMBER_BITS, event_id, identity_of
from tests.faults.processes import run

registry = Registry()


@registry.event("ticked")
@dataclass(frozen=True)
class Ticked:
    count: int


def test_an_id_is_a_uuid_of_version_7() -> None:
    store = EventStore(Memory(), registry)
    store.append("clock-1", *(Ticked(count) for count in range(100)))
    for recorded in store.read():
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", recorded.id)
        parsed = UUID(recorded.id)
        assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")
        assert parsed.int >> 80 == recorded.recorded_us // 1000, "its first 48 bits are the time in milliseconds"


def test_ids_of_later_milliseconds_sort_later() -> None:
    ids = [event_id(milliseconds * 1000, 2**NUMBER_BITS - 1 - milliseconds) for milliseconds in range(50)]
    assert ids == sorted(ids)


@pytest.mark.parametrize("number", [0, 1, 2**NUMBER_BITS - 1, 2**NUMBER_BITS + 10_000])
@pytest.mark.parametrize("recorded_us", [0, 999, 1_700_000_000_123_456, 253_402_300_799_999_999])
def test_an_id_at_its_limits(recorded_us: int, number: int) -> None:
    parsed = UUID(event_id(recorded_us, number))
    assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")


def test_an_id_stays_what_it_is() -> None:
    # It is made anew at each read, so that whoever kept one would not find its event again.
    assert event_id(1_700_000_000_123_456, 5) == "018bcfe5-687b-774b-8000-000000000005"
    assert event_id(999, 2**62 + 3) == "00000000-0000-7ffb-8000-000000000003"


@given(st.integers(0, 253_402_300_799_999_999), st.integers(0, 2**62 - 1))
def test_what_an_id_was_made_of_is_read_back(recorded_us: int, number: int) -> None:
    assert identity_of(event_id(recorded_us, number)) == (recorded_us, number)


ID = event_id(1_700_000_000_123_456, 5)


@pytest.mark.parametrize(
    "id",
    [
        "",
        "x",
        ID.replace("-", ""),
        ID.upper(),
        ID[:-2],
        ID + "00",
        ID + " ",
        ID[:24] + "--" + ID[26:],
        "-" + ID.replace("-", "", 1),
        ID[:23].replace("-", "") + "----" + ID[24:],
        ID.replace("-774b-", "-474b-"),  # a UUID of version 4
        ID.replace("-774b-", "-574b-"),
        ID.replace("-774b-", "-774a-"),  # of no microsecond
        ID.replace("-774b-", "-774c-"),
        ID.replace("-8000-", "-c000-"),  # of another variant
        ID.replace("-8000-", "-0000-"),
    ],
)
def test_an_id_that_was_made_elsewhere_is_known_as_that(id: str) -> None:
    assert identity_of(id) is None


def test_an_id_is_the_same_wherever_it_is_read(tmp_path: Path) -> None:
    with connect(f"sqlite:{tmp_path / 'log.db'}", registry) as app:
        app.event_store.append("clock-1", Ticked(1), Ticked(2))
        app.event_store.append("clock-2", Ticked(3))
        ids = [recorded.id for recorded in app.event_store.read()]
        assert [recorded.id for recorded in app.event_store.read_stream("clock-1")] == ids[:2]
    with connect(f"sqlite:{tmp_path / 'log.db'}", registry) as again:
        assert [recorded.id for recorded in again.event_store.read()] == ids
    assert len(set(ids)) == 3


def test_ids_differ_even_within_one_moment() -> None:
    store = EventStore(Memory(), registry, clock=lambda: 1_700_000_000_000_000_000)
    for count in range(500):
        store.append("clock-1", Ticked(count), Ticked(count))
    recorded = list(store.read())
    assert {each.recorded_at for each in recorded} == {datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)}
    assert len({each.id for each in recorded}) == 1000


FORKS = """
import os, sys
from dataclasses import dataclass
from eventsource_upstash import EventStore, Memory, Registry

registry = Registry()
ticked = registry.event("ticked")(dataclass(frozen=True)(type("Ticked", (), {})))

def draw():
    store = EventStore(Memory(), registry, clock=lambda: 0)  # a time that stands still
    for _ in range(50):
        store.append("clock-1", ticked())
    print(*(recorded.id for recorded in store.read()), flush=True)

draw()
for _ in range(2):
    child = os.fork()
    if not child:
        draw()
        os._exit(0)
    os.waitpid(child, 0)
draw()
"""


def test_a_forked_process_draws_ids_of_its_own() -> None:
    drawn = run(FORKS).split()
    assert len(drawn) == len(set(drawn)) == 200


def test_the_clock_is_what_it_is_given(tmp_path: Path) -> None:
    backend = SQLite(tmp_path / "log.db")
    store = EventStore(backend, registry, clock=lambda: 1_700_000_000_123_456_789)
    store.append("clock-1", Ticked(1))
    (recorded,) = store.read()
    backend.close()
    assert isinstance(recorded, Recorded)
    assert recorded.recorded_us == 1_700_000_000_123_456
    assert recorded.recorded_at.isoformat() == "2023-11-14T22:13:20.123456+00:00"
