"""What is read of a view in parts is what is read of one that is folded as a whole, on every store of views."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from eventsource_upstash import Memory, Misuse, ProjectionStopped, Registry, View, join
from eventsource_upstash._flow.querying import NUMBERS, span_of
from eventsource_upstash._io.blocking import run
from eventsource_upstash.blocking import App
from eventsource_upstash.ports import Backend, Counted, Got, Listed, ProjectionId, Span, Views
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


def test_an_older_version_answers_where_it_has_come_far_enough_for_what_is_asked() -> None:
    """Though another part of it stands still: of it nothing is asked."""
    game, backend = Game(), kafka(2)
    one = app(game, backend)
    well, bad = (next(name for name in PLAYERS if partition_of(one, name) == part) for part in (0, 1))
    for name in (well, bad):
        one.event_store.append(name, Scored(1))
    assert one.projector.catch_up().complete
    game.bad.add(bad)
    token = join(*[one.event_store.append(name, Scored(1)).position for name in (well, bad)])
    with pytest.raises(ProjectionStopped):
        one.projector.catch_up()
    new = Game(version=2)
    view = app(new, backend).projection_store.view(new.players)
    assert view.get(well, at_least=token) == Player(well, 2, (1, 1))
    assert new.calls == 0, "it is the older one that answers"
    assert view.get(bad, at_least=token) == Player(bad, 2, (1, 1))
    assert new.calls > 0, "which is not there yet"


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


class Noting(BackendWrapper):
    """Notes how many documents, and bytes of them, are asked for at once; and whether the primary copy is asked."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.limits: list[tuple[int, int]] = []
        self.primary: list[bool] = []

    def wrap_views(self, views: Views) -> Views:
        return NotingViews(views, self)


class NotingViews(ViewsWrapper):
    def __init__(self, inner: Views, of: Noting) -> None:
        super().__init__(inner)
        self._of = of

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        self._of.primary.append(primary)
        return await super().get_many(projection, keys, now_us, primary=primary)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        self._of.primary.append(primary)
        return await super().count(projection, span, now_us, primary=primary)

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        self._of.limits.append((limit, max_bytes))
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
        self._of.limits.append((limit, max_bytes))
        return await super().find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)


def test_no_part_is_asked_for_more_than_the_page_may_hold_nor_much_more_than_its_share() -> None:
    game, backend = Game(), Noting(Memory())
    one = app(game, kafka(4, backend))
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    views, known, span = one.projection_store.views, game.players.id, Span("score", *NUMBERS)
    for limit, share in ((3, 3), (100, 2 * 25 + 16), (1000, 2 * 250 + 16)):
        backend.limits.clear()
        run(views.items(known, None, limit, 1 << 20, 0))
        run(views.find(known, span, None, limit, 1 << 20, 0))
        assert [limit for limit, _ in backend.limits] == [share] * 8
    for room, share in ((1_001, 500), (1_003, 501), (3, 1), (1, 1)):  # twice what comes to each of the four
        backend.limits.clear()
        run(views.items(known, None, 100, room, 0))
        assert [size for _, size in backend.limits] == [share] * 4


def test_from_the_primary_copy_is_read_what_is_asked_for_so_and_every_rank() -> None:
    game, backend = Game(teams=True), Noting(Memory())
    one = app(game, kafka(3, backend))
    for name in names(5):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    assert game.teams is not None
    views, known, span = one.projection_store.views, game.players.id, Span("score", *NUMBERS)

    def asked(doing: Callable[[], Coroutine[object, None, object]]) -> set[bool]:
        backend.primary.clear()
        run(doing())
        return set(backend.primary)

    for primary in (True, False):
        for of in (known, game.teams.id):
            assert asked(lambda of=of, primary=primary: views.get_many(of, names(5), 0, primary=primary)) == {primary}
            assert asked(lambda of=of, primary=primary: views.count(of, None, 0, primary=primary)) == {primary}
    assert asked(lambda: views.get_many(known, names(5), 0)) == {False}
    assert asked(lambda: views.count(known, None, 0)) == {False}
    assert asked(lambda: views.rank(known, span, "player-1", 0)) == {True}  # which is of several steps


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
        assert answer.progress.projection == known


