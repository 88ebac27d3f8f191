"""A game over a topic in memory: players in parts, teams fed from every partition."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, cast

from eventsource_upstash import Memory, Projection, Registry
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.blocking import App
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import BackendWrapper
from tests.kafka.memory_topic import MemoryTopic

T = TypeVar("T")

BEGIN = 1_700_000_000.0


@dataclass(frozen=True)
class Scored:
    points: int
    team: str = "red"


@dataclass(frozen=True)
class Left:
    pass


@dataclass(frozen=True)
class Lent:
    until: float


@dataclass(frozen=True)
class Player:
    name: str
    score: int = 0
    folded: tuple[int, ...] = ()
    until: float | None = None


@dataclass(frozen=True)
class Team:
    name: str
    score: int = 0
    events: int = 0


class Boom(Exception):
    pass


class Game:
    """A registry as a process has it.

    Attributes:
        bad: Players whose events cannot be folded.
        calls: How often an event was folded into a player.
        team_calls: Into a team.
    """

    def __init__(
        self,
        *,
        version: int = 1,
        partitioned: bool = True,
        on_error: Literal["stop", "park", "skip"] = "stop",
        ends: bool = False,
        teams: bool = False,
        index: bool = True,
    ) -> None:
        self.registry = Registry()
        self.bad: set[str] = set()
        self.calls = 0
        self.team_calls = 0
        self.registry.event("scored")(Scored)
        self.registry.event("left")(Left)
        self.registry.event("lent")(Lent)
        self.players = players_of(self, version, partitioned, on_error, ends=ends, index=index)
        self.teams = teams_of(self) if teams else None


def players_of(
    game: Game,
    version: int,
    partitioned: bool,
    on_error: Literal["stop", "park", "skip"],
    *,
    ends: bool,
    index: bool,
) -> Projection[Player]:
    players = game.registry.projection("players", Player, version=version, partitioned=partitioned, on_error=on_error)

    def scored(player: Player | None, event: Scored, key: str) -> Player:
        game.calls += 1
        if key in game.bad:
            raise Boom(key)
        player = player or Player(key)
        return replace(player, score=player.score + event.points, folded=(*player.folded, event.points))

    def left(player: Player | None, event: Left) -> Player | None:
        return None

    def lent(player: Player | None, event: Lent, key: str) -> Player | None:
        return replace(player or Player(key), until=event.until)

    players.on(Scored)(scored)
    players.on(Left)(left)
    players.on(Lent)(lent)
    if index:
        players.index("score", "score")
    if ends:
        players.expires("until")
    return players


def teams_of(game: Game) -> Projection[Team]:
    teams = game.registry.projection("teams", Team)

    @teams.on(Scored, key="team")
    def scored(team: Team | None, event: Scored) -> Team:
        game.team_calls += 1
        team = team or Team(event.team)
        return replace(team, score=team.score + event.points, events=team.events + 1)

    game.registry.ignore("nothing")
    return teams


def kafka(partitions: int = 4, views: Backend | None = None, **options: bool) -> Kafka:
    return Kafka(MemoryTopic("game", partitions, **options), views=views or Memory())


def topic_of(backend: Kafka) -> MemoryTopic:
    """The topic of a backend that `kafka` made."""
    return cast("MemoryTopic", backend.topic)


class Failing(BackendWrapper):
    """Fails at a call, as long as it is named.

    Attributes:
        fails: The call, as `views.load`; none at first.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(Memory())
        self._error = error
        self.fails = ""

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        if call == self.fails:
            raise self._error
        return await step()


class Clock:
    """Nanoseconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = int(BEGIN * 1e9)

    def __call__(self) -> int:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def app(game: Game, backend: Backend, clock: Callable[[], int] | None = None) -> App:
    return App(backend, game.registry, None, clock=clock or Clock())


def partition_of(app: App, stream: str) -> int:
    """Which partition the events of a stream go to."""
    partitions = app.projection_store.partitions
    assert partitions is not None
    return partitions.partition_of(stream, run(partitions.count())[0])


def in_partition(app: App, partition: int, count: int = 1) -> list[str]:
    """Players whose events go to one partition."""
    found = (f"player-{number}" for number in itertools.count())
    return list(itertools.islice((name for name in found if partition_of(app, name) == partition), count))


def names(count: int) -> list[str]:
    """Players, spread over all partitions."""
    return [f"player-{number}" for number in range(count)]
