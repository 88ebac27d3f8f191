"""Large views, long aggregates and large logs, by this library."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from benchmarks import todo
from benchmarks.measuring import clock, in_another_process, median, peak_memory
from benchmarks.players import Joined, Player, Scored, events, join, joined, key_of, players_of, scored
from benchmarks.upstash import running
from eventsource_upstash import AppendCondition, Query, Registry, connect
from eventsource_upstash.backends.redis import UpstashRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from benchmarks.upstash import Upstash
    from eventsource_upstash import Aggregate, App, EventStore, Recorded
    from eventsource_upstash.ports import Backend

T = TypeVar("T")

BATCH = 100
PLAYERS, CHANGED, ROUNDS = 100_000, 1_000, 9
LONG, LOADS, EVERY = 10_000, 15, 100
LOGGED, TAGS = 100_000, 1_000

registry = Registry()
registry.event("player-joined")(Joined)
registry.event("player-scored")(Scored)
players = registry.projection("players", Player)
players.on(Joined, key="id")(joined)
players.on(Scored, key="id")(scored)
players.index("score", "score")


@dataclass(frozen=True)
class Rename:
    """The command that an aggregate decides on."""

    id: str
    text: str


class State(msgspec.Struct, frozen=True):
    """A state that nobody can change, so that the process may keep it."""

    text: str


def state_created(_: State | None, event: todo.TaskCreated) -> State:
    return State(event.text)


def state_updated(_: State | None, event: todo.TaskUpdated) -> State:
    return State(event.text)


def tasks_registry(snapshot_every: int | None) -> tuple[Registry, Aggregate[State]]:
    own = Registry()
    own.event("task-created")(todo.TaskCreated)
    own.event("task-updated")(todo.TaskUpdated)
    aggregate = own.aggregate("task", State, snapshot_every=snapshot_every)
    aggregate.on(todo.TaskCreated)(state_created)
    aggregate.on(todo.TaskUpdated)(state_updated)

    @aggregate.decide(Rename)
    def rename(state: State | None, command: Rename) -> todo.TaskUpdated | None:
        return todo.TaskUpdated(command.id, command.text) if state else None

    return own, aggregate


class Place:
    """Where it is measured, and what was spent there.

    Attributes:
        backend: A function that makes the backend: memory, SQLite or local Upstash.
        upstash: The local Upstash, if it is that.
    """

    def __init__(self, backend: Callable[[], str | Backend], upstash: Upstash | None = None) -> None:
        self.backend = backend
        self.upstash = upstash

    def open(self, registry: Registry, cache: int = 0) -> App:
        return connect(self.backend(), registry, cache=cache)

    def spent(self) -> tuple[int, int]:
        return (0, 0) if self.upstash is None else self.upstash.spent()


@contextmanager
def place(where: str, folder: Path) -> Generator[Place, None, None]:
    if where != "upstash":
        yield Place(lambda: "memory:" if where == "memory" else f"sqlite:{folder / 'ours.db'}")
        return
    with running() as upstash:
        yield Place(lambda: UpstashRedis(upstash.redis_url, upstash.redis_token, namespace="bench"), upstash)


class Taken:
    """What some works took: by name microseconds, requests and commands of each time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._of: dict[str, list[tuple[float, int, int]]] = {}

    def take(self, name: str, work: Callable[[], T]) -> T:
        before = self._place.spent()
        with clock() as spent:
            result = work()
        after = self._place.spent()
        self._of.setdefault(name, []).append((spent.seconds * 1e6, after[0] - before[0], after[1] - before[1]))
        return result

    def medians(self) -> dict[str, tuple[float, ...]]:
        return {name: tuple(map(median, map(list, zip(*each, strict=True)))) for name, each in self._of.items()}


def rebuild(where: str, size: int, folder: Path) -> dict[str, float]:
    """A view is at the head, and is built anew beside itself."""
    with place(where, folder) as here:

        def prepare() -> None:
            log = list(events(size))
            with here.open(registry) as app:
                for start in range(0, size, BATCH):
                    app.event_store.append(f"game-{start}", *log[start : start + BATCH])
                app.projector.catch_up()

        in_another_process(prepare)
        before = used(here, folder)
        with peak_memory() as peak, here.open(registry) as app:
            cpu = time.process_time()
            with clock() as spent:
                rebuilt = app.projector.rebuild(players)
            cpu = time.process_time() - cpu
        assert rebuilt.complete
        with here.open(registry) as app:
            assert app.projection_store.view(players).count() == players_of(size)
        receipt = rebuilt.receipt
        return {
            "seconds": spent.seconds,
            "cpu": cpu,
            "peak": peak.megabytes,
            "before": before,
            "after": used(here, folder),
            "requests": receipt.requests,
            "commands": receipt.commands,
        }


