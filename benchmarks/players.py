"""A game's players and their scores: the events, documents and folds of a large view with an index."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

EVENTS_EACH = 10
"""A player joins, and scores nine times, about: a million events make 100,000 documents."""


@dataclass(frozen=True)
class Joined:
    id: str
    name: str


@dataclass(frozen=True)
class Scored:
    id: str
    points: int


PlayerEvent: TypeAlias = "Joined | Scored"


class Player(msgspec.Struct, frozen=True):
    id: str
    name: str
    score: int = 0


def joined(_: Player | None, event: Joined) -> Player | None:
    return Player(event.id, event.name)


def scored(player: Player | None, event: Scored) -> Player | None:
    return player and Player(player.id, player.name, player.score + event.points)


def key_of(player: int) -> str:
    return f"player-{player:06}"


def join(player: int) -> Joined:
    return Joined(key_of(player), f"The player with the number {player}")


def events(count: int) -> Iterator[PlayerEvent]:
    """A log of so many. Whoever has joined may score next, so that a page concerns nearly as many as it has events."""
    chance = random.Random(1)
    players = 0
    for number in range(count):
        if number % EVENTS_EACH:
            yield Scored(key_of(chance.randrange(players)), chance.randrange(1, 1_000))
        else:
            yield join(players)
            players += 1


def players_of(count: int) -> int:
    """How many have joined in a log of so many events."""
    return -(-count // EVENTS_EACH)
