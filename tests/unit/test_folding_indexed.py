"""What documents are found by is asked at each event, once, so that it does not depend on where a page ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from eventsource_upstash import EventStore, Memory, ProjectionStopped, ProjectionStore, Projector, Registry


@dataclass(frozen=True)
class Scored:
    points: float


@dataclass(frozen=True)
class Player:
    score: float


def projector_of(registry: Registry, page_size: int, points: list[float]) -> Projector:
    backend = Memory()
    store = EventStore(backend, registry)
    for each in points:
        store.append("ada", Scored(each))
    return Projector(store, ProjectionStore(backend, registry), page_size=page_size)


def registry_of(asked: list[float]) -> Registry:
    registry = Registry()
    registry.event("scored")(Scored)
    players = registry.projection("players", Player)

    @players.on(Scored)
    def scored(_: Player | None, event: Scored) -> Player | None:
        return Player(event.points)

    def score(player: Player) -> float:
        asked.append(player.score)
        return math.nan if player.score < 0 else player.score

    players.index("score", score)
    return registry


def test_an_index_is_asked_once_for_each_event() -> None:
    asked: list[float] = []
    projector_of(registry_of(asked), 1_000, [1, 2, 3]).catch_up()
    assert asked == [1, 2, 3]


@pytest.mark.parametrize("page_size", [1, 2, 3, 1_000])
def test_a_value_that_is_none_stops_at_its_event_wherever_the_page_ends(page_size: int) -> None:
    """Though the next event would put it right."""
    with pytest.raises(ProjectionStopped) as stopped:
        projector_of(registry_of([]), page_size, [1, 2, -1, 4]).catch_up()
    assert stopped.value.position == 3
