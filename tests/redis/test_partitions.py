"""Views in Redis of a log in partitions: what they cost, and that they hold what they say."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import (
    EventStore,
    Projection,
    ProjectionStore,
    Projector,
    Receipt,
    Registry,
    UpstashRedis,
    Vector,
    join,
)
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from tests.kafka.histories import STEPS, run
from tests.kafka.partitioned import Topical


@dataclass(frozen=True)
class Scored:
    player: str
    points: int


@dataclass(frozen=True)
class Player:
    points: int = 0


class Cost(NamedTuple):
    requests: int
    commands: int


def cost(receipt: Receipt) -> Cost:
    return Cost(receipt.requests, receipt.commands)


class Game:
    """A topic in memory, which costs nothing here, and views in Redis."""

    def __init__(self, views: Backend, partitions: int = 3) -> None:
        self.backend = Topical(partitions, views)
        self.registry = Registry()
        self.registry.event("scored")(Scored)
        self.players: Projection[Player] = self.registry.projection("players", Player)
        self.others: Projection[Player] | None = None

        @self.players.on(Scored, key="player")
        def scored(player: Player | None, event: Scored) -> Player:
            return Player((player or Player()).points + event.points)

    def open(self, page_size: int = 1_000) -> Game:
        self.store = EventStore(self.backend, self.registry)
        self.views = ProjectionStore(self.backend, self.registry)
        self.projector = Projector(self.store, self.views, page_size=page_size)
        return self

    def play(self, count: int) -> list[int]:
        return [self.store.append(f"game-{number}", Scored(f"p{number % 5}", 1)).position for number in range(count)]


@pytest.fixture
def redis(upstash: LocalUpstash) -> Iterator[UpstashRedis]:
    redis = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=f"kafka-{secrets.token_hex(6)}")
    yield redis
    redis.close()


@pytest.fixture
def game(redis: UpstashRedis) -> Game:
    return Game(redis).open()


def test_an_append_costs_nothing_of_redis(game: Game) -> None:
    assert cost(game.store.append("game-1", Scored("ann", 1)).receipt) == (0, 0)


def test_a_catch_up_costs_three_requests_and_each_further_page_two(redis: UpstashRedis) -> None:
    game = Game(redis).open(page_size=10)
    game.play(10)
    game.projector.catch_up()  # the server has the scripts now
    game.play(10)
    one = game.projector.catch_up()
    assert (one.applied, cost(one.receipt)) == (10, (3, 7))
    game.play(30)
    three = game.projector.catch_up()
    assert (three.applied, cost(three.receipt)) == (30, (7, 17))
    assert {each.points for each in dict(game.views.view(game.players).items()).values()} == {10}


def test_a_catch_up_with_nothing_to_do_costs_a_look(game: Game) -> None:
    game.play(5)
    game.projector.catch_up()
    assert cost(game.projector.catch_up().receipt) == (1, 2)


def test_a_gap_costs_a_commit_and_no_load(game: Game) -> None:
    game.play(5)
    game.projector.catch_up()
    game.backend.partitions.gap(1, 4)
    caught_up = game.projector.catch_up()
    assert (caught_up.applied, caught_up.complete, cost(caught_up.receipt)) == (0, True, (2, 5))
    assert game.views.status()[0].lag == 0


def test_another_process_and_a_rebuild_find_the_vector(game: Game, redis: UpstashRedis) -> None:
    positions = game.play(12)
    game.projector.catch_up()
    other = Game(redis)
    other.backend = game.backend
    other.open()
    assert other.views.status()[0].checkpoint == game.store.head()
    assert isinstance(other.views.status()[0].checkpoint, Vector)
    more = other.play(4)
    assert other.views.view(other.players).get("p0", at_least=join(*positions, *more)) == Player(4)
    rebuilt = game.projector.rebuild(game.players)
    assert (rebuilt.complete, rebuilt.position) == (True, game.store.head())
    assert other.views.view(other.players).get("p0") == Player(4)


@settings(max_examples=4)
@given(STEPS, st.integers(2, 3))
def test_any_history_with_views_in_redis(upstash: LocalUpstash, steps: list[object], count: int) -> None:
    redis = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=f"kafka-{secrets.token_hex(6)}")
    run(Topical(count, redis), steps)
    redis.close()
