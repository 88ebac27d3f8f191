"""`AppendsMany.append_many`: several appends in one step, and never one after another that was not written."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ...domain.events import Appended
from ...domain.queries import AppendCondition, Query
from ...ports import Append, AppendsMany, Conflict, Unmet
from .kit import Contract, Lab, appended, in_colour
from .log_querying import tagged

EVERYTHING = Query.all()


def _many(lab: Lab) -> AppendsMany:
    assert isinstance(lab.log, AppendsMany), "the log does not take many appends"
    return lab.log


def _some(lab: Lab) -> list[Append]:
    """Appends to two streams, each expecting the one before."""
    return [
        lab.appending("a", b"1", expected=0, tags=tagged("x")),
        lab.appending("b", b"2", b"3", expected=0, metadata=b'{"who":"me"}'),
        lab.appending("a", b"4", b"5", expected=1, tags=[tagged("x"), None]),
        lab.appending("b", b"6", expected=2),
    ]


async def _all(lab: Lab, appends: Sequence[Append]) -> list[Appended]:
    """Send appends until all are written."""
    answers: list[Appended] = []
    while len(answers) < len(appends):
        got = await _many(lab).append_many(appends[len(answers) :])
        assert 0 < len(got) <= len(appends) - len(answers)
        answers += [appended(answer) for answer in got]
    return answers


class LogMany(Contract):
    """Many appends in one step. For a log that `AppendsMany`."""

    @in_colour
    async def test_many_appends_are_what_they_are_one_after_another(self, lab: Lab) -> None:
        appends = _some(lab)
        answers = await _all(lab, appends)
        rows = await lab.everything()
        assert [row[9] for row in rows] == [b"1", b"2", b"3", b"4", b"5", b"6"]
        assert [row[1] for row in rows] == ["a", "b", "b", "a", "a", "b"]
        assert [row[2] for row in rows] == [1, 1, 2, 2, 3, 3]
        assert [row[3:5] for row in rows] == [
            (append.recorded_us, append.number + at) for append in appends for at in range(len(append.events))
        ]
        assert [(answer.position, answer.revision) for answer in answers] == [
            (rows[end][0], rows[end][2]) for end in (0, 2, 4, 5)
        ]
        assert [row[9] for row in await lab.find(Query.of(tags=["x"]))] == [b"1", b"4"]
        assert [row[9] for row in await lab.stream("a")] == [b"1", b"4", b"5"]

    @in_colour
    async def test_nothing_is_written_after_the_one_of_many_that_is_in_the_way(self, lab: Lab) -> None:
        first, second, third, last = _some(lab)
        appends = [first, second, replace(third, expected=7), last]
        answers = await _many(lab).append_many(appends)
        assert [type(answer) for answer in answers[:2]] == [Appended] * len(answers[:2])
        assert len(answers) < 4
        assert all(isinstance(answer, Conflict) for answer in answers[2:])
        written = sum(len(append.events) for append, answer in zip(appends, answers, strict=False) if _ok(answer))
        assert [row[9] for row in await lab.everything()] == [b"1", b"2", b"3"][:written]

    @in_colour
    async def test_many_appends_keep_their_conditions(self, lab: Lab) -> None:
        own = await lab.append("own")
        behind = [replace(each, condition=AppendCondition(EVERYTHING, own.position - 1)) for each in _some(lab)]
        (answer,) = await _many(lab).append_many(behind)
        assert isinstance(answer, Unmet)
        assert len(await lab.everything()) == 1
        at, chained = own.position, list[Append]()
        for each in _some(lab):
            chained.append(replace(each, condition=AppendCondition(EVERYTHING, at)))
            at += len(each.events)
        await _all(lab, chained)
        assert len(await lab.everything()) == 7

    @in_colour
    async def test_many_appends_that_are_sent_again_are_written_once(self, lab: Lab) -> None:
        appends = _some(lab)
        first = await _all(lab, appends)
        rows = await lab.everything()
        again: list[Appended] = []
        while len(again) < len(appends):
            for answer in await _many(lab).append_many(appends[len(again) :]):
                assert isinstance(answer, Appended)
                assert answer.repeated
                again.append(answer)
        assert [(each.position, each.revision) for each in again] == [(each.position, each.revision) for each in first]
        assert await lab.everything() == rows


def _ok(answer: object) -> bool:
    return isinstance(answer, Appended)
