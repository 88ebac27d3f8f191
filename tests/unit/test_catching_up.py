"""A catch-up, page by page: who gets a page, what is asked of the views and what that costs, what is told of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import pytest

from eventsource_upstash import (
    Append,
    CatchUp,
    EventStore,
    Memory,
    Misuse,
    Projection,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Registry,
)
from eventsource_upstash._flow import catching_up, noting
from eventsource_upstash._flow.passes import Reach
from eventsource_upstash._flow.wiring import any_of
from eventsource_upstash._io.blocking import run
from eventsource_upstash.domain.events import FREE, Receipt, StoredEvent
from eventsource_upstash.domain.positions import position_at
from eventsource_upstash.domain.progress import Notes
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import Commit, Committed, Outcome, Progress, Pull, Pulled, Stored, Views, Wanted
from eventsource_upstash.testing import ViewsWrapper
from tests.conformance.separate import SeparateViews
from tests.priced import Till
from tests.sharing import support as sharing
from tests.views.support import Desk, Game, Scored


class Kept(ViewsWrapper):
    """Views of such a backend."""

    def __init__(self, books: Books, inner: Views) -> None:
        super().__init__(inner, books.around)
        self.books = books

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        self.books.loads.append(list(wanted))
        return await super().load(wanted)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        self.books.before_commit()
        self.books.heads += [each.head for each in commits]
        if sum(len(each.documents) for each in commits) > self.books.room:
            raise TooLarge(what="the commit", size=None, limit=self.books.room)
        return await super().commit(commits, then)


class Books(Till):
    """A backend that keeps what was loaded, and takes so many documents at once; each call costs a request.

    Attributes:
        loads: What was loaded.
        heads: Where the log ended to whoever committed.
        before_commit: Done before each commit.
        room: Most documents that one commit takes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[list[Wanted]] = []
        self.heads: list[int | None] = []
        self.before_commit: Callable[[], object] = lambda: None
        self.room = 1_000

    def wrap_views(self, views: Views) -> Views:
        return Kept(self, views)


def places(desk: Desk) -> dict[str, int]:
    return {each.name: each.checkpoint for each in desk.views.status()}


def far_behind(desk: Desk) -> None:
    """Another projection, which has the whole log before it."""
    desk.game.add(1, name="others")


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "9"])
def test_a_page_size_that_is_none_is_refused(size: Any) -> None:
    game = Game()
    backend = Memory()
    store, views = EventStore(backend, game.registry), ProjectionStore(backend, game.registry)
    with pytest.raises(Misuse, match=f"page_size={size!r}"):
        Projector(store, views, page_size=size)


