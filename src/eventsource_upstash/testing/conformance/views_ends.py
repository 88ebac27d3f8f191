"""Documents that end: from that moment on they are absent from whatever is read for a query."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...ports import MAX_PAGE_BYTES, Entries, Outcome
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, NOW_US, TASKS, found_by, numbers
from .views_indexes import put

END_US = 4_102_444_800_000_001
"""A moment in the year 2100: no clock but the one that the test is told has come so far."""

SCORES = numbers("score")


class ViewsEnds(Contract):
    """A document that has ended is still stored, and nobody who queries sees it."""

    @staticmethod
    async def _seen(lab: Lab, now_us: int) -> str:
        """The keys of the documents a to e that are seen at a time: by each way there is to look at them."""
        keys = list("abcde")
        seen = sorted(await lab.get(TASKS, keys, now_us))
        assert sorted((await lab.views.get_many(TASKS, keys, now_us, primary=True)).documents) == seen
        for key in keys:
            assert (key in await lab.get(TASKS, [key], now_us)) is (key in seen)
        for limit in (1, 2, 10):
            assert list(await lab.documents(TASKS, now_us, limit=limit)) == seen
            assert await lab.found(TASKS, SCORES, now_us, limit=limit) == seen
            assert await lab.found(TASKS, SCORES, now_us, limit=limit, reverse=True) == seen[::-1]
        assert await lab.count(TASKS, None, now_us) == await lab.count(TASKS, SCORES, now_us) == len(seen)
        for key in keys:
            rank = seen.index(key) if key in seen else None
            assert await lab.rank(TASKS, SCORES, key, now_us) == (rank, len(seen))
        for index, key in enumerate(keys, 1):
            one = numbers("score", index, index)
            assert await lab.count(TASKS, one, now_us) == (key in seen)
        return "".join(seen)

    @in_colour
    async def test_a_document_is_absent_from_its_end_on(self, lab: Lab) -> None:
        ends = {"a": END_US + 5, "b": END_US, "c": None, "d": END_US + 1, "e": END_US}
        await put(lab, {key: found_by(end, score=n) for n, (key, end) in enumerate(ends.items(), 1)})
        for now_us, seen in (
            (NOW_US, "abcde"),
            (END_US - 1, "abcde"),
            (END_US, "acd"),
            (END_US + 1, "ac"),
            (END_US + 4, "ac"),
            (END_US + 5, "c"),
            (END_US * 2, "c"),
            # Whoever has another clock sees what there is by that clock.
            (END_US - 1, "abcde"),
        ):
            assert await self._seen(lab, now_us) == seen, f"at {now_us}"
        lab.reopen()
        assert await self._seen(lab, END_US) == "acd"

    @in_colour
    async def test_an_end_in_the_past_has_come(self, lab: Lab) -> None:
        ends = {"a": 1, "b": NOW_US, "c": NOW_US - 1, "d": NOW_US + 1, "e": 1_000_000}
        await put(lab, {key: found_by(end, score=n) for n, (key, end) in enumerate(ends.items(), 1)})
        assert await self._seen(lab, NOW_US) == "d"
        assert await self._seen(lab, NOW_US - 1) == "bd"

    @in_colour
    async def test_a_document_that_has_ended_is_still_loaded(self, lab: Lab) -> None:
        entries = {"a": found_by(1, score=1), "b": found_by(END_US)}
        await put(lab, entries)
        documents = {"a": b"document a", "b": b"document b"}
        for _ in range(2):
            assert await self._absent(lab, ["a", "b"])
            assert await lab.stored(TASKS, 1, ["a", "b", "c"]) == (documents, entries, {})
            lab.reopen()

    @staticmethod
    async def _absent(lab: Lab, keys: list[str]) -> bool:
        return not await lab.get(TASKS, keys, END_US) and not await lab.documents(TASKS, END_US)

    @in_colour
    async def test_an_end_changes_with_its_document(self, lab: Lab) -> None:
        everybody = {key: found_by(None, score=n) for n, key in enumerate("abcde", 1)}
        await put(lab, everybody)
        assert await self._seen(lab, END_US) == "abcde"
        await put(lab, {"b": found_by(END_US, score=2), "c": found_by(END_US + 1, score=3), "d": None})
        assert await self._seen(lab, END_US) == "ace"
        assert await self._seen(lab, END_US + 1) == "ae"
        await put(lab, {"b": found_by(END_US + 2, score=2), "c": everybody["c"], "d": found_by(END_US, score=4)})
        assert await self._seen(lab, END_US + 1) == "abce"
        assert await self._seen(lab, END_US - 1) == "abcde"
        await put(lab, {"b": everybody["b"], "d": None})
        assert await self._seen(lab, END_US * 2) == "abce"
        await put(lab, {"d": everybody["d"]})
        assert await self._seen(lab, END_US * 2) == "abcde"

    @in_colour
    async def test_an_end_needs_no_index(self, lab: Lab) -> None:
        await put(lab, {"a": found_by(END_US), "b": Entries(), "c": found_by(END_US)})
        for now_us, seen in ((END_US - 1, ["a", "b", "c"]), (END_US, ["b"])):
            assert sorted(await lab.get(TASKS, ["a", "b", "c"], now_us)) == seen
            assert list(await lab.documents(TASKS, now_us)) == seen
            assert await lab.count(TASKS, None, now_us) == len(seen)

    @in_colour
    async def test_pages_lead_on_over_documents_that_have_ended(self, lab: Lab) -> None:
        entries = {f"{n:02}": found_by(None if n in (3, 17, 18) else END_US, score=n) for n in range(25)}
        await put(lab, entries)
        for limit, max_bytes in ((1, MAX_PAGE_BYTES), (3, MAX_PAGE_BYTES), (100, MAX_PAGE_BYTES), (100, 1)):
            found = await lab.documents(TASKS, END_US, limit=limit, max_bytes=max_bytes)
            assert list(found) == ["03", "17", "18"]
            for reverse in (False, True):
                keys = await lab.found(TASKS, SCORES, END_US, limit=limit, max_bytes=max_bytes, reverse=reverse)
                assert keys == (["18", "17", "03"] if reverse else ["03", "17", "18"])
                page = await lab.views.find(TASKS, SCORES, None, limit, max_bytes, END_US, reverse=reverse)
                assert len(page.documents) <= limit
                keys = await lab.found(TASKS, numbers("score", 4, 16), END_US, limit=limit, reverse=reverse)
                assert keys == []
        await put(lab, {"03": found_by(END_US), "17": None, "18": found_by(END_US - 1, score=18)})
        for limit in (1, 3, 100):
            assert await lab.documents(TASKS, END_US, limit=limit) == {}
            assert await lab.found(TASKS, SCORES, END_US, limit=limit) == []

    @in_colour
    async def test_documents_that_have_ended_are_listed_to_be_deleted(self, lab: Lab) -> None:
        ends = {"a": END_US + 1, "b": END_US, "c": None, "d": END_US - 1, "e": 1, "f": END_US * 2}
        entries = {key: found_by(end, score=n) for n, (key, end) in enumerate(ends.items())}
        await put(lab, entries)
        await put(lab, {"other": found_by(1)}, LISTS)
        for now_us, limit, keys in (
            (END_US + 1, 10, "edba"),
            (END_US, 10, "edb"),
            (END_US - 1, 10, "ed"),
            (0, 10, ""),
            (END_US + 1, 3, "edb"),
            (END_US + 1, 1, "e"),
        ):
            ended = await lab.views.ended(TASKS, now_us, limit)
            assert list(ended.documents.items()) == [(key, entries[key]) for key in keys]
            assert ended.progress == await lab.progress(TASKS)
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, {"new": b"x"}, generation=building, entries={"new": found_by(1)})
        ended = await lab.views.ended(TASKS, END_US, 2)
        progress = ended.progress
        commit = await lab.committing(TASKS, progress.checkpoint, dict.fromkeys(ended.documents))
        assert await lab.outcome(commit._replace(before=ended.documents)) is Outcome.COMMITTED
        assert list((await lab.views.ended(TASKS, END_US, 2)).documents) == ["b"]
        assert list(await lab.documents(TASKS)) == ["a", "b", "c", "f"]
        assert await lab.found(TASKS, SCORES) == ["a", "b", "c", "f"]
        assert (await lab.stored(TASKS, 1, ["d", "e"])).documents == {}
        await lab.commit(TASKS, (await lab.log.head())[0], generation=building)
        assert list((await lab.views.ended(TASKS, END_US, 10)).documents) == ["new"]

    @in_colour
    async def test_a_document_that_ended_is_put_again(self, lab: Lab) -> None:
        await put(lab, {"a": found_by(END_US, score=1)})
        assert await lab.count(TASKS, None, END_US) == 0
        await put(lab, {"a": found_by(END_US + 10, score=2)})
        assert list(await lab.documents(TASKS, END_US)) == await lab.found(TASKS, SCORES, END_US) == ["a"]
        assert await lab.count(TASKS, None, END_US) == 1
        assert (await lab.views.ended(TASKS, END_US, 10)).documents == {}
        await put(lab, {"a": None})
        assert (await lab.views.ended(TASKS, END_US * 2, 10)).documents == {}
        assert await lab.count(TASKS, None, END_US) == 0

    @in_colour
    async def test_records_do_not_end(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        await lab.commit(TASKS, row[0], {"a": b"1"}, entries={"a": found_by(1)}, records={"a": b"1"})
        assert await lab.records(TASKS, ["a"]) == {"a": b"1"}
        assert await lab.get(TASKS, ["a"]) == {}
