"""What cannot be asked of a view is told in words, and where a read has to be fresh nothing stale is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from eventsource_upstash import (
    Memory,
    Misuse,
    Projection,
    ProjectionStore,
    RegistrationError,
    Registry,
    ViewNotBuilt,
)
from eventsource_upstash._flow import querying
from eventsource_upstash.ports import Backend, Counted, Got, ProjectionId, Span, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from tests.conformance.separate import SeparateViews
from tests.views.support import Desk, Game, Player, Scored

T = TypeVar("T")


class Copies(BackendWrapper):
    """Notes of each read whether it has to be answered by who takes writes, and not by a copy."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.primary: list[bool] = []

    def wrap_views(self, views: Views) -> Views:
        return Noted(views, self.primary)


class Noted(ViewsWrapper):
    def __init__(self, inner: Views, primary: list[bool]) -> None:
        super().__init__(inner)
        self._primary = primary

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        self._primary.append(primary)
        return await super().get_many(projection, keys, now_us, primary=primary)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        self._primary.append(primary)
        return await super().count(projection, span, now_us, primary=primary)


def plain_view(registry: Registry) -> Projection[Player]:
    plain = registry.projection("plain", Player)
    plain.on(Scored, key="player")(lambda _, event: Player(event.player, event.points))
    return plain


def test_what_a_read_has_seen_of_its_own_it_does_not_ask_of_a_copy() -> None:
    copies, game = Copies(), Game()
    plain = plain_view(game.registry)
    desk = Desk(copies, game, "blocking")
    for projection in (game.players, plain):  # documents of the one end, so that it is counted as well
        for ask in (
            lambda view: view.version(),
            lambda view: view.get("ada"),
            lambda view: view.count(),
        ):
            desk.append(Scored("ada", 1))
            copies.primary.clear()
            ask(desk.view(projection, consistency="strong"))
            assert copies.primary[-1] is True
            copies.primary.clear()
            ask(desk.view(projection))
            assert copies.primary == [False]
    index = desk.index("score", consistency="strong")
    copies.primary.clear()
    assert index.count() == 1
    assert set(copies.primary) == {True}
    copies.primary.clear()
    assert desk.index("score").count() == 1
    assert copies.primary == [False]


@pytest.mark.parametrize("given", ["players", None, Player])
def test_a_view_is_of_a_projection(given: object) -> None:
    desk = Desk(Memory(), Game(), "blocking")
    with pytest.raises(Misuse, match=r"^view\(\) is given a projection, as registry.projection\(...\) answers it"):
        desk.views.view(given)
    with pytest.raises(Misuse, match=r"^consistency='sometimes': it is 'eventual' or 'strong'"):
        desk.view(consistency="sometimes")
    with pytest.raises(Misuse, match=r"^projection 'players' belongs to another registry than this store"):
        desk.view(Game().players)


def test_an_index_that_there_is_not() -> None:
    game = Game()
    plain = plain_view(game.registry)
    desk = Desk(Memory(), game, "blocking")
    with pytest.raises(Misuse, match=r"^projection 'players' has no index 'name' \(it has: score, team\)$"):
        desk.index("name").top(3)
    with pytest.raises(Misuse, match=r"^projection 'plain' has no index 'name' \(it has: none\)$"):
        desk.index("name", plain).top(3)
    with pytest.raises(Misuse, match=r"^projection 'players', index 'score': a range from a number to a string"):
        list(desk.index("score").range(1, "a"))


def test_what_is_asked_of_an_index_that_a_view_was_built_without_is_refused() -> None:
    backend: Backend = Memory()
    before = Desk(backend, Game(indexes=("team",)), "blocking")
    before.append(Scored("ada", 1), Scored("bob", 2))
    before.projector.catch_up()
    before.append(Scored("eve", 3))
    now = Desk(backend, Game(), "blocking")
    for ask in (
        lambda index: index.top(3),
        lambda index: index.rank("ada"),
        lambda index: index.count(1, 2),
    ):
        with pytest.raises(ViewNotBuilt, match="what answers meanwhile was built without index 'score'") as raised:
            ask(now.index("score"))
        assert (raised.value.reached, raised.value.head) == (2, 3)
    assert [key for key, _ in now.index("team").equal("odd")] == ["ada"]


@pytest.mark.parametrize(
    ("fold", "told"),
    [
        (lambda document: document, r"projection 'plain'.*\(document, event\)"),
        (lambda: None, r"projection 'plain'.*\(document, event\)"),
        (5, "projection 'plain'"),
    ],
)
def test_a_fold_that_takes_something_else_is_refused_with_what_it_takes(fold: object, told: str) -> None:
    registry = Registry()
    registry.event("scored")(Scored)
    plain = registry.projection("plain", Player)
    with pytest.raises(RegistrationError, match=told):
        plain.on(Scored, key="player")(fold)  # type: ignore[arg-type]


