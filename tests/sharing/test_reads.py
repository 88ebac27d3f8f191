"""What is read of a view in parts is what is read of one that is folded as a whole, on every store of views."""

from __future__ import annotations

import random
from collections.abc import Sequence

from eventsource_upstash import Memory, View
from eventsource_upstash._flow.querying import NUMBERS, span_of
from eventsource_upstash._io.blocking import run
from eventsource_upstash.blocking import App
from eventsource_upstash.ports import Backend, Listed, ProjectionId, Span, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from tests.priced import Till
from tests.sharing.support import BEGIN, Clock, Game, Left, Lent, Player, Scored, app, kafka, names, partition_of

PLAYERS = names(60)


def histories(seed: int) -> list[tuple[str, object]]:
    """Events of players with equal scores, players who leave, and players who end."""
    draw = random.Random(seed)
    history: list[tuple[str, object]] = []
    for _ in range(300):
        player = draw.choice(PLAYERS)
        kind = draw.random()
        if kind < 0.1:
            history.append((player, Left()))
        elif kind < 0.2:
            history.append((player, Lent(BEGIN + draw.choice([-5.0, 50.0, 500.0]))))
        else:
            history.append((player, Scored(draw.choice([0, 5, 5, 10]))))
    return history


def apps(views: Backend, history: Sequence[tuple[str, object]], clock: Clock) -> tuple[App, View[Player], View[Player]]:
    """An app with its view in five parts, that view, and the same view of one sequence."""
    parted, plain = Game(ends=True), Game(ends=True, partitioned=False)
    one, other = app(parted, kafka(5, views), clock), app(plain, Memory(), clock)
    for stream, event in history:
        one.event_store.append(stream, event)
        other.event_store.append(stream, event)
    assert one.projector.catch_up().complete
    assert other.projector.catch_up().complete
    return one, one.projection_store.view(parted.players), other.projection_store.view(plain.players)


def test_reads_answer_what_a_view_of_one_sequence_answers(views: Backend) -> None:
    clock = Clock()
    _, parts, whole = apps(views, histories(1), clock)
    for seconds in (0, 100):
        clock.move(seconds)
        assert list(parts.items()) == list(whole.items())
        assert parts.get_many(PLAYERS) == whole.get_many(PLAYERS)
        assert parts.count() == whole.count() > 10
        index, model = parts.index("score"), whole.index("score")
        for limit in (1, 7, 100):
            assert list(parts.items(limit=limit)) == list(whole.items(limit=limit))
            assert index.top(limit) == model.top(limit)
            for reverse in (False, True):
                assert list(index.range(5, 30, limit=limit, reverse=reverse)) == list(
                    model.range(5, 30, limit=limit, reverse=reverse)
                )
        assert list(index.equal(10)) == list(model.equal(10))
        assert index.count(5, 20) == model.count(5, 20)
        assert list(parts.items(after="player-3")) == list(whole.items(after="player-3"))
        for player in PLAYERS[:8]:
            assert index.rank(player) == model.rank(player)
            assert index.rank(player, lowest=True) == model.rank(player, lowest=True)


def test_pages_of_an_index_hold_every_document_once_and_no_more_than_asked(views: Backend) -> None:
    _, parts, whole = apps(views, histories(3), Clock())
    for size in (1, 4, 25):
        for reverse in (False, True):
            found: list[tuple[str, Player]] = []
            cursor: str | None = None
            while True:
                page = parts.index("score").page(limit=size, after=cursor, reverse=reverse)
                assert len(page.items) <= size
                found += page.items
                cursor = page.cursor
                if cursor is None:
                    break
            assert found == list(whole.index("score").range(reverse=reverse))


def test_a_page_ends_where_one_part_is_read_no_further() -> None:
    """The keys of one part come first: whatever the others have, nothing of it may be handed out before."""
    game = Game()
    one = app(game, kafka(3))
    early = [name for name in (f"a-{number:03}" for number in range(300)) if partition_of(one, name) == 0][:80]
    late = [name for name in (f"b-{number:03}" for number in range(300)) if partition_of(one, name) != 0][:80]
    for name in (*late, *early):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    view = one.projection_store.view(game.players)
    assert [key for key, _ in view.items()] == sorted((*early, *late))
    assert [key for key, _ in view.items(limit=50)] == sorted(early)[:50]


def test_the_state_of_a_view_in_parts_has_a_name_that_changes_with_it() -> None:
    game = Game()
    one = app(game, kafka(4))
    view = one.projection_store.view(game.players)
    states = [view.version()]
    for player in PLAYERS[:12]:
        one.event_store.append(player, Scored(1))
        assert view.version() == states[-1]
        one.projector.catch_up()
        states.append(view.version())
    one.projector.rebuild(game.players)
    states.append(view.version())
    assert len(set(states)) == len(states) == 14


