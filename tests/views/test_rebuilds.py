"""Rebuilds: beside the build that serves, by anybody, in pieces, and through crashes; going back, and dropping."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from eventsource_upstash import (
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    EventStore,
    Memory,
    Misuse,
    Notifier,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Rebuilding,
    Unavailable,
)
from eventsource_upstash._flow import rebuilding
from eventsource_upstash._flow.noting import staying
from eventsource_upstash._io.blocking import run
from eventsource_upstash.domain.progress import Notes
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import BackendWrapper, pausing
from tests.conformance.separate import SeparateViews
from tests.priced import Dear, Till
from tests.views.support import Colour, Desk, Game, Left, Scored

T = TypeVar("T")


def pausing_projector(desk: Desk, page_size: int = 2) -> AsyncProjector:
    backend = pausing(desk.backend, after=True)
    registry = desk.game.registry
    store = AsyncEventStore(backend, registry, clock=desk.clock)
    views = AsyncProjectionStore(backend, registry, clock=desk.clock)
    return AsyncProjector(store, views, clock=desk.clock, page_size=page_size)


def steps(work: Coroutine[Any, Any, object], most: int) -> bool:
    """Run so many steps of it, and crash. Answers whether it came to its end before."""
    try:
        for _ in range(most):
            work.send(None)
    except StopIteration:
        return True
    work.close()
    return False


def once_each(desk: Desk) -> None:
    """The view is the fold of the log, each event once."""
    told: dict[str, list[int]] = {}
    for recorded in desk.store.read():
        if isinstance(recorded.event, Scored):
            told.setdefault(recorded.event.player, []).append(recorded.position)
        elif isinstance(recorded.event, Left):
            told.pop(recorded.event.player, None)
    assert {key: list(player.folded) for key, player in desk.documents().items()} == told
    assert desk.index("score").count() == len(told)


def test_a_rebuild_takes_the_place_of_what_serves(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour, page_size=3)
    desk.scores(10)
    desk.projector.catch_up()
    told: list[Any] = []
    done = desk.projector.rebuild(desk.game.players, progress=told.append)
    assert (done.generation, done.position, done.head, done.complete) == (2, 10, 10, True)
    assert [each.position for each in told] == [0, 3, 6, 9, 10]
    assert {(each.projection, each.generation, each.head) for each in told} == {("players", 2, 10)}
    assert (told[0].remaining, told[-1].remaining, told[0].fraction, told[-1].fraction) == (None, 0.0, 0.0, 1.0)
    assert all(each.remaining is not None and each.remaining >= 0 for each in told[1:])
    status = desk.status()
    assert (status.generation, status.checkpoint, status.state, status.live) == (2, 10, "current", True)
    assert status.rebuilding is None
    assert [(each.generation, each.checkpoint) for each in status.kept] == [(1, 10)]
    once_each(desk)


def test_a_rebuild_of_nothing(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    done = desk.projector.rebuild(desk.game.players)
    assert (done.complete, done.position, done.head, desk.status().generation) == (True, 0, 0, 2)
    desk.scores(2)
    desk.projector.catch_up()
    once_each(desk)


def test_what_was_begun_is_gone_on_with_by_anybody(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour, page_size=2)
    desk.scores(9)
    desk.projector.catch_up()
    begun = desk.projector.rebuild(desk.game.players, time_budget=0)
    assert (begun.complete, begun.generation, begun.position) == (False, 2, 2)
    status = desk.status()
    assert (status.generation, status.rebuilding.generation, status.rebuilding.lag) == (1, 2, 7)
    # Its documents are not seen by anybody, and what serves is kept up.
    desk.append(Scored("p000", 5))
    hurried = desk.another().projector.catch_up(time_budget=0)
    assert not hurried.complete
    assert desk.view().get("p000").score in {0, 5}
    assert desk.view().count() == 9
    other = desk.another()
    joined = other.projector.rebuild(other.game.players, time_budget=0)
    assert joined.generation == 2, "the one that there is"
    assert other.projector.catch_up().complete
    assert (desk.status().generation, desk.status().rebuilding) == (2, None)
    once_each(desk)


def test_a_crash_at_any_step(colour: Colour) -> None:
    ended = False
    most = 0
    while not ended:
        most += 1
        desk = Desk(Memory(), Game(), colour, page_size=2)
        desk.scores(4)
        desk.append(Left("p001"))
        desk.projector.catch_up()
        ended = steps(pausing_projector(desk).rebuild(desk.game.players), most)
        once_each(desk)
        desk.append(Scored("late", 1))
        for again in (desk.another(), desk.another()):
            assert again.projector.catch_up().complete
        assert desk.status().rebuilding is None
        assert desk.status().checkpoint == 6
        once_each(desk)
    assert most > 10


def test_appends_go_on_meanwhile(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour, page_size=2)
    desk.scores(6)
    desk.projector.catch_up()
    writer = Desk(everywhere, Game())  # of the other colour: it is called while the rebuild runs

    def append(told: Any) -> None:
        # Not for ever: the writer writes faster than the rebuild folds, and stops at some time.
        if told.head < 20:
            writer.append(Scored(f"p{told.head:03}", 1), Left("p000"))

    done = desk.projector.rebuild(desk.game.players, progress=append)
    assert done.complete
    assert done.head == 20
    once_each(desk)


def test_folds_that_raise_stop_the_rebuild_alone(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(4)
    desk.projector.catch_up()
    new = desk.another(Game())
    new.game.bad.add("p002")
    with pytest.raises(ProjectionStopped, match=r"'players' stopped at position 3: its rebuild, generation 2: .*Boom"):
        new.projector.rebuild(new.game.players)
    status = desk.status()
    assert (status.generation, status.state, status.stopped) == (1, "current", None)
    assert (status.rebuilding.checkpoint, status.rebuilding.stopped.position) == (2, 3)
    assert "Boom" in status.rebuilding.stopped.reason
    # Catch-up goes on, and says that all is well: what serves is.
    desk.append(Scored("other", 1))
    result = new.projector.catch_up()
    assert (result.complete, result.position) == (True, 5)
    assert desk.view().count() == 5
    new.game.bad.clear()
    assert new.projector.rebuild(new.game.players).complete
    assert desk.status().generation == 2
    once_each(desk)


def test_a_rebuild_mends_what_is_stopped(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    desk.scores(4)
    desk.game.bad.add("p002")
    with pytest.raises(ProjectionStopped):
        desk.projector.catch_up()
    with pytest.raises(ProjectionStopped, match="its rebuild, generation 2"):
        desk.projector.rebuild(desk.game.players)
    desk.game.bad.clear()
    assert desk.projector.rebuild(desk.game.players).complete
    assert desk.status().state == "current"
    once_each(desk)


def test_going_back_and_dropping(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    projector, players = desk.projector, desk.game.players
    with pytest.raises(Misuse, match="there is nothing to go back to"):
        projector.go_back(players)
    desk.scores(3)
    projector.catch_up()
    for _ in range(2):
        projector.rebuild(players)
    desk.append(Scored("p000", 1))
    projector.catch_up()
    assert projector.go_back(players, generation=1) == 1
    assert (desk.status().checkpoint, desk.status().state) == (3, "behind"), "as far as it is"
    assert {each.generation for each in desk.status().kept} == {2, 3}
    projector.catch_up()
    once_each(desk)
    assert projector.go_back(players) == 3
    for wrong in (9, 0):
        with pytest.raises(Misuse, match=rf"generation {wrong} of its view is not kept \(kept: 1, 2\)"):
            projector.go_back(players, generation=wrong)
    with pytest.raises(Misuse, match="generation 3 of its view is the one that serves"):
        projector.drop_generations(players, generation=3)
    assert projector.drop_generations(players, generation=1).generations == (1,)
    assert projector.drop_generations(players).generations == (2,)
    assert projector.drop_generations(players).generations == ()
    assert projector.drop_generations(players, generation=1).generations == ()
    assert desk.status().kept == ()
    assert projector.go_back(players, generation=3) == 3
    once_each(desk)
    assert projector.rebuild(players).generation == 4, "a number is never used again"


def test_giving_a_rebuild_up(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour, page_size=2)
    desk.scores(9)
    desk.projector.catch_up()
    assert desk.projector.rebuild(desk.game.players, time_budget=0).generation == 2
    assert desk.projector.drop_generations(desk.game.players).generations == (), "what is being built is not meant"
    assert desk.projector.drop_generations(desk.game.players, generation=2).generations == (2,)
    assert desk.status().rebuilding is None

    other = Desk(backend, Game())

    def give_up(told: Any) -> None:
        with suppress(Misuse):
            other.projector.drop_generations(other.game.players, generation=told.generation)

    with pytest.raises(Misuse, match="the rebuild, generation 3, was given up meanwhile"):
        desk.projector.rebuild(desk.game.players, progress=give_up)
    assert desk.status().generation == 1
    assert desk.projector.catch_up().complete
    once_each(desk)


def test_a_projection_of_another_registry(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    other = Game().players
    calls = ("rebuild", "go_back", "drop_generations", "parked", "retry_parked", "discard_parked", "skipped")
    for call in calls:
        with pytest.raises(Misuse, match="belongs to another registry"):
            getattr(desk.projector, call)(other)


class Moments:
    """The clock of a module: each look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_a_rebuild_tells_at_each_page_how_far_it_is_and_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "time", Moments())
    desk = Desk(Memory(), Game(), "blocking", page_size=2)
    desk.append(*[Scored("ada", 1)] * 6)
    desk.projector.catch_up()
    told: list[Rebuilding] = []
    done = desk.projector.rebuild(desk.game.players, progress=told.append)
    assert (done.position, done.head, done.complete) == (6, 6, True)
    assert {(each.projection, each.generation, each.head) for each in told} == {("players", 2, 6)}
    seconds = [(each.position, each.elapsed, each.remaining) for each in told]
    # A second for each look: at the first one nothing is known of its pace yet.
    assert seconds == [(0, 1.0, None), (2, 2.0, 4.0), (4, 3.0, 1.5), (6, 4.0, 0.0)]
    assert [each.fraction for each in told] == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]


