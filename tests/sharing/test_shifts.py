"""What stops one partition of a worker is tried again after a pause that grows, and holds up no other one."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from eventsource_upstash import CatchUp, Memory, Projector, Unavailable
from eventsource_upstash._flow import parting
from eventsource_upstash._flow.parting import Shift
from eventsource_upstash._flow.partitions import each_part
from eventsource_upstash._flow.sharing import Sharing
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.kafka.backend import Kafka
from tests.sharing.support import Boom, Clock, Failing, Game, Lent, Scored, app, in_partition, kafka, names, topic_of


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

    def __init__(self, game: Game, backend: Kafka | None = None, name: str | None = None) -> None:
        self.game = game
        self.one = app(game, backend or kafka(3))
        flow = self.one.projector.flow
        assert flow.parting is not None
        self.membership = Sharing(flow.parting.partitions.whole, Clock(), name)
        self.shift = Shift(flow.parting, flow, self.one.registry.subscriptions, self.membership, 1.0)

    def go(self) -> bool:
        return run(self.shift.go())


def two_of(backend: Kafka) -> tuple[Staying, Staying]:
    """Two workers that share three partitions, and what is folded as a whole: the second one has 2 and that."""
    first, second = [Staying(Game(teams=True), backend, name) for name in "ab"]
    for each in (first, second, first, second):
        run(each.membership.tend(["0", "1", "2", "*"]))
    return first, second


def failing(game: Game) -> list[str]:
    """Have a view that is folded as a whole, and fails; what it fails with."""
    why = ["no"]
    broken = game.registry.projection("broken", Scored)

    @broken.on(Scored)
    def fails(document: Scored | None, event: Scored) -> Scored:
        if why:
            raise Boom(why[0])
        return event

    return why


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


def test_what_cannot_be_folded_as_a_whole_is_tried_again_after_a_pause_that_doubles(
    moments: Moments, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game()
    why = failing(game)
    staying = Staying(game)
    flow = staying.one.projector.flow
    catch_up = flow.catch_up
    tried: list[float] = []

    async def noted(*of: Any) -> CatchUp:
        tried.append(moments.now)
        return await catch_up(*of)

    monkeypatch.setattr(flow, "catch_up", noted)
    staying.one.event_store.append("player-1", Scored(1))
    for _ in range(16):
        assert not staying.go()
        moments.now += 1
    assert tried == [0.0, 2.0, 6.0, 14.0]
    assert [record.getMessage().startswith("projection 'broken' stopped") for record in caplog.records] == [True]
    why.clear()
    moments.now += 100
    staying.go()
    staying.go()
    assert tried[4:] == [116.0, 116.0]  # there is nothing to wait for any more


def test_a_partition_that_cannot_be_reached_now_holds_up_no_other_one(
    moments: Moments, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = Game(teams=True)
    staying = Staying(game)
    for number in range(3):
        staying.one.event_store.append(in_partition(staying.one, number)[0], Scored(1))
    parting_ = staying.one.projector.flow.parting
    assert parting_ is not None

    async def unreachable(*_: object) -> CatchUp:
        raise Unavailable("not now")

    monkeypatch.setattr(parting_.folding(1), "catch_up", unreachable)
    for _ in range(2):
        assert not staying.go()
    assert (game.calls, game.team_calls) == (2, 3)
    assert [record.getMessage() for record in caplog.records] == ["not now"]


def test_a_worker_folds_what_is_its_own_and_says_nothing_of_what_is_others(moments: Moments) -> None:
    first, second = two_of(kafka(3))
    first.go()

    def met() -> list[bool]:
        assert first.one.projection_store.partitions is not None
        parts = each_part(first.game.players.id, 3)
        builds, _, _ = run(first.one.projection_store.partitions.whole.progress(parts))
        return [each.met for each in builds]

    assert met() == [True, True, False]
    second.go()
    assert met() == [True, True, True]
    for number in range(3):
        first.one.event_store.append(in_partition(first.one, number)[0], Scored(1))
    first.go()
    assert (first.game.calls, first.game.team_calls) == (2, 0)
    second.go()
    assert (second.game.calls, second.game.team_calls) == (1, 3)


def test_while_the_table_cannot_be_read_a_worker_goes_on_with_what_it_had(moments: Moments) -> None:
    views = Failing(Unavailable("no table today"))
    first, second = two_of(kafka(3, views))
    first.go()
    second.go()
    for number in range(3):
        first.one.event_store.append(in_partition(first.one, number)[0], Scored(1))
    views.fails = "views.records"
    first.go()
    assert (first.game.calls, first.game.team_calls) == (2, 0)


def test_a_worker_without_views_in_parts_has_no_share_of_a_partition(moments: Moments) -> None:
    backend = kafka(3)
    staying = Staying(Game(partitioned=False), backend)
    staying.go()
    calls = topic_of(backend).calls
    asked: list[list[str]] = []
    for look in (staying.go, staying.one.projector.catch_up):
        calls.clear()
        look()
        asked.append([*calls])
    assert asked[0] == asked[1]
    visitor = Sharing(staying.one.projection_store.views, Clock())
    assert run(visitor.visit(["0", "1", "2", "*"])) == {"0", "1", "2"}


def test_over_more_partitions_than_it_has_parts_a_view_holds_up_nothing_else(
    moments: Moments, caplog: pytest.LogCaptureFixture
) -> None:
    backend = kafka(2)

    def opened() -> tuple[Game, Staying]:
        game = Game(teams=True)
        others = game.registry.projection("others", Scored, partitioned=True)
        others.on(Scored)(lambda document, event: event)
        return game, Staying(game, Kafka(topic_of(backend), views=backend.inner))

    _, before = opened()
    before.go()
    run(before.shift.end())
    topic_of(backend).grow(3)
    game, staying = opened()
    for _ in range(2):
        staying.one.event_store.append("player-1", Scored(1))
        assert not staying.go()
    assert (game.calls, game.team_calls) == (0, 2)
    (told,) = caplog.records  # of all of them at once, and not at each round
    assert re.fullmatch(r"projection 'players'.* has 3 now.*; projection 'others'.* has 3 now.*", told.getMessage())
