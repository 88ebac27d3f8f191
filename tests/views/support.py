"""A game whose views have everything: indexes, ends, a feed, parked events; and an app of it in either colour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from eventsource_upstash import (
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    EventStore,
    Projection,
    ProjectionStore,
    Projector,
    Registry,
)
from eventsource_upstash.ports import Backend

Colour = Literal["blocking", "event loop"]
COLOURS: tuple[Colour, ...] = ("blocking", "event loop")
BEGIN = 1_700_000_000.0
"""When the clock of a test begins, in seconds since 1970."""


@dataclass(frozen=True)
class Scored:
    player: str
    points: int


@dataclass(frozen=True)
class Lent:
    """A player is there until some time, in seconds since 1970."""

    player: str
    until: float


@dataclass(frozen=True)
class Left:
    player: str


@dataclass(frozen=True)
class Met:
    """An event that concerns two documents."""

    one: str
    other: str


@dataclass(frozen=True)
class Player:
    name: str
    score: int = 0
    folded: tuple[int, ...] = ()
    until: float | None = None


class Boom(Exception):
    """What a fold raises on purpose."""


class Game:
    """A registry of its own, as a process has it.

    Attributes:
        bad: Players whose events cannot be folded.
        value: What the index "score" holds of a player, by the player's name, where it is not the score.
    """

    def __init__(self, version: int = 1, *, indexes: tuple[str, ...] = ("score", "team"), **options: Any) -> None:
        self.registry = Registry()
        for cls in (Scored, Lent, Left, Met):
            self.registry.event(cls.__name__.lower())(cls)
        self.bad: set[str] = set()
        self.value: dict[str, Any] = {}
        self.players = self.add(version, indexes=indexes, **options)

    def add(
        self, version: int, *, indexes: tuple[str, ...] = ("score", "team"), name: str = "players", **options: Any
    ) -> Projection[Player]:
        """Register a version of the projection."""
        players = self.registry.projection(name, Player, version=version, **{"changes": True, **options})
        functions = {
            "score": lambda player: self.value.get(player.name, player.score),
            "team": lambda player: None if player.score < 0 else ("odd" if player.score % 2 else "even"),
        }
        for index in indexes:
            players.index(index, functions[index])
        players.expires("until")

        @players.on_recorded(Scored, key=lambda event: event.player)
        def scored(player: Player | None, recorded: Any) -> Player:
            return self.folded(player, recorded, recorded.event.player, recorded.event.points * version)

        @players.on_recorded(Lent, key=lambda event: event.player)
        def lent(player: Player | None, recorded: Any) -> Player:
            return replace(self.folded(player, recorded, recorded.event.player, 0), until=recorded.event.until)

        @players.on_recorded(Met, key=lambda event: (event.one, event.other))
        def met(player: Player | None, recorded: Any, key: str) -> Player:
            return self.folded(player, recorded, key, 0)

        @players.on(Left, key="player")
        def left(player: Player | None, event: Left) -> None:
            if event.player in self.bad:
                raise Boom(event.player)

        return players

    def folded(self, player: Player | None, recorded: Any, name: str, points: int) -> Player:
        if name in self.bad:
            raise Boom(name)
        before = player or Player(name)
        return replace(before, score=before.score + points, folded=(*before.folded, recorded.position))


class Clock:
    """A time that is moved by hand."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> int:
        return round(self.now * 1e9)


class Plain:
    """Anything of a face of either colour, as if it waited for nothing. `Any`: it only hands on."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if not callable(member):
            return member
        return lambda *args, **options: _settled(member(*args, **options))


class Desk:
    """An app of a game, built of its parts, with a clock of its own."""

    def __init__(
        self,
        backend: Backend,
        game: Game,
        colour: Colour = "blocking",
        clock: Clock | None = None,
        page_size: int = 1_000,
        **parts: Any,
    ) -> None:
        self.backend = backend
        self.game = game
        self.colour = colour
        self.clock = clock or Clock()
        self.page_size = page_size
        self.parts = parts
        plain = colour == "blocking"
        store = (EventStore if plain else AsyncEventStore)(backend, game.registry, clock=self.clock, **parts)
        views = (ProjectionStore if plain else AsyncProjectionStore)(backend, game.registry, clock=self.clock, **parts)
        projector: Any = Projector if plain else AsyncProjector
        self.store = Plain(store)
        self.views = Plain(views)
        self.projector = Plain(projector(store, views, clock=self.clock, page_size=page_size))

    def another(self, game: Game | None = None, page_size: int | None = None) -> Desk:
        """The same in another process: nothing is shared but the backend and the time."""
        return Desk(self.backend, game or self.game, self.colour, self.clock, page_size or self.page_size, **self.parts)

    def append(self, *events: object) -> int:
        """Append to one stream. Answers the position."""
        position: int = self.store.append("game", *events).position
        return position

    def view(self, projection: Any = None, **options: Any) -> Any:
        return self.views.view(projection or self.game.players, **options)

    def index(self, name: str, projection: Any = None, **options: Any) -> Any:
        return self.view(projection, **options).index(name)

    def documents(self, projection: Any = None) -> dict[str, Player]:
        return dict(self.view(projection).items())

    def status(self, projection: Any = None) -> Any:
        wanted = (projection or self.game.players).id
        return next(each for each in self.views.status() if (each.name, each.version) == wanted)

    def scores(self, count: int, start: int = 0) -> int:
        """So many players, each with a score of its number."""
        return self.append(*(Scored(f"p{number:03}", number) for number in range(start, start + count)))


def _settled(answer: Any) -> Any:
    if isinstance(answer, Awaitable):
        return _settled(asyncio.run(_awaited(answer)))
    if isinstance(answer, AsyncIterator):
        return asyncio.run(_all(answer))
    if isinstance(answer, Iterator):
        return list(answer)
    return Plain(answer) if type(answer).__name__ in {"View", "Index", "AsyncView", "AsyncIndex"} else answer


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


async def _all(answers: AsyncIterator[Any]) -> list[Any]:
    return [answer async for answer in answers]
