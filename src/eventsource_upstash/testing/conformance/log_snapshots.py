"""`Append.snapshot`, `Log.keep` and `Log.read_stream(snapshot=)`: a state beside its stream, and never a wrong one."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from ..._io import blocking
from ...domain.events import Appended
from ...ports import MAX_PAGE_BYTES, MAX_SNAPSHOT_BYTES, Append, Conflict, KeyReused, Snapshot, StreamPage
from ..stepping import Endings, World, explore
from .kit import Contract, Lab, appended, in_colour, repeats
from .log_reading import ALL_BYTES, NAMES


def _with(append: Append, revision: int, state: bytes = b"state", name: str = "n@1") -> Append:
    return replace(append, snapshot=Snapshot(name, revision, state))


async def _read(lab: Lab, stream: str = "a", after: int = 0, *, name: str = "n@1", limit: int = 1_000) -> StreamPage:
    return await lab.log.read_stream(stream, after, limit, MAX_PAGE_BYTES, name)


def _revisions(page: StreamPage) -> list[int]:
    return [row[2] for row in page.events]


class LogSnapshots(Contract):
    """What a log keeps of aggregates."""

    @in_colour
    async def test_a_snapshot_is_kept_with_the_append(self, lab: Lab) -> None:
        await lab.append("a", b"1", b"2")
        answer = appended(await lab.log.append(_with(lab.appending("a", b"3", expected=2), 3)))
        assert answer.revision == 3
        page = await _read(lab)
        assert page.snapshot == Snapshot("n@1", 3, b"state")
        assert type(page.snapshot) is Snapshot
        assert (page.events, page.revision) == ([], 3)
        await lab.append("a", b"4", b"5")
        page = await _read(lab)
        assert page.snapshot == Snapshot("n@1", 3, b"state")
        assert (_revisions(page), page.revision) == ([4, 5], 5)

    @in_colour
    async def test_an_append_keeps_its_snapshot_instead_of_any_other(self, lab: Lab) -> None:
        await lab.append("a", b"1", b"2")
        await lab.log.keep("a", Snapshot("n@1", 99, b"of events that are gone"))
        for revision, expected in ((3, 2), (4, 3)):
            append = _with(lab.appending("a", expected=expected), revision, b"%d" % revision)
            appended(await lab.log.append(append))
            assert (await _read(lab)).snapshot == Snapshot("n@1", revision, b"%d" % revision)

    @in_colour
    async def test_a_snapshot_is_found_only_when_it_is_asked_for(self, lab: Lab) -> None:
        appended(await lab.log.append(_with(lab.appending("a", b"1", b"2"), 2)))
        page = await lab.log.read_stream("a", 0, 10, MAX_PAGE_BYTES)
        assert (page.snapshot, _revisions(page)) == (None, [1, 2])

    @in_colour
    async def test_a_snapshot_is_found_under_its_name_only(self, lab: Lab) -> None:
        await lab.append("a", b"1", b"2", b"3")
        await lab.append("b", b"1", b"2", b"3")
        await lab.log.keep("a", Snapshot("n@1", 1, b"1"))
        await lab.log.keep("a", Snapshot("n@2", 2, b"2"))
        await lab.log.keep("a", Snapshot("n@11", 3, b"3"))
        for name, revision in (("n@1", 1), ("n@2", 2), ("n@11", 3)):
            page = await _read(lab, name=name)
            assert page.snapshot == Snapshot(name, revision, b"%d" % revision)
            assert _revisions(page) == list(range(revision + 1, 4))
        for stream, name in (("a", "n"), ("a", "N@1"), ("a", "m@1"), ("b", "n@1"), ("nobody", "n@1")):
            page = await _read(lab, stream, name=name)
            assert page.snapshot is None
            assert page.events == await lab.stream(stream)

    @in_colour
    async def test_snapshots_of_streams_are_kept_apart(self, lab: Lab) -> None:
        for stream in NAMES:
            appended(await lab.log.append(_with(lab.appending(stream), 1, stream.encode())))
        for stream in NAMES:
            assert (await _read(lab, stream)).snapshot == Snapshot("n@1", 1, stream.encode())

    @in_colour
    async def test_snapshots_are_opaque_bytes(self, lab: Lab) -> None:
        states = [ALL_BYTES, b"", b"\0", b"\xff\xfe", b"\r\n", "é🙂".encode(), bytes(MAX_SNAPSHOT_BYTES)]
        for revision, state in enumerate(states, 1):
            appended(await lab.log.append(_with(lab.appending("a"), revision, state)))
            assert (await _read(lab)).snapshot == Snapshot("n@1", revision, state)
            await lab.append("b")
            await lab.log.keep("b", Snapshot("n@1", revision, state))
            assert (await _read(lab, "b")).snapshot == Snapshot("n@1", revision, state)

    @in_colour
    async def test_an_append_that_writes_nothing_keeps_no_snapshot(self, lab: Lab) -> None:
        first = lab.appending("a", b"1", expected=0, key="key", digest=b"digest")
        answer = appended(await lab.log.append(_with(first, 1, b"first")))
        lost = _with(lab.appending("a", b"2", expected=0), 1, b"lost")
        assert isinstance(await lab.log.append(lost), Conflict)
        reused = _with(lab.appending("a", b"2", key="key", digest=b"other"), 2, b"reused")
        assert isinstance(await lab.log.append(reused), KeyReused)
        assert (await _read(lab)).snapshot == Snapshot("n@1", 1, b"first")
        appended(await lab.log.append(_with(lab.appending("a", b"2", expected=1), 2, b"second")))
        assert repeats(await lab.log.append(_with(first, 1, b"first")), answer)
        assert (await _read(lab)).snapshot == Snapshot("n@1", 2, b"second")

    @in_colour
    async def test_a_snapshot_is_of_a_revision_above_the_one_asked_for(self, lab: Lab) -> None:
        await lab.append("a", *[b"x"] * 5)
        await lab.log.keep("a", Snapshot("n@1", 3, b"state"))
        for after in range(7):
            page = await _read(lab, after=after)
            assert (page.snapshot is not None) == (after < 3), f"after revision {after}"
            assert _revisions(page) == list(range(max(after, 3) + 1 if after < 3 else after + 1, 6))

    @in_colour
    async def test_events_after_a_snapshot_are_bounded(self, lab: Lab) -> None:
        await lab.append("a", *[bytes(10)] * 6)
        await lab.log.keep("a", Snapshot("n@1", 2, bytes(1_000)))
        for limit, max_bytes, count in ((1, 999, 1), (3, 999, 3), (9, 999, 4), (9, 1, 1), (9, 20, 2), (9, 21, 3)):
            page = await lab.log.read_stream("a", 0, limit, max_bytes, "n@1")
            assert page.snapshot == Snapshot("n@1", 2, bytes(1_000))
            assert _revisions(page) == list(range(3, 3 + count)), f"limit={limit}, max_bytes={max_bytes}"

    @in_colour
    async def test_a_later_snapshot_stays(self, lab: Lab) -> None:
        await lab.append("a", *[b"x"] * 5)
        for revision, state, expected in (
            (3, b"3", b"3"),
            (2, b"2", b"3"),
            (3, b"3 again", b"3 again"),
            (5, b"5", b"5"),
        ):
            await lab.log.keep("a", Snapshot("n@1", revision, state))
            snapshot = (await _read(lab)).snapshot
            assert snapshot is not None
            assert snapshot.state == expected

    @in_colour
    async def test_a_snapshot_beyond_its_stream_is_not_found(self, lab: Lab) -> None:
        await lab.append("a", b"1", b"2")
        await lab.log.keep("a", Snapshot("n@1", 3, b"of events that are gone"))
        await lab.log.keep("nobody", Snapshot("n@1", 1, b"of events that are gone"))
        page = await _read(lab)
        assert (page.snapshot, _revisions(page), page.revision) == (None, [1, 2], 2)
        page = await _read(lab, "nobody")
        assert (page.snapshot, page.events, page.revision) == (None, [], 0)
        # And it does not hold up the right one.
        await lab.log.keep("a", Snapshot("n@1", 1, b"right"))
        await lab.append("a", b"3", b"4")
        page = await _read(lab)
        assert page.snapshot == Snapshot("n@1", 1, b"right")
        assert _revisions(page) == lab.page(page.events, [2, 3, 4])

    @in_colour
    async def test_snapshots_are_there_when_the_log_is_opened_again(self, lab: Lab) -> None:
        appended(await lab.log.append(_with(lab.appending("a", b"1", b"2"), 2)))
        lab.reopen()
        assert (await _read(lab)).snapshot == Snapshot("n@1", 2, b"state")
        await lab.append("a", b"3")
        await lab.log.keep("a", Snapshot("n@1", 3, b"later"))
        assert (await _read(lab)).snapshot == Snapshot("n@1", 3, b"later")


class LogSnapshotsStepping(Contract):
    """A writer and a reader of a snapshot, in every order of their steps."""

    def test_a_snapshot_comes_with_its_events_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                log = stepping.log()
                before = len(blocking.run(lab.stream("a")))
                pages: list[StreamPage] = []

                async def reader() -> None:
                    pages.extend([await log.read_stream("a", before, 1_000, MAX_PAGE_BYTES, "n@1") for _ in range(2)])

                def check(endings: Endings) -> None:
                    pages.append(blocking.run(lab.log.read_stream("a", before, 1_000, MAX_PAGE_BYTES, "n@1")))
                    for page in pages:
                        if page.revision == before:
                            assert (page.snapshot, page.events) == (None, []), "a snapshot without its events"
                        else:
                            assert page.snapshot == Snapshot("n@1", before + 2, b"%d" % before), "events without it"
                            assert page.events == []
                    answer = endings["writer"].returned
                    assert endings["writer"].crashed or isinstance(answer, Appended)

                snapshot = Snapshot("n@1", before + 2, b"%d" % before)
                append = replace(lab.appending("a", b"1", b"2", expected=before), snapshot=snapshot)
                return World({"writer": log.append(append), "reader": reader()}, check)

            assert explore(world, crashes=1).schedules >= 3
