"""Reads that ask for a position, or for the head, without any worker."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import LogRewound, Memory, Misuse, ProjectionStopped, Receipt, SQLite, StaleView
from eventsource_upstash.ports import Backend, Progress, ProjectionId, Views
from eventsource_upstash.testing import ViewsWrapper
from tests.conformance.separate import SeparateViews
from tests.priced import Till
from tests.views.support import Colour, Desk, Game, Scored
from tests.views.test_asked_for import Copies


def test_every_read_is_as_fresh_as_it_is_asked_to_be(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    view, score = desk.view(), desk.index("score")
    reads: list[Any] = [
        lambda fresh: view.get("last", **fresh) is not None,
        lambda fresh: "last" in view.get_many(["last"], **fresh),
        lambda fresh: "last" in dict(view.items(**fresh)),
        lambda fresh: view.count(**fresh) == 1,
        lambda fresh: dict(score.top(1, **fresh)),
        lambda fresh: dict(score.range(1, **fresh)),
        lambda fresh: score.page(1, **fresh).items,
        lambda fresh: dict(score.equal(at, **fresh)),
        lambda fresh: score.rank("last", **fresh) == 1,
        lambda fresh: score.count(at, at, **fresh) == 1,
        lambda fresh: view.version(**fresh) != version,
    ]
    for number, read in enumerate(reads):
        version = view.version()
        position = desk.append(Scored("last", 1))
        at = number + 1
        read({})
        assert desk.status().checkpoint == position - 1, "who asks for nothing folds nothing"
        assert read({"at_least": position})
        assert desk.status().checkpoint == position


def test_strong_reads_need_no_worker(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    strong = desk.view(consistency="strong")
    score = strong.index("score")
    assert (strong.get("ada"), score.top(1)) == (None, [])
    reads: list[Any] = [
        lambda: strong.get("ada").score,
        lambda: strong.get_many(["ada"])["ada"].score,
        lambda: dict(strong.items())["ada"].score,
        lambda: dict(score.top(1))["ada"].score,
        lambda: score.page().items[0][1].score,
        lambda: score.range(0)[0][1].score,
    ]
    for number, read in enumerate(reads, 1):
        desk.append(Scored("ada", 1))
        assert read() == number
    assert (strong.count(), score.count(), score.rank("ada")) == (1, 1, 1)
    assert desk.status().state == "current"


def test_one_page_is_folded_however_little_time_there_is(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    for _ in range(3):
        desk.scores(700)
    view = desk.view()
    assert view.get("p000", at_least=1_000, timeout=0) is not None
    with pytest.raises(StaleView, match=r"'players' is at position 2000 and did not reach 2100 in time") as caught:
        view.get("p000", at_least=2_100, timeout=0)
    assert (caught.value.reached, caught.value.wanted, caught.value.head) == (2_000, 2_100, 2_100)
    assert view.count(at_least=2_100, timeout=0) == 700, "each try gets it on"


def test_a_position_that_the_log_does_not_have(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    desk.scores(3)
    for _ in range(2):
        with pytest.raises(LogRewound, match=r"asked for position 4, but the log ends at 3.*Read without it") as caught:
            desk.view().get("p000", at_least=4)
        assert (caught.value.checkpoint, caught.value.head) == (4, 3)
    for bad in (-1, True, "3", 1.0):
        with pytest.raises(Misuse, match="at_least="):
            desk.view().count(at_least=bad)
    for late in (-1, float("nan")):
        with pytest.raises(Misuse, match="timeout="):
            desk.view().count(timeout=late)
    with pytest.raises(Misuse, match="consistency='weak'"):
        desk.view(consistency="weak")


def test_a_fold_that_fails(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    desk.scores(3)
    desk.game.bad.add("p001")
    assert desk.view().get("p000", at_least=1) is not None
    for fresh in ({"at_least": 2}, {"at_least": 3}):
        with pytest.raises(ProjectionStopped, match="'players' stopped at position 2"):
            desk.view().get("p000", **fresh)
    with pytest.raises(ProjectionStopped):
        desk.view(consistency="strong").get("p000")
    assert desk.view().get("p000", at_least=1) is not None


def test_two_readers_at_once(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    head = desk.scores(300)
    readers = [desk.another() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda reader: reader.view().count(at_least=head), readers))
    assert counts == [300] * 4
    assert all(len(player.folded) == 1 for player in desk.documents().values()), "nothing is folded twice"


def test_a_view_beyond_a_log_that_was_set_back(tmp_path: Path, colour: Colour) -> None:
    backend = SQLite(tmp_path / "views.db")
    desk = Desk(backend, Game(), colour)
    for number in range(5):
        desk.scores(1, number)
    desk.projector.catch_up()
    with closing(sqlite3.connect(tmp_path / "views.db")) as connection, connection:
        connection.execute("DELETE FROM events WHERE position > 3")
    assert desk.view().count() == 5
    for read in (lambda: desk.view().count(at_least=2), lambda: desk.view(consistency="strong").count()):
        with pytest.raises(LogRewound, match=r"is at position 5, but the log ends at 3.*rebuild the projection"):
            read()
    assert desk.status().state == "rewound"
    assert desk.projector.rebuild(desk.game.players).complete
    assert desk.view(consistency="strong").count() == 3
    assert (desk.status().state, desk.status().checkpoint) == ("current", 3)
    assert desk.projector.catch_up().complete
    backend.close()


class Asked(Till):
    """Notes which versions are asked how far they are."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[list[int]] = []

    def wrap_views(self, views: Views) -> Views:
        return Noted(views, self)


class Noted(ViewsWrapper):
    def __init__(self, inner: Views, asked: Asked) -> None:
        super().__init__(inner, asked.around)
        self._asked = asked

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        self._asked.versions.append([each.version for each in projections])
        return await super().progress(projections)


def test_a_view_that_is_new_looks_for_an_older_version_only_where_there_can_be_one() -> None:
    asked = Asked()
    desk = Desk(asked, Game())
    assert desk.view().get("ada") is None
    assert (asked.calls, asked.versions) == (1, [])
    third = desk.another(Game(3))
    assert third.view().get("ada") is None
    assert (asked.calls, asked.versions) == (3, [[1, 2]]), "and of its own it knows already"


def test_a_strong_read_that_an_older_version_answers_asks_no_copy() -> None:
    copies = Copies()
    old = Desk(copies, Game())
    old.scores(1)
    old.projector.catch_up()
    copies.primary.clear()
    assert old.another(Game(2)).view(consistency="strong").get("p000") is not None
    assert copies.primary == [True, True]


def test_a_strong_read_of_a_view_beyond_another_log_is_refused() -> None:
    views = Memory()
    desk = Desk(SeparateViews(Memory(), views), Game())
    desk.scores(5)
    desk.projector.catch_up()
    shorter = Desk(SeparateViews(Memory(), views), Game())
    shorter.scores(2)
    assert shorter.view().get("p000") is not None, "who asks for nothing looks at no log"
    with pytest.raises(LogRewound) as caught:
        shorter.view(consistency="strong").get("p000")
    assert (caught.value.checkpoint, caught.value.head) == (5, 2)


def test_a_new_version_that_is_beyond_the_log_does_not_answer_and_the_one_before_it_does() -> None:
    views = Memory()
    longer = Desk(SeparateViews(Memory(), views), Game(2))
    longer.scores(9)
    longer.projector.catch_up(until=5)
    shorter = Desk(SeparateViews(Memory(), views), Game())
    shorter.scores(2)
    shorter.projector.catch_up()
    assert shorter.another(Game(2)).view(consistency="strong").get("p001").score == 1
