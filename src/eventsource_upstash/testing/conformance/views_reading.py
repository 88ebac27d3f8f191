"""`Views.pull`, `progress`, `get_many`, `items` and `count`: where everybody is, what comes next, and what is there."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...domain.projections import ProjectionId
from ...ports import MAX_PAGE_BYTES, Pull, Pulled, Wanted
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, NOW_US, TASKS

KEYS = (
    "0", "00", "10", "2", "A", "B", "Z", "_", "a", "a b", "a!", "aa", "a:b", "b", "z", "{a}", "~", "ä", "a\u0308",
    "é" * 500, "ﬀ", "\uffee", "名", "🙂", "\U0001f642b", "*", "?", "[a]", "%", "'", '"', "\\", "k" * 1024,
)  # fmt: skip
"""Keys that are mistaken for one another, or sorted otherwise, by case folding, UTF-16 or a locale."""


class ViewsPulling(Contract):
    """What comes next for whom."""

    @staticmethod
    async def _pull(lab: Lab, *names: ProjectionId, limit: int = 100, rear: bool = False) -> Pulled:
        return await lab.views.pull(Pull(names, limit, MAX_PAGE_BYTES, rear))

    @in_colour
    async def test_an_empty_log_has_nothing_to_pull(self, lab: Lab) -> None:
        for rear in (False, True):
            pulled = await self._pull(lab, TASKS, LISTS, rear=rear)
            assert (pulled.head, pulled.after, pulled.events) == (0, 0, [])
            assert [(each.projection, each.checkpoint) for each in pulled.progress] == [(TASKS, 0), (LISTS, 0)]

    @in_colour
    async def test_a_projection_never_seen_starts_at_the_beginning(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        for rear in (False, True):
            pulled = await self._pull(lab, TASKS, rear=rear)
            assert (pulled.head, pulled.after) == (rows[-1][0], 0)
            assert pulled.events == lab.page(pulled.events, rows)
            assert pulled.progress[0].checkpoint == 0

    @in_colour
    async def test_the_page_follows_the_checkpoint(self, lab: Lab) -> None:
        rows = await lab.fill(6)
        for index in range(5):
            await lab.commit(TASKS, rows[index][0])
            pulled = await self._pull(lab, TASKS)
            assert pulled.progress[0].checkpoint == pulled.after == rows[index][0]
            assert pulled.events == lab.page(pulled.events, rows[index + 1 :])
            assert pulled.head == rows[-1][0]

    @in_colour
    async def test_the_front_is_the_highest_checkpoint_below_the_head(self, lab: Lab) -> None:
        rows = await lab.fill(6)
        names = [ProjectionId(name, 1) for name in ("unseen", "back", "front", "there")]
        for name, index in zip(names[1:], (1, 3, 5), strict=True):
            await lab.commit(name, rows[index][0])
        front = await self._pull(lab, *names)
        assert [each.projection for each in front.progress] == names
        assert [each.checkpoint for each in front.progress] == [0, rows[1][0], rows[3][0], rows[5][0]]
        assert (front.after, front.events) == (rows[3][0], lab.page(front.events, rows[4:]))
        rear = await self._pull(lab, *names, rear=True)
        assert rear.progress == front.progress
        assert (rear.after, rear.events) == (0, lab.page(rear.events, rows))
        rear = await self._pull(lab, *names[1:], rear=True)
        assert (rear.after, rear.events) == (rows[1][0], lab.page(rear.events, rows[2:]))
        backwards = await self._pull(lab, *reversed(names))
        assert backwards.progress == tuple(reversed(front.progress))
        assert backwards.after == rows[3][0]

    @in_colour
    async def test_when_all_are_there_nothing_is_pulled(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        head = rows[-1][0]
        for name in (TASKS, LISTS):
            await lab.commit(name, head)
        for rear in (False, True):
            pulled = await self._pull(lab, TASKS, LISTS, rear=rear)
            assert (pulled.head, pulled.after, pulled.events) == (head, head, [])

    @in_colour
    async def test_a_pulled_page_is_bounded(self, lab: Lab) -> None:
        await lab.append("a", *[bytes(10)] * 6)
        rows = await lab.everything()
        assert (await self._pull(lab, TASKS, limit=4)).events == rows[:4]
        for max_bytes, count in ((1, 1), (10, 1), (11, 2), (30, 3), (1_000, 6)):
            pulled = await lab.views.pull(Pull((TASKS,), 100, max_bytes))
            assert pulled.events == rows[:count], f"max_bytes={max_bytes}"
            assert pulled.head == rows[-1][0]

    @in_colour
    async def test_progress_is_answered_in_the_order_asked(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        await lab.commit(TASKS, rows[1][0])
        unseen = ProjectionId("unseen", 3)
        for names in ((TASKS, LISTS, unseen), (unseen, TASKS), (LISTS,)):
            progress, head, _ = await lab.views.progress(names)
            assert [each.projection for each in progress] == list(names)
            assert [each.checkpoint for each in progress] == [rows[1][0] if name == TASKS else 0 for name in names]
            assert head == rows[-1][0]

    @in_colour
    async def test_a_view_is_built_by_pulling_and_committing(self, lab: Lab) -> None:
        rows = await lab.fill(10)
        folded: list[bytes] = []
        pulled: Pulled | None = await self._pull(lab, TASKS, limit=3)
        while pulled is not None and pulled.events:
            folded += [row[9] for row in pulled.events]
            commit = await lab.committing(TASKS, pulled.events[-1][0], {"all": b",".join(folded)})
            pulled = (await lab.views.commit([commit], Pull((TASKS,), 3, MAX_PAGE_BYTES))).pulled
            assert len(folded) <= len(rows), "events are handed out again and again"
        assert await lab.documents(TASKS) == {"all": b",".join(row[9] for row in rows)}


class ViewsReading(Contract):
    """What is found of a view."""

    @staticmethod
    async def _put(lab: Lab, *keys: str) -> dict[str, bytes]:
        (row,) = await lab.fill(1)
        documents = {key: b"document " + key.encode() for key in keys}
        await lab.commit(TASKS, row[0], dict(documents))
        return documents

    @in_colour
    async def test_a_view_never_written_is_empty(self, lab: Lab) -> None:
        assert await lab.get(TASKS, ["a"]) == {}
        for after in (None, "a"):
            page = await lab.views.items(TASKS, after, 10, MAX_PAGE_BYTES, NOW_US)
            assert (page.documents, page.more, page.last) == ([], False, None)
        assert await lab.count(TASKS) == 0

    @in_colour
    async def test_documents_are_found_by_key(self, lab: Lab) -> None:
        documents = await self._put(lab, *KEYS)
        assert await lab.get(TASKS, KEYS) == documents
        for key, document in documents.items():
            assert await lab.get(TASKS, [key]) == {key: document}
        assert await lab.get(TASKS, ["nobody", "a", "AA", "🙂"]) == {
            "a": documents["a"],
            "🙂": documents["🙂"],
        }
        assert await lab.get(TASKS, ["nobody"]) == {}
        assert await lab.get(TASKS, []) == {}
        assert await lab.get(LISTS, ["a"]) == {}

    @in_colour
    async def test_what_has_to_be_fresh_is_as_of_the_last_commit(self, lab: Lab) -> None:
        for index, row in enumerate(await lab.fill(4)):
            await lab.commit(TASKS, row[0], {"a": b"%d" % index, f"{index}": b"x"})
            got = await lab.views.get_many(TASKS, ["a"], NOW_US, primary=True)
            assert (got.documents, got.progress.checkpoint) == ({"a": b"%d" % index}, row[0])
            counted = await lab.views.count(TASKS, None, NOW_US, primary=True)
            assert (counted.count, counted.progress.checkpoint) == (index + 2, row[0])

    @in_colour
    async def test_many_documents_are_found_at_once(self, lab: Lab) -> None:
        documents = await self._put(lab, *(f"key-{index}" for index in range(1_100)))
        assert await lab.get(TASKS, [*documents, "nobody", *list(documents)[:3]]) == documents

    @in_colour
    async def test_documents_of_several_projections_are_loaded_at_once(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(TASKS, rows[0][0], {"a": b"1", "b": b"2", "c": b"3"})
        await lab.commit(LISTS, rows[1][0], {"a": b"other", "z": bytes(range(256))})
        unseen = ProjectionId("unseen", 1)

        async def loaded(*wanted: tuple[ProjectionId, list[str]]) -> list[dict[str, bytes]]:
            stored, _ = await lab.views.load([Wanted(projection, 1, keys) for projection, keys in wanted])
            return [each.documents for each in stored]

        found = await loaded((LISTS, ["z", "a", "b"]), (unseen, ["a"]), (TASKS, ["c", "nobody", "a"]))
        assert found == [{"z": bytes(range(256)), "a": b"other"}, {}, {"c": b"3", "a": b"1"}]
        assert await loaded((TASKS, ["a"]), (LISTS, [])) == [{"a": b"1"}, {}]
        many = [f"{index}" for index in range(1_200)]
        found = await loaded((TASKS, [*many, "b"]), (LISTS, [*many, "a"]))
        assert found == [{"b": b"2"}, {"a": b"other"}]

    @in_colour
    async def test_items_are_in_order_of_the_keys_characters(self, lab: Lab) -> None:
        documents = await self._put(lab, *KEYS)
        items = (await lab.views.items(TASKS, None, len(KEYS) + 1, MAX_PAGE_BYTES, NOW_US)).documents
        assert [key for key, _ in items] == sorted(KEYS)
        assert dict(items) == documents

    @in_colour
    async def test_items_come_after_a_key(self, lab: Lab) -> None:
        await self._put(lab, *KEYS)
        ordered = sorted(KEYS)
        for after in (*ordered, "a ", "aaa", "nobody", "\U0010ffff"):
            page = await lab.views.items(TASKS, after, len(KEYS), MAX_PAGE_BYTES, NOW_US)
            assert [key for key, _ in page.documents] == [key for key in ordered if key > after]

    @in_colour
    async def test_items_are_bounded(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        await lab.commit(TASKS, row[0], {f"{index}": bytes(10) for index in range(6)})
        for limit in (1, 5, 6, 7):
            page = await lab.views.items(TASKS, None, limit, MAX_PAGE_BYTES, NOW_US)
            assert (len(page.documents), page.more) == (min(limit, 6), limit < 6)
            assert page.last == ("", page.documents[-1][0])
        for max_bytes, count in ((1, 1), (10, 1), (11, 2), (30, 3), (1_000, 6)):
            page = await lab.views.items(TASKS, None, 100, max_bytes, NOW_US)
            found = [key for key, _ in page.documents]
            assert found == [f"{index}" for index in range(count)], f"max_bytes={max_bytes}"
            assert page.more is (count < 6), f"max_bytes={max_bytes}"

    @in_colour
    async def test_pages_put_together_are_the_view(self, lab: Lab) -> None:
        documents = await self._put(lab, *KEYS)
        for limit, max_bytes in ((1, MAX_PAGE_BYTES), (4, MAX_PAGE_BYTES), (100, 30)):
            found: list[tuple[str, bytes]] = []
            more = True
            while more:
                after = found[-1][0] if found else None
                page = await lab.views.items(TASKS, after, limit, max_bytes, NOW_US)
                found += page.documents
                more = page.more
                assert page.documents or not more, "a page says that there is more, and is empty"
                assert len(found) <= len(KEYS), "documents are handed out again and again"
            assert found == sorted(documents.items())

    @in_colour
    async def test_count(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        expected = 0
        steps: list[tuple[dict[str, bytes | None], int]] = [
            ({"a": b"1", "b": b"2", "c": b"3"}, 3),
            ({"a": b"again", "d": b"4"}, 4),
            ({"a": None, "b": None, "never there": None}, 2),
            ({"a": b"back", "c": None, "d": None}, 1),
        ]
        for row, (documents, expected) in zip(rows, steps, strict=True):
            await lab.commit(TASKS, row[0], documents)
            assert await lab.count(TASKS) == expected
            assert len(await lab.documents(TASKS)) == expected
        assert await lab.count(LISTS) == 0
