"""What it is counted with to find, to be fresh, to decide beyond a stream, and to go on after a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from benchmarks.players import Joined, Player, Scored, join, joined, key_of
from eventsource_upstash import App, AppendCondition, Query, Registry
from eventsource_upstash.backends.redis import UpstashRedis

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.costs_actions import Counted
    from eventsource_upstash.local import LocalUpstash

    Count = Callable[[str, int, str, Callable[[], object]], None]
    """Title, requests and commands that are promised, and what is counted."""


@dataclass(frozen=True)
class Score:
    """A command."""

    id: str
    points: int


class State(msgspec.Struct, frozen=True):
    points: int = 0


class Game:
    """Players by their score, with a feed of changes; an aggregate with snapshots; and folds that may fail."""

    def __init__(self) -> None:
        self.failing = False
        self.registry = Registry()
        self.registry.event("player-joined")(Joined)
        self.registry.event("player-scored")(Scored)
        self.players = self.registry.projection("players", Player, on_error="park", changes=True)
        self.players.on(Joined, key="id")(joined)
        self.players.on(Scored, key="id")(self.scored)
        self.players.index("score", "score")
        self.aggregate = self.registry.aggregate("player", State, snapshot_every=10)
        self.aggregate.on(Scored)(counted_up)
        self.aggregate.decide(Score)(decided)

    def scored(self, player: Player | None, event: Scored) -> Player | None:
        if self.failing:
            raise ValueError("broken")
        return player and Player(player.id, player.name, player.score + event.points)


def counted_up(state: State | None, event: Scored) -> State:
    return State((state.points if state else 0) + event.points)


def decided(_: State | None, command: Score) -> Scored:
    return Scored(command.id, command.points)


class Meter:
    """Counts each action once, on a namespace of its own."""

    def __init__(self, upstash: LocalUpstash, namespace: str) -> None:
        self._upstash = upstash
        self._caller = namespace
        self.rows: list[Counted] = []

    def _spent(self) -> tuple[int, int]:
        numbers = self._upstash.metrics()["redis"].get(self._caller, {})
        return numbers.get("requests", 0), numbers.get("commands", 0)

    def count(self, title: str, requests: int, commands: str, act: Callable[[], object]) -> None:
        before = self._spent()
        assert act() is not None
        after = self._spent()
        self.rows.append((title, requests, commands, after[0] - before[0], after[1] - before[1]))


def counted(upstash: LocalUpstash) -> list[Counted]:
    """Each action once. Nobody is notified."""
    game = Game()
    backend = UpstashRedis(upstash.redis_url, upstash.token_for("views"), namespace="views")
    meter = Meter(upstash, "views")
    with App(backend, game.registry, None) as app:
        warm_up(app, game)
        count_views(app, game, meter.count)
        count_log(app, game, meter.count)
        count_limits(app, meter.count)
    return meter.rows


def count_views(app: App, game: Game, count: Count) -> None:
    store, projector = app.event_store, app.projector
    view = app.projection_store.view(game.players)
    strong = app.projection_store.view(game.players, consistency="strong")
    scores = view.index("score")

    def score(*players: int) -> int:
        return store.append("game", *[Scored(key_of(player), 5) for player in players]).position

    store.append("game", *[join(player) for player in range(100, 400)])
    count("catch up, one page, new documents in an index", 3, "14", projector.catch_up)
    score(*range(100, 400))
    count("catch up, one page, documents whose index values change", 3, "14", projector.catch_up)
    count("top(10) of an index", 1, "3", lambda: scores.top(10))
    count("rank(key) in an index", 1, "4", lambda: scores.rank(key_of(200)))
    count("count of a range of an index", 1, "3", lambda: scores.count(1, 9))
    count("a page of a range of an index, of 100", 1, "3", lambda: scores.page(limit=100))
    count("version of a view, for an ETag", 1, "1", view.version)
    cursor = view.changes().cursor
    count("a look at the change feed, nothing new", 1, "1", lambda: view.changes(after=cursor))
    there = store.head()
    count("read with at_least, the view is there", 1, "1", lambda: view.get(key_of(200), at_least=there))
    count("strong read, the view is at the head", 1, "2", lambda: strong.get(key_of(200)))
    position = score(200)
    count("read with at_least, the view is behind", 5, "16", lambda: view.get(key_of(200), at_least=position))
    count("a look at the change feed, with news", 1, "1", lambda: view.changes(after=cursor))
    score(200)
    count("strong read, the view is behind", 5, "17", lambda: strong.get(key_of(200)))
    game.failing = True
    score(200)
    count("catch up, an event is parked", 3, "12", projector.catch_up)
    game.failing = False
    count("retry of a parked event", 5, "15", lambda: projector.retry_parked(game.players))


def count_limits(app: App, count: Count) -> None:
    year = 366 * 86_400.0  # so long a window that none ends meanwhile
    sliding = app.rate_limit("sliding", limit=2, window=year)
    fixed = app.rate_limit("fixed", limit=2, window=year, algorithm="fixed")
    bucket = app.rate_limit("bucket", limit=2, window=year, algorithm="bucket")
    for limit in (sliding, fixed, bucket):
        limit.check("a")  # its script is there
    count("check of a rate limit, sliding, the first in a window", 1, "5", lambda: sliding.check("b"))
    count("check of a rate limit, sliding", 1, "4", lambda: sliding.check("b"))
    count("check of a rate limit, sliding, turned away", 1, "3", lambda: sliding.check("b"))
    count("check of a rate limit, fixed, the first in a window", 1, "3", lambda: fixed.check("b"))
    count("check of a rate limit, fixed", 1, "2", lambda: fixed.check("b"))
    count("check of a rate limit, bucket", 1, "4", lambda: bucket.check("b"))


def count_log(app: App, game: Game, count: Count) -> None:
    store = app.event_store
    store.append("late", Scored("a", 1), tags=["team:1"])
    query = Query.of(tags=["team:1"])
    several = Query.of(tags=["team:1"]) | Query.of(tags=["team:2"]) | Query.of(tags=["team:3"])
    after = store.head()
    store.append("elsewhere", Scored("a", 1))
    one, three = AppendCondition(query, after), AppendCondition(several, after)
    count("append under a condition of one item", 1, "7", lambda: store.append("b", Scored("b", 1), condition=one))
    count("append under a condition of three items", 1, "9", lambda: store.append("c", Scored("c", 1), condition=three))
    count("a page of a query, of one tag", 1, "4", lambda: list(store.read(query=query)))
    for turn in range(25):
        store.execute(game.aggregate, "player-1", Score("b", turn))
    count("load an aggregate by a snapshot", 1, "3", lambda: store.load(game.aggregate, "player-1"))


def warm_up(app: App, game: Game) -> None:
    """A server that has been sent every script, since that costs a request the first time."""
    store, view = app.event_store, app.projection_store.view(game.players)
    store.append("game", join(0), tags=["warm"])
    app.projector.catch_up()
    store.append("game", Scored(key_of(0), 1))
    game.failing = True
    app.projector.catch_up()
    game.failing = False
    app.projector.retry_parked(game.players)
    view.index("score").top(1)
    view.index("score").rank(key_of(0))
    list(store.read(query=Query.of(tags=["warm"])))
    store.load(game.aggregate, "warm")
    view.changes()