def test_what_is_told_of_its_pace_is_of_this_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(Memory(), Game(), "blocking", page_size=2)
    desk.append(*[Scored("ada", 1)] * 8)
    desk.projector.catch_up()
    desk.projector.rebuild(desk.game.players, time_budget=0)
    monkeypatch.setattr(rebuilding, "time", Moments())
    told: list[Rebuilding] = []
    desk.projector.rebuild(desk.game.players, progress=told.append)
    seconds = [(each.position, each.elapsed, each.remaining) for each in told]
    assert seconds == [(2, 1.0, None), (4, 2.0, 4.0), (6, 3.0, 1.5), (8, 4.0, 0.0)]


def notified(backend: Backend, carrier: Dear) -> tuple[Desk, Projector]:
    """A desk with four events folded, and a projector that notifies."""
    desk = Desk(backend, Game(), "blocking")
    desk.scores(4)
    desk.projector.catch_up()
    store = EventStore(backend, desk.game.registry, notifier=Notifier(carrier))
    return desk, Projector(store, ProjectionStore(backend, desk.game.registry), page_size=2)


def test_a_rebuild_that_is_not_done_is_told_to_a_worker_and_one_that_is_to_nobody() -> None:
    carrier, till = Dear(), Till()
    desk, projector = notified(till, carrier)
    calls = till.calls
    begun = projector.rebuild(desk.game.players, time_budget=0)
    assert (begun.complete, begun.position, carrier.told) == (False, 2, [4])
    assert begun.receipt.requests == till.calls - calls + 1, "and the notification"
    calls = till.calls
    done = projector.rebuild(desk.game.players)
    assert (done.complete, done.position, carrier.told) == (True, 4, [4])
    assert done.receipt.requests == till.calls - calls


