"""`serve` and `drop`: going back to a build that is kept, and letting go of one."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

import pytest

from ...domain.projections import Notes
from ...errors import Misuse
from ...ports import Outcome, Progress, Role
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, NOW_US, TASKS, found_by, numbers

NOTES = Notes(parked=2, shape="by score")
MANY = 10
FOUND_BY = found_by(2 * NOW_US, by=1)
BY = numbers("by")


async def two_builds(lab: Lab) -> None:
    """Build 1 is kept, with so many documents, entries and a record; build 2 serves."""
    rows = await lab.fill(3)
    documents: dict[str, bytes | None] = {f"{index}": b"old" for index in range(MANY)}
    entries = dict.fromkeys(documents, FOUND_BY)
    await lab.commit(TASKS, rows[0][0], documents, notes=NOTES, entries=entries, records={"r": b"old", "s": b"old"})
    await lab.commit(TASKS, rows[0][0], notes=NOTES)
    await lab.rebuild(TASKS, {"0": b"new"})


class ViewsSwitching(Contract):
    """Readers go back to a build that is kept, at once."""

    @in_colour
    async def test_a_build_that_is_kept_serves_again(self, lab: Lab) -> None:
        await two_builds(lab)
        new, old = await lab.builds(TASKS)
        assert (await lab.views.serve(TASKS, 2, 1))[0] is True
        expected = (
            Progress(TASKS, 1, old.checkpoint, old.edition, Role.SERVING, old.met, NOTES),
            Progress(TASKS, 2, new.checkpoint, new.edition, Role.KEPT, new.met, new.notes),
        )
        assert await lab.builds(TASKS) == expected
        assert len(await lab.documents(TASKS)) == await lab.count(TASKS) == await lab.count(TASKS, BY) == MANY
        assert await lab.get(TASKS, ["0"]) == {"0": b"old"}
        assert await lab.records(TASKS, ["r"]) == {"r": b"old"}
        lab.reopen()
        assert await lab.builds(TASKS) == expected
        assert (await lab.views.serve(TASKS, 1, 2))[0] is True
        assert await lab.documents(TASKS) == {"0": b"new"}
        assert await lab.count(TASKS, BY) == 0
        assert await lab.records(TASKS, ["r"]) == {}

    @in_colour
    async def test_going_back_is_repeatable(self, lab: Lab) -> None:
        await two_builds(lab)
        for present, wanted in ((2, 1), (1, 2)):
            for _ in range(3):
                assert (await lab.views.serve(TASKS, present, wanted))[0] is True
                assert [each.generation for each in await lab.builds(TASKS)] == [wanted, present]

    @in_colour
    async def test_going_back_takes_effect_only_if_the_builds_are_what_is_said(self, lab: Lab) -> None:
        await two_builds(lab)
        await lab.rebuild(TASKS)
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, {f"{n}": b"x" for n in range(3)}, generation=building)
        await lab.views.drop(TASKS, building, [], 1)
        building = await lab.begin(TASKS)
        before = await lab.builds(TASKS)
        assert [each.generation for each in before] == [3, 5, 4, 2, 1]
        for present, wanted in ((2, 1), (1, 2), (3, 3), (3, 4), (3, 5), (5, 1), (3, 9), (9, 1), (9, 3), (5, 3)):
            assert (await lab.views.serve(TASKS, present, wanted))[0] is False, f"from {present} to {wanted}"
            assert await lab.builds(TASKS) == before
        assert (await lab.views.serve(LISTS, 1, 2))[0] is False
        assert await lab.builds(LISTS) == (Progress(LISTS, 1, 0),)

    @in_colour
    async def test_a_build_that_serves_again_is_folded_on(self, lab: Lab) -> None:
        await two_builds(lab)
        rows = await lab.everything()
        late = await lab.committing(TASKS, rows[-1][0], {"late": b"2"})
        await lab.views.serve(TASKS, 2, 1)
        assert await lab.outcome(late) is Outcome.SUPERSEDED
        await lab.commit(TASKS, rows[1][0], {"0": b"folded on"})
        await lab.commit(TASKS, rows[2][0])
        assert (await lab.progress(TASKS)).generation == 1
        assert await lab.get(TASKS, ["0", "1", "late"]) == {"0": b"folded on", "1": b"old"}
        assert (await lab.stored(TASKS, 2, ["0", "late"])).documents == {"0": b"new"}

    @in_colour
    async def test_a_build_takes_the_place_of_one_that_serves_again(self, lab: Lab) -> None:
        await two_builds(lab)
        building = await lab.begin(TASKS)
        await lab.views.serve(TASKS, 2, 1)
        await lab.commit(TASKS, (await lab.log.head())[0], {"a": b"third"}, generation=building)
        roles = [(each.generation, each.role) for each in await lab.builds(TASKS)]
        assert roles == [(building, Role.SERVING), (2, Role.KEPT), (1, Role.KEPT)]
        assert await lab.documents(TASKS) == {"a": b"third"}


class ViewsDropping(Contract):
    """A build is let go, and nothing is left of it."""

    @in_colour
    async def test_a_build_is_dropped_in_parts(self, lab: Lab) -> None:
        await two_builds(lab)
        keys = [f"{index}" for index in range(MANY)]
        calls = 0
        gone = False
        while not gone:
            gone, _ = await lab.views.drop(TASKS, 1, ["r", "s", "never there"], 3)
            calls += 1
            build = await lab.build(TASKS, 1)
            assert (build is None) if gone else (build is not None and build.role is Role.DROPPED)
            assert await lab.documents(TASKS) == {"0": b"new"}, "another build was touched"
            assert calls <= MANY, "it does not come to an end"
        assert calls >= -(-MANY // 3), "more documents were deleted in a call than were asked for"
        assert await lab.stored(TASKS, 1, keys, ["r", "s"]) == ({}, {}, {})
        assert [each.generation for each in await lab.builds(TASKS)] == [2]

    @in_colour
    async def test_from_the_first_call_on_nobody_folds_or_goes_back_to_it(self, lab: Lab) -> None:
        await two_builds(lab)
        rows = await lab.everything()
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, {f"{index}": b"x" for index in range(MANY)}, generation=building)
        commit = await lab.committing(TASKS, rows[-1][0], {"late": b"x"}, generation=building, records={"r": b"x"})
        for generation in (1, building):
            assert not (await lab.views.drop(TASKS, generation, [], 1))[0]
        # The next process finds it so.
        lab.reopen()
        assert (await lab.views.serve(TASKS, 2, 1))[0] is False
        assert await lab.outcome(commit) is Outcome.SUPERSEDED
        assert await lab.stored(TASKS, building, ["late"], ["r"]) == ({}, {}, {})
        assert await lab.begin(TASKS) == building + 1, "somebody has joined it"
        for generation in (1, building):
            await lab.drop(TASKS, generation)
        assert [each.generation for each in await lab.builds(TASKS)] == [2, building + 1]

    @in_colour
    async def test_the_build_that_serves_is_dropped_only_if_that_is_said(self, lab: Lab) -> None:
        await two_builds(lab)
        before = await lab.builds(TASKS)
        for _ in range(2):
            with pytest.raises(Misuse, match="tasks"):
                await lab.views.drop(TASKS, 2, ["r"], MANY)
            assert await lab.builds(TASKS) == before
            assert await lab.documents(TASKS) == {"0": b"new"}

    @in_colour
    async def test_a_projection_whose_build_is_dropped_begins_anew(self, lab: Lab) -> None:
        await two_builds(lab)
        await lab.views.serve(TASKS, 2, 1)
        rows = await lab.everything()
        late = await lab.committing(TASKS, rows[-1][0], {"0": b"late"})
        assert not (await lab.views.drop(TASKS, 1, ["r", "s"], 3, serving=True))[0]
        assert (await lab.builds(TASKS))[0] == Progress(TASKS, 3, 0)
        assert await lab.documents(TASKS) == await lab.get(TASKS, ["0"]) == await lab.records(TASKS, ["r"]) == {}
        assert await lab.count(TASKS) == await lab.count(TASKS, BY) == 0
        assert await lab.outcome(late) is Outcome.SUPERSEDED
        await lab.commit(TASKS, rows[-1][0], {"0": b"anew"})
        await lab.drop(TASKS, 1, serving=True)
        assert [(each.generation, each.role) for each in await lab.builds(TASKS)] == [
            (3, Role.SERVING),
            (2, Role.KEPT),
        ]
        assert await lab.documents(TASKS) == {"0": b"anew"}
        assert (await lab.stored(TASKS, 2, ["0"])).documents == {"0": b"new"}

    @in_colour
    async def test_a_build_that_is_not_there_is_gone(self, lab: Lab) -> None:
        await two_builds(lab)
        await lab.drop(TASKS, 1)
        before = await lab.builds(TASKS)
        for serving in (False, True):
            for generation in (1, 7):
                assert (await lab.views.drop(TASKS, generation, ["r"], 1, serving=serving))[0] is True
            assert (await lab.views.drop(LISTS, 2, [], 1, serving=serving))[0] is True
        assert await lab.builds(TASKS) == before
        assert await lab.builds(LISTS) == (Progress(LISTS, 1, 0),)
        assert await lab.begin(TASKS) == 3

    @in_colour
    async def test_a_build_without_documents_is_dropped(self, lab: Lab) -> None:
        await lab.fill(1)
        building = await lab.begin(TASKS)
        await lab.drop(TASKS, building)
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, generation=building, records={"r": b"1", "s": b"2"})
        assert (await lab.views.drop(TASKS, building, ["r", "s"], 1))[0] is True
        assert await lab.stored(TASKS, building, [], ["r", "s"]) == ({}, {}, {})
        assert await lab.builds(TASKS) == (Progress(TASKS, 1, 0),)
