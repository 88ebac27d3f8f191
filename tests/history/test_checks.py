"""Each check lets a right history pass, and finds what is wrong with one that has been doctored."""

from __future__ import annotations

import pytest

from eventsource_upstash.testing.history import Entry, HistoryViolated
from eventsource_upstash.testing.history.records import Boundary
from tests.history.support import Told, found, log, tasks

LINEARIZABLE = "each stream is linearizable"
POSITIONS = "positions are unique and increase"
ACKNOWLEDGED = "no acknowledged append is missing"
ONCE = "each append took effect once and whole"
FAILED = "what failed has left nothing"
CONDITIONS = "append conditions are kept"
READS = "reads of the log miss nothing"
CHECKPOINTS = "checkpoints never go back"
FOLD = "a view is the fold of the log up to its checkpoint"
FRESH = "a read of a view answers what it was asked for"


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_right_history(told: Told) -> None:
    told.append("s", "a", 1, 1, expected=0)
    told.conflict("s", "b", expected=0, actual=1)
    told.unknown("s", "c", expected=1)
    told.unknown("s", "d", expected=1)
    told.failed("s", "e")
    told.stream("s", "a", "c/1")
    told.stream("s", "c/1", after=1)
    told.append("s", "f", 4, 4, events=2)
    told.log((1, "a"), (2, "c/1"), (3, "f/1"), (4, "f/2"))
    told.log((2, "c/1"), after=1, limit=1)
    told.head(4)
    told.checkpoint(0)
    told.caught_up(4)
    told.checkpoint(4)
    told.view("s", ["a", "c/1", "f/1", "f/2"], at_least=4)
    told.view("s", ["a"])
    entries = log("a", "c/1", "f/1", "f/2")
    verdict = told.checked(entries, [tasks(4, s=["a", "c/1", "f/1", "f/2"])])
    assert verdict.ok, verdict
    assert verdict.raise_() is verdict
    assert "no violation" in str(verdict)
    shown = {name: number for name, number in verdict.counts.items() if number}
    assert shown == {
        "operations": 16,
        "processes": 1,
        "appends acknowledged": 2,
        "appends refused by a conflict": 1,
        "appends failed": 1,
        "appends of unknown outcome": 2,
        "of these in the log": 1,
        "events in the log": 4,
        "streams": 1,
        "reads of streams": 2,
        "reads of the log": 2,
        "questions for the head": 1,
        "catch-ups": 1,
        "questions for a checkpoint": 2,
        "reads of views": 2,
        "views compared with the log": 1,
    }


RED = Boundary(((("painted", "sold"), ("red",)), ((), ("blue", "small"))), after=1)


def goods() -> list[Entry]:
    """Of the log of two streams the second event is what `RED` excludes first."""
    return [
        Entry(1, "s", 1, "a", type="painted", tags=("red",)),
        Entry(2, "t", 1, "b", type="sold", tags=("red", "large")),
        Entry(3, "s", 2, "c", type="found"),
    ]


def test_conditions_that_were_kept(told: Told) -> None:
    told.append("s", "a", 1, 1, condition=RED)
    told.append("t", "b", 2, 1, condition=RED)
    told.unmet("s", "d", RED, 2)
    told.append("s", "c", 3, 2, condition=Boundary(((("painted",), ("red",)), (("found",), ("red",))), after=1))
    told.unknown("s", "e", condition=RED)
    verdict = told.checked(goods())
    assert verdict.ok, verdict
    assert verdict.counts["appends with a condition"] == 5


@pytest.mark.parametrize("outcome", ["ok", "unknown"])
def test_a_condition_that_was_not_looked_at(told: Told, outcome: str) -> None:
    told.append("s", "a", 1, 1)
    told.append("t", "b", 2, 1)
    if outcome == "ok":
        told.append("s", "c", 3, 2, condition=RED)
    else:
        told.unknown("s", "c", condition=RED)
    verdict = told.checked(goods())
    assert found(verdict) == [CONDITIONS]
    assert "stands at 3, behind what it excludes: 'b' at position 2" in str(verdict)


@pytest.mark.parametrize(
    ("position", "why"),
    [(1, "does not exclude 'a'"), (3, "does not exclude 'c'"), (4, "no event stands at position 4")],
)
def test_a_condition_that_was_met_is_refused(told: Told, position: int, why: str) -> None:
    told.append("s", "a", 1, 1)
    told.append("t", "b", 2, 1)
    told.append("s", "c", 3, 2)
    told.unmet("s", "d", RED, position)
    verdict = told.checked(goods())
    assert found(verdict) == [CONDITIONS]
    assert why in str(verdict)


def test_events_of_others_are_no_violation(told: Told) -> None:
    told.append("s", "a", 2, 2, expected=1)
    told.stream("s", "a", after=1)
    assert told.checked(log(None, "a", None)).ok


