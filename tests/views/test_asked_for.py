"""What cannot be asked of a view is told in words, and where a read has to be fresh nothing stale is asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventsource_upstash import Memory, Misuse, Projection, RegistrationError, Registry, ViewNotBuilt
from eventsource_upstash.ports import Backend, Counted, Got, ProjectionId, Span, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from tests.views.support import Desk, Game, Player, Scored


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