def test_a_rebuild_that_nobody_can_be_told_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    carrier = Dear()
    desk, projector = notified(Memory(), carrier)
    carrier.error = Unavailable("out of reach")
    assert not projector.rebuild(desk.game.players, time_budget=0).complete
    (told,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "rebuild of projection 'players': out of reach" in told


def test_a_rebuild_in_one_go_asks_for_nothing_but_its_pages() -> None:
    till = Till()
    desk = Desk(till, Game(), "blocking")
    desk.scores(4)
    desk.projector.catch_up()
    calls = till.calls
    done = desk.projector.rebuild(desk.game.players)
    assert done.receipt.requests == till.calls - calls == 4, "begun; a page, what is there of it, and its commit"


def test_a_rebuild_that_stops_tells_what_it_cost() -> None:
    till = Till()
    desk = Desk(till, Game(), "blocking", page_size=2)
    desk.game.bad.add("p001")
    desk.scores(4)
    with suppress(ProjectionStopped):
        desk.projector.catch_up()
    calls = till.calls
    with pytest.raises(ProjectionStopped, match="at position 2: its rebuild, generation 2") as stopped:
        desk.projector.rebuild(desk.game.players)
    assert stopped.value.result.receipt.requests == till.calls - calls


class GivenUp(BackendWrapper):
    """Somebody gives a rebuild up before its first page is asked for."""

    give_up: Callable[[], object] = staticmethod(lambda: None)

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        if call == "views.pull":
            self.give_up()
        return await step()


def test_a_rebuild_that_is_given_up_before_its_first_page_is_not_done() -> None:
    backend = GivenUp(Memory())
    desk, other = Desk(backend, Game()), Desk(backend.inner, Game())
    desk.scores(2)
    desk.projector.catch_up()
    backend.give_up = lambda: other.projector.drop_generations(other.game.players, generation=2)
    with pytest.raises(Misuse, match="the rebuild, generation 2, was given up meanwhile"):
        desk.projector.rebuild(desk.game.players)


def test_a_rebuild_that_is_at_the_end_of_a_log_kept_elsewhere_is_gone_on_with(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk(SeparateViews(Memory(), Memory()), Game())
    desk.scores(2)
    views, players = desk.views.views, desk.game.players
    building, _ = run(views.begin(players.id))
    # By somebody who did not know how far the log was.
    run(views.commit([staying(building)._replace(checkpoint=2, notes=Notes(shape=players.shape))], None))
    with caplog.at_level("INFO", logger="eventsource_upstash"):
        assert desk.projector.rebuild(players).generation == 2
        assert "given up" not in caplog.text
    assert desk.status().generation == 2


def test_a_rebuild_of_a_log_without_events_is_done_and_tells_so() -> None:
    told: list[Rebuilding] = []
    desk = Desk(Memory(), Game(), "blocking")
    done = desk.projector.rebuild(desk.game.players, progress=told.append)
    assert (done.position, done.head, done.complete) == (0, 0, True)
    assert all((each.fraction, each.remaining) == (1.0, 0.0) for each in told)
    builds, _, _ = run(desk.views.views.progress((desk.game.players.id,)))
    assert builds[0].notes.shape == desk.game.players.shape, "what its documents will be found by is noted"
    desk.append(Scored("ada", 1))
    assert desk.projector.catch_up().complete
    assert desk.documents()["ada"].score == 1


def test_a_rebuild_that_can_be_gone_on_with_no_more_is_given_up_and_what_serves_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = Memory()
    desk = Desk(backend, Game(indexes=("score",)), "blocking", page_size=2)
    desk.append(*[Scored("ada", 1)] * 6)
    desk.projector.catch_up()
    assert not desk.projector.rebuild(desk.game.players, time_budget=0).complete
    other = Desk(backend, Game(indexes=("score", "team")), "blocking", page_size=2)
    with caplog.at_level("INFO", logger="eventsource_upstash"):
        assert not other.projector.rebuild(other.game.players, time_budget=0).complete
    assert "players v1: generation 2 can be gone on with no more, and is given up" in caplog.messages
    assert desk.documents()["ada"].score == 6, "it answers as before"
    assert other.projector.rebuild(other.game.players).complete
    assert other.status().generation == 3, "the second one was given up"
    assert desk.projector.go_back(desk.game.players) == 1, "the first one is kept"
    assert desk.documents()["ada"].score == 6


def test_a_rebuild_that_stops_tells_where_and_that_it_folded_nothing_into_what_serves() -> None:
    desk = Desk(Memory(), Game(), "blocking", page_size=2)
    desk.append(*[Scored("ada", 1)] * 3)
    desk.projector.catch_up()
    desk.game.bad.add("ada")
    with pytest.raises(
        ProjectionStopped, match=r"'players' stopped at position 1: its rebuild, generation 2: "
    ) as told:
        desk.projector.rebuild(desk.game.players)
    result = told.value.result
    assert (result.applied, result.position, result.head, result.complete) == (0, 0, 3, False)
    assert desk.documents()["ada"].score == 3


def test_what_is_not_kept_cannot_be_gone_back_to() -> None:
    desk = Desk(Memory(), Game(), "blocking")
    desk.append(Scored("ada", 1))
    desk.projector.catch_up()
    with pytest.raises(Misuse, match=r"a generation before this one of its view is not kept \(kept: none\)"):
        desk.projector.go_back(desk.game.players)
    assert desk.projector.go_back(desk.game.players, generation=1) == 1, "it serves already"
    desk.projector.rebuild(desk.game.players)
    desk.projector.rebuild(desk.game.players)
    with pytest.raises(Misuse, match=r"generation 7 of its view is not kept \(kept: 1, 2\)"):
        desk.projector.go_back(desk.game.players, generation=7)
