"""`begin`, `commit` and the switch: builds of a view, of which one serves while another is building."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...domain.projections import Notes, ProjectionId
from ...ports import MAX_PAGE_BYTES, NO_NOTES, Outcome, Progress, Pull, Role, Span
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, NOW_US, TASKS

NOTES = Notes(parked=1, shape="by score")


class ViewsBuilding(Contract):
    """One build serves. Another may be building beside it, and takes its place when it has met the head."""

    @in_colour
    async def test_a_view_has_one_build_to_begin_with(self, lab: Lab) -> None:
        assert await lab.builds(TASKS) == (Progress(TASKS, 1, 0, 0, Role.SERVING, met=False, notes=NO_NOTES),)
        (row,) = await lab.fill(1)
        await lab.commit(TASKS, row[0], {"a": b"1"})
        assert [each.generation for each in await lab.builds(TASKS)] == [1]

    @in_colour
    async def test_another_build_begins_beside_the_one_that_serves(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(TASKS, rows[0][0], {"a": b"1"}, notes=NOTES, records={"r": b"1"})
        serving = await lab.progress(TASKS)
        begun, _ = await lab.views.begin(TASKS)
        assert begun == Progress(TASKS, 2, 0, 0, Role.BUILDING, met=False, notes=NO_NOTES)
        assert await lab.builds(TASKS) == (serving, begun)
        assert await lab.documents(TASKS) == {"a": b"1"}
        assert await lab.stored(TASKS, 2, ["a"], ["r"]) == ({}, {}, {})
        assert await lab.builds(LISTS) == (Progress(LISTS, 1, 0),)

    @in_colour
    async def test_a_build_begins_beside_one_that_nothing_was_written_to(self, lab: Lab) -> None:
        await lab.fill(1)
        begun, _ = await lab.views.begin(TASKS)
        assert await lab.builds(TASKS) == (Progress(TASKS, 1, 0), begun)
        assert (begun.generation, begun.role) == (2, Role.BUILDING)

    @in_colour
    async def test_who_begins_joins_the_build_that_is_building(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        generation = await lab.begin(TASKS)
        assert await lab.begin(TASKS) == generation
        await lab.commit(TASKS, rows[0][0], {"a": b"1"}, generation=generation, notes=NOTES)
        lab.reopen()
        joined, _ = await lab.views.begin(TASKS)
        assert joined == Progress(TASKS, generation, rows[0][0], 0, Role.BUILDING, met=False, notes=NOTES)
        assert len(await lab.builds(TASKS)) == 2
        assert await lab.begin(LISTS) == 2
        await lab.commit(TASKS, rows[2][0], generation=generation)
        assert await lab.begin(TASKS) == generation + 1, "the build serves now, and is joined all the same"

    @in_colour
    async def test_a_generation_is_never_used_again(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        first = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, {"a": b"1"}, generation=first)
        await lab.drop(TASKS, first)
        lab.reopen()
        second = await lab.begin(TASKS)
        await lab.drop(TASKS, second)
        third = await lab.begin(TASKS)
        await lab.commit(TASKS, row[0], generation=third)
        await lab.drop(TASKS, 1)
        await lab.drop(TASKS, third, serving=True)
        fourth = (await lab.progress(TASKS)).generation
        lab.reopen()
        assert [1, first, second, third, fourth, await lab.begin(TASKS)] == [1, 2, 3, 4, 5, 6]

    @in_colour
    async def test_builds_are_committed_side_by_side(self, lab: Lab) -> None:
        rows = await lab.fill(5)
        await lab.commit(TASKS, rows[1][0], {"a": b"old", "b": b"old"}, records={"r": b"old"})
        building = await lab.begin(TASKS)
        for row in rows[:2]:
            await lab.commit(TASKS, row[0], {"a": b"new"}, generation=building, records={"r": b"new"})
        commits = [
            await lab.committing(TASKS, rows[2][0], {"c": b"old"}),
            await lab.committing(TASKS, rows[3][0], {"d": b"new"}, generation=building, notes=NOTES),
        ]
        committed = await lab.views.commit(commits, None)
        assert committed.outcomes == (Outcome.COMMITTED, Outcome.COMMITTED)
        one, other = await lab.builds(TASKS)
        assert (one.generation, one.checkpoint, one.notes) == (1, rows[2][0], NO_NOTES)
        assert (other.generation, other.checkpoint, other.notes) == (building, rows[3][0], NOTES)
        keys = ["a", "b", "c", "d"]
        old = {"a": b"old", "b": b"old", "c": b"old"}
        assert await lab.stored(TASKS, 1, keys, ["r"]) == (old, {}, {"r": b"old"})
        assert await lab.stored(TASKS, building, keys, ["r"]) == ({"a": b"new", "d": b"new"}, {}, {"r": b"new"})
        assert await lab.documents(TASKS) == await lab.get(TASKS, keys) == old
        assert await lab.count(TASKS) == 3
        assert await lab.records(TASKS, ["r"]) == {"r": b"old"}
        await lab.commit(TASKS, rows[3][0], {"a": None}, generation=building, records={"r": None})
        assert await lab.stored(TASKS, 1, keys, ["r"]) == (old, {}, {"r": b"old"})

    @in_colour
    async def test_a_commit_to_a_build_that_is_not_folded_is_superseded(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(TASKS, rows[0][0], {f"{n}": b"1" for n in range(5)})
        kept = await lab.committing(TASKS, rows[0][0], {"a": b"late"}, records={"r": b"late"}, notes=NOTES)
        serving = await lab.rebuild(TASKS, {"a": b"2"})
        building = await lab.begin(TASKS)
        dropped = await lab.committing(TASKS, rows[1][0], {"a": b"late"}, generation=building)
        await lab.commit(TASKS, rows[0][0], {f"{n}": b"1" for n in range(5)}, generation=building)
        begun = await lab.committing(TASKS, rows[1][0], {"a": b"late"}, generation=building)
        await lab.views.drop(TASKS, building, [], 1)
        before = await lab.builds(TASKS)
        unknown = (kept._replace(generation=building + 1), kept._replace(generation=0))
        for commit in (kept, kept._replace(checkpoint=rows[1][0]), dropped, begun, *unknown):
            assert await lab.outcome(commit) is Outcome.SUPERSEDED
            assert await lab.builds(TASKS) == before, "a commit that lost has written something"
            assert await lab.stored(TASKS, commit.generation, ["a"], ["r"]) == ({}, {}, {})
        assert await lab.documents(TASKS) == {"a": b"2"}
        assert before[0].generation == serving

    @in_colour
    async def test_a_commit_that_stays_makes_another_edition(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        for generation in (1, await lab.begin(TASKS)):
            seen = list[tuple[int, int]]()
            for row in (None, None, *rows[:1], None, None, None):
                at = seen[-1][0] if seen else 0
                await lab.commit(TASKS, row[0] if row else at, {f"{len(seen)}": b"x"}, generation=generation)
                progress = await lab.build(TASKS, generation)
                assert progress is not None
                seen.append((progress.checkpoint, progress.edition))
            at = rows[0][0]
            assert seen == [(0, 1), (0, 2), (at, 0), (at, 1), (at, 2), (at, 3)]

    @in_colour
    async def test_of_two_commits_that_stay_one_takes_effect(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(TASKS, rows[0][0], {"a": b"1"})
        first = await lab.committing(TASKS, rows[0][0], {"a": b"2"})
        second = first._replace(documents={"b": b"2"}, notes=NOTES, records={"r": b"2"})
        moving = second._replace(checkpoint=rows[1][0])
        committed = await lab.views.commit([first, second, first], None)
        assert committed.outcomes == (Outcome.COMMITTED, Outcome.ALREADY, Outcome.ALREADY)
        assert await lab.outcome(second) is Outcome.ALREADY
        assert await lab.outcome(moving) is Outcome.MISMATCH
        assert await lab.outcome(second._replace(edition=7)) is Outcome.ALREADY
        assert await lab.documents(TASKS) == {"a": b"2"}
        assert await lab.records(TASKS, ["r"]) == {}
        assert (await lab.progress(TASKS)).notes == NO_NOTES
        assert await lab.outcome(moving._replace(edition=1)) is Outcome.COMMITTED
        assert await lab.outcome(first._replace(edition=1)) is Outcome.AHEAD
        assert await lab.documents(TASKS) == {"a": b"2", "b": b"2"}

    @in_colour
    async def test_a_build_that_reaches_the_head_has_met_it(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        for row, met in zip(rows, (False, False, True), strict=True):
            await lab.commit(TASKS, row[0])
            assert (await lab.progress(TASKS)).met is met
        more = (await lab.fill(2))[3:]
        await lab.commit(TASKS, more[0][0])
        assert (await lab.progress(TASKS)).met, "it has forgotten that it has ever met the head"
        lab.reopen()
        assert (await lab.progress(TASKS)).met

    @in_colour
    async def test_the_head_is_that_of_the_log_beside_or_what_the_commit_says(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        below = (await lab.committing(TASKS, rows[1][0]))._replace(head=rows[1][0])
        assert await lab.outcome(below) is Outcome.COMMITTED
        assert (await lab.progress(TASKS)).met is not lab.beside
        there = (await lab.committing(LISTS, rows[2][0]))._replace(head=None)
        assert await lab.outcome(there) is Outcome.COMMITTED
        assert (await lab.progress(LISTS)).met is lab.beside

    @in_colour
    async def test_a_build_that_has_met_the_head_takes_the_place_of_the_one_that_serves(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        await lab.commit(TASKS, rows[1][0], {"a": b"old", "b": b"old"}, notes=NOTES, records={"r": b"old"})
        old = await lab.progress(TASKS)
        building = await lab.begin(TASKS)
        # It is ahead of the one that serves, but has not met the head.
        await lab.commit(TASKS, rows[2][0], {"a": b"new"}, generation=building)
        assert [each.role for each in await lab.builds(TASKS)] == [Role.SERVING, Role.BUILDING]
        assert await lab.documents(TASKS) == {"a": b"old", "b": b"old"}
        last = await lab.commit(TASKS, rows[3][0], {"c": b"new"}, generation=building, records={"r": b"new"})
        kept = Progress(TASKS, 1, old.checkpoint, old.edition, Role.KEPT, old.met, NOTES)
        assert await lab.builds(TASKS) == (Progress(TASKS, building, rows[3][0], 0, Role.SERVING, met=True), kept)
        assert await lab.documents(TASKS) == await lab.get(TASKS, ["a", "b", "c"]) == {"a": b"new", "c": b"new"}
        assert await lab.count(TASKS) == 2
        assert await lab.records(TASKS, ["r"]) == {"r": b"new"}
        assert await lab.outcome(last) is Outcome.ALREADY
        assert (await lab.progress(TASKS)).generation == building
        lab.reopen()
        assert (await lab.builds(TASKS))[1] == kept
        assert await lab.documents(TASKS) == {"a": b"new", "c": b"new"}

    @in_colour
    async def test_a_build_that_is_behind_the_one_that_serves_does_not_take_its_place(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        await lab.commit(TASKS, rows[2][0], {"a": b"old"})
        building = await lab.begin(TASKS)
        commit = await lab.committing(TASKS, rows[1][0], {"a": b"new"}, generation=building)
        # Whoever sends it has seen the log long ago.
        assert await lab.outcome(commit._replace(head=rows[1][0])) is Outcome.COMMITTED
        assert [each.role for each in await lab.builds(TASKS)] == [Role.SERVING, Role.BUILDING]
        assert (await lab.progress(TASKS)).generation == 1
        assert await lab.documents(TASKS) == {"a": b"old"}
        await lab.commit(TASKS, rows[3][0], generation=building)
        assert (await lab.progress(TASKS)).generation == building

    @in_colour
    async def test_beside_its_log_a_build_takes_the_place_of_one_that_is_beyond_the_head(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        head = rows[-1][0]
        # As when the log was set back.
        await lab.commit(TASKS, head + 7, {"a": b"old"})
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, head, {"a": b"new"}, generation=building)
        serving = await lab.progress(TASKS)
        assert (serving.generation, serving.checkpoint) == ((building, head) if lab.beside else (1, head + 7))
        assert await lab.documents(TASKS) == {"a": b"new" if lab.beside else b"old"}

    @in_colour
    async def test_a_commit_that_stays_may_meet_the_head_too(self, lab: Lab) -> None:
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, generation=building)
        serving, kept = await lab.builds(TASKS)
        assert serving == Progress(TASKS, building, 0, 1, Role.SERVING, met=True)
        assert (kept.generation, kept.role) == (1, Role.KEPT)

    @in_colour
    async def test_builds_that_meet_the_head_in_one_call_are_taken_in_their_order(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        head = rows[-1][0]
        building = await lab.begin(TASKS)
        commits = [
            await lab.committing(TASKS, head, {"a": b"new"}, generation=building),
            await lab.committing(TASKS, head, {"a": b"old"}),
        ]
        committed = await lab.views.commit(commits, Pull((TASKS,), 10, MAX_PAGE_BYTES))
        assert committed.outcomes == (Outcome.COMMITTED, Outcome.SUPERSEDED)
        assert committed.pulled is not None
        assert [each.generation for each in committed.pulled.progress] == [building]
        assert await lab.documents(TASKS) == {"a": b"new"}
        assert await lab.stored(TASKS, 1, ["a"]) == ({}, {}, {})

    @in_colour
    async def test_the_build_that_is_kept_stays_as_it_is(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        old: dict[str, bytes | None] = {"a": b"old", "b": b"old"}
        await lab.commit(TASKS, rows[0][0], old, notes=NOTES, records={"r": b"old"})
        await lab.commit(TASKS, rows[0][0], notes=NOTES)
        before = await lab.build(TASKS, 1)
        assert before is not None
        building = await lab.rebuild(TASKS, {"a": b"new"})
        (row,) = (await lab.fill(1))[-1:]
        await lab.commit(TASKS, row[0], {"b": b"new", "a": None}, records={"r": b"new"})
        third = await lab.rebuild(TASKS, {"z": b"third"})
        kept = await lab.build(TASKS, 1)
        expected = Progress(TASKS, 1, before.checkpoint, before.edition, Role.KEPT, before.met, before.notes)
        assert kept == expected
        assert await lab.stored(TASKS, 1, ["a", "b"], ["r"]) == (old, {}, {"r": b"old"})
        assert await lab.stored(TASKS, building, ["a", "b"], ["r"]) == ({"b": b"new"}, {}, {"r": b"new"})
        assert await lab.stored(TASKS, third, ["a", "b", "z"], ["r"]) == ({"z": b"third"}, {}, {})

    @in_colour
    async def test_documents_of_several_builds_are_loaded_at_once(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(TASKS, rows[0][0], {"a": b"old", "b": b"old"})
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, rows[0][0], {"a": b"new"}, generation=building)
        stored = [await lab.stored(TASKS, generation, ["a", "b"]) for generation in (2, 1, 9)]
        assert [each.documents for each in stored] == [{"a": b"new"}, {"a": b"old", "b": b"old"}, {}]


class ViewsPullingBuilds(Contract):
    """What comes next for the builds that are folded."""

    @staticmethod
    async def _building(lab: Lab, serving: int, building: int) -> list[int]:
        """A view of which one build serves and another is building, at those of the log's positions."""
        positions = [0, *(row[0] for row in await lab.fill(4))]
        await lab.commit(TASKS, positions[serving])
        generation = await lab.begin(TASKS)
        await lab.commit(TASKS, positions[building], generation=generation)
        return positions

    @in_colour
    async def test_a_pull_answers_the_build_that_serves_and_then_the_one_that_is_building(self, lab: Lab) -> None:
        positions = await self._building(lab, 2, 1)
        await lab.rebuild(LISTS)
        pulled = await lab.views.pull(Pull((LISTS, TASKS), 10, MAX_PAGE_BYTES))
        found = [(each.projection, each.generation, each.role) for each in pulled.progress]
        assert found == [(LISTS, 2, Role.SERVING), (TASKS, 1, Role.SERVING), (TASKS, 2, Role.BUILDING)]
        assert (pulled.after, pulled.head) == (positions[2], positions[4])
        commit = await lab.committing(TASKS, positions[3])
        committed = await lab.views.commit([commit], Pull((TASKS,), 10, MAX_PAGE_BYTES))
        assert committed.pulled is not None
        assert [each.checkpoint for each in committed.pulled.progress] == [positions[3], positions[1]]
        assert committed.pulled.after == positions[3]
        await lab.drop(TASKS, 2)
        pulled = await lab.views.pull(Pull((TASKS,), 10, MAX_PAGE_BYTES))
        assert [each.generation for each in pulled.progress] == [1]

    @in_colour
    async def test_the_page_is_that_of_a_build_that_is_behind(self, lab: Lab) -> None:
        positions = await self._building(lab, 4, 1)
        rows = await lab.everything()
        for rear in (False, True):
            pulled = await lab.views.pull(Pull((TASKS, LISTS), 10, MAX_PAGE_BYTES, rear))
            after = 0 if rear else positions[1]
            assert pulled.after == after
            assert pulled.events == lab.page(pulled.events, [row for row in rows if row[0] > after])

    @in_colour
    async def test_a_build_that_is_aside_has_no_page(self, lab: Lab) -> None:
        positions = await self._building(lab, 2, 1)

        async def after(aside: dict[ProjectionId, int], *, rear: bool = False) -> int:
            pulled = await lab.views.pull(Pull((TASKS,), 10, MAX_PAGE_BYTES, rear, aside=aside))
            assert [each.generation for each in pulled.progress] == [1, 2], "a build that is aside is not answered"
            assert pulled.events or pulled.after == pulled.head
            return pulled.after

        for rear in (False, True):
            assert await after({TASKS: 1}, rear=rear) == positions[1]
            assert await after({TASKS: 2}, rear=rear) == positions[2]
            assert await after({TASKS: 3, LISTS: 1}, rear=rear) == positions[1 if rear else 2]
        await lab.commit(TASKS, positions[4])
        assert await after({TASKS: 2}) == positions[4]
        commit = await lab.committing(TASKS, positions[2], generation=2)
        committed = await lab.views.commit([commit], Pull((TASKS,), 10, MAX_PAGE_BYTES, aside={TASKS: 2}))
        assert committed.pulled is not None
        assert (committed.pulled.after, committed.pulled.events) == (positions[4], [])

    @in_colour
    async def test_a_pull_for_those_that_serve_has_no_page_for_one_that_is_building(self, lab: Lab) -> None:
        positions = await self._building(lab, 4, 1)
        for rear in (False, True):
            pulled = await lab.views.pull(Pull((TASKS,), 10, MAX_PAGE_BYTES, rear, serving=True))
            assert [each.role for each in pulled.progress] == [Role.SERVING, Role.BUILDING]
            assert (pulled.after, pulled.head, pulled.events) == (positions[4], positions[4], [])
            pulled = await lab.views.pull(Pull((TASKS, LISTS), 10, MAX_PAGE_BYTES, rear, serving=True))
            assert pulled.after == 0

    @in_colour
    async def test_progress_is_that_of_each_build(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        for _ in range(4):
            await lab.rebuild(TASKS, {f"{n}": b"x" for n in range(3)})
        await lab.views.serve(TASKS, 5, 3)
        assert not (await lab.views.drop(TASKS, 4, [], 1))[0]
        await lab.begin(TASKS)
        progress, head, _ = await lab.views.progress([LISTS, TASKS])
        assert head == row[0]
        assert [(each.projection, each.generation, each.role) for each in progress] == [
            (LISTS, 1, Role.SERVING),
            (TASKS, 3, Role.SERVING),
            (TASKS, 6, Role.BUILDING),
            (TASKS, 5, Role.KEPT),
            (TASKS, 4, Role.DROPPED),
            (TASKS, 2, Role.KEPT),
            (TASKS, 1, Role.KEPT),
        ]

    @in_colour
    async def test_what_is_read_says_how_far_its_build_is(self, lab: Lab) -> None:
        for _ in range(2):
            rows = await lab.fill(2)
            await lab.commit(TASKS, rows[-2][0], {"a": b"1"}, records={"r": b"1"}, notes=NOTES)
            await self._check_reads(lab)
            building = await lab.begin(TASKS)
            await self._check_reads(lab)
            await lab.commit(TASKS, rows[-1][0], {"a": b"2"}, generation=building)
            await self._check_reads(lab)

    @staticmethod
    async def _check_reads(lab: Lab) -> None:
        views = lab.views
        serving = await lab.progress(TASKS)
        head = (await lab.log.head())[0] if lab.beside else None
        span = Span("by", "n", "n~")
        for read in (
            await views.get_many(TASKS, ["a", "nobody"], NOW_US),
            await views.get_many(TASKS, [], NOW_US, primary=True),
            await views.items(TASKS, None, 10, MAX_PAGE_BYTES, NOW_US),
            await views.items(TASKS, "z", 10, MAX_PAGE_BYTES, NOW_US),
            await views.find(TASKS, span, None, 10, MAX_PAGE_BYTES, NOW_US),
            await views.count(TASKS, None, NOW_US),
            await views.count(TASKS, span, NOW_US),
            await views.count(TASKS, None, NOW_US, primary=True),
            await views.rank(TASKS, span, "a", NOW_US),
            await views.records(TASKS, ["r"]),
        ):
            assert (read.progress, read.head) == (serving, head), f"{read!r}"
        assert (await views.ended(TASKS, NOW_US, 10)).progress == serving
        unseen = await views.get_many(LISTS, ["a"], NOW_US)
        assert (unseen.progress, unseen.head) == (Progress(LISTS, 1, 0), head)
