"""What an answer says it cost is the sum of all that was asked for it: of the views, and of the log."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from eventsource_upstash import EventStore, Notifier, ProjectionStopped, ProjectionStore, Projector
from eventsource_upstash._flow.parted_work import Work
from eventsource_upstash._flow.passes import Reach
from eventsource_upstash._flow.querying import NUMBERS
from eventsource_upstash._flow.wiring import any_of
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.blocking import App
from eventsource_upstash.domain.events import FREE, Receipt
from eventsource_upstash.ports import Span, Views
from tests.kafka.memory_topic import MemoryTopic
from tests.priced import Dear, Till
from tests.sharing.support import Clock, Game, Scored, app, in_partition, names


class Priced:
    """A game over partitions where each call to the views costs a request, and each to the topic a command."""

    def __init__(self, game: Game, partitions: int = 3) -> None:
        self.till = Till()
        self.topic = MemoryTopic("game", partitions)
        self.topic.receipt = Receipt(commands=1)
        self.clock = Clock()
        self.app: App = self.open(game)

    def open(self, game: Game) -> App:
        return app(game, Kafka(self.topic, views=self.till), self.clock)

    def adds_up(self, doing: Callable[[], Receipt]) -> None:
        """What is asked meanwhile is what the receipt tells."""
        calls, asked = self.till.calls, len(self.topic.calls)
        told = doing()
        assert told == Receipt(requests=self.till.calls - calls, commands=len(self.topic.calls) - asked)
        assert told != FREE


def test_of_all_work_on_parts() -> None:
    game = Game(teams=True)
    priced = Priced(game)
    one = priced.app
    for name in names(9):
        one.event_store.append(name, Scored(1))
    priced.adds_up(lambda: one.projector.catch_up().receipt)
    priced.adds_up(lambda: one.projector.catch_up().receipt)
    one.event_store.append("player-1", Scored(2))
    head = one.event_store.head()
    priced.adds_up(lambda: one.projector.catch_up(until=head).receipt)
    one.projector.catch_up()
    fresh = priced.open(Game())
    before = len(priced.topic.calls)
    priced.adds_up(lambda: fresh.projector.catch_up().receipt)
    assert "fetch" not in priced.topic.calls[before:]  # nothing of it ends: there is nothing to look for
    priced.adds_up(lambda: one.projector.rebuild(game.players).receipt)
    priced.adds_up(lambda: one.projector.drop_generations(game.players).receipt)
    one.projector.rebuild(game.players)
    again = Game(teams=True)
    other = priced.open(again)  # which knows of nothing yet
    priced.adds_up(lambda: run(other.projector.rebuilding.go_back(any_of(again.players), None))[1])
    priced.adds_up(lambda: other.projector.drop_generations(again.players, generation=3).receipt)
    one.projector.rebuild(game.players)
    third = Game(teams=True)
    opened = priced.open(third)
    priced.adds_up(lambda: opened.projector.drop_generations(third.players, generation=2).receipt)
    newer = priced.open(Game(version=2))
    priced.adds_up(lambda: newer.projector.drop_version("players", 1).receipt)
    priced.adds_up(lambda: newer.projector.catch_up().receipt)


def test_of_a_rebuild_that_is_not_done_and_of_its_notification() -> None:
    priced, carrier = Priced(Game()), Dear()
    for name in names(9):
        priced.app.event_store.append(name, Scored(1))
    priced.app.projector.catch_up()
    backend, game = Kafka(priced.topic, views=priced.till), Game()
    store = EventStore(backend, game.registry, notifier=Notifier(carrier))
    projector = Projector(store, ProjectionStore(backend, game.registry), page_size=1)
    calls = priced.till.calls
    rebuilt = projector.rebuild(game.players, time_budget=0)
    assert (rebuilt.complete, len(carrier.told)) == (False, 1)
    assert rebuilt.receipt.requests == priced.till.calls - calls + 1


def test_of_partitions_in_which_nothing_came() -> None:
    one = Priced(Game(), 4)
    one.app.event_store.append("player-1", Scored(1))
    one.adds_up(lambda: one.app.projector.catch_up().receipt)  # three of them are said to have met the head


def test_what_is_not_in_parts_is_asked_about_once() -> None:
    game = Game(teams=True)
    game.registry.reactor("desk")
    one = Priced(game).app
    parting = one.projector.flow.parting
    assert parting is not None
    reach = Reach(one.registry.subscriptions, everybody=True, building=True)
    for cost in (Receipt(requests=1), FREE):
        work = Work(None, reach)
        rest = run(parting.rest(work))
        assert [each.id for each in rest] == [each.id for each in reach.projections if each.id != game.players.id]
        assert work.receipt.requests == cost.requests


def test_of_what_stops() -> None:
    game = Game()
    priced = Priced(game)
    one = priced.app
    bad = [in_partition(one, partition)[0] for partition in (1, 2)]
    for name in names(9):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    game.bad.update(bad)
    for name in bad:
        one.event_store.append(name, Scored(1))

    def stopped(doing: Callable[[], object]) -> Receipt:
        with pytest.raises(ProjectionStopped) as error:
            doing()
        return error.value.result.receipt

    priced.adds_up(lambda: stopped(one.projector.catch_up))
    priced.adds_up(lambda: stopped(lambda: one.projector.rebuild(game.players)))


def test_of_parked_events() -> None:
    game = Game(on_error="park")
    priced = Priced(game)
    one = priced.app
    bad = [in_partition(one, partition)[0] for partition in range(3)]
    game.bad.update(bad)
    for name in bad:
        one.event_store.append(name, Scored(1))
    priced.adds_up(lambda: one.projector.catch_up().receipt)
    priced.adds_up(lambda: one.projector.retry_parked(game.players).receipt)
    game.bad.clear()
    priced.adds_up(lambda: one.projector.retry_parked(game.players, key=bad[0]).receipt)
    again = Game(on_error="park")
    other = priced.open(again)  # which does not know yet how many parts there are
    priced.adds_up(lambda: other.projector.retry_parked(again.players, key=bad[1]).receipt)
    priced.adds_up(lambda: one.projector.discard_parked(game.players).receipt)


@pytest.mark.parametrize("partitioned", [True, False])
def test_of_queries(partitioned: bool) -> None:
    game = Game(partitioned=partitioned)
    priced = Priced(game)
    for name in names(9):
        priced.app.event_store.append(name, Scored(1))
    priced.app.projector.catch_up()
    known, span = game.players.id, Span("score", *NUMBERS)

    def asks(ask: Callable[[Views], Coroutine[object, None, Any]]) -> None:
        for _ in range(2):  # how many parts there are is known the second time
            priced.adds_up(lambda: run(ask(views)).receipt)

    for ask in (
        lambda views: views.get_many(known, names(9), 0),
        lambda views: views.get_many(known, [], 0),
        lambda views: views.items(known, None, 100, 1 << 20, 0),
        lambda views: views.find(known, span, None, 100, 1 << 20, 0, reverse=False),
        lambda views: views.count(known, None, 0),
        lambda views: views.rank(known, span, "player-1", 0),
        lambda views: views.rank(known, span, "nobody", 0),
    ):
        views = cast("Views", priced.open(game).projection_store.views)
        asks(ask)


def test_of_queries_before_anything_is_folded() -> None:
    """Whether a view is in parts is asked each time as long as it may become so."""
    game = Game()
    known, span = game.players.id, Span("score", *NUMBERS)
    for ask in (
        lambda views: views.get_many(known, names(9), 0),
        lambda views: views.items(known, None, 100, 1 << 20, 0),
        lambda views: views.find(known, span, None, 100, 1 << 20, 0, reverse=False),
        lambda views: views.count(known, None, 0),
        lambda views: views.rank(known, span, "player-1", 0),
    ):
        priced = Priced(Game())
        views = cast("Any", priced.app.projection_store.views)
        for _ in range(2):
            priced.adds_up(lambda views=views, ask=ask: run(ask(views)).receipt)  # type: ignore[misc]
