"""`Log.read`, `Log.read_stream` and `Log.head`: what is read is what was written, in bounded pages."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from ...domain.events import Appended, StoredEvent
from ...ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS
from .kit import Contract, Lab, appended, in_colour

ALL_BYTES = bytes(range(256))

NAMES = (
    "a", "A", "a ", " a", "a b", "a:b", "a::b", "a/b", "a-1", "a-10", "a_b", "a.b", "a*", "a?", "[a]", "{a}", "%a",
    "a%", "$a", "'a'", '"a"', "a;--", "\\a", "0", "null", "ä", "a\u0308", "ß", "ss", "İ", "i", "名前", "🙂", "\uffee",
    "é" * 255, "a" * 255, "a" * 254,
)  # fmt: skip
"""Stream names that somebody somewhere would mistake for one another."""


class LogReading(Contract):
    """What a log hands out."""

    @in_colour
    async def test_an_empty_log(self, lab: Lab) -> None:
        assert (await lab.log.head())[0] == 0
        page = await lab.log.read(0, 10, MAX_PAGE_BYTES)
        assert (page.events, page.head) == ([], 0)

    @in_colour
    async def test_what_is_read_is_what_was_written(self, lab: Lab) -> None:
        written: list[StoredEvent] = []
        appends = (
            lab.appending("a", b"{}", type="created", version=1),
            lab.appending("b", b"[1]", b"[2]", b"[3]", type="Some.Type:with/all-the_signs", version=12),
            lab.appending("a", b"x", metadata=b'{"by":"me"}', tags=b'["t"]', type="t" * 128),
            lab.appending("a", b"y", metadata=None, tags=b'["t"]'),
            lab.appending("b", b"z", metadata=b'{"by":"me"}', tags=None),
        )
        revisions: dict[str, int] = {}
        for append in appends:
            assert append.tags is None or isinstance(append.tags, bytes)
            answer = await lab.write(append)
            for index, (type_, version, payload) in enumerate(append.events):
                revisions[append.stream] = revisions.get(append.stream, 0) + 1
                row = (
                    append.stream, revisions[append.stream], append.recorded_us, append.number + index, type_, version,
                    append.metadata, append.tags, payload,
                )  # fmt: skip
                written.append((answer.position - len(append.events) + 1 + index, *row))
        rows = await lab.everything()
        counted = lab.backend.capabilities.expected_revisions
        assert [(row[1], counted and row[2], *row[3:]) for row in rows] == [
            (row[1], counted and row[2], *row[3:]) for row in written
        ]
        assert all(type(row) is tuple for row in rows), "a stored event is a plain tuple"
        for stream in ("a", "b"):
            assert await lab.stream(stream) == [row for row in rows if row[1] == stream]

    @in_colour
    async def test_numbers_and_times_of_any_size_are_kept(self, lab: Lab) -> None:
        append = replace(lab.appending("a", b"1", b"2"), number=2**61 - 1, recorded_us=4_102_444_800_999_999)
        await lab.write(append)
        assert [(row[3], row[4]) for row in await lab.everything()] == [
            (4_102_444_800_999_999, 2**61 - 1),
            (4_102_444_800_999_999, 2**61),
        ]

    @in_colour
    async def test_payloads_are_opaque_bytes(self, lab: Lab) -> None:
        payloads = [
            ALL_BYTES,
            *[bytes([value]) for value in range(256)],
            b"\xff\xfe",
            b"\r\n",
            "é🙂".encode(),
            bytes(2**20),
        ]
        await lab.append("a", *payloads)
        for rows in (await lab.everything(), await lab.stream("a")):
            assert [row[9] for row in rows] == payloads
            assert all(type(row[9]) is bytes for row in rows)

    @in_colour
    async def test_metadata_and_tags_are_bytes_or_none(self, lab: Lab) -> None:
        for metadata, tags in (
            (None, None),
            (ALL_BYTES, None),
            (None, b'["a"]'),
            (b"{}", '["a:\\"b","é🙂"]'.encode()),
            (ALL_BYTES, b' [ "a" ] '),
        ):
            await lab.write(lab.appending("a", b"1", b"2", metadata=metadata, tags=tags))
            for rows in (await lab.everything(), await lab.stream("a")):
                assert [row[7:9] for row in rows[-2:]] == [(metadata, tags)] * 2

    @in_colour
    async def test_stream_names_are_kept_apart(self, lab: Lab) -> None:
        for name in NAMES:
            await lab.append(name, name.encode(), expected=lab.expect(0))
        assert [row[1] for row in await lab.everything()] == list(NAMES)
        for name in NAMES:
            rows = await lab.stream(name)
            assert [(row[1], row[9]) for row in rows] == [(name, name.encode())]

    @in_colour
    async def test_after_is_exclusive(self, lab: Lab) -> None:
        rows = await lab.fill(5)
        for index, row in enumerate(rows):
            assert await lab.everything(after=row[0]) == rows[index + 1 :]
        assert await lab.everything(after=rows[0][0] - 1) == rows

    @in_colour
    async def test_a_page_has_at_most_so_many_events(self, lab: Lab) -> None:
        rows = await lab.fill(5)
        for limit in (1, 2, 4, 5, 6, MAX_PAGE_EVENTS):
            page = await lab.log.read(0, limit, MAX_PAGE_BYTES)
            assert page.events == lab.page(page.events, rows[:limit])
            assert page.head == rows[-1][0]

    @in_colour
    async def test_a_page_ends_with_the_event_that_reaches_so_many_bytes(self, lab: Lab) -> None:
        await lab.append("a", *[bytes(10)] * 6)
        for max_bytes, count in (
            (1, 1),
            (9, 1),
            (10, 1),
            (11, 2),
            (20, 2),
            (25, 3),
            (59, 6),
            (60, 6),
            (61, 6),
            (999, 6),
        ):
            assert len((await lab.log.read(0, 10, max_bytes)).events) == count, f"max_bytes={max_bytes}"
            assert len((await lab.log.read(0, 2, max_bytes)).events) == min(count, 2)

    @in_colour
    async def test_a_page_holds_at_least_one_event_however_large(self, lab: Lab) -> None:
        large = bytes(100_000)
        await lab.append("a", b"small", large, b"small again")
        rows = await lab.everything()
        page = await lab.log.read(rows[0][0], 10, 1)
        assert [row[9] for row in page.events] == [large]

    @in_colour
    async def test_pages_put_together_are_the_log(self, lab: Lab) -> None:
        for index in range(30):
            await lab.append(f"s-{index % 4}", *[b"%d.%d" % (index, part) for part in range(index % 3 + 1)])
        rows = await lab.everything()
        assert len({row[0] for row in rows}) == len(rows) == 60
        for limit in (1, 2, 3, 7, 59, 60, 61):
            assert await lab.everything(limit=limit) == rows

    @in_colour
    async def test_more_than_a_page_is_read_in_pages(self, lab: Lab) -> None:
        payloads = [b"%d" % index for index in range(2 * MAX_PAGE_EVENTS + 10)]
        await lab.append("a", *payloads)
        first = await lab.log.read(0, MAX_PAGE_EVENTS, MAX_PAGE_BYTES)
        assert len(first.events) == MAX_PAGE_EVENTS
        assert first.head > first.events[-1][0]
        assert [row[9] for row in await lab.everything()] == payloads
        assert [row[9] for row in await lab.stream("a")] == payloads

    @in_colour
    async def test_at_and_beyond_the_head_there_is_nothing(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        head = rows[-1][0]
        for after in (head, head + 1, head + 1_000_000):
            page = await lab.log.read(after, 10, MAX_PAGE_BYTES)
            assert (page.events, page.head) == ([], head)

    @in_colour
    async def test_head_is_the_last_position(self, lab: Lab) -> None:
        for size in (1, 3, 1):
            answer = await lab.append("a", *[b"x"] * size)
            head, _ = await lab.log.head()
            assert head >= answer.position
            assert head == answer.position or lab.backend.capabilities.partitions  # there is a gap behind it
            assert (await lab.log.read(0, 1, MAX_PAGE_BYTES)).head == head
            assert (await lab.log.read(answer.position, 1, MAX_PAGE_BYTES)).events == []


class LogKeeping(Contract):
    """What stays, whoever opens the log, and from where."""

    @in_colour
    async def test_everything_is_there_when_the_log_is_opened_again(self, lab: Lab) -> None:
        await lab.append("a", b"1", b"2")
        await lab.append("b", ALL_BYTES)
        before = await lab.everything()
        lab.reopen()
        assert await lab.everything() == before
        assert (await lab.log.head())[0] == before[-1][0]
        answer = await lab.append("a", b"3", expected=lab.expect(2))
        assert answer.position > before[-1][0]
        lab.reopen()
        assert [row[9] for row in await lab.stream("a")] == [b"1", b"2", b"3"]

    @in_colour
    async def test_a_closed_backend_opens_again_when_it_is_used(self, lab: Lab) -> None:
        await lab.append("a", b"1")
        lab.backend.close()
        await lab.append("a", b"2", expected=lab.expect(1))
        lab.backend.close()
        lab.backend.close()
        assert [row[9] for row in await lab.everything()] == [b"1", b"2"]

    @in_colour
    async def test_two_logs_on_one_storage_are_one(self, lab: Lab) -> None:
        other = lab.another().log(lab.colour.port)
        await lab.append("a", b"1", key="key-1")
        assert (await other.head())[0] == (await lab.log.head())[0]
        appended(await other.append(lab.appending("a", b"2", expected=lab.expect(1))))
        rows = await lab.everything()
        assert [row[9] for row in rows] == [b"1", b"2"]
        found = (await other.read(0, 10, MAX_PAGE_BYTES)).events
        assert found == lab.page(found, rows)
        assert isinstance(await other.recall("a", "key-1"), Appended)

    @in_colour
    async def test_a_log_is_used_from_several_threads_and_event_loops(self, lab: Lab) -> None:
        await lab.append("a", b"0")
        for index in range(1, 4):
            await lab.colour.apart(partial(lab.append, "a", b"%d" % index, expected=lab.expect(index)))
        assert [row[9] for row in await lab.colour.apart(lab.everything)] == [b"0", b"1", b"2", b"3"]
        assert len(await lab.everything()) == 4
