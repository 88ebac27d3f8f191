"""Many callers of the same views at the same time: by threads or tasks, and stepped in every order."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..._io import blocking
from ...domain.projections import ProjectionId
from ...errors import OutcomeUnknown, Unavailable
from ...ports import MAX_PAGE_BYTES, Committed, Outcome, Pull
from ..stepping import Endings, World, explore
from .kit import Contract, Lab, in_colour
from .viewing import NOW_US, TASKS

CALLERS = 4
ROUNDS = 8


class ViewsConcurrency(Contract):
    """However many fold the same page, it is written once, and read whole."""

    @in_colour
    async def test_of_commits_from_one_checkpoint_one_is_written(self, lab: Lab) -> None:
        for row in await lab.fill(ROUNDS):
            commit = await lab.committing(TASKS, row[0])
            commits = [commit._replace(documents={"winner": b"%d" % n, f"of-{n}": b"x"}) for n in range(CALLERS)]
            answers = await lab.colour.together([partial(lab.views.commit, [each], None) for each in commits])
            outcomes = [answer.outcomes[0] for answer in answers]
            assert outcomes.count(Outcome.COMMITTED) == 1, f"the outcomes were {outcomes}"
            assert outcomes.count(Outcome.ALREADY) == CALLERS - 1
            assert (await lab.progress(TASKS)).checkpoint == row[0]
            winner = b"%d" % outcomes.index(Outcome.COMMITTED)
            assert await lab.get(TASKS, ["winner"]) == {"winner": winner}
            clear = await lab.committing(TASKS, row[0], {f"of-{n}": None for n in range(CALLERS)})
            assert set(await lab.documents(TASKS)) == {"winner", f"of-{winner.decode()}"}
            assert await lab.outcome(clear) is Outcome.COMMITTED

    @in_colour
    async def test_projections_are_committed_side_by_side(self, lab: Lab) -> None:
        rows = await lab.fill(ROUNDS)

        async def worker(name: ProjectionId) -> None:
            for row in rows:
                await lab.commit(name, row[0], {"last": row[9], f"{row[0]}": row[9]})
                await lab.colour.breathe()

        names = [ProjectionId(f"p-{n}", 1) for n in range(CALLERS)]
        await lab.colour.together([partial(worker, name) for name in names])
        for name in names:
            assert len(await lab.documents(name)) == ROUNDS + 1
            assert (await lab.progress(name)).checkpoint == rows[-1][0]

    @in_colour
    async def test_a_commit_is_seen_whole_or_not_at_all(self, lab: Lab) -> None:
        rows = await lab.fill(ROUNDS * 2)
        seen: list[dict[str, bytes]] = []

        async def writer() -> None:
            for row in rows:
                await lab.commit(TASKS, row[0], {"left": row[9], "right": row[9]})
                await lab.colour.breathe()

        async def reader() -> None:
            for _ in range(ROUNDS * 2):
                seen.append(await lab.get(TASKS, ["left", "right"]))
                seen.append(await lab.documents(TASKS))
                await lab.colour.breathe()

        await lab.colour.together([writer, reader, reader])
        for found in seen:
            assert found.get("left") == found.get("right"), "half of a commit was read"

    @in_colour
    async def test_views_are_used_from_several_threads_and_event_loops(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        for row in rows:
            await lab.colour.apart(partial(lab.commit, TASKS, row[0], {f"{row[0]}": row[9]}))
        assert len(await lab.colour.apart(partial(lab.documents, TASKS))) == 3
        other = lab.another()
        views = other.views(lab.colour.port, other.log(lab.colour.port))
        assert (await views.count(TASKS, None, NOW_US)).count == 3
        pulled = await views.pull(Pull((TASKS,), 10, MAX_PAGE_BYTES))
        assert pulled.after == rows[-1][0]


class ViewsStepping(Contract):
    """Two callers of the views, in every order of their steps."""

    def test_one_of_two_commits_wins_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                (row,) = [blocking.run(lab.fill(1))[-1]]
                commit = blocking.run(lab.committing(TASKS, row[0]))

                async def worker(name: str) -> Outcome:
                    mine = commit._replace(documents={"winner": name.encode()})
                    return (await views.commit([mine], Pull((TASKS,), 10, MAX_PAGE_BYTES))).outcomes[0]

                def check(endings: Endings) -> None:
                    outcomes = {name: ending.returned for name, ending in endings.items()}
                    winners = [name for name, outcome in outcomes.items() if outcome is Outcome.COMMITTED]
                    assert len(winners) == 1, f"the outcomes were {outcomes}"
                    assert blocking.run(lab.documents(TASKS)) == {"winner": winners[0].encode()}

                return World({name: worker(name) for name in ("left", "right")}, check)

            assert explore(world).schedules >= 6

    def test_a_checkpoint_is_never_ahead_of_its_documents_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views(after=True)
                head = blocking.run(lab.fill(1))[-1][0]
                commit = blocking.run(lab.committing(TASKS, head, {"a": b"%d" % head, "b": b"%d" % head}))

                async def reader() -> None:
                    (progress,), _, _ = await views.progress([TASKS])
                    documents = (await views.get_many(TASKS, ["a", "b"], NOW_US)).documents
                    assert documents.get("a") == documents.get("b"), "half of a commit was read"
                    if progress.checkpoint == head:
                        assert documents["a"] == b"%d" % head, "the checkpoint was there before its documents"

                def check(endings: Endings) -> None:
                    assert endings["reader"].ok or endings["reader"].crashed
                    progress = blocking.run(lab.progress(TASKS))
                    documents = blocking.run(lab.documents(TASKS))
                    assert (documents.get("a") == b"%d" % head) is (progress.checkpoint == head)

                return World({"writer": views.commit([commit], None), "reader": reader()}, check)

            assert explore(world, crashes=1, switches=2).crashes >= 4

    def test_a_commit_whose_answer_is_lost_is_sent_again_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views(after=True)
                row = blocking.run(lab.fill(1))[-1]
                before = blocking.run(lab.documents(TASKS)).get("count", b"0")
                counted = {"count": b"%d" % (int(before) + 1)}
                commit = blocking.run(lab.committing(TASKS, row[0], dict(counted)))

                async def insistent() -> Committed:
                    while True:
                        try:
                            return await views.commit([commit], None)
                        except (OutcomeUnknown, Unavailable):  # noqa: PERF203  to try again is what it does
                            continue

                def check(endings: Endings) -> None:
                    assert all(ending.ok for ending in endings.values())
                    assert blocking.run(lab.documents(TASKS)) == counted
                    assert blocking.run(lab.progress(TASKS)).checkpoint == row[0]

                return World({"left": insistent(), "right": insistent()}, check)

            assert explore(world, lost_answers=1, refusals=1, switches=1).lost_answers >= 10