def uneven() -> tuple[App, Views, ProjectionId, list[str]]:
    """A view in three parts, whose first keys are all in one, and whose last ones are in another one."""
    game = Game()
    one = app(game, kafka(3))
    every = [f"player-{number:03}" for number in range(200)]
    parts = [[name for name in every if partition_of(one, name) == partition] for partition in range(3)]
    kept = [*parts[0][:8], *[name for name in every[100:] if partition_of(one, name) == 1][:8]]
    between = [name for name in every[50:100] if partition_of(one, name) == 2][:8]
    for name in (*kept, *between):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    return one, one.projection_store.views, game.players.id, sorted((*kept, *between))


def test_no_part_is_passed_by_where_the_first_keys_or_the_last_ones_are_all_in_one() -> None:
    _, views, known, every = uneven()
    span = Span("score", *NUMBERS)
    size = len(run(views.items(known, None, 1, 1 << 20, 0)).documents[0][1])
    for documents in (1, 4, 7):
        after: tuple[str, str] | None = None
        listed: list[str] = []
        while True:
            page = run(views.items(known, None if after is None else after[1], 100, documents * size, 0))
            listed += [key for key, _ in page.documents]
            after = page.last
            if not page.more:
                break
        assert listed == every
        for reverse in (False, True):
            after, listed = None, []
            while True:
                page = run(views.find(known, span, after, 100, documents * size, 0, reverse=reverse))
                listed += [key for key, _ in page.documents]
                after = page.last
                if not page.more:
                    break
            assert listed == (every[::-1] if reverse else every)


def test_a_page_ends_with_the_document_that_fills_it() -> None:
    game = Game()
    one = app(game, kafka(3))
    every: list[str] = []
    for number in range(100, 1_000):  # by turns of each part
        if partition_of(one, f"player-{number}") == len(every) % 3:
            every.append(f"player-{number}")
            one.event_store.append(every[-1], Scored(1))
    one.projector.catch_up()
    views, known = one.projection_store.views, game.players.id
    size = len(run(views.items(known, None, 1, 1 << 20, 0)).documents[0][1])
    for documents in (1, 2, 5):
        page = run(views.items(known, None, 100, documents * size, 0))
        assert [key for key, _ in page.documents] == every[:documents]
        assert (page.more, page.last) == (True, ("", every[documents - 1]))


def test_the_last_page_tells_where_it_ends_too() -> None:
    _, views, known, every = uneven()
    span = Span("score", *NUMBERS)
    (value,) = {value for value, _ in [run(views.find(known, span, None, 100, 1 << 20, 0)).last or ("", "")]}
    for page, last in (
        (run(views.items(known, None, 100, 1 << 20, 0)), ("", every[-1])),
        (run(views.find(known, span, None, 100, 1 << 20, 0)), (value, every[-1])),
        (run(views.find(known, span, None, 100, 1 << 20, 0, reverse=True)), (value, every[0])),
        (run(views.items(known, every[-1], 100, 1 << 20, 0)), None),
    ):
        assert (page.more, page.last) == (False, last)


def test_documents_that_fit_their_class_or_their_index_no_more_are_told_by_key() -> None:
    """Code that has changed without another version; the same is told of a view that is folded as a whole."""
    backend = kafka(3)
    one = app(Game(), backend)
    for name in names(5):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()

    @dataclass(frozen=True)
    class Other:
        surname: str

    def opened(document: type, value: Callable[[Any], int | None]) -> tuple[Views, ProjectionId]:
        registry = Registry()
        registry.event("scored")(Scored)
        players = registry.projection("players", document, partitioned=True)
        players.on(Scored)(lambda player, event: player)
        players.index("score", value)
        return App(backend, registry, None).projection_store.views, players.id

    span = Span("score", *NUMBERS)
    views, known = opened(Other, lambda _: 1)
    with pytest.raises(Misuse, match=r"'players': document 'player-[0-4]' does not decode as its class"):
        run(views.find(known, span, None, 100, 1 << 20, 0))
    with pytest.raises(Misuse, match=r"'players': document 'player-2' does not decode as its class"):
        run(views.rank(known, span, "player-2", 0))
    views, known = opened(Player, lambda _: None)
    with pytest.raises(
        Misuse,
        match=r"'players', index 'score': document 'player-[0-4]' stands in it, .* None .* above 1, or call rebuild",
    ):
        run(views.find(known, span, None, 100, 1 << 20, 0))
