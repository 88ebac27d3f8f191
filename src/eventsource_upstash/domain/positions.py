"""Positions: of an event a number, in a log of several partitions too; of whoever reads partitions a vector.

In a log of several partitions (Kafka) no number tells what lies before what. Yet an event's position is a number there
as well, so that it goes wherever a number goes: the partition in its upper bits, the place in the partition, from 1, in
its lower ones. In partition 0 it reads as the plain number. How far somebody has read is a `Vector`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Final

from ..errors import Misuse

PLACE_BITS: Final = 40
"""The lower bits of a position: the place in a partition. Some 10**12 events in each."""

MAX_PARTITIONS: Final = 8_192
"""Most partitions of a log: with them a position stays below 2**53, which JSON and JavaScript can hold."""

_PLACE: Final = (1 << PLACE_BITS) - 1
# Compiled when they are first needed: this module is imported by everybody.
_PLAIN: Final = r"[0-9]{1,19}"
_PAIRS: Final = r"[0-9]{1,4}:[0-9]{1,13}(,[0-9]{1,4}:[0-9]{1,13})*"


def position_at(partition: int, place: int) -> int:
    """The position of the event at a place, from 1, of a partition."""
    return partition << PLACE_BITS | place


def partition_of(position: int) -> int:
    """The partition of the event at a position."""
    return position >> PLACE_BITS


def place_of(position: int) -> int:
    """The place of an event in its partition, from 1."""
    return position & _PLACE


def place_in(position: int, partition: int) -> int:
    """How many places of a partition lie behind at a position: of a vector, or of an event in that partition."""
    return position.at(partition) if isinstance(position, Vector) else position & _PLACE


class Vector(int):
    """How far somebody has come in a log of several partitions: for each, how many of its places lie behind.

    It is compared partition by partition: with another vector, so that of two none may be before the other; and with
    the position of an event, which it has reached when it has come that far in that event's partition. It is equal to
    that position when it has come nowhere else.

    As a number, `int(vector)`, it is how many places lie behind in all, so that head minus checkpoint is a lag.

    As a text, `str(vector)`, it goes from one process to another: `0:17,3:4`. See `read_position`.

    Attributes:
        places: For each partition, in their order, how many places lie behind.
    """

    places: tuple[int, ...]

    def __new__(cls, places: Iterable[int] = ()) -> Vector:
        """A vector of places by partition; partitions at the end that are at 0 are as good as not there."""
        kept = tuple(places)
        while kept and kept[-1] == 0:
            kept = kept[:-1]
        vector = super().__new__(cls, sum(kept))
        vector.places = kept
        return vector

    def __repr__(self) -> str:
        return f"Vector({self.places!r})"

    def __str__(self) -> str:
        """Its places by partition, those at 0 left out: `0:17,3:4`; `0` for none at all."""
        return ",".join([f"{number}:{place}" for number, place in enumerate(self.places) if place]) or "0"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __hash__(self) -> int:
        return hash(_single(self.places))

    def __bool__(self) -> bool:
        return bool(self.places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and self.places == vector(other).places

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __le__(self, other: int) -> bool:
        return all(mine <= its for mine, its in zip_longest(self.places, vector(other).places, fillvalue=0))

    def __ge__(self, other: int) -> bool:
        if isinstance(other, Vector):
            return other <= self
        return self.at(other >> PLACE_BITS) >= other & _PLACE

    def __lt__(self, other: int) -> bool:
        return self <= other and self != other

    def __gt__(self, other: int) -> bool:
        return self >= other and self != other

    def __reduce__(self) -> tuple[object, ...]:
        return (Vector, (self.places,))

    def at(self, partition: int) -> int:
        """How many places of a partition lie behind."""
        return self.places[partition] if partition < len(self.places) else 0

    def moved(self, places: Mapping[int, int]) -> Vector:
        """The same, but for the partitions that are named."""
        width = max(len(self.places), max(places, default=-1) + 1)
        return Vector([places.get(number, self.at(number)) for number in range(width)])


def vector(position: int) -> Vector:
    """A position as a vector: of an event the partitions that it is not in are at 0.

    A number beyond all partitions that there can be, as a client may send it, is beyond every place of the last one.
    """
    if isinstance(position, Vector):
        return position
    partition = position >> PLACE_BITS
    if partition >= MAX_PARTITIONS:
        partition, position = MAX_PARTITIONS - 1, _PLACE
    return Vector([0] * partition + [position & _PLACE])


def join(*positions: int) -> int:
    """The least that has reached all of these: a token for several appends, say. Of no vector, the highest number."""
    if not _several(positions):
        return max(positions, default=0)
    return Vector(map(max, zip_longest(*[vector(position).places for position in positions], fillvalue=0)))


def meet(*positions: int) -> int:
    """The most that each of these has reached. Of no vector, the lowest number."""
    if not _several(positions):
        return min(positions, default=0)
    return Vector(map(min, zip_longest(*[vector(position).places for position in positions], fillvalue=0)))


def further(position: int, head: int) -> int:
    """The least that has reached a position, whoever tells it, and the head of a log."""
    return join(position, head) if isinstance(head, Vector) else max(position, head)


def nearer(position: int, head: int) -> int:
    """The most that neither a position, whoever tells it, nor the head of a log is before."""
    return meet(position, head) if isinstance(head, Vector) else min(position, head)


def past(after: int, positions: Iterable[int]) -> int:
    """How far somebody is who was at `after` and has read these events: of each partition in order, none left out."""
    if not isinstance(after, Vector):
        return max(positions, default=after)
    return after.moved({position >> PLACE_BITS: position & _PLACE for position in positions})


def first_behind(after: int, reached: int) -> int:
    """A position right after `after`, in a partition in which `reached` is further: where no event names the place."""
    if not isinstance(reached, Vector):
        return after + 1
    before = vector(after)
    partition = next((at for at, place in enumerate(reached.places) if place > before.at(at)), 0)
    return position_at(partition, before.at(partition) + 1)


def is_position(position: object) -> bool:
    """Whether it can be one: a number from 0, or a vector. True is none."""
    return type(position) is Vector or (type(position) is int and position >= 0)


def read_position(text: str) -> int:
    """The position that a text stands for, as `str(position)` wrote it: `17`, or `0:17,3:4`.

    Raises:
        Misuse: It stands for none.
    """
    if re.fullmatch(_PLAIN, text):
        return int(text)
    if not re.fullmatch(_PAIRS, text):
        raise Misuse(
            f"{text[:40]!r} is no position: it is a number, as in 17, or for each partition one, as in 0:17,3:4"
        )
    places: dict[int, int] = {}
    for pair in text.split(","):
        partition, _, place = pair.partition(":")
        if int(partition) in places or int(partition) >= MAX_PARTITIONS:
            raise Misuse(f"{text[:40]!r} is no position: partition {partition} comes twice, or cannot be")
        places[int(partition)] = int(place)
    return Vector().moved(places)


def plain(position: int) -> int | str:
    """A position as JSON holds it: a number, or the text of a vector that has come anywhere."""
    return str(position) if isinstance(position, Vector) and position else int(position)


def _several(positions: tuple[int, ...]) -> bool:
    """Whether they are of a log of several partitions: vectors, or positions of events in different ones."""
    listed = [position for position in positions if position]
    return any(isinstance(each, Vector) or each >> PLACE_BITS != listed[0] >> PLACE_BITS for each in listed)


def _single(places: tuple[int, ...]) -> object:
    """What a vector is hashed by: the position that it equals, if there is one."""
    if not any(places[:-1]):
        return position_at(len(places) - 1, places[-1]) if places else 0
    return places
