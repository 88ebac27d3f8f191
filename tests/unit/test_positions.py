"""Positions of a log in partitions: numbers for events, vectors for how far somebody is."""

from __future__ import annotations

import pickle
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash.domain.positions import (
    MAX_PARTITIONS,
    Vector,
    first_behind,
    further,
    is_position,
    join,
    meet,
    nearer,
    partition_of,
    past,
    place_in,
    place_of,
    plain,
    position_at,
    read_position,
    vector,
)
from eventsource_upstash.errors import Misuse

PLACES = st.lists(st.integers(0, 4), max_size=4)
POSITIONS = st.builds(position_at, st.integers(0, 3), st.integers(1, 4))


def padded(one: Vector, other: Vector) -> list[tuple[int, int]]:
    return list(zip_longest(one.places, other.places, fillvalue=0))


@given(PLACES, PLACES)
def test_vectors_are_compared_partition_by_partition(one: list[int], other: list[int]) -> None:
    a, b = Vector(one), Vector(other)
    pairs = padded(a, b)
    assert (a <= b) == (b >= a) == all(mine <= its for mine, its in pairs)
    assert (a == b) == all(mine == its for mine, its in pairs)
    assert (a < b) == (b > a) == (a <= b and a != b)
    assert a != b or hash(a) == hash(b)
    assert int(a) == sum(one)


@given(PLACES, POSITIONS)
def test_a_vector_has_reached_an_event_when_it_is_that_far_in_its_partition(places: list[int], position: int) -> None:
    found = Vector(places)
    reached = found.at(partition_of(position)) >= place_of(position)
    assert (found >= position) == (position <= found) == reached
    assert (found == position) == (position == found) == (found.places == vector(position).places)
    assert (found > position) == (position < found) == (reached and found != position)
    assert (found <= position) == (position >= found) == (found <= vector(position))
    assert found != position or hash(found) == hash(position)


@given(PLACES, PLACES)
def test_joins_have_reached_both_and_meets_are_reached_by_both(one: list[int], other: list[int]) -> None:
    a, b = Vector(one), Vector(other)
    assert join(a, b) == Vector(max(pair) for pair in padded(a, b))
    assert meet(a, b) == Vector(min(pair) for pair in padded(a, b))


def test_numbers_of_one_partition_stay_numbers() -> None:
    assert type(join(3, 5)) is int
    assert type(meet(3, 5)) is int
    assert join(3, 0) == 3
    assert join(3, position_at(1, 2)) == Vector((3, 2))
    assert join() == meet() == 0


@given(PLACES)
def test_a_text_of_a_vector_is_read_back(places: list[int]) -> None:
    assert read_position(str(Vector(places))) == Vector(places)
    assert read_position(str(plain(Vector(places)))) == Vector(places)


def test_a_vector_travels_between_processes() -> None:
    kept = pickle.loads(pickle.dumps(Vector((1, 0, 3))))
    assert isinstance(kept, Vector)
    assert kept.places == (1, 0, 3)


@pytest.mark.parametrize("text", ["", "x", "-1", "1:", "1:2,", "1:2,1:3", f"{MAX_PARTITIONS}:1", "1:2 ,2:3", "1.5"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="no position"):
        read_position(text)


@pytest.mark.parametrize("text", ["x" * 41, "1:2,1:3," + "2:3," * 9 + "3:4"])
def test_of_what_is_none_the_beginning_is_told(text: str) -> None:
    with pytest.raises(Misuse, match=f"^{text[:40]!r} is no position: "):
        read_position(text)


def test_every_position_can_be_held_by_javascript() -> None:
    assert position_at(MAX_PARTITIONS - 1, (1 << 40) - 1) < 2**53


def test_on_partition_0_a_position_is_the_plain_number() -> None:
    assert position_at(0, 17) == 17
    assert Vector((17,)) == 17
    assert f"{Vector((17, 4))}" == "0:17,1:4"
    assert f"{Vector()}" == "0"


HUGE = 2**63 - 1


def test_numbers_beyond_all_partitions_take_no_room() -> None:
    assert len(vector(HUGE).places) == MAX_PARTITIONS
    assert not vector(HUGE) <= Vector([5, 6])
    assert not Vector([5, 6]) >= HUGE
    assert Vector([5, 6]) != HUGE


def test_what_anybody_tells_is_compared_as_the_log_s_own_head_is() -> None:
    assert (further(HUGE, 7), nearer(HUGE, 7)) == (HUGE, 7)
    assert (further(3, 7), nearer(3, 7)) == (7, 3)
    there = position_at(1, 4)
    assert further(there, Vector([5, 6])) == Vector([5, 6])
    assert further(position_at(1, 9), Vector([5, 6])) == Vector([5, 9])
    assert nearer(there, Vector([5, 6])) == there
    assert nearer(Vector([9, 2]), Vector([5, 6])) == Vector([5, 2])


def test_the_vector_of_an_event_has_come_nowhere_else() -> None:
    assert vector(position_at(2, 5)).places == (0, 0, 5)
    assert vector(position_at(MAX_PARTITIONS - 1, 5)).places[-1] == 5
    assert vector(position_at(MAX_PARTITIONS, 5)) == vector(HUGE)


def test_what_is_equal_has_one_hash() -> None:
    assert hash(Vector([0, 0, 5])) == hash(position_at(2, 5))
    assert hash(Vector([5])) == hash(5)
    assert hash(Vector()) == hash(0)
    assert {position_at(2, 5): "here"}[Vector([0, 0, 5])] == "here"


def test_places_behind_in_one_partition() -> None:
    there = position_at(2, 5)
    assert place_in(there, 2) == 5
    assert [place_in(Vector([3, 0, 5]), number) for number in range(4)] == [3, 0, 5, 0]


def test_past_events_of_several_partitions_each_is_where_its_last_one_is() -> None:
    assert past(Vector([1, 1]), [2, position_at(2, 1), 3, position_at(2, 2)]) == Vector([3, 1, 2])
    assert past(Vector([1, 1]), []) == Vector([1, 1])
    assert (past(4, [6, 9]), past(4, [])) == (9, 4)


def test_the_first_place_behind() -> None:
    assert first_behind(Vector([3, 1]), Vector([3, 4])) == position_at(1, 2)
    assert first_behind(Vector([3]), Vector([3, 0, 1])) == position_at(2, 1)
    assert first_behind(3, 9) == 4


@pytest.mark.parametrize("nonsense", [True, -1, 1.0, "1", None])
def test_what_is_no_position(nonsense: object) -> None:
    assert not is_position(nonsense)


def test_what_json_holds_of_a_position() -> None:
    assert [plain(each) for each in (7, Vector([7]), Vector([1, 2]), Vector())] == [7, "0:7", "0:1,1:2", 0]
