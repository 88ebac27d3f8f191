"""Records: what is kept with a build's documents, and is none."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...domain.projections import Notes, ProjectionId
from ...ports import Outcome
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, TASKS, found_by, numbers

NAMES = ("a", "A", "a b", "parked/1", "changes:2", "é", "🙂", "tasks", "1", "r" * 255)
BY = numbers("by")


class ViewsRecords(Contract):
    """Named bytes that are written in the step of a commit."""

    @in_colour
    async def test_records_are_written_with_the_documents(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        assert await lab.records(TASKS, ["a"]) == {}
        await lab.commit(TASKS, rows[0][0], {"a": b"1"}, records={name: name.encode() for name in NAMES})
        for name in NAMES:
            assert await lab.records(TASKS, [name]) == {name: name.encode()}
        await lab.commit(TASKS, rows[1][0], records={"a": None, "A": b"changed", "never there": None, "new": b""})
        found = await lab.records(TASKS, [*NAMES, "new", "never there", "b"])
        left = {name: name.encode() for name in NAMES if name != "a"}
        assert found == {**left, "A": b"changed", "new": b""}
        # Without moving, and without a document.
        await lab.commit(TASKS, rows[1][0], records=dict.fromkeys(NAMES))
        assert await lab.records(TASKS, [*NAMES, "new"]) == {"new": b""}
        assert await lab.documents(TASKS) == {"a": b"1"}
        assert await lab.records(TASKS, []) == {}

    @in_colour
    async def test_records_are_opaque_bytes(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        records: dict[str, bytes | None] = {"all": bytes(range(256)), "large": bytes(2**20), "none": b""}
        await lab.commit(TASKS, row[0], records=records)
        found = await lab.records(TASKS, list(records))
        assert found == (await lab.stored(TASKS, 1, [], list(records))).records == records
        assert all(type(record) is bytes for record in found.values())

    @in_colour
    async def test_records_are_no_documents(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        entries = {"a": found_by(by=1)}
        await lab.commit(TASKS, rows[0][0], {"a": b"1"}, entries=entries, records={"a": b"record", "b": b"record"})
        assert await lab.documents(TASKS) == await lab.get(TASKS, ["a", "b"]) == {"a": b"1"}
        assert await lab.count(TASKS) == await lab.count(TASKS, BY) == 1
        assert await lab.found(TASKS, BY) == ["a"]
        assert await lab.stored(TASKS, 1, ["a", "b"]) == ({"a": b"1"}, entries, {})
        assert await lab.stored(TASKS, 1, [], ["a", "b"]) == ({}, {}, {"a": b"record", "b": b"record"})
        await lab.commit(TASKS, rows[1][0], {"a": None})
        assert await lab.records(TASKS, ["a"]) == {"a": b"record"}
        await lab.commit(TASKS, rows[2][0], {"b": b"2"}, records={"a": None, "b": None})
        assert await lab.documents(TASKS) == {"b": b"2"}
        assert await lab.records(TASKS, ["a", "b"]) == {}

    @in_colour
    async def test_a_commit_that_lost_writes_no_record(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        commit = await lab.commit(TASKS, rows[1][0], {"a": b"1"}, records={"a": b"1", "b": b"1"})
        late: dict[str, bytes | None] = {"a": None, "b": b"late", "c": b"late"}
        for lost, outcome in (
            (commit._replace(records=late), Outcome.ALREADY),
            (commit._replace(records=late, checkpoint=rows[0][0]), Outcome.AHEAD),
            (commit._replace(records=late, checkpoint=rows[2][0]), Outcome.MISMATCH),
            (commit._replace(records=late, generation=2), Outcome.SUPERSEDED),
        ):
            assert await lab.outcome(lost) is outcome
            assert await lab.records(TASKS, ["a", "b", "c"]) == {"a": b"1", "b": b"1"}
            assert await lab.stored(TASKS, 2, [], ["a", "b", "c"]) == ({}, {}, {})

    @in_colour
    async def test_projections_have_records_of_their_own(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        names = [TASKS, LISTS, ProjectionId("tasks", 2), ProjectionId("tasks-1", 1), ProjectionId("Tasks", 1)]
        for name in names:
            await lab.commit(name, row[0], records={"a": f"{name}".encode()})
        for name in names:
            assert await lab.records(name, ["a"]) == {"a": f"{name}".encode()}
        await lab.commit(names[0], row[0], records={"a": None})
        assert await lab.records(names[2], ["a"]) == {"a": b"tasks v2"}

    @in_colour
    async def test_commits_of_one_call_leave_their_records_in_their_order(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        first = await lab.committing(TASKS, rows[0][0], records={"a": b"1", "b": b"1"})
        second = first._replace(expected=rows[0][0], checkpoint=rows[1][0], records={"a": None, "c": b"2"})
        committed = await lab.views.commit([first, second, first], None)
        assert committed.outcomes == (Outcome.COMMITTED, Outcome.COMMITTED, Outcome.AHEAD)
        assert await lab.records(TASKS, ["a", "b", "c"]) == {"b": b"1", "c": b"2"}

    @in_colour
    async def test_records_and_notes_are_there_when_the_views_are_opened_again(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        notes = Notes(parked=1, skipped=2, changes=3, shape="é")
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, row[0], {"a": b"1"}, records={"a": b"2"}, notes=notes)
        await lab.commit(TASKS, 0, records={"b": b"3"}, notes=Notes(parked=7), generation=building)
        lab.reopen()
        assert await lab.records(TASKS, ["a", "b"]) == {"a": b"2"}
        assert [each.notes for each in await lab.builds(TASKS)] == [notes, Notes(parked=7)]
        assert (await lab.stored(TASKS, building, [], ["a", "b"])).records == {"b": b"3"}
