"""Many callers of one log at the same time: by threads or tasks, and stepped in every order."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ..._io import blocking
from ...domain.events import Appended, StoredEvent
from ...errors import OutcomeUnknown, Unavailable
from ...ports import MAX_PAGE_BYTES, Conflict, Snapshot, StreamPage
from ..colours import Work
from ..stepping import Endings, World, explore
from .kit import Contract, Lab, appended, in_colour

CALLERS = 4
ROUNDS = 8
ATTEMPTS = CALLERS * ROUNDS + 1  # each that fails is another one that succeeds


class LogConcurrency(Contract):
    """Nobody's append is lost, doubled or torn, and no reader is overtaken."""

    def test_a_fresh_storage_is_opened_by_several_at_once(self, tmp_path: Path) -> None:
        for index in range(10):
            folder = tmp_path / f"{index}"
            folder.mkdir()
            with self.stepped(folder) as lab:
                logs = [lab.another().log(lab.colour.port) for _ in range(CALLERS)]
                appends = [lab.appending(f"s-{caller}") for caller in range(CALLERS)]
                calls = [partial(log.append, append) for log, append in zip(logs, appends, strict=True)]
                answers = blocking.run(lab.colour.together(calls))
                assert sorted(appended(answer).revision for answer in answers) == [1] * CALLERS
                assert len(blocking.run(lab.everything())) == CALLERS

    @in_colour
    async def test_of_appends_that_expect_one_revision_one_wins(self, lab: Lab) -> None:
        for revision in range(ROUNDS):
            appends = [lab.appending("a", b"%d" % caller, expected=revision) for caller in range(CALLERS)]
            answers = await lab.colour.together([partial(lab.log.append, append) for append in appends])
            winners = [index for index, answer in enumerate(answers) if isinstance(answer, Appended)]
            assert len(winners) == 1, f"{len(winners)} appends were written at revision {revision}"
            assert all(isinstance(answer, (Appended, Conflict)) for answer in answers)
            rows = await lab.stream("a", after=revision)
            assert [(row[2], row[4]) for row in rows] == [(revision + 1, appends[winners[0]].number)]

    @in_colour
    async def test_writers_who_try_again_all_get_through(self, lab: Lab) -> None:
        async def writer(name: int) -> None:
            for index in range(ROUNDS):
                for _ in range(ATTEMPTS):
                    revision = (await lab.log.read_stream("a", 0, 1, 1)).revision
                    await lab.colour.breathe()
                    answer = await lab.log.append(lab.appending("a", b"%d.%d" % (name, index), expected=revision))
                    if isinstance(answer, Appended):
                        assert answer.revision == revision + 1
                        break
                else:
                    raise AssertionError(f"writer {name} does not get through")

        await lab.colour.together([partial(writer, name) for name in range(CALLERS)])
        rows = await lab.everything()
        assert sorted(row[9] for row in rows) == sorted(
            b"%d.%d" % (name, index) for name in range(CALLERS) for index in range(ROUNDS)
        )
        assert [row[2] for row in rows] == list(range(1, CALLERS * ROUNDS + 1))

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
        assert [row[2] for row in rows] == list(range(1, 3 * CALLERS * ROUNDS + 1))
        assert len({row[0] for row in rows}) == len(rows)
        for start in range(0, len(rows), 3):
            assert len({row[9] for row in rows[start : start + 3]}) == 1, "the events of an append are not consecutive"
        places = {row[0]: row[2] for row in rows}
        assert len({answer.position for answer in answers}) == len(answers), "two appends were given one position"
        assert all(places[answer.position] == answer.revision for answer in answers)

    @in_colour
    async def test_of_appends_under_one_key_one_is_written(self, lab: Lab) -> None:
        for index in range(ROUNDS):
            key = f"key-{index}"
            appends = [lab.appending("a", b"%d" % index, key=key, digest=b"same") for _ in range(CALLERS)]
            answers = await lab.colour.together([partial(lab.log.append, append) for append in appends])
            assert all(isinstance(answer, Appended) for answer in answers)
            written = [answer for answer in answers if isinstance(answer, Appended)]
            assert sum(not answer.repeated for answer in written) == 1
            assert len({(answer.position, answer.revision) for answer in written}) == 1
        assert [row[9] for row in await lab.everything()] == [b"%d" % index for index in range(ROUNDS)]

    @in_colour
    async def test_a_reader_is_never_overtaken(self, lab: Lab) -> None:
        seen: list[list[StoredEvent]] = []

        async def reader() -> None:
            for _ in range(CALLERS * ROUNDS):
                seen.append((await lab.log.read(0, 1_000, MAX_PAGE_BYTES)).events)
                await lab.colour.breathe()

        async def writer(name: int) -> None:
            for _ in range(ROUNDS):
                await lab.append(f"s-{name}")
                await lab.colour.breathe()

        work: list[Work] = [partial(writer, name) for name in range(CALLERS)]
        await lab.colour.together([reader, *work])
        rows = await lab.everything()
        for page in seen:
            assert page == rows[: len(page)], "an event turned up at or below a position that was read before"


class LogStepping(Contract):
    """Two or three callers of the log, in every order of their steps."""

    def test_a_reader_is_never_overtaken_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                pages: list[list[StoredEvent]] = []
                log = stepping.log()

                async def reader() -> None:
                    pages.extend([(await log.read(0, 1_000, MAX_PAGE_BYTES)).events for _ in range(2)])

                def check(endings: Endings) -> None:
                    assert all(ending.ok for ending in endings.values())
                    rows = blocking.run(lab.everything())
                    for page in pages:
                        assert page == rows[: len(page)], "an event turned up below a position that was read before"

                left, right = lab.appending("left"), lab.appending("right")
                return World({"left": log.append(left), "right": log.append(right), "reader": reader()}, check)

            assert explore(world, switches=2).schedules >= 20

    def test_one_of_two_appends_wins_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                log = stepping.log()
                revision = len(blocking.run(lab.stream("a")))

                def check(endings: Endings) -> None:
                    winners = [name for name, ending in endings.items() if isinstance(ending.returned, Appended)]
                    assert len(winners) == 1, f"{len(winners)} appends were written"
                    rows = blocking.run(lab.stream("a", after=revision))
                    assert [row[9].decode() for row in rows] == winners * 2

                appends = {
                    name: lab.appending("a", *[name.encode()] * 2, expected=revision) for name in ("left", "right")
                }
                return World({name: log.append(append) for name, append in appends.items()}, check)

            assert explore(world).schedules >= 6

    def test_an_append_whose_answer_is_lost_is_repeated_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                log = stepping.log(after=True)
                before = len(blocking.run(lab.everything()))
                append = lab.appending("a", b"1", b"2", key=f"key-{before}")

                async def insistent() -> Appended:
                    while True:
                        try:
                            answer = await log.append(append)
                        except (OutcomeUnknown, Unavailable):
                            continue
                        assert isinstance(answer, Appended)
                        return answer

                def check(endings: Endings) -> None:
                    rows = blocking.run(lab.everything())[before:]
                    assert [row[9] for row in rows if row[1] == "a"] == [b"1", b"2"]
                    answer = endings["insistent"].returned
                    assert isinstance(answer, Appended)
                    assert answer.position == max(row[0] for row in rows if row[1] == "a")

                other = lab.appending("b", b"3")
                return World({"insistent": insistent(), "other": log.append(other)}, check)

            explored = explore(world, lost_answers=1, refusals=1, switches=1)
            assert explored.lost_answers >= 10

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
