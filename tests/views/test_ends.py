"""Documents that end: absent from whatever is read at once, none to later events, and deleted some time after."""

from __future__ import annotations

import pytest

from eventsource_upstash import Misuse, ProjectionStopped
from eventsource_upstash.ports import Backend
from tests.views.support import BEGIN, Colour, Desk, Game, Left, Lent, Player, Scored


def test_a_document_that_has_ended_is_absent_from_all_that_is_read(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(3)
    desk.append(Lent("p001", BEGIN + 10), Scored("p002", 5))
    desk.projector.catch_up()
    view, score = desk.view(), desk.index("score")
    before = view.version()
    desk.clock.now = BEGIN + 9.999
    assert view.get("p001") is not None
    assert view.version() == before
    desk.clock.now = BEGIN + 10
    assert view.get("p001") is None
    assert view.get_many(["p001", "p002"]).keys() == {"p002"}
    assert [key for key, _ in view.items()] == ["p000", "p002"]
    assert (view.count(), score.count(), score.count(1, 1)) == (2, 2, 0)
    assert [key for key, _ in score.top(9)] == ["p002", "p000"]
    assert (score.rank("p001"), score.rank("p000")) == (None, 2)
    assert view.version() != before, "an answer of before is no longer right"


def test_to_an_event_after_the_end_the_document_is_none(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour, page_size=2)
    desk.append(Scored("ada", 5))
    desk.append(Lent("ada", BEGIN + 10))
    desk.clock.now = BEGIN + 9
    desk.append(Scored("ada", 1))  # before the end, and folded after it
    desk.clock.now = BEGIN + 10
    last = desk.append(Scored("ada", 2))
    desk.clock.now = BEGIN + 5  # whoever folds has a clock of its own
    desk.projector.catch_up()
    expected = Player("ada", 2, (last,))
    assert desk.documents() == {"ada": expected}
    # The same whenever it is folded, and by however many pages.
    desk.clock.now = BEGIN + 10_000
    for page_size in (1, 3, 1_000):
        again = desk.another(page_size=page_size)
        assert again.projector.rebuild(again.game.players).complete
        assert again.documents() == {"ada": expected}


def test_what_has_ended_is_deleted_a_minute_later(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(3)
    desk.append(Lent("p000", BEGIN + 10), Lent("p001", BEGIN + 20), Lent("p002", BEGIN + 500))
    desk.projector.catch_up()
    attached = desk.view().changes()
    edition = desk.view().version()
    for after, gone in ((69.9, []), (70, ["p000"]), (70, []), (80, ["p001"]), (400, [])):
        desk.clock.now = BEGIN + after
        result = desk.another().projector.catch_up()
        assert (result.applied, result.complete) == (0, True)
        found = desk.view().changes(after=attached.cursor)
        assert [(each.key, each.deleted) for each in found.changes] == [(key, True) for key in gone]
        attached = found
    assert desk.view().version() != edition
    assert desk.documents().keys() == {"p002"}
    # A clock that goes back does not bring back what was deleted; only what is still stored.
    desk.clock.now = BEGIN
    assert desk.documents().keys() == {"p002"}
    assert desk.status().checkpoint == desk.store.head()


def test_an_end_in_the_past(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.append(Scored("ada", 1), Lent("ada", 1.0), Scored("bob", 1))
    desk.projector.catch_up()
    assert desk.documents().keys() == {"bob"}
    last = desk.append(Scored("ada", 3))
    desk.projector.catch_up()
    assert desk.documents()["ada"] == Player("ada", 3, (last,))
    desk.append(Lent("bob", 0), Left("bob"))
    assert desk.another().projector.catch_up().complete
    assert desk.documents().keys() == {"ada"}


@pytest.mark.parametrize("until", [-1.0, 1e12, "soon"])
def test_what_is_no_end_stops_the_fold(backend: Backend, colour: Colour, until: float) -> None:
    game = Game()
    game.players._expires = lambda player: None if player.until is None else until
    desk = Desk(backend, game, colour)
    desk.append(Scored("ada", 1), Lent("ada", 5.0))
    with pytest.raises(ProjectionStopped, match=r"'players' stopped at position 2: .*expires: "):
        desk.projector.catch_up()
    assert desk.documents().keys() == {"ada"}


def test_a_fold_that_revives_what_is_to_be_deleted(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    desk.append(Scored("ada", 1), Lent("ada", BEGIN + 10))
    desk.projector.catch_up()
    desk.clock.now = BEGIN + 1_000
    desk.append(Scored("ada", 7))
    desk.another().projector.catch_up()
    assert desk.documents()["ada"].score == 7
    assert desk.index("score").rank("ada") == 1
    desk.clock.now = BEGIN + 2_000
    desk.another().projector.catch_up()
    assert desk.documents()["ada"].score == 7


def test_more_than_a_page_of_ended_documents(backend: Backend) -> None:
    desk = Desk(backend, Game())
    desk.append(*(Lent(f"p{number:04}", BEGIN + 1) for number in range(500)))
    desk.append(*(Lent(f"p{number:04}", BEGIN + 1) for number in range(500, 1_000)))
    desk.append(*(Lent(f"p{number:04}", BEGIN + 1) for number in range(1_000, 1_200)), Scored("stays", 1))
    desk.projector.catch_up()
    cursor = desk.view().changes().cursor
    desk.clock.now = BEGIN + 100
    desk.another().projector.catch_up()
    deleted = [each.key for each in desk.view().changes(after=cursor).changes if each.deleted]
    assert sorted(deleted) == [f"p{number:04}" for number in range(1_200)]
    desk.clock.now = BEGIN
    assert desk.documents().keys() == {"stays"}


def test_expires_is_said_once(backend: Backend) -> None:
    with pytest.raises(Misuse, match="is said already"):
        Game().players.expires("until")