def test_who_is_far_behind_gets_a_page_as_well_though_the_time_is_out(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(Memory(), Game(), page_size=2)
    desk.scores(2)
    desk.projector.catch_up()
    far_behind(desk)
    desk.scores(6)
    with caplog.at_level(logging.INFO, logger="eventsource_upstash.projector"):
        result = desk.projector.catch_up(time_budget=0)
    assert places(desk) == {"players": 4, "others": 2}
    assert (result.applied, result.position, result.head, result.complete) == (4, 2, 8, False)
    assert "out of time at position 2 of 8" in caplog.messages


def test_who_is_at_the_head_is_no_reason_for_another_page() -> None:
    desk = Desk(Memory(), Game(), page_size=2)
    desk.scores(6)
    desk.projector.catch_up()
    far_behind(desk)
    assert desk.projector.catch_up(time_budget=0).applied == 2
    assert places(desk) == {"players": 6, "others": 2}


def test_a_page_of_those_who_are_stopped_costs_what_was_asked() -> None:
    till = Books()
    desk = Desk(till, Game(), page_size=2)
    desk.game.bad.add("p002")
    others = desk.game.registry.projection("others", Scored)
    others.on(Scored, key="player")(lambda _, event: event)
    desk.scores(4)
    with pytest.raises(ProjectionStopped):
        desk.projector.catch_up()
    desk.scores(4, 4)
    calls = till.calls
    with pytest.raises(ProjectionStopped) as stopped:
        desk.projector.catch_up()
    assert stopped.value.result.receipt.requests == till.calls - calls
    assert desk.status(others).checkpoint == 8


def test_a_rebuild_of_nothing_takes_its_place_and_costs_what_was_asked() -> None:
    till = Books()
    desk = Desk(till, Game())
    run(desk.views.inner.views.begin(desk.game.players.id))
    calls = till.calls
    result = desk.projector.catch_up()
    assert (result.complete, result.receipt.requests) == (True, till.calls - calls)
    assert desk.status().generation == 2


def test_what_is_appended_while_a_rebuild_takes_its_place_is_folded() -> None:
    till = Books()
    desk = Desk(till, Game())
    run(desk.views.inner.views.begin(desk.game.players.id))
    more = iter([3])
    till.before_commit = lambda: [desk.scores(count) for count in more]
    assert desk.projector.catch_up().position == 3
    assert (desk.status().generation, desk.status().checkpoint) == (2, 3)


def test_a_rebuild_of_nothing_takes_its_place_where_views_are_kept_elsewhere() -> None:
    desk = Desk(SeparateViews(Memory(), Memory()), Game())
    run(desk.views.inner.views.begin(desk.game.players.id))
    assert desk.projector.catch_up().complete
    assert desk.status().generation == 2


def test_a_position_without_an_event_is_reached_and_nobody_else_is_held_up() -> None:
    backend = sharing.kafka(1)
    game = sharing.Game(partitioned=False)
    app = sharing.app(game, backend)
    app.event_store.append("ada", sharing.Scored(1), sharing.Scored(2))
    app.projector.catch_up()
    sharing.topic_of(backend).gap(0, 2)
    app.event_store.append("ada", sharing.Scored(4))
    sharing.teams_of(game)
    result = app.projector.catch_up(until=3)
    assert (result.position, result.head, result.complete) == (3, 5, True)
    assert {each.name: each.checkpoint for each in app.projection_store.status()} == {"players": 2, "teams": 2}


def test_a_page_is_decoded_once_for_several_projections() -> None:
    made: list[int] = []

    @dataclass(frozen=True)
    class Noted:
        number: int

        def __post_init__(self) -> None:
            made.append(self.number)

    registry = Registry()
    registry.event("noted")(Noted)
    for name in ("one", "two"):
        registry.projection(name, Scored).on(Noted)(lambda _, event: Scored("", event.number))
    backend = Memory()
    store = EventStore(backend, registry)
    store.append("notes", Noted(1), Noted(2))
    made.clear()
    assert Projector(store, ProjectionStore(backend, registry)).catch_up().applied == 4
    assert made == [1, 2]


def test_it_is_asked_which_events_are_parked_only_where_some_are() -> None:
    till = Books()
    desk = Desk(till, Game(on_error="park"))
    for number, (bad, records) in enumerate([("nobody", ()), ("p001", ()), ("nobody", (noting.PARKED,))]):
        desk.game.bad = {bad}
        till.loads.clear()
        desk.append(Scored(f"p{number:03}", 1))
        desk.projector.catch_up()
        assert till.loads == [[Wanted(desk.game.players.id, 1, [f"p{number:03}"], records)]]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("park", ["the event at position 1 was parked"]),
        ("skip", [f"the event at position {at} was skipped" for at in (1, 3)]),
    ],
)
def test_an_event_that_is_set_aside_is_told_with_the_reason_and_not_what_waits_behind_it(
    policy: Literal["park", "skip"], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(Memory(), Game(on_error=policy))
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 1), Scored("bob", 1), Scored("ada", 2))
    desk.projector.catch_up()
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert warnings == [f"players v1: {each}: handler scored: Boom: ada" for each in told]


def test_documents_that_are_too_much_at_once_are_written_in_smaller_steps(caplog: pytest.LogCaptureFixture) -> None:
    till = Books()
    desk = Desk(till, Game())
    till.room = 2
    desk.scores(4)
    with caplog.at_level(logging.INFO, logger="eventsource_upstash.projector"):
        assert desk.projector.catch_up().complete
    (halved,) = [each for each in caplog.messages if "folding" in each]
    assert "the commit" in halved
    assert halved.endswith("; folding 2 events at once")


def test_who_is_far_behind_gets_a_page_though_that_of_others_was_written_in_smaller_steps() -> None:
    till = Books()
    desk = Desk(till, Game(), page_size=2)
    desk.scores(2)
    desk.projector.catch_up()
    far_behind(desk)
    desk.scores(6)
    till.room = 1
    desk.projector.catch_up(time_budget=0)
    assert places(desk) == {"players": 3, "others": 1}


def test_a_view_with_other_indexes_than_its_projection_stops_at_its_next_event() -> None:
    desk = Desk(Memory(), Game(indexes=("score",)))
    desk.scores(2)
    desk.projector.catch_up()
    later = desk.another(Game(indexes=("score", "team")))
    later.scores(3)
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match=r"stopped at position 3: .* built with other indexes") as stopped:
            later.projector.catch_up()
    assert (stopped.value.result.applied, stopped.value.result.position) == (0, 2)
    for shape in (desk.game.players.shape, later.game.players.shape):
        assert repr(shape) in str(stopped.value)
    assert later.status().stopped.reason in str(stopped.value)


