"""Any history of a log in partitions: appends, workers, rebuilds, growth; and what the views have to hold then."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from hypothesis import strategies as st

from eventsource_upstash import (
    EventStore,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Recorded,
    Registry,
    StaleView,
    Vector,
    join,
)
from eventsource_upstash.domain.positions import partition_of
from tests.kafka.partitioned import Apart


@dataclass(frozen=True)
class Moved:
    """An amount goes from one place to another: two documents, which other streams feed as well."""

    source: str
    target: str
    amount: int


@dataclass(frozen=True)
class Closed:
    place: str


@dataclass(frozen=True)
class Stock:
    """Adds up in any order of partitions, and remembers in which order the events of a stream came in each of them.

    That is one partition for each stream, as long as there are not more of them.
    """

    total: int = 0
    seen: tuple[tuple[str, tuple[int, ...]], ...] = ()


PLACES: Final = ("a", "b", "c")
STREAMS: Final = tuple(f"stream-{number}" for number in range(8))


class Append(NamedTuple):
    stream: str
    event: object
    late: int = 0


class Work(NamedTuple):
    """What a worker does, in pages of a size."""

    what: str
    page_size: int


EVENTS = st.one_of(
    st.builds(Moved, st.sampled_from(PLACES), st.sampled_from(PLACES), st.integers(1, 5)),
    st.builds(Closed, st.sampled_from(PLACES)),
)
STEPS = st.lists(
    st.one_of(
        st.builds(Append, st.sampled_from(STREAMS), EVENTS, st.integers(0, 3)),
        st.builds(Work, st.sampled_from(["catch up", "catch up", "rebuild", "one page", "until"]), st.integers(1, 4)),
        st.sampled_from(["grow", "gap", "window", "read", "read all", "break", "mend"]),
    ),
    max_size=25,
)


class History:
    """A log, and workers of which each is another process."""

    def __init__(self, backend: Apart) -> None:
        self.backend = backend
        self.broken = False
        self.registry = Registry()
        self.registry.event("moved")(Moved)
        self.registry.event("closed")(Closed)
        self.stocks = self.registry.projection("stocks", Stock)
        self.streams = self.registry.projection("streams", Stock)

        @self.stocks.on_recorded(Moved, key=lambda event: (event.source, event.target))
        def moved(stock: Stock | None, recorded: Recorded[Moved], key: str) -> Stock:
            if self.broken and recorded.event.amount == 5:
                raise ValueError("five")
            return self.after(stock, recorded.stream, recorded.position, self.worth(recorded.event, key))

        @self.stocks.on_recorded(Closed, key="place")
        def closed(stock: Stock | None, recorded: Recorded[Closed]) -> Stock:
            return self.after(stock, recorded.stream, recorded.position, 0)

        @self.streams.on_recorded(Moved)
        def streamed(stock: Stock | None, recorded: Recorded[Moved]) -> Stock:
            return self.after(stock, recorded.stream, recorded.position, recorded.event.amount)

        @self.streams.on_recorded(Closed)
        def ended(stock: Stock | None, recorded: Recorded[Closed]) -> Stock:
            return self.after(stock, recorded.stream, recorded.position, 0)

        ticks = itertools.count(1)
        self.skew = 0
        self.store = EventStore(
            backend, self.registry, clock=lambda: (1_700_000_000 + 2 * next(ticks) - self.skew) * 1_000_000_000
        )
        self.views = ProjectionStore(backend, self.registry)
        self.tokens: list[int] = []

    @staticmethod
    def worth(event: Moved, key: str) -> int:
        return event.amount * ((key == event.target) - (key == event.source))

    @staticmethod
    def after(stock: Stock | None, stream: str, position: int, amount: int) -> Stock:
        before = stock or Stock()
        seen = dict(before.seen)
        place = f"{stream} in {partition_of(position)}"
        seen[place] = (*seen.get(place, ()), position)
        return Stock(before.total + amount, tuple(sorted(seen.items())))

    def step(self, step: object) -> None:
        partitions = self.backend.partitions
        match step:
            case Append(stream, event, late):
                self.skew = late
                self.tokens.append(self.store.append(stream, event).position)
            case Work(what, page_size):
                self.work(
                    what, Projector(self.store, ProjectionStore(self.backend, self.registry), page_size=page_size)
                )
            case "grow":
                partitions.grow(min(5, partitions.count + 1))
            case "gap":
                partitions.gap(partitions.count - 1, 2)
            case "window":
                partitions.window = None if partitions.window else 2
            case "break":
                self.broken = True
            case "mend":
                self.broken = False
            case _:
                self.read(self.tokens[-1:] if step == "read" else self.tokens)
        self.check()

    def work(self, what: str, projector: Projector) -> None:
        try:
            match what:
                case "catch up":
                    assert projector.catch_up().complete
                case "one page":
                    projector.catch_up(time_budget=0.0)
                case "until":
                    goal = join(*self.tokens[-2:])
                    assert goal <= projector.catch_up(until=goal).position
                case _:
                    projector.rebuild(self.stocks)
        except ProjectionStopped:
            assert self.broken

    def read(self, tokens: list[int]) -> None:
        """A read with the token of one append, or of several: it never answers less."""
        token = join(*tokens)
        try:
            got = {key: self.views.view(self.stocks).get(key, at_least=token) for key in PLACES}
        except (ProjectionStopped, StaleView):
            assert self.broken
            return
        for key, stock in got.items():
            seen = {at for _, positions in (stock or Stock()).seen for at in positions}
            asked = {at for at in self.touching(key) if at <= token}
            assert asked <= seen <= set(self.touching(key)), (key, token)

    def touching(self, key: str) -> list[int]:
        return [each.position for each in self.store.read() if key in places_of(each.event)]

    def expected(self, checkpoint: int) -> Mapping[str, Stock]:
        """The fold of what lies behind a checkpoint, of each partition in its own order."""
        found: dict[str, Stock] = {}
        for each in sorted(self.store.read(), key=lambda each: partition_of(each.position)):
            if not each.position <= checkpoint:
                continue
            event = each.event
            for key in dict.fromkeys(places_of(event)):
                amount = self.worth(event, key) if isinstance(event, Moved) else 0
                found[key] = self.after(found.get(key), each.stream, each.position, amount)
        return found

    def expected_streams(self, checkpoint: int) -> Mapping[str, Stock]:
        found: dict[str, Stock] = {}
        for each in sorted(self.store.read(), key=lambda each: partition_of(each.position)):
            if each.position <= checkpoint:
                amount = each.event.amount if isinstance(each.event, Moved) else 0
                found[each.stream] = self.after(found.get(each.stream), each.stream, each.position, amount)
        return found

    def check(self) -> None:
        """Both views hold the fold of what they have reached, and nothing else."""
        reached = {each.name: each.checkpoint for each in self.views.status()}
        assert dict(self.views.view(self.stocks).items()) == self.expected(reached["stocks"]), reached
        assert dict(self.views.view(self.streams).items()) == self.expected_streams(reached["streams"]), reached

    def end(self) -> None:
        self.broken = False
        caught_up = Projector(self.store, self.views).catch_up()
        assert caught_up.complete
        assert caught_up.position == caught_up.head == self.store.head()
        self.check()
        status = self.views.status()
        assert [(each.lag, each.state) for each in status] == [(0, "current")] * 2
        assert isinstance(status[0].checkpoint, Vector) is (self.backend.partitions.count > 1)


def places_of(event: object) -> tuple[str, ...]:
    if isinstance(event, Moved):
        return event.source, event.target
    assert isinstance(event, Closed)
    return (event.place,)


def run(backend: Apart, steps: list[object]) -> None:
    """A history from its beginning to its end."""
    history = History(backend)
    for step in steps:
        history.step(step)
    history.end()
