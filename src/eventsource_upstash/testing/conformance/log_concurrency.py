"""Many callers of one log at the same time: by threads or tasks, and stepped in every order."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..._io import blocking
from ...domain.events import Appended, StoredEvent
from ...errors import OutcomeUnknown, Unavailable
from ...ports import MAX_PAGE_BYTES
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
                assert len({appended(answer).position for answer in answers}) == CALLERS
                assert len(blocking.run(lab.everything())) == CALLERS

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

    def test_an_append_whose_answer_is_lost_is_repeated_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                log = stepping.log(after=True)
                before = len(blocking.run(lab.everything()))
                payloads = lab.several(b"1", b"2")
                append = lab.appending("a", *payloads, key=f"key-{before}")

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
                    assert [row[9] for row in rows if row[1] == "a"] == payloads
                    answer = endings["insistent"].returned
                    assert isinstance(answer, Appended)
                    assert answer.position == max(row[0] for row in rows if row[1] == "a")

                other = lab.appending("b", b"3")
                return World({"insistent": insistent(), "other": log.append(other)}, check)

            explored = explore(world, lost_answers=1, refusals=1, switches=1)
            assert explored.lost_answers >= 10
