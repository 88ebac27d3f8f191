"""What stops one partition of a worker is tried again after a pause that grows, and holds up no other one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from eventsource_upstash import CatchUp, Memory, Projector
from eventsource_upstash._flow import parting
from eventsource_upstash._flow.parting import Shift
from eventsource_upstash._flow.sharing import Sharing
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.kafka.backend import Kafka
from tests.sharing.support import Boom, Clock, Game, Lent, Scored, app, in_partition, kafka, names, topic_of


class Moments:
    """The clock of a module, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Moments:
    held = Moments()
    monkeypatch.setattr(parting, "time", held)
    return held


class Staying:
    """A worker over three partitions, whose rounds are made by hand."""

    def __init__(self, game: Game) -> None:
        self.one = app(game, kafka(3))
        flow = self.one.projector.flow
        assert flow.parting is not None
        membership = Sharing(flow.parting.partitions.whole, Clock())
        self.shift = Shift(flow.parting, flow, self.one.registry.subscriptions, membership, 1.0)

    def go(self) -> bool:
        return run(self.shift.go())


def test_a_partition_that_stops_is_tried_again_after_a_pause_that_doubles_while_others_go_on(
    moments: Moments, caplog: pytest.LogCaptureFixture
) -> None:
    game = Game(teams=True)
    staying = Staying(game)
    (bad,), (good,) = in_partition(staying.one, 1), in_partition(staying.one, 2)
    game.bad.add(bad)
    staying.one.event_store.append(bad, Scored(1))
    tried: list[float] = []
    for _ in range(32):
        staying.one.event_store.append(good, Scored(1))
        before = game.calls
        assert not staying.go()
        if game.calls - before > 1:  # the good one, and the bad one
            tried.append(moments.now)
        moments.now += 1
    assert tried == [0.0, 2.0, 6.0, 14.0, 30.0]
    (told,) = caplog.records  # the same trouble once more is not news
    assert "'players' stopped at position" in told.getMessage()
    assert isinstance(told.exc_info, tuple)
    assert isinstance(told.exc_info[1], Boom)
    assert dict(staying.one.projection_store.view(game.players).items())[good].score == 32
    game.bad.clear()
    moments.now += 100
    staying.go()
    assert staying.one.projection_store.status()[0].state == "current"
    game.bad.add(bad)
    staying.one.event_store.append(bad, Scored(1))
    staying.go()
    moments.now += 2.0  # the first pause is short again
    before = game.calls
    staying.go()
    assert game.calls > before


def test_a_worker_has_more_to_do_as_long_as_something_is_left(moments: Moments) -> None:
    game = Game(teams=True)
    staying = Staying(game)
    for name in names(9):
        staying.one.event_store.append(name, Scored(1))
    assert not staying.go()
    assert game.calls == game.team_calls == 9


def test_of_a_round_each_partition_has_its_share_and_who_comes_last_a_page_at_least(
    moments: Moments, monkeypatch: pytest.MonkeyPatch
) -> None:
    staying = Staying(Game(teams=True))
    for number in range(3):
        staying.one.event_store.append(in_partition(staying.one, number)[0], Scored(1))
    flow = staying.one.projector.flow
    assert flow.parting is not None
    budgets: list[float | None] = []

    def slowly(catch_up: Any) -> Any:
        async def work(until: int | None, budget: float | None, *more: Any) -> CatchUp:
            budgets.append(budget)
            moments.now += 1.0  # seconds that it took
            result: CatchUp = await catch_up(until, budget, *more)
            return result

        return work

    for each in (*(flow.parting.folding(number) for number in range(3)), flow):
        monkeypatch.setattr(each, "catch_up", slowly(each.catch_up))
    staying.go()
    assert budgets == [pytest.approx(2 / 3), pytest.approx(1 / 2), 0.0, 0.0]


def test_a_worker_deletes_what_has_ended(moments: Moments, monkeypatch: pytest.MonkeyPatch) -> None:
    views = Memory()
    clock = Clock()
    game = Game(ends=True)
    one = app(game, kafka(3, views), clock)
    for name in names(9):
        one.event_store.append(name, Lent(clock.now / 1e9 + 10))
    one.projector.catch_up()
    assert sum(map(len, documents_of(views))) == 9
    clock.move(1_000)
    again = app(game, Kafka(topic_of(cast("Kafka", one.backend)), views=views), clock)
    flow = again.projector.flow
    assert flow.parting is not None
    run(Shift(flow.parting, flow, game.registry.subscriptions, Sharing(flow.parting.partitions.whole, clock), 1.0).go())
    assert sum(map(len, documents_of(views))) == 0


def documents_of(views: Memory) -> list[Any]:
    return [build.documents for build in views._state.documents.values()]


def test_a_worker_whose_time_is_out_goes_on_at_once_and_one_that_has_failed_does_not(
    moments: Moments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parting, "SLICE", 0.0)  # a page each
    game = Game(teams=True)
    one = app(game, kafka(2))
    small = Projector(one.event_store, one.projection_store, page_size=2).flow
    assert small.parting is not None
    membership = Sharing(small.parting.partitions.whole, Clock())
    shift = Shift(small.parting, small, game.registry.subscriptions, membership, 1.0)
    (name,) = in_partition(one, 1)
    for _ in range(5):
        one.event_store.append(name, Scored(1))
    assert [run(shift.go()) for _ in range(4)] == [True, True, False, False]
    assert (game.calls, game.team_calls) == (5, 5)
    for each in [*in_partition(one, 0), name]:
        for _ in range(3):
            one.event_store.append(each, Scored(1))
    game.bad.add(name)
    assert [run(shift.go()) for _ in range(4)] == [True, True, False, False]  # for what has not failed


def test_a_worker_goes_on_with_rebuilds_that_somebody_began(moments: Moments) -> None:
    game = Game(teams=True)
    staying = Staying(game)
    assert game.teams is not None
    for name in names(9):
        staying.one.event_store.append(name, Scored(1))
    staying.go()
    for view in (game.players, game.teams):
        small = Projector(staying.one.event_store, staying.one.projection_store, page_size=1)
        assert not small.rebuild(view, time_budget=0.0).complete
    for _ in range(3):
        staying.go()
    assert [each.generation for each in staying.one.projection_store.status()] == [2, 2]
    assert [each.state for each in staying.one.projection_store.status()] == ["current", "current"]


def test_parts_alone_are_gone_on_with_at_once_too(moments: Moments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "SLICE", 0.0)
    game = Game()
    one = app(game, kafka(2))
    small = Projector(one.event_store, one.projection_store, page_size=2).flow
    assert small.parting is not None
    membership = Sharing(small.parting.partitions.whole, Clock())
    shift = Shift(small.parting, small, game.registry.subscriptions, membership, 1.0)
    for number in range(2):
        for _ in range(3):
            one.event_store.append(in_partition(one, number)[0], Scored(1))
    assert [run(shift.go()) for _ in range(3)] == [True, False, False]
    assert game.calls == 6
