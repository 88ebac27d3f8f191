"""Documents by an index: their order, pages of it, ranks and counts; and values that no index can hold."""

from __future__ import annotations

import math
from typing import Any

import pytest

from eventsource_upstash import Misuse, ProjectionStopped, ViewNotBuilt
from eventsource_upstash.ports import Backend
from tests.views.support import Colour, Desk, Game, Left, Scored


def keys(found: Any) -> list[str]:
    return [key for key, _ in found]


def test_a_leaderboard(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(30)
    desk.append(Scored("p005", -7), Left("p010"), Scored("tie", 20))
    desk.projector.catch_up()
    score, team = desk.index("score"), desk.index("team")
    assert keys(score.top(3)) == ["p029", "p028", "p027"]
    assert score.top(1)[0][1].score == 29
    assert score.top(0) == []
    assert keys(score.range(18, 21)) == ["p018", "p019", "p020", "tie", "p021"]
    assert keys(score.range(18, 21, reverse=True)) == ["p021", "tie", "p020", "p019", "p018"]
    assert keys(score.range(None, 1)) == ["p005", "p000", "p001"]
    assert keys(score.range(28)) == ["p028", "p029"]
    assert keys(score.range(limit=2)) == ["p005", "p000"]
    assert score.range(5, 4) == []
    assert keys(score.equal(20)) == ["p020", "tie"]
    assert keys(team.equal("even", limit=3)) == ["p000", "p002", "p004"]
    assert team.equal("none of it") == []
    assert (score.rank("p029"), score.rank("p029", lowest=True)) == (1, 30)
    assert (score.rank("p005"), score.rank("p005", lowest=True)) == (30, 1)
    assert score.rank("p010") is None
    assert (score.count(), score.count(20, 20), score.count(5, 4), team.count("odd", "odd")) == (30, 2, 0, 14)
    assert team.count() == 29, "a value that is None stands not in the index"


def test_pages_stay_right_while_documents_change(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.scores(12)
    desk.projector.catch_up()
    score = desk.index("score")
    first = score.page(limit=4, reverse=True)
    assert keys(first.items) == ["p011", "p010", "p009", "p008"]
    # The last one of the page goes, one from behind comes before it, one comes behind it.
    desk.append(Left("p008"), Scored("p000", 100), Scored("new", 7))
    desk.projector.catch_up()
    second = score.page(limit=4, reverse=True, after=first.cursor)
    assert keys(second.items) == ["p007", "new", "p006", "p005"]
    last = score.page(limit=4, reverse=True, after=second.cursor)
    assert (keys(last.items), last.cursor) == (["p004", "p003", "p002", "p001"], None)
    assert (list(score.page(50).items), score.page(50).cursor) == (score.top(1), None)
    team = desk.index("team")
    even = team.page("even", "even", limit=2)
    assert keys(team.page("even", "even", limit=9, after=even.cursor).items) == keys(team.equal("even"))[2:], "of texts"


def test_what_is_no_cursor_of_the_index(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    desk.scores(4)
    desk.projector.catch_up()
    score, team = desk.index("score"), desk.index("team")
    cursor = score.page(limit=1).cursor
    for bad in (team.page(limit=1).cursor, "", "x", cursor[:4], "\x00", "ä", 7, cursor * 2):
        with pytest.raises(Misuse, match=r"index 'score': after= is no cursor of it"):
            score.page(limit=1, after=bad)


def test_questions_that_make_no_sense(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour)
    score = desk.index("score")
    with pytest.raises(Misuse, match=r"has no index 'height' \(it has: score, team\)"):
        desk.index("height")
    for low, high in ((1, "x"), ("x", 1)):
        for ask in (score.range, score.count, score.page):
            with pytest.raises(Misuse, match="holds nothing"):
                ask(low, high)
    for bad in (math.nan, math.inf, [1], b"x", 2**53 + 1, "x" * 256, "", "a\x00b"):
        with pytest.raises(Misuse, match="'players', index 'score'"):
            score.equal(bad)
    for bad in (-1, True, 1.0, "1"):
        with pytest.raises(Misuse, match="whole number"):
            score.top(bad)
        with pytest.raises(Misuse, match="limit="):
            score.page(limit=bad)


@pytest.mark.parametrize("value", [True, 0, -0.0, 2**53, -(2**53), 1e300, 5e-324, "é🙂", "x" * 255, None])
def test_values_that_an_index_holds(backend: Backend, value: Any) -> None:
    desk = Desk(backend, Game())
    desk.game.value["p000"] = value
    desk.scores(3)
    desk.projector.catch_up()
    assert desk.index("score").count() == (2 if value is None else 3)
    if value is not None:
        assert "p000" in keys(desk.index("score").equal(value))
    assert desk.index("team").count() == 3


def test_numbers_and_strings_in_one_index(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(), colour)
    desk.game.value.update(p000="zero", p001="one")
    desk.scores(5)
    desk.projector.catch_up()
    score = desk.index("score")
    assert keys(score.top(9)) == ["p004", "p003", "p002"]
    assert keys(score.range("a")) == ["p001", "p000"]
    assert keys(score.range(0)) == ["p002", "p003", "p004"]
    assert keys(score.range()) == ["p002", "p003", "p004", "p001", "p000"]
    assert (score.rank("p000"), score.rank("p004"), score.count()) == (None, 1, 5)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([1], "not list"),
        (math.nan, "NaN"),
        (-math.inf, "NaN and infinity"),
        (2**53 + 1, "beyond 2"),
        ("x" * 256, "255"),
        (b"x", "not bytes"),
    ],
    ids=["list", "nan", "infinity", "too large", "too long", "bytes"],
)
def test_a_value_that_no_index_holds_stops_the_fold(backend: Backend, colour: Colour, value: Any, why: str) -> None:
    desk = Desk(backend, Game(), colour)
    desk.append(Scored("ok", 1))
    desk.append(Scored("bad", 2))
    desk.game.value["bad"] = value
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match=rf"'players' stopped at position 2: .*index 'score'.*{why}"):
            desk.projector.catch_up()
    assert keys(desk.index("score").top(5)) == ["ok"]
    assert "index 'score'" in desk.status().stopped.reason
    del desk.game.value["bad"]
    assert desk.projector.catch_up().complete
    assert keys(desk.index("score").top(5)) == ["bad", "ok"]


