"""Who folds which partition in one catch-up: who is asked, what is given back, and what the time is enough for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

import pytest

from eventsource_upstash import Memory, Projector
from eventsource_upstash._flow import parted_care, parting
from eventsource_upstash._flow.parting import _half
from eventsource_upstash._flow.sharing import SHARES, TABLE, Sharing
from eventsource_upstash._io.blocking import run
from eventsource_upstash.blocking import App
from eventsource_upstash.testing import BackendWrapper
from tests.sharing.support import Clock, Game, Scored, app, in_partition, kafka
from tests.sharing.test_as_one import part, watch

T = TypeVar("T")


class Moment:
    """A time that stands still until it is moved."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now


class Failing(BackendWrapper):
    """Fails at a call, as long as it is named."""

    fails = ""

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        if call == self.fails:
            raise RuntimeError("broken")
        return await step()


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
    game, views = Game(), Failing(Memory())
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
    done = projector(one, 2).catch_up(time_budget=0)
    assert (done.complete, game.calls) == (False, 2)  # a page of one of them


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