def test_a_page_is_full_where_keys_are_spread_and_costs_one_step_for_each_part() -> None:
    game, till = Game(), Till()
    one = app(game, kafka(4, till))
    for name in names(300):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    views, known = one.projection_store.views, game.players.id
    run(views.count(known, None, 0))  # how many parts there are is known from here on
    every = sorted(names(300))
    for limit in (10, 100, 200):
        till.calls = 0
        page = run(views.items(known, None, limit, 1 << 20, 0))
        assert till.calls == page.receipt.requests == 4
        assert [key for key, _ in page.documents] == every[:limit]
        assert (page.more, page.last) == (True, ("", every[limit - 1]))


def test_a_page_holds_no_more_bytes_than_asked_and_one_document_at_least() -> None:
    game = Game()
    one = app(game, kafka(3))
    for name in names(60):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    views, known, every = one.projection_store.views, game.players.id, sorted(names(60))
    size = min(len(document) for _, document in run(views.items(known, None, 100, 1 << 20, 0)).documents)
    for room, most in ((1, 1), (5 * size, 6), (1 << 20, 60)):
        found: list[str] = []
        after: str | None = None
        while True:
            page = run(views.items(known, after, 1000, room, 0))
            assert 1 <= len(page.documents) <= most
            found += [key for key, _ in page.documents]
            if not page.more:
                break
            assert page.last is not None
            after = page.last[1]
        assert found == every


def test_what_nobody_has_is_nowhere_in_an_index_and_the_others_are_counted_all_the_same() -> None:
    game = Game()
    one = app(game, kafka(3))
    for name in names(7):
        one.event_store.append(name, Scored(5))
    one.projector.catch_up()
    index = one.projection_store.view(game.players).index("score")
    assert index.rank("nobody") is None
    views, span = one.projection_store.views, Span("score", *NUMBERS)
    counted = run(views.rank(game.players.id, span, "nobody", 0))
    assert (counted.count, counted.total) == (None, 7)
    assert run(views.count(game.players.id, span, 0)).count == 7
    assert run(views.count(game.players.id, None, 0)).total == 7
    assert [run(views.rank(game.players.id, span, name, 0)).count for name in sorted(names(7))] == list(range(7))


def test_of_no_keys_a_view_in_parts_tells_how_far_it_is() -> None:
    game = Game()
    one = app(game, kafka(3))
    for name in names(7):
        one.event_store.append(name, Scored(5))
    one.projector.catch_up()
    got = run(one.projection_store.views.get_many(game.players.id, (), 0))
    assert got.documents == {}
    assert got.progress.checkpoint == one.event_store.head()


class Limits(BackendWrapper):
    """Notes how many documents are asked for at once."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.limits: list[int] = []

    def wrap_views(self, views: Views) -> Views:
        return Limited(views, self.limits)


class Limited(ViewsWrapper):
    def __init__(self, inner: Views, limits: list[int]) -> None:
        super().__init__(inner)
        self._limits = limits

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        self._limits.append(limit)
        return await super().items(projection, after, limit, max_bytes, now_us)

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        self._limits.append(limit)
        return await super().find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)


def test_no_part_is_asked_for_more_than_the_page_may_hold_nor_much_more_than_its_share() -> None:
    game, backend = Game(), Limits(Memory())
    one = app(game, kafka(4, backend))
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    views, known, span = one.projection_store.views, game.players.id, Span("score", *NUMBERS)
    for limit, share in ((3, 3), (100, 2 * 25 + 16), (1000, 2 * 250 + 16)):
        backend.limits.clear()
        run(views.items(known, None, limit, 1 << 20, 0))
        run(views.find(known, span, None, limit, 1 << 20, 0))
        assert backend.limits == [share] * 8


def test_a_rank_is_within_the_span_that_is_asked_for() -> None:
    game = Game()
    one = app(game, kafka(3))
    for number, name in enumerate(names(7)):
        one.event_store.append(name, Scored(number))
    one.projector.catch_up()
    views, known = one.projection_store.views, game.players.id
    span = span_of(game.players, "score", 2, 5)
    ranks = [run(views.rank(known, span, name, 0)) for name in names(7)]
    assert [each.count for each in ranks] == [None, None, 0, 1, 2, 3, None]
    assert {each.total for each in ranks} == {4}


def test_of_one_partition_all_that_is_counted_is_as_of_a_number() -> None:
    game = Game()
    one = app(game, kafka(1))
    for name in names(2):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    views, known, span = one.projection_store.views, game.players.id, Span("score", *NUMBERS)
    for answer in (
        run(views.count(known, None, 0)),
        run(views.rank(known, span, "player-1", 0)),
        run(views.items(known, None, 10, 1 << 20, 0)),
        run(views.items(known, None, 10, 30, 0)),  # a page that is full, by a part of what was found
        run(views.get_many(known, ("player-1",), 0)),
    ):
        assert (answer.progress.checkpoint, type(answer.progress.checkpoint)) == (2, int)