def used(here: Place, folder: Path) -> float:
    """Megabytes of the database."""
    if here.upstash is None:
        return sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    from redis import Redis

    # redis-py leaves the types of its keywords open.
    with Redis.from_url(here.upstash.engine_url) as engine:  # pyright: ignore[reportUnknownMemberType]
        used = cast("dict[str, int]", engine.info("memory"))  # pyright: ignore[reportUnknownMemberType]
        return used["used_memory"] / 2**20


def leaderboard(where: str, folder: Path) -> dict[str, tuple[float, ...]]:
    chance = random.Random(2)
    with place(where, folder) as here, here.open(registry) as app:
        store, projector = app.event_store, app.projector
        for start in range(0, PLAYERS, CHANGED):
            joins = [join(player) for player in range(start, start + CHANGED)]
            scores = [Scored(key_of(player), chance.randrange(1_000_000)) for player in range(start, start + CHANGED)]
            store.append("game", *joins, *scores)
        projector.catch_up()
        index = app.projection_store.view(players).index("score")
        taken = Taken(here)
        for _ in range(ROUNDS):
            chosen = chance.sample(range(PLAYERS), CHANGED)
            store.append("game", *[Scored(key_of(player), chance.randrange(1, 1_000)) for player in chosen])
            assert taken.take("commit", projector.catch_up).applied == CHANGED
            assert len(taken.take("top", partial(index.top, 10))) == 10
            key = key_of(chance.randrange(PLAYERS))
            assert taken.take("rank", partial(index.rank, key)) is not None
            low = chance.randrange(900_000)
            assert len(taken.take("page", partial(index.page, low, limit=100)).items) == 100
        return taken.medians()


def long_aggregate(where: str, folder: Path) -> dict[str, tuple[float, ...]]:
    """Loaded and executed: from its events, by a snapshot, by a state that the process keeps."""
    with place(where, folder) as here:
        taken = Taken(here)
        for name, every, cache in (("plain", None, 0), ("snapshot", EVERY, 0), ("cache", None, 10)):
            own, aggregate = tasks_registry(every)
            stream = f"task-{name}"
            with here.open(own, cache) as app:
                store = app.event_store
                log = [todo.event(line) for line in todo.one_task(LONG)]
                for start in range(0, LONG, BATCH):
                    store.append(stream, *log[start : start + BATCH])
                store.execute(aggregate, stream, Rename("0", "Do the dishes!"))  # keeps what it may keep
                for turn in range(LOADS):
                    taken.take(f"load {name}", partial(store.load, aggregate, stream))
                    command = Rename("0", f"Do the dishes! {turn}")
                    taken.take(f"execute {name}", partial(store.execute, aggregate, stream, command))
        return taken.medians()


def everything(store: EventStore, query: Query) -> list[Recorded[object]]:
    return list(store.read(query=query))


def tagged(where: str, folder: Path) -> dict[str, tuple[float, ...]]:
    """A query for the hundred events of one tag, and an append under the condition that there is no other."""
    with place(where, folder) as here, here.open(registry) as app:
        store = app.event_store
        # Each append has its own tag, and a hundred of them in turn make up the log.
        for start in range(0, LOGGED, BATCH):
            chunk = [Scored(key_of(number), 1) for number in range(start, start + BATCH)]
            store.append(f"game-{start}", *chunk, tags=[f"team:{start // BATCH % TAGS}"])
        taken = Taken(here)
        for turn in range(LOADS):
            query = Query.of(tags=[f"team:{turn * 7}"])
            found = taken.take("query", partial(everything, store, query))
            assert len(found) == LOGGED // TAGS
            condition = AppendCondition(query, after=found[-1].position)
            taken.take(
                "condition",
                partial(store.append, f"late-{turn}", Scored("a", 1), condition=condition),
            )
            taken.take("plain", partial(store.append, f"plain-{turn}", Scored("a", 1)))
        return taken.medians()
