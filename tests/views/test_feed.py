"""The change feed of a view: attach, read the view, follow it; who replays it holds the keys of the view."""

from __future__ import annotations

from typing import Any

import pytest

from eventsource_upstash import Misuse
from eventsource_upstash.ports import Backend
from tests.views.support import Colour, Desk, Game, Left, Lent, Scored


class Reader:
    """Attaches, reads the view, and follows its feed, as a live page does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.resets = -1
        self.attach()

    def attach(self) -> None:
        self.resets += 1
        self.cursor = self.desk.view().changes().cursor
        self.keys = set(self.desk.documents())

    def follow(self, limit: int = 16) -> list[tuple[str, bool]]:
        told: list[tuple[str, bool]] = []
        more = True
        while more:
            found = self.desk.view().changes(after=self.cursor, limit=limit)
            if found.reset:
                assert (found.changes, found.more) == ((), False)
                self.attach()
                continue
            for change in found.changes:
                (self.keys.discard if change.deleted else self.keys.add)(change.key)
                told.append((change.key, change.deleted))
            self.cursor, more = found.cursor, found.more
        assert self.keys == set(self.desk.documents())
        return told


def test_what_changes_is_told(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(2)
    desk.projector.catch_up()
    reader = Reader(desk)
    assert reader.follow() == []
    position = desk.append(Scored("p000", 1), Left("p001"), Scored("new", 1), Left("nobody"))
    desk.projector.catch_up()
    found = desk.view().changes(after=reader.cursor)
    assert {(each.key, each.deleted, each.position, each.cursor) for each in found.changes} == {
        ("p000", False, position, found.cursor),
        ("new", False, position, found.cursor),
        ("p001", True, position, found.cursor),
    }
    assert len(reader.follow()) == 3
    desk.append(Left("nobody"))
    desk.projector.catch_up()
    assert reader.follow() == [], "nothing has changed"


def test_a_reader_that_comes_back_after_a_while(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour, page_size=1)
    desk.append(Scored("ada", 0))
    desk.projector.catch_up()
    near, far = Reader(desk), Reader(desk)
    desk.scores(256)
    desk.projector.catch_up()
    first = desk.view().changes(after=near.cursor, limit=3)
    assert ([each.key for each in first.changes], first.more) == (["p000", "p001", "p002"], True)
    assert len(desk.view().changes(after=near.cursor, limit=1_000).changes) == 16
    assert [key for key, _ in near.follow()] == [f"p{number:03}" for number in range(256)]
    assert near.resets == 0
    desk.append(Left("p000"))
    desk.projector.catch_up()
    assert far.follow() == []
    assert far.resets == 1, "257 commits later it is not known any more what has changed"
    assert (near.follow(), near.resets) == ([("p000", True)], 0)


def test_another_build_or_version_is_read_anew(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(3)
    desk.projector.catch_up()
    reader = Reader(desk)
    desk.projector.rebuild(desk.game.players)
    assert (reader.follow(), reader.resets) == ([], 1)
    desk.append(Left("p000"))
    desk.projector.catch_up()
    assert (reader.follow(), reader.resets) == ([("p000", True)], 1)
    desk.projector.go_back(desk.game.players)
    reader.follow()
    assert reader.resets == 2
    desk.projector.catch_up()
    assert reader.follow() == [("p000", True)]

    new = desk.another(Game(2), page_size=2)
    later = Reader(new)
    desk.append(Scored("p001", 1))
    desk.projector.catch_up()
    assert (later.follow(), later.resets) == ([("p001", False)], 0), "of the version that answers"
    later.desk = new
    new.projector.catch_up()
    later.follow()
    assert later.resets == 1
    new.append(Left("p002"))
    new.projector.catch_up()
    assert (later.follow(), later.resets) == ([("p002", True)], 1)


def test_retried_events_and_ends_are_told(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(on_error="park"), colour)
    desk.scores(2)
    desk.projector.catch_up()
    reader = Reader(desk)
    desk.game.bad.add("p000")
    desk.append(Scored("p000", 1), Left("p000"), Scored("p001", 1))
    desk.projector.catch_up()
    assert reader.follow() == [("p001", False)]
    desk.game.bad.clear()
    assert desk.projector.retry_parked(desk.game.players).done == 2
    assert reader.follow() == [("p000", True)]
    desk.append(Lent("p001", desk.clock.now + 1))
    desk.projector.catch_up()
    assert reader.follow() == [("p001", False)]
    desk.clock.now += 100
    desk.another().projector.catch_up()
    assert reader.follow() == [("p001", True)]


def test_what_is_no_cursor(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    bad: Any
    for bad in ("", "x", "1", "1-1", "1-1-", "a-1-1", "1-1-1-1", "-1-1-1", "1-1-٣", 7, "1-1-" + "9" * 60):
        with pytest.raises(Misuse, match="no place in a change feed"):
            desk.view().changes(after=bad)
    for bad in (0, -1, True, "1", None):
        with pytest.raises(Misuse, match="limit="):
            desk.view().changes(limit=bad)
    assert desk.view().changes(after="1-1-99999").reset
    assert desk.view().changes(after="1-9-0").reset
    with pytest.raises(Misuse, match=r"keeps no change feed; register it with changes=True"):
        Desk(backend, Game(changes=False), colour).view().changes()


def test_a_feed_that_begins_later(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(changes=False), colour)
    desk.scores(3)
    desk.projector.catch_up()
    desk = desk.another(Game())
    reader = Reader(desk)
    assert reader.keys == {"p000", "p001", "p002"}
    desk.append(Left("p001"))
    desk.projector.catch_up()
    assert (reader.follow(), reader.resets) == ([("p001", True)], 0)
