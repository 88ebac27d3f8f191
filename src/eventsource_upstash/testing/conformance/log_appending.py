"""`Log.append` and `Log.recall`: where an event came to stand, and once."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from itertools import pairwise

from msgspec.structs import replace

from ...domain.events import Receipt
from ...ports import KeyReused
from .kit import Contract, Lab, appended, in_colour, repeats


class LogAppending(Contract):
    """Appends, and what they answer."""

    @in_colour
    async def test_an_append_answers_where_its_last_event_stands(self, lab: Lab) -> None:
        answers = [
            await lab.append(stream, *payloads) for stream, *payloads in (("a", b"1"), ("a", b"2", b"3"), ("b", b"4"))
        ]
        places = {row[9]: (row[0], row[2]) for row in await lab.everything()}
        assert [(each.position, each.revision) for each in answers] == [
            places[payload] for payload in (b"1", b"3", b"4")
        ]

    @in_colour
    async def test_positions_and_revisions_grow_within_a_stream(self, lab: Lab) -> None:
        for size in (1, 3, 2):
            for stream in ("a", "b"):
                await lab.append(stream, *[b"%d" % index for index in range(size)])
        rows = await lab.everything()
        assert len({row[0] for row in rows}) == len(rows) == 12, "a position was handed out twice"
        for stream in ("a", "b"):
            places = [(row[0], row[2]) for row in rows if row[1] == stream]
            assert min(places) >= (1, 1)
            for before, after in pairwise(places):
                assert before[0] < after[0]
                assert before[1] < after[1]


class LogRepeating(Contract):
    """Appends that are sent again, because their answer was lost."""

    @in_colour
    async def test_a_key_makes_an_append_repeatable(self, lab: Lab) -> None:
        append = lab.appending("a", *lab.several(b"1", b"2"), key="key-1")
        first = appended(await lab.log.append(append))
        await lab.append("a", b"later")
        before = await lab.everything()
        for again in (append, replace(append, number=77, recorded_us=append.recorded_us + 5), append):
            assert repeats(await lab.log.append(again), first)
        assert await lab.everything() == before

    @in_colour
    async def test_a_key_with_another_digest_is_refused(self, lab: Lab) -> None:
        await lab.log.append(lab.appending("a", b"1", key="key-1", digest=b"\x00\xff one"))
        for other in (b"\x00\xff two", b"\x00", b"\x00\xff one "):
            answer = await lab.log.append(lab.appending("a", b"1", key="key-1", digest=other))
            assert isinstance(answer, KeyReused)
        assert len(await lab.everything()) == 1

    @in_colour
    async def test_keys_are_told_apart_exactly(self, lab: Lab) -> None:
        keys = ["key", "KEY", "key ", "kéy", "ke\u0301y", "🔑", "key*", "k:e:y", "k" * 255, "k" * 254, "0", "%s", "'"]
        answers = [await lab.append("a", key=key) for key in keys]
        assert len({answer.revision for answer in answers}) == len(keys)
        for key, answer in zip(keys, answers, strict=True):
            assert repeats(await lab.log.recall("a", key), answer)

    @in_colour
    async def test_recall_answers_what_the_append_answered(self, lab: Lab) -> None:
        await lab.append("b", b"0")
        assert isinstance(await lab.log.recall("a", "key-1"), Receipt)
        answer = appended(await lab.log.append(lab.appending("a", *lab.several(b"1", b"2"), key="key-1")))
        await lab.append("a", b"3")
        assert repeats(await lab.log.recall("a", "key-1"), answer)
        assert isinstance(await lab.log.recall("a", "key-2"), Receipt)