def test_an_index_that_the_view_was_built_without(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(indexes=("score",)), colour)
    desk.scores(3)
    desk.projector.catch_up()
    new = desk.another(Game())
    for ask in (
        lambda: new.index("team").top(1),
        lambda: new.index("team").rank("p001"),
        lambda: new.index("team").count(),
    ):
        with pytest.raises(ViewNotBuilt, match=r"'players', version 1, .*without index 'team'"):
            ask()
    assert keys(new.index("score").top(1)) == ["p002"]
    new.append(Scored("p001", 10))
    with pytest.raises(ProjectionStopped, match="raise its version above 1, or call rebuild"):
        new.projector.catch_up()
    assert keys(new.index("score").top(1)) == ["p002"], "it serves as it was"
    assert new.projector.rebuild(new.game.players).complete
    assert keys(new.index("score").top(2)) == ["p001", "p002"]
    assert keys(new.index("team").equal("odd")) == ["p001"]
    assert new.projector.catch_up().complete
    # Whoever runs the old code now is stopped likewise, and writes nothing into it.
    desk.append(Scored("p002", 1))
    with pytest.raises(ProjectionStopped, match="'score team"):
        desk.another(Game(indexes=("score",))).projector.catch_up()


def test_a_rebuild_that_was_begun_with_other_indexes_begins_anew(backend: Backend, colour: Colour) -> None:
    desk = Desk(backend, Game(indexes=("score",)), colour, page_size=2)
    desk.scores(7)
    desk.projector.catch_up()
    begun = desk.projector.rebuild(desk.game.players, time_budget=0)
    assert not begun.complete
    new = desk.another(Game())
    done = new.projector.rebuild(new.game.players)
    assert done.complete
    assert done.generation > begun.generation
    assert new.index("team").count() == 7
