"""`Log.read` with a query: events are found by type and tag, exactly those that the query means."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...domain.codec import decode_tags, encode_tags
from ...domain.events import StoredEvent
from ...domain.queries import Query, QueryItem
from ...ports import MAX_PAGE_BYTES
from .kit import Contract, Lab, appended, in_colour
from .log_reading import NAMES

ALIKE = (
    *NAMES,
    "course:c1", "course:c10", "course:c1:", ":course:c1", "course", "c1", "course;c1", "course c1", "course|c1",
    "course,c1", "course\\c1", "Course:c1", "course%3Ac1", "course:C1", "course:ç1", "course:c\u03271", "%", "_",
    "course:%", "course:_1", '["course:c1"]', "[]", "''", '""', "--", "\\u0061", "c" * 254 + "a", "c" * 254 + "b",
)  # fmt: skip
"""Tags that somebody somewhere would mistake for one another."""

TYPES = ("opened", "Opened", "opened.", "opened:1", "opened:10", "opened/1", "open-ed", "o", "t" * 128, "t" * 127)


def tagged(*tags: str) -> bytes | None:
    """Tags as an append carries them."""
    return encode_tags(tags)


def meant(rows: list[StoredEvent], query: Query, after: int = 0) -> list[StoredEvent]:
    """What a query means of the whole log, by looking at every event of it."""
    return [row for row in rows if row[0] > after and query.matches(row[5], decode_tags(row[8]))]


async def fill(lab: Lab) -> list[StoredEvent]:
    """A log of courses and students, in several streams. Answers the whole of it."""
    for stream, type_, *tags in (
        ("c-1", "defined", "course:1"),
        ("c-2", "defined", "course:2"),
        ("c-1", "subscribed", "course:1", "student:1"),
        ("c-1", "subscribed", "course:1", "student:2"),
        ("c-2", "subscribed", "course:2", "student:1"),
        ("other", "noted"),
        ("c-1", "changed", "course:1"),
        ("other", "noted", "student:1"),
        ("c-2", "subscribed", "student:2", "course:2"),
        ("c-2", "defined"),
    ):
        appended(await lab.log.append(lab.appending(stream, type=type_, tags=tagged(*tags))))
    return await lab.everything()


class LogQuerying(Contract):
    """What a query finds, and how it is handed out."""

    @in_colour
    async def test_a_query_finds_events_by_type(self, lab: Lab) -> None:
        rows = await fill(lab)
        for types in (["defined"], ["noted"], ["defined", "noted"], ["changed", "subscribed", "defined", "noted"]):
            found = await lab.find(Query.of(types=types))
            assert found == [row for row in rows if row[5] in types]
            assert all(type(row) is tuple for row in found), "a stored event is a plain tuple"

    @in_colour
    async def test_a_query_finds_events_that_have_all_of_its_tags(self, lab: Lab) -> None:
        rows = await fill(lab)
        for tags, places in (
            (["course:1"], [0, 2, 3, 6]),
            (["student:1"], [2, 4, 7]),
            (["course:1", "student:1"], [2]),
            (["student:2", "course:2"], [8]),
            (["course:1", "course:2"], []),
            (["course:1", "student:1", "nobody"], []),
        ):
            assert await lab.find(Query.of(tags=tags)) == [rows[place] for place in places]

    @in_colour
    async def test_of_an_item_both_a_type_and_all_tags_have_to_match(self, lab: Lab) -> None:
        rows = await fill(lab)
        for types, tags, places in (
            (["defined"], ["course:1"], [0]),
            (["subscribed"], ["course:1"], [2, 3]),
            (["subscribed"], ["course:1", "student:2"], [3]),
            (["defined", "changed"], ["course:1"], [0, 6]),
            (["noted"], ["course:1"], []),
            (["unheard-of"], ["student:1"], []),
        ):
            assert await lab.find(Query.of(types=types, tags=tags)) == [rows[place] for place in places]

    @in_colour
    async def test_an_event_is_found_by_any_of_the_items_and_once(self, lab: Lab) -> None:
        rows = await fill(lab)
        by_student, by_course = Query.of(tags=["student:1"]), Query.of(types=["subscribed"], tags=["course:1"])
        assert await lab.find(by_student | by_course) == [rows[place] for place in (2, 3, 4, 7)]
        assert await lab.find(Query.of(types=["defined"]) | Query.of(types=["defined", "changed"])) == [
            rows[place] for place in (0, 1, 6, 9)
        ]
        assert await lab.find(Query.of(types=["noted"]) | Query.of(tags=["nobody"])) == [rows[5], rows[7]]

    @in_colour
    async def test_the_query_that_every_event_matches(self, lab: Lab) -> None:
        assert await lab.find(Query.all()) == []
        rows = await fill(lab)
        assert await lab.find(Query.all()) == rows
        assert await lab.find(Query.all() | Query.of(tags=["student:1"])) == rows
        assert await lab.find(Query.all(), after=rows[3][0]) == rows[4:]

    @in_colour
    async def test_a_query_that_no_event_matches(self, lab: Lab) -> None:
        nothing = Query.of(types=["unheard-of"]) | Query.of(tags=["nobody"])
        assert await lab.find(nothing) == []
        rows = await fill(lab)
        assert await lab.find(nothing) == []
        page = await lab.log.read(0, 10, MAX_PAGE_BYTES, nothing)
        assert (page.events, page.head) == ([], rows[-1][0])

    @in_colour
    async def test_a_query_is_read_after_a_position(self, lab: Lab) -> None:
        rows = await fill(lab)
        query = Query.of(types=["subscribed"]) | Query.of(tags=["student:1"])
        for after in (0, *(row[0] for row in rows), rows[-1][0] + 1, rows[-1][0] + 1_000_000):
            assert await lab.find(query, after=after) == meant(rows, query, after)

    @in_colour
    async def test_a_page_of_a_query_is_bounded(self, lab: Lab) -> None:
        for _ in range(3):
            await lab.write(lab.appending("s", bytes(10), bytes(10), tags=[tagged("a"), tagged("b")]))
        rows = meant(await lab.everything(), query := Query.of(tags=["a"]))
        for limit in (1, 2, 3, 4):
            page = await lab.log.read(0, limit, MAX_PAGE_BYTES, query)
            assert page.events == lab.page(page.events, rows[:limit])
        for max_bytes, count in ((1, 1), (10, 1), (11, 2), (20, 2), (30, 3), (99, 3)):
            page = await lab.log.read(0, 10, max_bytes, query)
            assert page.events == lab.page(page.events, rows[:count]), f"max_bytes={max_bytes}"

    @in_colour
    async def test_pages_of_a_query_put_together_are_what_it_means(self, lab: Lab) -> None:
        rows = await fill(lab)
        for query in (
            Query.all(),
            Query.of(types=["subscribed"]),
            Query.of(types=["defined"]) | Query.of(types=["noted"], tags=["student:1"]),
            Query.of(tags=["course:1", "student:1"]) | Query.of(tags=["course:2"]),
        ):
            for limit in (1, 2, 3, 5, 100):
                assert await lab.find(query, limit=limit) == meant(rows, query)

    @in_colour
    async def test_more_events_than_a_page_are_found(self, lab: Lab) -> None:
        count = 1_200
        tags = [tagged("a" if index % 2 else "b", f"at-{index % 400}") for index in range(count)]
        await lab.write(lab.appending("s", *[b"%d" % index for index in range(count)], tags=tags))
        await lab.append("s", b"last")
        assert [row[9] for row in await lab.find(Query.of(types=["happened"]))][-1] == b"last"
        found = await lab.find(Query.of(tags=["a"]))
        assert [row[9] for row in found] == [b"%d" % index for index in range(1, count, 2)]
        assert [row[9] for row in await lab.find(Query.of(tags=["a", "at-7"]))] == [b"7", b"407", b"807"]

    @in_colour
    async def test_tags_that_look_alike_are_kept_apart(self, lab: Lab) -> None:
        for tag in ALIKE:
            await lab.log.append(lab.appending("s", tag.encode(), tags=tagged(tag)))
        for tag in ALIKE:
            assert [row[9] for row in await lab.find(Query.of(tags=[tag]))] == [tag.encode()]
            assert [row[9] for row in await lab.find(Query.of(types=["happened"], tags=[tag]))] == [tag.encode()]

    @in_colour
    async def test_types_that_look_alike_are_kept_apart(self, lab: Lab) -> None:
        for name in TYPES:
            await lab.log.append(lab.appending("s", name.encode(), type=name, tags=tagged("a", name)))
        for name in TYPES:
            for query in (Query.of(types=[name]), Query.of(types=[name], tags=["a"]), Query.of(tags=[name, "a"])):
                assert [row[9] for row in await lab.find(query)] == [name.encode()]

    @in_colour
    async def test_a_type_is_no_tag(self, lab: Lab) -> None:
        await lab.log.append(lab.appending("s", b"1", type="a", tags=tagged("b")))
        await lab.log.append(lab.appending("s", b"2", type="b", tags=tagged("a")))
        assert [row[9] for row in await lab.find(Query.of(types=["a"]))] == [b"1"]
        assert [row[9] for row in await lab.find(Query.of(tags=["a"]))] == [b"2"]
        assert await lab.find(Query((QueryItem(frozenset({"a"}), frozenset({"a"})),))) == []

    @in_colour
    async def test_events_are_found_when_the_log_is_opened_again(self, lab: Lab) -> None:
        rows = await fill(lab)
        query = Query.of(types=["subscribed"], tags=["student:1"]) | Query.of(types=["changed"])
        lab.reopen()
        assert await lab.find(query) == meant(rows, query)
        await lab.log.append(lab.appending("s", type="changed"))
        lab.reopen()
        assert len(await lab.find(query)) == len(meant(rows, query)) + 1
