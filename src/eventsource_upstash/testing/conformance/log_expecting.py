"""`Log.append` where a log compares revisions: what an append expects of its stream, and how it is known again."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from msgspec.structs import replace

from ...domain.events import EXISTS, NO_STREAM, Appended, Receipt
from ...ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, KeyReused
from .kit import Contract, Lab, appended, conflict, in_colour, repeats


class LogExpecting(Contract):
    """Revisions, and what appends expect of them. For a log that can `expected_revisions`."""

    @in_colour
    async def test_an_append_answers_its_last_position_and_the_new_revision(self, lab: Lab) -> None:
        first = await lab.append("a", b"1")
        assert first.revision == 1
        assert first.position >= 1
        three = await lab.append("a", b"2", b"3", b"4")
        assert three.revision == 4
        other = await lab.append("b", b"5")
        assert other.revision == 1
        places = {row[9]: row[0] for row in await lab.everything()}
        assert (first.position, three.position, other.position) == (places[b"1"], places[b"4"], places[b"5"])

    @in_colour
    async def test_positions_increase_and_revisions_are_consecutive(self, lab: Lab) -> None:
        for size in (1, 3, 2):
            for stream in ("a", "b"):
                await lab.append(stream, *[b"%d" % index for index in range(size)])
        rows = await lab.everything()
        positions = [row[0] for row in rows]
        assert positions[0] >= 1
        assert positions == sorted(set(positions)), "a position was handed out twice, or out of order"
        for stream in ("a", "b"):
            assert [row[2] for row in rows if row[1] == stream] == [1, 2, 3, 4, 5, 6]

    @in_colour
    async def test_any_revision_will_do(self, lab: Lab) -> None:
        assert (await lab.append("a")).revision == 1
        assert (await lab.append("a")).revision == 2

    @in_colour
    async def test_no_stream_is_expected(self, lab: Lab) -> None:
        assert (await lab.append("a", expected=NO_STREAM)).revision == 1
        again = conflict(await lab.log.append(lab.appending("a", expected=NO_STREAM)))
        assert again.actual == 1

    @in_colour
    async def test_an_existing_stream_is_expected(self, lab: Lab) -> None:
        none = conflict(await lab.log.append(lab.appending("a", expected=EXISTS)))
        assert (none.actual, none.missed, none.complete) == (0, [], True)
        await lab.append("other")
        assert conflict(await lab.log.append(lab.appending("a", expected=EXISTS))).actual == 0
        await lab.append("a")
        assert (await lab.append("a", expected=EXISTS)).revision == 2

    @in_colour
    async def test_a_revision_is_expected(self, lab: Lab) -> None:
        for revision in range(4):
            answer = await lab.append("a", expected=revision)
            assert answer.revision == revision + 1
        for wrong in (0, 1, 3, 5, 99):
            assert conflict(await lab.log.append(lab.appending("a", expected=wrong))).actual == 4
        assert (await lab.append("a", expected=4)).revision == 5

    @in_colour
    async def test_revisions_are_those_of_the_stream_and_not_of_the_log(self, lab: Lab) -> None:
        await lab.append("other", b"1", b"2", b"3")
        assert (await lab.append("a", expected=0)).revision == 1
        assert (await lab.append("other", expected=3)).revision == 4
        assert (await lab.append("a", expected=1)).revision == 2

    @in_colour
    async def test_a_conflict_writes_nothing(self, lab: Lab) -> None:
        await lab.append("a", b"1", b"2")
        before = await lab.everything()
        for expected in (0, 1, 3):
            conflict(await lab.log.append(lab.appending("a", b"x", b"y", expected=expected, key="key")))
        conflict(await lab.log.append(lab.appending("none", b"x", expected=EXISTS)))
        assert await lab.everything() == before
        assert (await lab.log.head())[0] == before[-1][0]
        assert (await lab.log.read_stream("a", 0, 10, MAX_PAGE_BYTES)).revision == 2
        assert (await lab.log.read_stream("none", 0, 10, MAX_PAGE_BYTES)).revision == 0

    @in_colour
    async def test_a_conflict_carries_what_was_missed(self, lab: Lab) -> None:
        for index in range(5):
            await lab.append("a", b"%d" % index)
            await lab.append("other", b"not this")
        rows = await lab.stream("a")
        for expected in range(5):
            met = conflict(await lab.log.append(lab.appending("a", b"x", expected=expected)))
            assert met.actual == 5
            missed = lab.page(met.missed, rows[expected:])
            assert met.missed == missed, "missed are the events after the expected revision, as they are read"
            assert met.complete is (missed == rows[expected:])

    @in_colour
    async def test_a_conflict_with_the_future_has_missed_nothing(self, lab: Lab) -> None:
        await lab.append("a")
        met = conflict(await lab.log.append(lab.appending("a", expected=7)))
        assert (met.actual, met.missed, met.complete) == (1, [], True)
        met = conflict(await lab.log.append(lab.appending("none", expected=7)))
        assert (met.actual, met.missed, met.complete) == (0, [], True)

    @in_colour
    async def test_a_conflict_carries_at_most_a_page_of_events(self, lab: Lab) -> None:
        await lab.append("a", *[b"%d" % index for index in range(MAX_PAGE_EVENTS + 50)])
        met = conflict(await lab.log.append(lab.appending("a", expected=1)))
        assert met.actual == MAX_PAGE_EVENTS + 50
        assert 1 <= len(met.missed) <= MAX_PAGE_EVENTS
        assert [row[2] for row in met.missed] == list(range(2, 2 + len(met.missed)))
        assert not met.complete, "the conflict says that it carries everything, and does not"

    @in_colour
    async def test_a_conflict_carries_at_most_a_page_of_bytes(self, lab: Lab) -> None:
        large = bytes(MAX_PAGE_BYTES // 2)
        for _ in range(4):
            await lab.append("a", large)
        met = conflict(await lab.log.append(lab.appending("a", expected=1)))
        assert [row[2] for row in met.missed] == lab.page(met.missed, [2, 3])
        assert met.actual == 4
        assert not met.complete


class LogExpectingAgain(Contract):
    """Appends that are sent again, because their answer was lost, and are known by the revision that they expect."""

    @in_colour
    async def test_the_same_append_again_is_answered_and_not_written(self, lab: Lab) -> None:
        for expected, payloads in ((0, (b"1",)), (1, (b"2", b"3", b"4")), (4, (b"5",))):
            append = lab.appending("a", *payloads, expected=expected)
            first = appended(await lab.log.append(append))
            before = await lab.everything()
            for _ in range(2):
                again = await lab.log.append(append)
                assert repeats(again, first)
            assert await lab.everything() == before

    @in_colour
    async def test_the_same_append_is_known_behind_later_ones(self, lab: Lab) -> None:
        await lab.append("a", b"0")
        append = lab.appending("a", b"1", b"2", expected=1)
        first = appended(await lab.log.append(append))
        await lab.append("b", b"elsewhere")
        await lab.append("a", *[b"later"] * 20)
        before = await lab.everything()
        again = await lab.log.append(append)
        assert repeats(again, first)
        assert await lab.everything() == before

    @in_colour
    async def test_an_append_of_more_than_a_page_is_known_too(self, lab: Lab) -> None:
        for payloads in ([b"x"] * (MAX_PAGE_EVENTS + 1), [b"x" * (MAX_PAGE_BYTES // 2)] * 3):
            append = lab.appending(f"s-{len(payloads)}", *payloads, expected=0)
            first = appended(await lab.log.append(append))
            assert repeats(await lab.log.append(append), first)
            await lab.append(append.stream, b"later")
            assert repeats(await lab.log.append(append), first)
            assert (await lab.log.read_stream(append.stream, 0, 1, 1)).revision == len(payloads) + 1

    @in_colour
    async def test_another_append_is_no_repeat(self, lab: Lab) -> None:
        append = lab.appending("a", b"1", expected=0)
        appended(await lab.log.append(append))
        others = (
            replace(append, recorded_us=append.recorded_us + 1),
            replace(append, number=append.number + 1),
            replace(append, events=[*append.events, ("happened", 1, b"one more")]),
            replace(append, recorded_us=append.recorded_us + 1, number=append.number + 1),
        )
        for other in others:
            assert conflict(await lab.log.append(other)).actual == 1
        assert len(await lab.everything()) == 1

    @in_colour
    async def test_an_append_cut_short_is_no_repeat(self, lab: Lab) -> None:
        await lab.append("a", b"0")
        append = lab.appending("a", b"1", b"2", expected=1)
        appended(await lab.log.append(replace(append, events=append.events[:1])))
        await lab.append("a", b"somebody else's")
        assert conflict(await lab.log.append(append)).actual == 3

    @in_colour
    async def test_a_key_is_looked_at_before_the_revision(self, lab: Lab) -> None:
        append = lab.appending("a", b"1", expected=0, key="key-1")
        first = appended(await lab.log.append(append))
        await lab.append("a", b"later")
        for expected in (0, 1, 2, 9, EXISTS):
            again = await lab.log.append(replace(append, expected=expected, number=77))
            assert repeats(again, first)
        assert len(await lab.everything()) == 2

    @in_colour
    async def test_a_key_that_wrote_nothing_is_not_kept(self, lab: Lab) -> None:
        await lab.append("a")
        conflict(await lab.log.append(lab.appending("a", b"1", expected=0, key="key-1", digest=b"d")))
        assert isinstance(await lab.log.recall("a", "key-1"), Receipt)
        assert isinstance(
            await lab.log.append(lab.appending("a", b"1", expected=1, key="key-1", digest=b"d")), Appended
        )
        reused = await lab.log.append(lab.appending("a", b"1", expected=2, key="key-1", digest=b"other"))
        assert isinstance(reused, KeyReused)
        assert len(await lab.everything()) == 2