class Asked(BackendWrapper):
    """Counts what is asked of the views, and notes what time it was then."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.calls: Counter[str] = Counter()
        self.times: list[object] = []

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls[call.removeprefix("views.")] += 1
        return await step()

    def wrap_views(self, views: Views) -> Views:
        return Timed(views, self)


class Timed(ViewsWrapper):
    def __init__(self, inner: Views, asked: Asked) -> None:
        super().__init__(inner, asked.around)
        self._times = asked.times

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        self._times.append(now_us)
        return await super().get_many(projection, keys, now_us, primary=primary)


def test_documents_end_by_whole_microseconds() -> None:
    asked = Asked()
    game = Game()
    plain = plain_view(game.registry)
    store = ProjectionStore(asked, game.registry, clock=lambda: 1_700_000_000_000_000_999)
    for ask in (lambda: store.view(plain).get("ada"), store.view(plain).version):
        ask()
        assert asked.times == [1_700_000_000_000_000]
        assert type(asked.times.pop()) is int


@pytest.mark.parametrize("limit", [-1, 1.5, "2", True])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    desk = Desk(Memory(), Game(), "blocking")
    for listing in (
        lambda: desk.view().items(limit=limit),
        lambda: desk.index("score").range(limit=limit),
        lambda: desk.index("score").equal(1, limit=limit),
    ):
        with pytest.raises(Misuse, match=f"^limit={limit!r}: it is a whole number from 0, or None$"):
            list(listing())


def test_keys_are_several() -> None:
    desk = Desk(Memory(), Game(), "blocking")
    with pytest.raises(Misuse, match=r"^get_many\('ada'\): .*get_many\(\['ada'\]\)$"):
        desk.view().get_many("ada")


def test_a_listing_asks_for_no_more_than_it_is_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "MAX_PAGE_EVENTS", 3)
    asked = Asked()
    desk = Desk(asked, Game(), "blocking")
    desk.scores(9)
    desk.projector.catch_up()
    for limit, pages in ((0, 0), (1, 1), (3, 1), (4, 2), (6, 2), (None, 3)):
        for call, listing in (("items", desk.view().items), ("find", desk.index("score").range)):
            asked.calls.clear()
            assert len(list(listing(limit=limit))) == (9 if limit is None else limit)
            assert asked.calls[call] == pages
    page = desk.index("score").page(limit=7)
    assert [document.score for _, document in page.items] == list(range(7))
    rest = desk.index("score").page(limit=7, after=page.cursor)
    assert ([document.score for _, document in rest.items], rest.cursor) == ([7, 8], None)


def test_a_cursor_names_any_place() -> None:
    desk = Desk(Memory(), Game(), "blocking")
    names = [f"{name}W" for name in ("a", "ab", "abc", "abcd", "a b", "über", "\u0440")]
    desk.append(*(Scored(name, 1) for name in names))
    desk.projector.catch_up()
    index = desk.index("score")
    cursor: str | None = None
    found: list[str] = []
    for _ in names:
        page = index.page(limit=1, after=cursor)
        found += [key for key, _ in page.items]
        cursor = page.cursor
        assert "=" not in (cursor or ""), "it stands in a URL as it is"
    assert (found, cursor) == (sorted(names), None)


def test_texts_up_to_one_are_no_numbers() -> None:
    game = Game()
    game.value = {"ada": 5, "bob": "b", "eve": "e"}
    desk = Desk(Memory(), game, "blocking")
    desk.append(*(Scored(name, 1) for name in game.value))
    desk.projector.catch_up()
    index = desk.index("score")

    def found(*ends: object) -> list[str]:
        return [key for key, _ in index.range(*ends)]

    assert found(None, "d") == ["bob"]
    assert found("d", None) == ["eve"]
    assert found(None, 7) == found(1, None) == ["ada"]
    assert found() == ["ada", "bob", "eve"]


@dataclass(frozen=True)
class Titled:
    title: str


@pytest.mark.parametrize("separate", [False, True])
def test_who_cannot_be_answered_yet_is_told_how_far_the_log_is(*, separate: bool) -> None:
    backend: Backend = SeparateViews(Memory(), Memory()) if separate else Memory()
    old = Desk(backend, Game(indexes=("score",)), "blocking")
    old.scores(3)
    old.projector.catch_up()
    old.append(Scored("p001", 1))
    head = 3 if separate else 4  # as far as it is known without a further question
    game = Game(2)
    new = Desk(backend, game, "blocking")
    with pytest.raises(ViewNotBuilt, match=rf"at position 3 of {head}\).*without index 'team'. Try again") as told:
        new.index("team").count()
    assert (told.value.reached, told.value.head) == (3, head)
    titled = game.registry.projection("players", Titled, version=3)
    titled.index("score", lambda _: 1)
    titled.on(Scored, key="player")(lambda _, event: Titled(event.player))
    for ask in (
        lambda: new.view(titled).get("p001"),
        lambda: list(new.view(titled).items()),
        lambda: list(new.index("score", titled).range()),
    ):
        with pytest.raises(ViewNotBuilt, match="documents of version 1, which answers meanwhile, do not fit") as told:
            ask()
        assert told.value.head == head
    bare = Desk(backend, Game(indexes=("score", "team")), "blocking")
    with pytest.raises(ViewNotBuilt, match=rf"at position 3 of {head}, .*Raise its version above 1, or call rebuild"):
        bare.index("team").count()
