"""Indexes, listings and expiry: a leaderboard, and sessions that end."""

# --8<-- [start:players]
from dataclasses import dataclass
from datetime import datetime, timedelta

from eventsource_upstash import Recorded, Registry

registry = Registry()


@registry.event("game-won")
@dataclass(frozen=True)
class GameWon:
    player: str
    points: int
    team: str | None = None


@dataclass(frozen=True)
class Player:
    score: int
    team: str | None


players = registry.projection("players", Player)
players.index("score", "score")  # a field of the document
players.index("team", lambda player: player.team)  # or a function of it


@players.on(GameWon, key="player")
def won(player: Player | None, event: GameWon) -> Player:
    before = player.score if player else 0
    return Player(before + event.points, event.team)


# --8<-- [end:players]


# --8<-- [start:session]
@registry.event("signed-in")
@dataclass(frozen=True)
class SignedIn:
    user: str


@registry.event("page-seen")
@dataclass(frozen=True)
class PageSeen:
    path: str


@dataclass(frozen=True)
class Session:
    user: str
    ends: datetime


sessions = registry.projection("sessions", Session)
sessions.expires("ends")
sessions.index("user", "user")
HOUR = timedelta(hours=1)


@sessions.on_recorded(SignedIn)
def signed_in(session: Session | None, recorded: Recorded[SignedIn]) -> Session:
    return Session(recorded.event.user, recorded.recorded_at + HOUR)


@sessions.on_recorded(PageSeen)
def seen(session: Session | None, recorded: Recorded[PageSeen]) -> Session | None:
    return session and Session(session.user, recorded.recorded_at + HOUR)


# --8<-- [end:session]

from eventsource_upstash import (  # noqa: E402  below what a page shows
    App,
    EventStore,
    Memory,
    Misuse,
    ProjectionStore,
    Projector,
    UpstashRedis,
    connect,
)
from eventsource_upstash.local import LocalUpstash  # noqa: E402

WINS = (("ada", 30, "red"), ("bob", 20, "blue"), ("eve", 30, "red"), ("kim", 5, None))


def play(app: App) -> None:
    for number, (player, points, team) in enumerate(WINS):
        app.event_store.append(f"game-{number}", GameWon(player, points, team))


def test_leaderboard() -> None:
    app = connect("memory:", registry)
    play(app)
    app.projector.catch_up()
    # --8<-- [start:leaderboard]
    view = app.projection_store.view(players)
    scores = view.index("score")

    assert [key for key, _ in scores.top(3)] == ["eve", "ada", "bob"]
    assert scores.rank("bob") == 3
    assert scores.count(20, 30) == 3  # from 20 to 30, both inclusive
    assert [key for key, _ in scores.range(high=20)] == ["kim", "bob"]  # low to high
    assert [key for key, _ in view.index("team").equal("red")] == ["ada", "eve"]
    # --8<-- [end:leaderboard]
    # --8<-- [start:ties]
    import math

    ada = view.get("ada")
    assert ada is not None
    above = math.nextafter(ada.score, math.inf)  # the next number after hers
    assert 1 + scores.count(above) == 1  # she shares the first place
    # --8<-- [end:ties]


def test_pages() -> None:
    app = connect("memory:", registry)
    play(app)
    app.projector.catch_up()
    scores = app.projection_store.view(players).index("score")
    # --8<-- [start:page]
    page = scores.page(reverse=True, limit=2)
    assert [key for key, _ in page.items] == ["eve", "ada"]

    app.event_store.append("game-5", GameWon("kim", 95))  # kim overtakes everybody
    app.projector.catch_up()

    page = scores.page(reverse=True, limit=2, after=page.cursor)
    assert [key for key, _ in page.items] == ["bob"]  # nobody twice
    assert page.cursor is None  # that was the last one
    # --8<-- [end:page]


def test_sessions() -> None:
    backend = Memory()
    # --8<-- [start:clock]
    now = [1_800_000_000 * 10**9]  # nanoseconds since 1970, as time.time_ns() tells them

    def clock() -> int:
        return now[0]

    event_store = EventStore(backend, registry, clock=clock)
    projection_store = ProjectionStore(backend, registry, clock=clock)
    projector = Projector(event_store, projection_store, clock=clock)
    # --8<-- [end:clock]
    # --8<-- [start:ended]
    event_store.append("session-7", SignedIn("ada"))
    projector.catch_up()
    view = projection_store.view(sessions)
    assert view.get("session-7") is not None

    now[0] += 3_600 * 10**9  # an hour later
    assert view.get("session-7") is None
    assert view.count() == 0
    assert list(view.index("user").equal("ada")) == []
    # --8<-- [end:ended]


def test_one_request(upstash: LocalUpstash) -> None:
    app = App(UpstashRedis(upstash.redis_url, upstash.redis_token), registry, None)
    play(app)
    app.projector.catch_up()
    scores = app.projection_store.view(players).index("score")
    assert (len(scores.top(1)), scores.rank("ada")) == (1, 2)  # the database knows the scripts now
    upstash.reset_metrics()
    assert [key for key, _ in scores.top(3)] == ["eve", "ada", "bob"]
    counted = upstash.metrics()["redis"]["total"]
    assert counted["requests"] == 1
    assert counted["commands"] <= 3
    assert scores.rank("bob") == 3
    assert upstash.metrics()["redis"]["total"]["requests"] == 2


def test_refused() -> None:
    app = connect("memory:", registry)
    try:
        app.projection_store.view(players).index("score").count(float("nan"))
    except Misuse as error:
        assert "NaN" in str(error)
    else:
        raise AssertionError
