"""Who folds which partition in one catch-up: who is asked, what is given back, and what the time is enough for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import pytest

from eventsource_upstash import CatchUp, Memory, Projector, Unavailable
from eventsource_upstash._flow import parted_care, parted_work, parting, purging
from eventsource_upstash._flow.catching_up import CatchingUp
from eventsource_upstash._flow.parted_work import Work
from eventsource_upstash._flow.parting import _half
from eventsource_upstash._flow.passes import Reach
from eventsource_upstash._flow.purging import PURGE_EVERY
from eventsource_upstash._flow.sharing import SHARES, TABLE, Sharing
from eventsource_upstash._flow.wiring import any_of
from eventsource_upstash._io.blocking import BlockingPort, run
from eventsource_upstash._io.port import Signal
from eventsource_upstash.blocking import App
from tests.sharing.support import Clock, Failing, Game, Lent, Scored, app, in_partition, kafka, names, topic_of
from tests.sharing.test_as_one import part, watch
from tests.sharing.test_until import lags


class Moment:
    """A time that stands still until it is moved."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


class Naps(BlockingPort):
    """Sleeps no moment, and notes how long it was to; meanwhile others may do something."""

    def __init__(self, meanwhile: Sequence[Callable[[], object]] = ()) -> None:
        self.slept: list[float] = []
        self._meanwhile = list(meanwhile)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.slept.append(seconds)
        if self._meanwhile:
            self._meanwhile.pop(0)()


def napping(one: App, *meanwhile: Callable[[], object]) -> Naps:
    """Have what waits for others in an app do so."""
    assert one.projection_store.partitions is not None
    naps = one.projection_store.partitions.port = Naps(meanwhile)
    return naps


def folded_by(
    projector: Projector, count: int, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int | str, float | None]]:
    """What a projector folds from here on, which partitions and what is folded as a whole, and in how many seconds."""
    folded: list[tuple[int | str, float | None]] = []
    assert projector.flow.parting is not None

    def watched(name: int | str, inner: CatchingUp) -> None:
        catch_up = inner.catch_up

        async def noted(until: int | None, budget: float | None, *more: Any) -> CatchUp:
            folded.append((name, budget))
            return await catch_up(until, budget, *more)

        monkeypatch.setattr(inner, "catch_up", noted)

    for number in range(count):
        watched(number, projector.flow.parting.folding(number))

    async def taken(work: Work, whole: CatchingUp, budget: float | None, *more: Any) -> CatchUp | None:
        folded.append(("whole", budget))
        return await take(work, whole, budget, *more)

    take = Work.take
    monkeypatch.setattr(Work, "take", taken)
    return folded


def projector(one: App, page_size: int) -> Projector:
    return Projector(one.event_store, one.projection_store, page_size=page_size, clock=Clock())


def table(one: App) -> bytes | None:
    return run(one.projection_store.views.records(SHARES, (TABLE,))).documents.get(TABLE)


def test_only_with_more_than_a_page_to_fold_it_is_asked_who_else_does() -> None:
    game = Game()
    one = app(game, kafka(2))
    (name,) = in_partition(one, 1)
    for events, asked in ((3, False), (4, True)):
        one.event_store.append(name, *[Scored(1)] * events)
        assert projector(one, 3).catch_up().complete
        assert (table(one) is not None) is asked


def test_what_was_taken_for_a_catch_up_is_given_back_where_it_fails() -> None:
    game, views = Game(), Failing(RuntimeError("broken"))
    one = app(game, kafka(2, views))
    one.event_store.append(in_partition(one, 1)[0], *[Scored(1)] * 5)
    views.fails = "views.load"
    with pytest.raises(RuntimeError, match="broken"):
        projector(one, 2).catch_up()
    views.fails = ""
    assert run(Sharing(one.projection_store.views, Clock()).visit(["0", "1"])) == {"0", "1"}


def test_when_the_time_is_out_one_of_the_partitions_that_others_hold_is_gone_on_with() -> None:
    game = Game()
    one = app(game, kafka(2))
    for partition in (0, 1):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 6)
    run(Sharing(one.projection_store.views, Clock(), "other").visit(["0", "1"]))
    naps = napping(one)
    done = projector(one, 2).catch_up(time_budget=0)
    assert (done.complete, game.calls) == (False, 2)  # a page of one of them
    assert naps.slept == []