@pytest.mark.parametrize(
    ("partitions", "event", "position"),
    [(1, True, position_at(0, 5)), (1, False, position_at(0, 3)), (2, False, position_at(1, 3))],
)
def test_it_stops_at_the_next_place_where_there_is_no_event(partitions: int, event: bool, position: int) -> None:
    backend = sharing.kafka(partitions)
    app = sharing.app(sharing.Game(partitioned=False), backend)
    (name,) = sharing.in_partition(app, partitions - 1)
    app.event_store.append(name, sharing.Scored(1), sharing.Scored(2))
    app.projector.catch_up()
    sharing.topic_of(backend).gap(partitions - 1, 2)
    later = sharing.app(sharing.Game(partitioned=False, index=False), backend)
    if event:
        later.event_store.append(name, sharing.Scored(4))
    with pytest.raises(ProjectionStopped, match="built with other indexes") as stopped:
        later.projector.catch_up()
    assert stopped.value.position == position


def test_parts_of_views_are_folded_beside_reactors() -> None:
    game = sharing.Game()
    game.registry.reactor("desk").on(sharing.Scored)(lambda _: [])
    app = sharing.app(game, sharing.kafka(2))
    app.event_store.append("ada", sharing.Scored(1))
    result = app.projector.catch_up()
    assert (result.applied, result.complete) == (2, True)


def test_what_is_too_much_to_be_parked_stops_at_the_beginning_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (noting, catching_up):
        monkeypatch.setattr(module, "MAX_PARKED", 3)
    desk = Desk(Memory(), Game(on_error="park"), page_size=3)
    desk.game.bad.add("ada")
    desk.append(*[Scored("ada", 1)] * 3, Scored("ada", 2), Scored("bob", 1))
    with pytest.raises(ProjectionStopped, match=r"at position 4: 3 events are parked, and no more than 3") as stopped:
        desk.projector.catch_up()
    assert (stopped.value.result.applied, stopped.value.result.position) == (0, 3)
    status = desk.status()
    assert (status.checkpoint, status.parked) == (3, 3)
    assert status.stopped.reason in str(stopped.value)
    assert desk.documents() == {}


def test_what_is_carried_out_is_taken_out_of_an_outbox_with_the_head_that_is_known() -> None:
    registry, till = Registry(), Books()
    registry.event("scored")(Scored)
    registry.reactor("desk").on(Scored)(lambda event: Append("more", Scored("eve", 2)) if event.points == 1 else None)
    store = EventStore(till, registry)
    store.append("game", Scored("ada", 1))
    assert Projector(store, ProjectionStore(till, registry)).catch_up().complete
    assert till.heads == [1, 1, 2], "the page, what was done of it, and the page that this led to"


class Answers:
    """Views that answer what a test says.

    Attributes:
        commits: What was written.
    """

    def __init__(self, *pulled: Pulled) -> None:
        self._pulled = iter(pulled)
        self.commits: list[Commit] = []

    async def pull(self, pull: Pull) -> Pulled:
        return next(self._pulled)

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        return [Stored({}, {}, {}) for _ in wanted], FREE

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        self.commits += commits
        return Committed((Outcome.COMMITTED,) * len(commits), None if then is None else next(self._pulled))


@dataclass(frozen=True)
class Counted:
    text: str = ""


def counting() -> tuple[Registry, Projection[Counted]]:
    registry = Registry()
    registry.event("counted")(Counted)
    projection = registry.projection("counts", Counted)
    projection.on(Counted)(lambda _, event: event)
    registry.reactor("desk").on(Counted)(lambda _: [])
    return registry, projection


def answered(answers: Answers, *projections: Projection[Any], registry: Registry) -> CatchUp:
    flow = catching_up.CatchingUp(cast("Views", answers), registry, lambda: 0, 100)
    return run(flow.catch_up(None, None, Reach([any_of(each) for each in projections])))


def test_where_there_is_nothing_to_fold_nobody_is_asked_anything() -> None:
    registry, _ = counting()
    assert answered(Answers(), registry=registry) == CatchUp(0, 0, 0, complete=True)


def test_a_page_that_holds_nothing_is_passed_and_the_event_where_it_began_is_known_no_more() -> None:
    registry, counts = counting()
    at = [Progress(counts.id, 1, place, notes=Notes(mark="one")) for place in (2, 5)]
    answers = Answers(Pulled((at[0],), 5, 2, [], mark="one", reached=5), Pulled((at[1],), 5, 5, []))
    assert answered(answers, counts, registry=registry) == CatchUp(0, 5, 5, complete=True)
    assert [(each.checkpoint, each.notes.mark) for each in answers.commits] == [(5, "")]


def test_a_view_of_other_indexes_is_told_to_have_folded_nothing() -> None:
    registry, counts = counting()
    progress = Progress(counts.id, 1, 2, notes=Notes(shape="another"))
    row: StoredEvent = (3, "stream", 1, 0, 0, "counted", 1, None, None, b"{}")
    answers = Answers(Pulled((progress,), 5, 2, [row]))
    with pytest.raises(ProjectionStopped, match="stopped at position 3") as stopped:
        answered(answers, counts, registry=registry)
    assert stopped.value.result == CatchUp(0, 2, 5, complete=False)
    assert [each.documents for each in answers.commits] == [{}]
