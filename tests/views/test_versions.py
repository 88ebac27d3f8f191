"""Two versions of one projection: the older one answers until the newer one has met the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventsource_upstash import Memory, Misuse, ProjectionStopped, ProjectionStore, ViewNotBuilt
from eventsource_upstash._flow import querying
from eventsource_upstash.ports import Backend
from tests.views.support import Colour, Desk, Game, Left, Scored

SHAPES: dict[str, dict[str, Any]] = {"with a feed": {}, "without": {"changes": False}}


@dataclass(frozen=True)
class Another:
    """A class that the documents of before do not fit."""

    title: str


def test_the_old_version_answers_until_the_new_one_is_there(everywhere: Backend, colour: Colour) -> None:
    old = Desk(everywhere, Game(), colour)
    old.scores(5)
    old.projector.catch_up()
    new = old.another(Game(2), page_size=2)
    assert new.view().get("p002").score == 2, "the old folds"
    assert (new.status().live, new.status().checkpoint) == (False, 0)
    old.append(Scored("p002", 10))
    assert new.view().get("p002").score == 2
    new.projector.catch_up(time_budget=0)
    assert 0 < new.status().checkpoint < 6
    assert new.view().count() == 5
    assert new.index("score").rank("p004") == 1
    assert new.view().version() == old.view().version(), "it is the same answer"
    new.projector.catch_up()
    assert new.status().live
    assert new.view().get("p002").score == 24
    assert old.view().get("p002").score == 2, "the old code reads what it wrote"
    assert new.view().version() != old.view().version()
    # It goes on answering when it is behind: it has been at the head once.
    new.append(Scored("p002", 1))
    assert new.view().get("p002").score == 24


def test_the_old_version_is_kept_up_where_its_folds_are_there(everywhere: Backend, colour: Colour) -> None:
    old = Desk(everywhere, Game(), colour)
    old.scores(5)
    old.projector.catch_up()
    game = Game(2)
    first = game.add(1)
    new = old.another(game, page_size=1)
    position = new.append(Scored("p002", 10))
    assert new.view().get("p002", at_least=position).score == 12, "brought up by the folds of the old version"
    assert (new.status().checkpoint, new.status(first).checkpoint) == (0, position)
    assert new.view(consistency="strong").get("p002").score == 12
    new.projector.catch_up()
    assert (new.status().checkpoint, new.status(first).checkpoint) == (position, position)
    assert (new.view().get("p002").score, new.view(first).get("p002").score) == (24, 12)


def test_what_the_old_version_cannot_answer_the_new_one_does(everywhere: Backend, colour: Colour) -> None:
    old = Desk(everywhere, Game(), colour)
    old.scores(5)
    old.projector.catch_up()
    new = old.another(Game(2), page_size=2)
    assert new.view().get("p002", at_least=5).score == 2, "the old one is there"
    position = new.append(Scored("p002", 10))
    assert new.view().get("p002", at_least=position).score == 24, "the new one is brought up"
    assert new.view().get("p002").score == 24


def test_a_class_and_an_index_that_the_old_version_does_not_know(backend: Backend, colour: Colour) -> None:
    old = Desk(backend, Game(indexes=("score",)), colour)
    old.scores(5)
    old.projector.catch_up()
    game = Game(2)
    new = old.another(game)
    assert new.index("score").count() == 5
    with pytest.raises(ViewNotBuilt, match=r"'players', version 2, .*without index 'team'"):
        new.index("team").count()

    titles = game.registry.projection("players", Another, version=3)

    @titles.on(Scored, key="player")
    def scored(document: Another | None, event: Scored) -> Another:
        return Another(event.player)

    for read in (lambda: new.view(titles).get("p001"), lambda: new.view(titles).items()):
        with pytest.raises(
            ViewNotBuilt, match=r"'players', version 3, .*documents of version 1.*do not fit its class"
        ) as told:
            read()
        assert (told.value.projection, told.value.reached, told.value.head) == ("players", 0, 5)
    assert new.view(titles).get("nobody") is None
    new.projector.catch_up()
    assert new.view(titles).get("p001") == Another("p001")
    assert new.index("team").count() == 5


def test_the_newest_version_that_has_been_there_answers(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    desk.scores(2)
    desk.projector.catch_up()
    desk.another(Game(3)).projector.catch_up()
    stopped = Game(4)
    stopped.bad.add("p001")
    with pytest.raises(ProjectionStopped, match="'players' stopped"):
        desk.another(stopped).projector.catch_up()
    # A version may be a date, far from the others: those that are registered are known all the same.
    for game, factor in ((Game(5), 3), (Game(20_261_121), 20_261_121)):
        if game.players.version > 20:
            game.add(3)
        new = desk.another(game)
        assert new.view().get("p001").score == 3
        if game.players.version > 20:
            new.projector.catch_up()
            assert new.view().get("p001").score == factor


def test_nothing_was_there_before(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(7), colour)
    assert desk.view().count() == 0
    desk.scores(3)
    assert desk.view().get("p001") is None
    assert desk.view().get("p001", at_least=2).score == 7
    assert desk.index("score").top(1)[0][0] == "p001"


def test_old_and_new_code_side_by_side(everywhere: Backend, colour: Colour) -> None:
    """A rolling deploy: each of them folds, in turns, and writes into its own view alone."""
    old = Desk(everywhere, Game(), colour, page_size=3)
    new = old.another(Game(2))
    total = 0
    for turn in range(8):
        (old, new)[turn % 2].append(Scored("ada", 1), Scored(f"p{turn}", 1), Left(f"p{turn - 1}"))
        total += 1
        (new, old)[turn % 3 % 2].projector.catch_up(time_budget=0 if turn % 2 else None)
        if turn == 4:
            assert old.projector.rebuild(old.game.players).complete
    for desk, factor in ((old, 1), (new, 2)):
        desk.projector.catch_up()
        documents = desk.documents()
        assert documents.keys() == {"ada", "p7"}
        assert (documents["ada"].score, len(documents["ada"].folded)) == (total * factor, total)
        assert documents["p7"].score == factor
    assert {each.version for desk in (old, new) for each in desk.views.status()} == {1, 2}


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_a_version_that_is_not_needed_any_more(everywhere: Backend, colour: Colour, options: Any) -> None:
    old = Desk(everywhere, Game(**options), colour)
    old.scores(5)
    old.projector.catch_up()
    old.projector.rebuild(old.game.players)
    new = old.another(Game(2))
    new.projector.catch_up()
    with pytest.raises(Misuse, match="version 2, is registered here"):
        new.projector.drop_version("players", 2)
    assert sorted(new.projector.drop_version("players", 1).generations) == [1, 2]
    assert new.projector.drop_version("players", 1).generations == ()
    assert new.projector.drop_version("nobody", 1).generations == ()
    assert new.view().count() == 5
    # Code of before that is still somewhere begins anew, and harms nobody.
    assert old.view().count() == 0
    assert old.status().live is False
    old.projector.catch_up()
    assert old.view().get("p001").score == 1
    assert old.status().generation > 2


def test_a_listing_is_of_one_version_though_a_newer_one_is_there_by_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "MAX_PAGE_EVENTS", 2)
    for listed in ("by key", "by index"):
        backend = Memory()
        old = Desk(backend, Game())
        old.scores(5)
        old.projector.catch_up()
        new = old.another(Game(2))
        view = ProjectionStore(backend, new.game.registry, clock=new.clock).view(new.game.players)
        found = view.items() if listed == "by key" else view.index("score").range()
        documents = [next(found)]
        new.projector.catch_up()
        assert new.view().get("p004").score == 8
        documents += found
        assert [(key, player.score) for key, player in documents] == [(f"p{each:03}", each) for each in range(5)]
