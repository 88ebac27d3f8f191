"""`Log.append` where a log writes several events whole or not at all."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial

from ...domain.events import Appended
from ...domain.queries import Query
from ...ports import MAX_PAGE_EVENTS
from .kit import Contract, Lab, appended, in_colour
from .log_querying import tagged

CALLERS = 4
ROUNDS = 8


class LogAtomic(Contract):
    """Appends of several events. For a log that can `atomic_appends`."""

    @in_colour
    async def test_all_events_of_an_append_are_written_in_their_order(self, lab: Lab) -> None:
        await lab.append("a", b"before")
        append = lab.appending("a", *[b"%d" % index for index in range(50)])
        answer = appended(await lab.log.append(append))
        rows = (await lab.everything())[1:]
        assert [row[9] for row in rows] == [event[2] for event in append.events]
        assert [row[2] for row in rows] == sorted({row[2] for row in rows})
        assert (rows[-1][0], rows[-1][2]) == (answer.position, answer.revision)

    @in_colour
    async def test_a_thousand_events_and_more_go_into_one_append(self, lab: Lab) -> None:
        payloads = [b"%d" % index for index in range(MAX_PAGE_EVENTS + 100)]
        answer = await lab.append("a", *payloads)
        assert answer.revision >= len(payloads)
        assert [row[9] for row in await lab.everything()] == payloads

    @in_colour
    async def test_events_of_one_append_have_tags_of_their_own(self, lab: Lab) -> None:
        each = [tagged("a"), None, tagged("a", "b"), tagged("b")]
        appended(await lab.log.append(lab.appending("s", b"1", b"2", b"3", b"4", tags=each)))
        appended(await lab.log.append(lab.appending("s", b"5", tags=[tagged("b")])))
        appended(await lab.log.append(lab.appending("s", b"6", b"7", tags=tagged("c"))))
        rows = await lab.everything()
        assert [row[8] for row in rows] == [*each, tagged("b"), tagged("c"), tagged("c")]
        assert await lab.stream("s") == rows
        for tag, payloads in (("a", b"13"), ("b", b"345"), ("c", b"67")):
            assert b"".join(row[9] for row in await lab.find(Query.of(tags=[tag]))) == payloads


class LogUntorn(Contract):
    """Appends of several events, one behind another: for a log that lets none come between those of one append."""

    @in_colour
    async def test_appends_to_one_stream_do_not_tear_each_other(self, lab: Lab) -> None:
        async def writer(name: int) -> list[Appended]:
            return [await lab.append("a", *[b"%d.%d" % (name, index)] * 3) for index in range(ROUNDS)]

        answers = [
            answer
            for each in await lab.colour.together([partial(writer, n) for n in range(CALLERS)])
            for answer in each
        ]
        rows = await lab.everything()
        assert [row[2] for row in rows] == sorted({row[2] for row in rows})
        assert len({row[0] for row in rows}) == len(rows)
        for start in range(0, len(rows), 3):
            assert len({row[9] for row in rows[start : start + 3]}) == 1, "the events of an append are not consecutive"
        places = {row[0]: row[2] for row in rows}
        assert len({answer.position for answer in answers}) == len(answers), "two appends were given one position"
        assert all(places[answer.position] == answer.revision for answer in answers)
