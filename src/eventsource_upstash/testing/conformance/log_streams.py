"""`Log.read_stream`: one stream by itself, in bounded pages."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...ports import MAX_PAGE_BYTES
from .kit import Contract, Lab, in_colour


class LogStreams(Contract):
    """Streams that are read by themselves. For a log that can `streams`."""

    @in_colour
    async def test_a_page_of_a_stream_ends_with_the_event_that_reaches_so_many_bytes(self, lab: Lab) -> None:
        await lab.append("a", *[bytes(10)] * 6)
        for max_bytes, count in ((1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (25, 3), (59, 6), (60, 6), (999, 6)):
            assert len((await lab.log.read_stream("a", 0, 10, max_bytes)).events) == count, f"max_bytes={max_bytes}"

    @in_colour
    async def test_a_page_of_a_stream_holds_at_least_one_event_however_large(self, lab: Lab) -> None:
        large = bytes(100_000)
        await lab.append("a", b"small", large, b"small again")
        page = await lab.log.read_stream("a", 1, 10, 1)
        assert [row[9] for row in page.events] == [large]

    @in_colour
    async def test_a_stream_is_read_after_a_revision(self, lab: Lab) -> None:
        for index in range(6):
            await lab.append("a", b"%d" % index)
            await lab.append("b", b"other")
        rows = [row for row in await lab.everything() if row[1] == "a"]
        for after in range(8):
            for limit in (1, 2, 10):
                page = await lab.log.read_stream("a", after, limit, MAX_PAGE_BYTES)
                assert page.events == lab.page(page.events, rows[after : after + limit])
                assert page.revision == 6

    @in_colour
    async def test_a_stream_that_does_not_exist_has_no_events(self, lab: Lab) -> None:
        await lab.append("a", b"1")
        for after in (0, 1, 5):
            page = await lab.log.read_stream("nobody", after, 10, MAX_PAGE_BYTES)
            assert (page.events, page.revision) == ([], 0)