def test_what_nobody_else_folds_is_not_waited_for() -> None:
    game = Game()
    one = app(game, kafka(2))
    for partition in (0, 1):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 6)
    naps = napping(one)
    assert projector(one, 2).catch_up().complete
    assert (naps.slept, game.calls) == ([], 12)
    assert run(Sharing(one.projection_store.views, Clock()).visit(["0", "1"])) == {"0", "1"}


def test_with_little_time_a_page_of_one_partition_is_folded_of_those_that_nobody_else_folds() -> None:
    game = Game()
    one = app(game, kafka(2))
    for partition in (0, 1):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 6)
    done = projector(one, 2).catch_up(time_budget=0)
    assert (done.complete, game.calls) == (False, 2)


def test_those_who_go_on_are_waited_for_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    game, backend = Game(), kafka(3)
    one, other = app(game, backend), projector(app(Game(), backend), 2)
    assert other.catch_up().complete  # of how many parts it is, is known from here on
    for partition in range(3):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 6)
    run(Sharing(one.projection_store.views, Clock(), "other").visit(["0", "1", "2"]))

    def fold(number: int, pages: int) -> None:
        assert other.flow.parting is not None
        part = other.flow.parting.partitions.part(any_of(game.players), number, 3)
        for _ in range(pages):
            run(other.flow.parting.folding(number).catch_up(None, 0.0, Reach((part,))))

    def meanwhile() -> None:
        fold(0, 3)
        fold(1, 1)

    naps = napping(one, meanwhile)
    mine = projector(one, 2)
    folded = folded_by(mine, 3, monkeypatch)
    assert mine.catch_up().complete
    # Not the one that was folded to its end, and the others in the order in which they were given up.
    assert folded == [(2, None), (1, None), ("whole", None)]
    assert naps.slept == [parted_work.PAUSE] * 2


def test_where_it_cannot_be_agreed_on_who_folds_everything_is_folded_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    game, views = Game(), Failing(Unavailable("no table today"))
    one = app(game, kafka(2, views))
    assert one.projector.catch_up().complete
    for partition in (0, 1):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 6)
    views.fails = "views.records"
    naps = napping(one)
    assert projector(one, 2).catch_up().complete
    assert (game.calls, naps.slept) == (12, [parted_work.PAUSE])
    (told,) = caplog.records
    assert told.getMessage().endswith("could not be agreed on: no table today")


def test_up_to_a_position_nobody_is_asked_who_else_folds() -> None:
    game = Game()
    one = app(game, kafka(2))
    token = one.event_store.append(in_partition(one, 1)[0], *[Scored(1)] * 6).position
    assert projector(one, 2).catch_up(until=token).complete
    assert (game.calls, table(one)) == (6, None)


def test_it_is_less_than_a_page_that_is_left_and_not_that_was_folded() -> None:
    game = Game()
    one = app(game, kafka(2))
    (name,) = in_partition(one, 1)
    for _ in range(3):
        one.event_store.append(name, Scored(1), Scored(2))
        assert projector(one, 3).catch_up().complete
    assert (game.calls, table(one)) == (6, None)


def test_where_the_time_is_short_each_partition_comes_first_in_turn() -> None:
    one = app(Game(), kafka(4))
    players = [in_partition(one, partition)[0] for partition in range(4)]
    first: list[int] = []
    for _ in range(4):
        for name in players:
            one.event_store.append(name, Scored(1))
        one.projector.catch_up(time_budget=0)
        first.append(lags(one).index(0))
    assert sorted(first) == [0, 1, 2, 3]


@pytest.mark.parametrize(("teams", "budgets"), [(True, [2.5, 5.0, 10.0]), (False, [5.0, 10.0])])
def test_of_the_time_the_parts_have_half_where_there_is_more_and_each_of_them_its_share(
    teams: bool, budgets: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parting, parted_work):
        monkeypatch.setattr(module, "time", Moment(100.0))
    one = app(Game(teams=teams), kafka(2))
    for partition in (0, 1):
        one.event_store.append(in_partition(one, partition)[0], Scored(1))
    folded = folded_by(one.projector, 2, monkeypatch)
    assert one.projector.catch_up(time_budget=10.0).complete
    assert [budget for what, budget in folded if teams or what != "whole"] == budgets


