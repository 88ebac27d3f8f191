"""Documents fed from several partitions, folded by several workers, in every order of their steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from eventsource_upstash import (
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    CatchUp,
    EventStore,
    OutcomeUnknown,
    ProjectionStore,
    Projector,
    Recorded,
    Registry,
    Unavailable,
    join,
)
from eventsource_upstash.domain.positions import partition_of
from eventsource_upstash.testing import Endings, ScheduleFailed, World, explore, pausing
from tests.kafka.broken_vectors import Broken, ForgetsEditions, KeepsTheSum, TakesTheMax, TheHigherSumWins
from tests.kafka.partitioned import Apart, Partitioned, Topical


@dataclass(frozen=True)
class Paid:
    amount: int


@dataclass(frozen=True)
class Ledger:
    folded: tuple[int, ...] = ()


BAD: set[int] = set()
"""Amounts that cannot be booked."""

registry = Registry()
registry.event("paid")(Paid)
ledger_of_all = registry.projection("ledger", Ledger, on_error="park")
accounts = registry.projection("accounts", Ledger)


@ledger_of_all.on_recorded(Paid, key=lambda _: "all")
def booked(ledger: Ledger | None, recorded: Recorded[Paid]) -> Ledger:
    if recorded.event.amount in BAD:
        raise ValueError("bad")
    return Ledger((*(ledger or Ledger()).folded, recorded.position))


@accounts.on_recorded(Paid)
def paid(ledger: Ledger | None, recorded: Recorded[Paid]) -> Ledger:
    return Ledger((*(ledger or Ledger()).folded, recorded.position))


class Books:
    """A process: a ledger that every stream feeds, in which the order shows, and one for each stream."""

    def __init__(self, backend: Apart) -> None:
        self.backend = backend
        self.registry, self.ledger, self.accounts = registry, ledger_of_all, accounts
        ticks = itertools.count(1)
        self.clock = lambda: 1_700_000_000_000_000_000 + next(ticks) * 1_000_000
        self.store = EventStore(backend, self.registry, clock=self.clock)
        self.views = ProjectionStore(backend, self.registry)
        self.projector = Projector(self.store, self.views)

    def fill(self, streams: Sequence[int]) -> Books:
        for number in streams:
            self.store.append(f"account-{number}", Paid(number))
        return self

    def stepped(self, page_size: int = 1_000, *, after: bool = True, inside: bool = False) -> AsyncProjector:
        backend = pausing(self.backend, after=after, inside=inside)
        store = AsyncEventStore(backend, self.registry, clock=self.clock)
        return AsyncProjector(store, AsyncProjectionStore(backend, self.registry), page_size=page_size)

    def check(self, *, merged: bool = True) -> None:
        """Every event up to the checkpoint is folded, once, and in the log's own order; no other is.

        Where events are appended meanwhile, the order of different partitions is not `merged` as it is read later: an
        event may come into the log after one that is younger was folded.
        """
        rows = list(self.store.read())
        for view in (self.ledger, self.accounts):
            reached = next(each.checkpoint for each in self.views.status() if each.name == view.name)
            expected: dict[str, list[int]] = {}
            for row in rows:
                if row.position <= reached:
                    expected.setdefault("all" if view is self.ledger else row.stream, []).append(row.position)
            found = {key: list(each.folded) for key, each in self.views.view(view).items()}
            if not merged:  # by partition, each in its order
                expected = {key: sorted(each, key=partition_of) for key, each in expected.items()}
                found = {key: sorted(each, key=partition_of) for key, each in found.items()}
            assert found == expected, f"{view.name} at {reached}"

    def check_all(self, *, merged: bool = True) -> None:
        self.check(merged=merged)
        assert self.projector.catch_up().complete
        self.check(merged=merged)
        assert {str(each.checkpoint) for each in self.views.status()} == {str(self.store.head())}


BACKENDS = [pytest.param(Partitioned, id="rows"), pytest.param(Topical, id="topic")]
TURNS = (5, 2, 7, 9)
"""Streams whose events lie in different partitions in turns, whichever way they are spread."""


def workers(
    backend: Callable[[], Apart], *sizes: int, after: bool = False, inside: bool = False
) -> Callable[[], World]:
    """A catch-up for each page size."""

    def world() -> World:
        books = Books(backend()).fill(TURNS)

        def check(endings: Endings) -> None:
            for ending in endings.values():
                assert ending.ok or ending.crashed or isinstance(ending.error, (OutcomeUnknown, Unavailable))
                if ending.ok:
                    assert isinstance(ending.returned, CatchUp)
                    assert ending.returned.complete
                    assert ending.returned.position == books.store.head()
            books.check_all()

        actors = {
            f"worker {number}": books.stepped(size, after=after, inside=inside).catch_up()
            for number, size in enumerate(sizes)
        }
        return World(actors, check)

    return world


@pytest.mark.parametrize("kind", BACKENDS)
def test_two_catch_ups_of_different_pages(kind: type[Apart]) -> None:
    explored = explore(workers(lambda: kind(2), 1, 3), switches=3, merging=True)
    assert explored.schedules >= 250


@pytest.mark.parametrize("kind", BACKENDS)
def test_two_catch_ups_with_a_crash_or_a_lost_answer(kind: type[Apart]) -> None:
    world = workers(lambda: kind(2), 2, 3, after=True)
    assert explore(world, crashes=1, switches=1, merging=True).crashes >= 80
    assert explore(world, lost_answers=1, switches=1, merging=True).lost_answers >= 80


def test_three_catch_ups_over_three_partitions() -> None:
    assert explore(workers(lambda: Partitioned(3), 1, 2, 4), switches=2, merging=True).schedules >= 300


def test_two_catch_ups_over_the_waits_of_a_topic() -> None:
    explored = explore(workers(lambda: Topical(2), 2, 3, inside=True), switches=2, merging=True)
    assert explored.schedules >= 180


@pytest.mark.parametrize("kind", BACKENDS)
def test_appends_to_two_partitions_and_a_catch_up(kind: type[Apart]) -> None:
    def world() -> World:
        books = Books(kind(2)).fill((5, 2))
        stepped = pausing(books.backend, after=False, inside=True)
        store = AsyncEventStore(stepped, books.registry, clock=books.clock)
        tokens: list[int] = []

        async def append(stream: str) -> None:
            tokens.append((await store.append(stream, Paid(9))).position)

        def check(endings: Endings) -> None:
            assert all(ending.ok for ending in endings.values())
            books.check(merged=False)
            found = books.views.view(books.ledger).get("all", at_least=join(*tokens))
            assert found is not None
            assert set(tokens) <= set(found.folded)
            books.check_all(merged=False)

        actors = {
            "left": append("account-5"),
            "right": append("account-2"),
            "worker": books.stepped(2, after=False, inside=True).catch_up(),
        }
        return World(actors, check)

    assert explore(world, switches=1).schedules >= 40


def test_a_topic_that_grows_while_two_fold() -> None:
    def world() -> World:
        backend = Topical(2)
        books = Books(backend).fill(TURNS)

        async def grow() -> None:
            backend.partitions.grow(3)
            await AsyncProjectionStore(pausing(backend, after=False), books.registry).status()
            books.fill((2, 5, 9, 7, 8))

        def check(endings: Endings) -> None:
            assert all(ending.ok for ending in endings.values())
            books.check_all()

        return World(
            {
                "owner": grow(),
                "one": books.stepped(3, after=False).catch_up(),
                "other": books.stepped(2, after=False).catch_up(),
            },
            check,
        )

    assert explore(world, switches=1).schedules >= 70


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_rebuild_while_another_folds_and_one_appends(kind: type[Apart]) -> None:
    def world() -> World:
        books = Books(kind(2)).fill(TURNS)
        books.projector.catch_up()
        books.fill((2,))
        rebuilder = books.stepped(3, after=False)

        async def append() -> None:
            await rebuilder.event_store.append("account-5", Paid(9))

        def check(endings: Endings) -> None:
            assert all(ending.ok for ending in endings.values())
            books.check_all()
            serving = {each.name: each.generation for each in books.views.status()}
            assert serving == {"ledger": 2, "accounts": 1}

        return World(
            {
                "rebuild": rebuilder.rebuild(books.ledger),
                "worker": books.stepped(2, after=False).catch_up(),
                "writer": append(),
            },
            check,
        )

    assert explore(world, switches=1, merging=True).schedules >= 70


def parked(backend: Callable[[], Apart]) -> Callable[[], World]:
    """Parked events of two partitions are folded again while somebody folds on."""

    def world() -> World:
        books = Books(backend())
        books.fill(TURNS)
        BAD.add(TURNS[1])
        books.projector.catch_up()
        BAD.clear()
        books.fill((5,))
        projector = books.stepped(after=False)

        def check(endings: Endings) -> None:
            assert all(ending.ok for ending in endings.values())
            assert books.projector.catch_up().complete
            books.projector.retry_parked(books.ledger)
            books.check_all()

        return World({"retry": projector.retry_parked(books.ledger), "worker": projector.catch_up()}, check)

    return world


@pytest.mark.parametrize("kind", BACKENDS)
def test_parked_events_are_folded_again_while_another_folds(kind: type[Apart]) -> None:
    assert explore(parked(lambda: kind(2)), switches=3, merging=True).schedules >= 100


@pytest.mark.parametrize("kind", [TakesTheMax, TheHigherSumWins, KeepsTheSum])
def test_the_orders_find_views_that_do_not_compare_the_vector(kind: type[TakesTheMax]) -> None:
    with pytest.raises(ScheduleFailed):
        explore(workers(lambda: Broken(2, kind), 1, 3), switches=3, merging=True)


def test_the_orders_find_views_that_do_not_compare_editions() -> None:
    with pytest.raises((ScheduleFailed, Unavailable)):  # what is parked is not there
        explore(parked(lambda: Broken(2, ForgetsEditions)), switches=3, merging=True)
