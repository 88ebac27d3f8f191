"""Many callers of a log that compares revisions, at the same time: by threads or tasks, and in every order of steps."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..._io import blocking
from ...domain.events import Appended
from ...ports import Conflict
from ..stepping import Endings, World, explore
from .kit import Contract, Lab, in_colour

CALLERS = 4
ROUNDS = 8
ATTEMPTS = CALLERS * ROUNDS + 1  # each that fails is another one that succeeds


class LogCompeting(Contract):
    """Of those who expect one revision one wins. For a log that can `expected_revisions`."""

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


class LogCompetingStepping(Contract):
    """Two of those, in every order of their steps."""

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