def test_when_the_time_is_out_to_the_moment_no_other_partition_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parting, parted_work):
        monkeypatch.setattr(module, "time", Moment(100.0))
    game = Game()
    one = app(game, kafka(3))
    for partition in range(3):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 3)
    folded = folded_by(one.projector, 3, monkeypatch)
    assert not one.projector.catch_up(time_budget=0).complete
    assert game.calls == 3
    small = projector(one, 2)
    run(Sharing(one.projection_store.views, Clock(), "other").visit(["0", "1", "2"]))
    naps = napping(one)
    assert not small.catch_up(time_budget=0).complete
    assert (game.calls, naps.slept, len(folded)) == (5, [], 3)


def test_others_are_not_waited_for_beyond_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = Moment(100.0)
    for module in (parting, parted_work):
        monkeypatch.setattr(module, "time", moment)
    game, backend = Game(), kafka(1)
    one, other = app(game, backend), projector(app(Game(), backend), 1)
    one.event_store.append("player-1", *[Scored(1)] * 6)
    run(Sharing(one.projection_store.views, Clock(), "other").visit(["0"]))

    def goes_on() -> None:
        moment.now += naps.slept[-1]
        assert other.flow.parting is not None
        part = other.flow.parting.partitions.part(any_of(game.players), 0, 1)
        run(other.flow.parting.folding(0).catch_up(None, 0.0, Reach((part,))))

    naps = napping(one, goes_on, goes_on, goes_on)
    assert not projector(one, 2).catch_up(time_budget=0.25).complete
    assert naps.slept == [parted_work.PAUSE, pytest.approx(0.05)]


def test_what_has_ended_is_looked_for_in_every_partition_and_not_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = Moment(1_000.0)
    for module in (parting, purging):
        monkeypatch.setattr(module, "time", moment)
    clock, backend = Clock(), kafka(3)
    one = app(Game(ends=True), backend, clock)
    for name in names(9):
        one.event_store.append(name, Lent(clock.now / 1e9 + 10))
    topic = topic_of(backend)
    views = cast("Memory", backend.inner)._state.documents

    def looks(seconds: float) -> tuple[int, int]:
        """Catch up after so many seconds: how often the topic is read, and how many documents are left."""
        moment.now += seconds
        topic.calls.clear()
        assert one.projector.catch_up().complete
        return topic.calls.count("fetch"), sum(len(build.documents) for build in views.values())

    assert looks(0)[1] == 9
    clock.move(1_000)
    assert looks(PURGE_EVERY - 1) == (0, 9)
    assert looks(1) == (3, 0)
    assert looks(0) == (0, 0)


def test_a_rebuild_whose_turn_did_not_come_is_not_complete() -> None:
    game = Game()
    one = app(game, kafka(2))
    for partition in (0, 1):
        one.event_store.append(in_partition(one, partition)[0], Scored(1))
    one.projector.catch_up()
    flow = one.projector.flow.parting
    assert flow is not None
    for number in (0, 1):
        views = flow.partitions.at(number).views
        run(views.begin(game.players.id.part(number)))
    assert [one.projector.catch_up(time_budget=0).complete for _ in range(3)] == [False, True, True]


def test_half_of_the_time_is_for_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "time", Moment(100.0))
    assert [_half(110.0), _half(90.0), _half(None)] == [105.0, 100.0, None]


def test_how_long_a_rebuild_of_parts_has_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = Moment(1_000.0)
    monkeypatch.setattr(parted_care, "time", moment)
    told: list[parted_care.Rebuilding] = []
    watched = watch(told, {0: part(0, 0), 1: part(1, 0)}, {0: 4, 1: 4})
    moment.now = 1_006.0
    watched.note(1, part(1, 2).checkpoint, part(1, 4).checkpoint, tells=True)
    assert [(each.elapsed, each.remaining) for each in told] == [(6.0, 18.0)]


def test_from_two_on_parts_are_asked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    one = app(Game(), kafka(2))
    partitions = one.projection_store.partitions
    assert partitions is not None
    sides: list[int] = []

    class Together:
        async def together(self, doing: Sequence[Coroutine[object, object, int]]) -> list[int]:
            sides.append(len(doing))
            return [await each for each in doing]

    async def number() -> int:
        return 7

    monkeypatch.setattr(partitions, "port", Together())
    for count in (0, 1, 2, 3, 17):
        assert run(partitions.together([number] * count)) == [7] * count
    assert sides == [2, 3, 16, 1]