def test_two_appends_win_at_the_same_revision(told: Told) -> None:
    told.append("s", "a", 1, 1, expected=0)
    told.append("s", "b", 2, 1, expected=0)
    verdict = told.checked([Entry(1, "s", 1, "a"), Entry(2, "s", 2, "b")])
    assert LINEARIZABLE in found(verdict)
    assert "something else has still to be at revision 0: p: append 'b' to 's', expecting 0" in str(verdict)


def test_a_conflict_that_was_none(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.conflict("s", "b", expected=1, actual=1)
    assert found(told.checked(log("a"))) == [LINEARIZABLE]


def test_a_conflict_that_tells_of_a_revision_too_late(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.conflict("s", "c", expected=0, actual=1)
    assert found(told.checked(log("a", "b"))) == [LINEARIZABLE]


def test_a_stale_read_of_a_stream(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.stream("s", "a")
    assert found(told.checked(log("a", "b"))) == [LINEARIZABLE]


def test_a_read_that_overlaps_may_be_either(told: Told) -> None:
    told.append("s", "a", 1, 1, at=(1, 2))
    told.append("s", "b", 2, 2, at=(3, 9))
    told.stream("s", "a", at=(4, 5))
    told.stream("s", "a", "b", at=(6, 7))
    assert told.checked(log("a", "b")).ok
    told.stream("s", "a", at=(8, 9))
    assert found(told.checked(log("a", "b"))) == [LINEARIZABLE]


def test_a_read_of_a_stream_with_a_gap(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.stream("s", "b")
    assert found(told.checked(log("a", "b"))) == [LINEARIZABLE]


def test_a_stream_that_two_saw_in_different_orders(told: Told) -> None:
    told.append("s", "a", 1, 1, at=(1, 9))
    told.append("s", "b", 2, 2, at=(1, 9))
    told.stream("s", "b", "a", at=(2, 3))
    assert found(told.checked(log("a", "b"))) == [LINEARIZABLE]


def test_an_unknown_append_takes_effect_against_its_expectation(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.unknown("s", "c", expected=1)
    assert found(told.checked(log("a", "b", "c"))) == [LINEARIZABLE]


def test_an_unknown_append_takes_effect_before_it_began(told: Told) -> None:
    told.append("s", "b", 2, 2)
    told.unknown("s", "a")
    assert found(told.checked(log("a", "b"))) == [LINEARIZABLE, POSITIONS]


def test_a_position_twice(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("t", "b", 1, 1, at=(10, 20))
    assert POSITIONS in found(told.checked([Entry(1, "s", 1, "a"), Entry(1, "t", 1, "b")]))


def test_a_later_append_has_the_smaller_position(told: Told) -> None:
    told.append("s", "a", 2, 1)
    told.append("t", "b", 1, 1)
    verdict = told.checked([Entry(1, "t", 1, "b"), Entry(2, "s", 1, "a")])
    assert found(verdict) == [POSITIONS]
    assert "stands at 1, and began when this had ended: p: append 'a'" in str(verdict)


def test_overlapping_appends_have_their_positions_in_any_order(told: Told) -> None:
    told.append("s", "a", 2, 1, at=(1, 5))
    told.append("t", "b", 1, 1, at=(5, 6))
    assert told.checked([Entry(1, "t", 1, "b"), Entry(2, "s", 1, "a")]).ok


def test_an_append_below_a_head_that_somebody_saw(told: Told) -> None:
    told.append("s", "a", 2, 1, at=(1, 9))
    told.head(2, at=(2, 3))
    told.append("t", "b", 1, 1, at=(4, 5))
    assert found(told.checked([Entry(1, "t", 1, "b"), Entry(2, "s", 1, "a")])) == [POSITIONS]


def test_an_acknowledged_append_is_missing(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    assert found(told.checked(log("a"))) == [LINEARIZABLE, ACKNOWLEDGED]


def test_an_acknowledged_append_stands_elsewhere(told: Told) -> None:
    told.append("s", "a", 2, 1)
    assert found(told.checked(log("a"))) == [ACKNOWLEDGED]


def test_an_answer_names_the_first_of_several_events(told: Told) -> None:
    told.append("s", "a", 1, 2, events=2)
    assert found(told.checked(log("a/1", "a/2"))) == [ACKNOWLEDGED]


@pytest.mark.parametrize("known", [True, False])
def test_an_append_took_effect_twice(told: Told, known: bool) -> None:
    if known:
        told.append("s", "a", 1, 1)
    else:
        told.unknown("s", "a")
    assert found(told.checked(log("a", "a"))) == [ONCE]


def test_an_append_took_effect_in_part(told: Told) -> None:
    told.unknown("s", "a", events=2)
    assert ONCE in found(told.checked(log("a/1")))


def test_an_append_was_torn_apart(told: Told) -> None:
    told.unknown("s", "a", events=2)
    told.unknown("s", "b")
    assert ONCE in found(told.checked(log("a/1", "b", "a/2")))


def test_an_append_stands_the_wrong_way_round(told: Told) -> None:
    told.unknown("s", "a", events=2)
    assert ONCE in found(told.checked(log("a/2", "a/1")))


def test_an_append_stands_in_another_stream(told: Told) -> None:
    told.unknown("t", "a")
    assert ONCE in found(told.checked(log("a")))


def test_an_event_that_nobody_has_appended(told: Told) -> None:
    told.append("s", "a", 1, 1)
    verdict = told.checked(log("a", "ghost"))
    assert found(verdict) == [ONCE]
    assert "nobody has appended what stands there: 'ghost'" in str(verdict)


@pytest.mark.parametrize("conflict", [True, False])
def test_what_failed_stands_in_the_log(told: Told, conflict: bool) -> None:
    told.append("s", "a", 1, 1)
    if conflict:
        told.conflict("s", "b", expected=0, actual=1)
    else:
        told.failed("s", "b")
    assert found(told.checked(log("a", "b"))) == [FAILED]


def test_a_read_of_the_log_has_passed_over_an_event(told: Told) -> None:
    told.append("s", "a", 1, 1, at=(1, 9))
    told.append("t", "b", 2, 1, at=(1, 9))
    told.log((2, "b"), at=(2, 3))
    assert found(told.checked([Entry(1, "s", 1, "a"), Entry(2, "t", 1, "b")])) == [READS]


def test_a_read_of_the_log_saw_what_is_gone(told: Told) -> None:
    told.unknown("s", "a")
    told.log((1, "a"))
    assert found(told.checked([])) == [READS]


def test_a_stale_read_of_the_log(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.log()
    assert found(told.checked(log("a"))) == [READS]


def test_a_stale_head(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.head(0)
    assert found(told.checked(log("a"))) == [READS]


def test_a_checkpoint_goes_back(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.checkpoint(2)
    told.checkpoint(1)
    assert found(told.checked(log("a", "b"))) == [CHECKPOINTS]


def test_a_checkpoint_is_behind_a_catch_up(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.caught_up(1)
    told.checkpoint(0)
    assert found(told.checked(log("a"))) == [CHECKPOINTS]


def test_a_catch_up_that_is_complete_has_missed_an_append(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.caught_up(0)
    assert found(told.checked(log("a"))) == [CHECKPOINTS]


def test_a_catch_up_that_is_not_complete_may_be_behind(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.caught_up(0, complete=False)
    assert told.checked(log("a")).ok


@pytest.mark.parametrize(
    "documents",
    [{"s": ["a"]}, {"s": ["a", "b", "b"]}, {"s": ["b", "a"]}, {}, {"s": ["a", "b"], "t": ["x"]}],
    ids=["less", "twice", "out of order", "nothing", "something else"],
)
def test_a_view_is_not_the_fold(told: Told, documents: dict[str, list[str]]) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    assert told.checked(log("a", "b"), [tasks(2, s=["a", "b"])]).ok
    assert found(told.checked(log("a", "b"), [tasks(2, **documents)])) == [FOLD]


def test_a_view_is_ahead_of_the_log(told: Told) -> None:
    told.append("s", "a", 1, 1)
    assert found(told.checked(log("a"), [tasks(2, s=["a"])])) == [FOLD]


def test_a_read_with_at_least_answers_less(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.view("s", ["a"], at_least=1)
    assert told.checked(log("a", "b"), [tasks(2, s=["a", "b"])]).ok
    told.view("s", ["a"], at_least=2)
    assert found(told.checked(log("a", "b"), [tasks(2, s=["a", "b"])])) == [FRESH]


def test_a_read_answers_a_document_that_never_was(told: Told) -> None:
    told.append("s", "a", 1, 1)
    told.append("s", "b", 2, 2)
    told.view("s", ["b"])
    assert found(told.checked(log("a", "b"), [tasks(2, s=["a", "b"])])) == [FRESH]


def test_a_read_knows_of_an_append_that_had_not_begun(told: Told) -> None:
    told.view("s", ["a"])
    told.append("s", "a", 1, 1)
    assert found(told.checked(log("a"), [tasks(1, s=["a"])])) == [FRESH]


def test_a_report_raises_and_is_not_endless(told: Told) -> None:
    for number in range(30):
        told.failed("s", f"{number}")
    verdict = told.checked(log(*[f"{number}" for number in range(30)]))
    with pytest.raises(HistoryViolated, match=r"30 violations:\n.*'0'(.|\n)*: and 10 more") as caught:
        verdict.raise_()
    assert caught.value.verdict is verdict
