"""`Append.condition`: an append takes effect only if nothing came in between that the decision was made on."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ..._io import blocking
from ...domain.events import EXISTS, Appended, Receipt
from ...domain.queries import AppendCondition, Query
from ...errors import OutcomeUnknown, Unavailable
from ...ports import Append, KeyReused, Unmet
from ..stepping import Endings, World, explore
from .kit import Contract, Lab, appended, conflict, in_colour, repeats, unmet
from .log_concurrency import CALLERS, ROUNDS
from .log_querying import fill, meant, tagged

SEAT = Query.of(types=["taken"], tags=["seat:1"])


def taking(lab: Lab, stream: str = "s", *payloads: bytes, seat: str = "seat:1", after: int = 0) -> Append:
    """An append that takes a seat, if nobody has since a position."""
    condition = AppendCondition(Query.of(types=["taken"], tags=[seat]), after)
    return lab.appending(stream, *payloads, type="taken", tags=tagged(seat), condition=condition)


class LogConditions(Contract):
    """What a condition keeps out, and what it lets in."""

    @in_colour
    async def test_an_append_whose_condition_is_met_is_written(self, lab: Lab) -> None:
        first = appended(await lab.log.append(taking(lab, "a", b"1", b"2")))
        assert first.revision == 2
        appended(await lab.log.append(taking(lab, "b", b"3", seat="seat:2")))
        appended(await lab.log.append(taking(lab, "c", b"4", after=first.position)))
        assert [row[9] for row in await lab.everything()] == [b"1", b"2", b"3", b"4"]

    @in_colour
    async def test_an_event_that_a_condition_excludes_keeps_the_append_out(self, lab: Lab) -> None:
        rows = await fill(lab)
        for query in (
            Query.of(types=["changed"]),
            Query.of(tags=["student:1"]),
            Query.of(types=["subscribed"], tags=["course:1", "student:2"]),
            Query.of(tags=["nobody"]) | Query.of(types=["noted"]),
            Query.all(),
        ):
            answer = await lab.log.append(lab.appending("c-1", b"x", b"y", condition=AppendCondition(query)))
            assert unmet(answer).position in [row[0] for row in meant(rows, query)]
        assert await lab.everything() == rows
        assert (await lab.log.head())[0] == rows[-1][0]

    @in_colour
    async def test_events_that_a_condition_does_not_mean_let_it_in(self, lab: Lab) -> None:
        await fill(lab)
        for query in (
            Query.of(types=["unheard-of"]) | Query.of(tags=["nobody"]),
            Query.of(types=["changed"], tags=["student:1"]),
            Query.of(tags=["course:1", "course:2"]),
        ):
            appended(await lab.log.append(lab.appending("s", condition=AppendCondition(query))))

    @in_colour
    async def test_events_up_to_the_position_of_a_condition_let_it_in(self, lab: Lab) -> None:
        rows = await fill(lab)
        for query in (Query.of(tags=["student:1"]), Query.of(types=["changed"]) | Query.of(types=["subscribed"])):
            last = meant(rows, query)[-1][0]
            for after in range(last):
                answer = await lab.log.append(lab.appending("s", condition=AppendCondition(query, after)))
                assert unmet(answer).position in [row[0] for row in meant(rows, query, after)]
            appended(await lab.log.append(lab.appending("s", condition=AppendCondition(query, last))))
            appended(await lab.log.append(lab.appending("s", condition=AppendCondition(query, last + 1))))

    @in_colour
    async def test_a_condition_counts_the_events_of_every_stream(self, lab: Lab) -> None:
        await lab.append("b")
        first = appended(await lab.log.append(taking(lab, "a")))
        for stream in ("a", "b", "new"):
            assert unmet(await lab.log.append(taking(lab, stream))).position == first.position

    @in_colour
    async def test_the_revision_is_looked_at_before_the_condition(self, lab: Lab) -> None:
        appended(await lab.log.append(taking(lab, "a")))
        kept_out, let_in = taking(lab, "a"), taking(lab, "a", seat="seat:2")
        assert conflict(await lab.log.append(replace(kept_out, expected=0))).actual == 1
        assert conflict(await lab.log.append(replace(let_in, expected=0))).actual == 1
        assert isinstance(await lab.log.append(replace(kept_out, expected=1)), Unmet)
        assert isinstance(await lab.log.append(replace(kept_out, expected=EXISTS)), Unmet)
        assert appended(await lab.log.append(replace(let_in, expected=1))).revision == 2

    @in_colour
    async def test_a_key_is_looked_at_before_the_condition(self, lab: Lab) -> None:
        append = replace(taking(lab, "a", b"1"), key="key-1", digest=b"same")
        first = appended(await lab.log.append(append))
        await lab.log.append(taking(lab, "b", after=first.position))
        for again in (append, replace(append, number=77), replace(append, condition=AppendCondition(Query.all()))):
            assert repeats(await lab.log.append(again), first)
        assert isinstance(await lab.log.append(replace(append, digest=b"other")), KeyReused)
        assert len(await lab.everything()) == 2

    @in_colour
    async def test_a_key_whose_condition_was_not_met_is_not_kept(self, lab: Lab) -> None:
        first = appended(await lab.log.append(taking(lab, "a")))
        again = replace(taking(lab, "a"), key="key-1", digest=b"same")
        unmet(await lab.log.append(again))
        assert isinstance(await lab.log.recall("a", "key-1"), Receipt)
        later = AppendCondition(SEAT, first.position)
        assert appended(await lab.log.append(replace(again, condition=later))).revision == 2

    @in_colour
    async def test_an_append_sent_again_is_not_kept_out_by_its_own_events(self, lab: Lab) -> None:
        await lab.append("s", b"0")
        for append in (
            taking(lab, "s", b"1", seat="seat:1"),
            taking(lab, "s", b"2", b"3", b"4", seat="seat:2"),
            replace(taking(lab, "s", b"5", seat="seat:3"), expected=EXISTS),
            replace(taking(lab, "s", b"6", seat="seat:4"), expected=6),
        ):
            first = appended(await lab.log.append(append))
            assert repeats(await lab.log.append(append), first)
        upon_all = AppendCondition(Query.all(), (await lab.log.head())[0])
        append = lab.appending("t", b"7", condition=upon_all)
        first = appended(await lab.log.append(append))
        assert repeats(await lab.log.append(append), first)
        assert b"".join(row[9] for row in await lab.everything()) == b"01234567"

    @in_colour
    async def test_an_append_sent_again_is_known_behind_later_ones(self, lab: Lab) -> None:
        append = taking(lab, "a", b"1", b"2")
        first = appended(await lab.log.append(append))
        later = first
        for index in range(20):
            later = appended(await lab.log.append(taking(lab, "a" if index % 2 else "b", after=later.position)))
        lab.reopen()
        before = await lab.everything()
        assert len(before) == 22
        assert repeats(await lab.log.append(append), first)
        assert await lab.everything() == before

    @in_colour
    async def test_another_append_is_kept_out_and_no_repeat(self, lab: Lab) -> None:
        append = taking(lab, "a", b"1")
        first = appended(await lab.log.append(append))
        for other in (
            replace(append, number=append.number + 1),
            replace(append, recorded_us=append.recorded_us + 1),
            replace(append, stream="b"),
            taking(lab, "a", b"1"),
        ):
            assert unmet(await lab.log.append(other)).position == first.position
        assert len(await lab.everything()) == 1


class LogDeciding(Contract):
    """Several who decide on the same events at the same time."""

    @in_colour
    async def test_of_appends_under_one_condition_one_wins(self, lab: Lab) -> None:
        for index in range(ROUNDS):
            head, _ = await lab.log.head()
            appends = [taking(lab, f"s-{caller}", b"%d" % index, after=head) for caller in range(CALLERS)]
            answers = await lab.colour.together([partial(lab.log.append, append) for append in appends])
            assert all(isinstance(answer, (Appended, Unmet)) for answer in answers)
            winners = [answer for answer in answers if isinstance(answer, Appended)]
            assert len(winners) == 1, f"{len(winners)} appends were written under one condition"
        assert [row[9] for row in await lab.find(SEAT)] == [b"%d" % index for index in range(ROUNDS)]

    def test_one_of_two_decisions_on_the_same_events_wins_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                log = stepping.log()
                head, _ = blocking.run(lab.log.head())

                def check(endings: Endings) -> None:
                    winners = [name for name, ending in endings.items() if isinstance(ending.returned, Appended)]
                    losers = [ending.returned for ending in endings.values() if isinstance(ending.returned, Unmet)]
                    assert (len(winners), len(losers)) == (1, 1), (
                        f"{len(winners)} decisions on the same events took effect"
                    )
                    rows = blocking.run(lab.find(SEAT, after=head))
                    assert [(row[1], row[9].decode()) for row in rows] == [(name, name) for name in winners * 2]
                    assert losers[0].position in [row[0] for row in rows]

                appends = {name: taking(lab, name, *[name.encode()] * 2, after=head) for name in ("left", "right")}
                return World({name: log.append(append) for name, append in appends.items()}, check)

            assert explore(world).schedules >= 6

    def test_a_decision_whose_answer_is_lost_takes_effect_once_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                log = stepping.log(after=True)
                head, _ = blocking.run(lab.log.head())

                async def insistent(append: Append) -> Appended | Unmet:
                    while True:
                        try:
                            answer = await log.append(append)
                        except (OutcomeUnknown, Unavailable):
                            continue
                        assert isinstance(answer, (Appended, Unmet))
                        return answer

                def check(endings: Endings) -> None:
                    winners = [name for name, ending in endings.items() if isinstance(ending.returned, Appended)]
                    assert len(winners) == 1, f"{len(winners)} were told that their decision took effect"
                    rows = blocking.run(lab.find(SEAT, after=head))
                    assert [row[1] for row in rows] == winners * 2, "a decision took effect twice, or another one did"

                appends = {name: taking(lab, name, b"1", b"2", after=head) for name in ("left", "right")}
                return World({name: insistent(append) for name, append in appends.items()}, check)

            explored = explore(world, lost_answers=1, refusals=1, switches=1)
            assert explored.lost_answers >= 10
