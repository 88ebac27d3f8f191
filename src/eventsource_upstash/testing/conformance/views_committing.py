"""`Views.commit`: a view and its checkpoint change in one step, from where they were read, or not at all."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

import pytest

from ...domain.projections import Notes, ProjectionId, Stopped
from ...errors import Misuse
from ...ports import MAX_PAGE_BYTES, NO_NOTES, Commit, Outcome, Progress, Pull
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, TASKS

ALL_BYTES = bytes(range(256))
STOPPED = Stopped(4, "handler failed: é 🙂 'quoted'", 1_700_000_000_000_001)
NOTES = Notes(STOPPED, parked=3, skipped=2**53, changes=5, shape="é 🙂 'quoted'")


class ViewsCommitting(Contract):
    """What a commit writes, and what becomes of one that comes too late."""

    @in_colour
    async def test_a_projection_never_seen_is_at_zero(self, lab: Lab) -> None:
        await lab.append("a")
        progress = await lab.progress(TASKS)
        assert progress == Progress(TASKS, 1, 0)
        assert await lab.documents(TASKS) == {}

    @in_colour
    async def test_a_commit_writes_documents_and_checkpoint(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        await lab.commit(TASKS, rows[1][0], {"a": b"1", "b": b"2"})
        assert (await lab.progress(TASKS)).checkpoint == rows[1][0]
        assert await lab.documents(TASKS) == {"a": b"1", "b": b"2"}
        await lab.commit(TASKS, rows[2][0], {"b": b"3", "c": b"4"})
        assert (await lab.progress(TASKS)).checkpoint == rows[2][0]
        assert await lab.documents(TASKS) == {"a": b"1", "b": b"3", "c": b"4"}

    @in_colour
    async def test_a_commit_without_documents_moves_the_checkpoint(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(TASKS, rows[0][0])
        assert (await lab.progress(TASKS)).checkpoint == rows[0][0]
        await lab.commit(TASKS, rows[1][0])
        assert (await lab.progress(TASKS)).checkpoint == rows[1][0]
        assert await lab.documents(TASKS) == {}

    @in_colour
    async def test_a_commit_deletes_documents(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        await lab.commit(TASKS, rows[0][0], {"a": b"1", "b": b"2", "c": b"3"})
        await lab.commit(TASKS, rows[1][0], {"b": None, "never there": None, "d": b"4"})
        assert await lab.documents(TASKS) == {"a": b"1", "c": b"3", "d": b"4"}
        assert await lab.get(TASKS, ["a", "b", "never there"]) == {"a": b"1"}
        await lab.commit(TASKS, rows[2][0], {"b": b"again", "a": None, "c": None, "d": None})
        assert await lab.documents(TASKS) == {"b": b"again"}
        await lab.commit(TASKS, rows[3][0], {"b": None})
        assert await lab.documents(TASKS) == {}

    @in_colour
    async def test_documents_are_opaque_bytes(self, lab: Lab) -> None:
        rows = await lab.fill(1)
        documents: dict[str, bytes | None] = {f"{value:03}": bytes([value]) for value in range(256)}
        documents |= {"all": ALL_BYTES, "large": bytes(2**20)}
        await lab.commit(TASKS, rows[0][0], documents)
        assert await lab.documents(TASKS) == documents
        found = await lab.get(TASKS, list(documents))
        assert found == documents
        assert all(type(document) is bytes for document in found.values())

    @in_colour
    async def test_more_than_a_thousand_documents_go_into_one_commit(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        documents: dict[str, bytes | None] = {f"key-{index:04}": b"%d" % index for index in range(1_100)}
        await lab.commit(TASKS, rows[0][0], documents)
        assert await lab.documents(TASKS) == documents
        await lab.commit(TASKS, rows[1][0], dict.fromkeys(list(documents)[:1_050]))
        assert len(await lab.documents(TASKS)) == 50

    @in_colour
    async def test_committed(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        commit = await lab.committing(TASKS, rows[0][0], {"a": b"1"})
        assert await lab.outcome(commit) is Outcome.COMMITTED
        assert await lab.documents(TASKS) == {"a": b"1"}

    @in_colour
    async def test_already_there(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        commit = await lab.commit(TASKS, rows[1][0], {"a": b"1"})
        await self._loses(lab, commit, Outcome.ALREADY)
        await self._loses(lab, commit._replace(documents={"a": b"other", "b": b"x"}), Outcome.ALREADY)

    @in_colour
    async def test_ahead(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        commit = await lab.committing(TASKS, rows[1][0], {"a": b"late", "b": b"late", "c": None})
        await lab.commit(TASKS, rows[2][0], {"a": b"1", "c": b"2"})
        await self._loses(lab, commit, Outcome.AHEAD)

    @in_colour
    async def test_mismatch(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        commit = await lab.committing(TASKS, rows[3][0], {"a": b"late", "b": b"late"})
        await lab.commit(TASKS, rows[1][0], {"a": b"1"})
        await self._loses(lab, commit, Outcome.MISMATCH)
        early = commit._replace(expected=rows[2][0])
        await self._loses(lab, early, Outcome.MISMATCH)
        unseen = commit._replace(projection=LISTS, expected=rows[0][0])
        await self._loses(lab, unseen, Outcome.MISMATCH)

    @in_colour
    async def test_superseded(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        await lab.commit(TASKS, rows[0][0], {"a": b"1"})
        commit = await lab.committing(TASKS, rows[1][0], {"a": b"of another build", "b": b"x"})
        for generation in (commit.generation + 1, commit.generation + 7, commit.generation - 1):
            await self._loses(lab, commit._replace(generation=generation), Outcome.SUPERSEDED)
        assert await lab.outcome(commit) is Outcome.COMMITTED

    @staticmethod
    async def _loses(lab: Lab, commit: Commit, outcome: Outcome) -> None:
        """A commit has that outcome, and writes nothing: no document, no checkpoint, no note."""
        before = (await lab.progress(commit.projection), await lab.documents(commit.projection))
        for notes in (NO_NOTES, NOTES):
            assert await lab.outcome(commit._replace(notes=notes)) is outcome
            after = (await lab.progress(commit.projection), await lab.documents(commit.projection))
            assert after == before, "a commit that lost has written something"

    @in_colour
    async def test_sending_a_commit_again_is_safe(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        first = await lab.commit(TASKS, rows[0][0], {"a": b"1", "b": b"2"})
        second = await lab.commit(TASKS, rows[1][0], {"a": b"3", "b": None})
        for commit in (first, second, second, first):
            assert await lab.outcome(commit) in {Outcome.ALREADY, Outcome.AHEAD}
        assert await lab.documents(TASKS) == {"a": b"3"}
        assert (await lab.progress(TASKS)).checkpoint == rows[1][0]

    @in_colour
    async def test_commits_of_one_call_stand_for_themselves(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        names = [ProjectionId(name, 1) for name in ("won-1", "ahead", "won-2", "superseded", "mismatch", "won-3")]
        for name in names[1:3]:
            await lab.commit(name, rows[1][0], {"before": b"0"})
        commits = [await lab.committing(name, rows[2][0], {"a": name.name.encode()}) for name in names]
        commits[1] = commits[1]._replace(expected=0, checkpoint=rows[0][0])
        commits[3] = commits[3]._replace(generation=commits[3].generation + 1)
        commits[4] = commits[4]._replace(expected=rows[0][0])
        committed = await lab.views.commit(commits, None)
        assert committed.outcomes == (
            Outcome.COMMITTED,
            Outcome.AHEAD,
            Outcome.COMMITTED,
            Outcome.SUPERSEDED,
            Outcome.MISMATCH,
            Outcome.COMMITTED,
        )
        for name, won in zip(names, (True, False, True, False, False, True), strict=True):
            assert (await lab.documents(name)).get("a") == (name.name.encode() if won else None)
            assert ((await lab.progress(name)).checkpoint == rows[2][0]) is won

    @in_colour
    async def test_commits_of_one_projection_are_taken_in_their_order(self, lab: Lab) -> None:
        rows = await lab.fill(4)
        first = await lab.committing(TASKS, rows[0][0], {"a": b"1", "b": b"1", "c": b"1"})
        second = first._replace(expected=rows[0][0], checkpoint=rows[1][0], documents={"a": None, "b": b"2", "d": b"2"})
        third = second._replace(expected=rows[1][0], checkpoint=rows[2][0], documents={"a": b"3", "b": None})
        again = first._replace(checkpoint=rows[3][0], documents={"a": b"late", "e": b"late"})
        committed = await lab.views.commit([first, second, third, again], None)
        assert committed.outcomes == (*[Outcome.COMMITTED] * 3, Outcome.MISMATCH)
        assert await lab.documents(TASKS) == {"a": b"3", "c": b"1", "d": b"2"}
        assert await lab.count(TASKS) == 3
        assert (await lab.progress(TASKS)).checkpoint == rows[2][0]

    @in_colour
    async def test_a_view_is_never_taken_back(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        await lab.commit(TASKS, rows[1][0], {"a": b"1"})
        back = (await lab.committing(TASKS, rows[2][0], {"a": b"2"}))._replace(checkpoint=rows[0][0])
        other = await lab.committing(LISTS, rows[0][0], {"a": b"1"})
        for commits in ([back], [other, back]):
            with pytest.raises(Misuse, match="tasks"):
                await lab.views.commit(commits, None)
        assert (await lab.progress(TASKS)).checkpoint == rows[1][0]
        assert await lab.documents(TASKS) == {"a": b"1"}
        assert (await lab.progress(LISTS)).checkpoint == 0

    @in_colour
    async def test_new_documents_are_listed_and_counted_whether_they_are_named_or_not(self, lab: Lab) -> None:
        rows = await lab.fill(5)
        expected: dict[str, bytes] = {}
        steps: list[dict[str, bytes | None]] = [
            {"a": b"1", "b": b"1", "never there": None},
            {"a": b"2", "c": b"2"},
            {"a": None, "d": b"3", "gone again": None},
            {"a": b"4", "b": None, "c": b"4"},
            {"a": None, "c": None, "d": None},
        ]
        for name in (TASKS, LISTS):
            expected.clear()
            for row, documents in zip(rows, steps, strict=True):
                commit = await lab.committing(name, row[0], documents)
                created = [key for key in documents if key not in expected] if name is TASKS else None
                assert await lab.outcome(commit._replace(created=created)) is Outcome.COMMITTED
                for key, document in documents.items():
                    expected.pop(key, None)
                    if document is not None:
                        expected[key] = document
                assert await lab.documents(name) == expected
                assert await lab.count(name) == len(expected)

    @in_colour
    async def test_notes_are_kept_until_a_commit_says_otherwise(self, lab: Lab) -> None:
        rows = await lab.fill(6)
        await lab.commit(TASKS, rows[2][0], {"a": b"1"}, notes=NOTES)
        progress = await lab.progress(TASKS)
        assert (progress.checkpoint, progress.notes) == (rows[2][0], NOTES)
        assert progress.stopped == STOPPED
        other = Notes(Stopped(5, "something else", 7), changes=1)
        await lab.commit(TASKS, rows[3][0], notes=other)
        assert (await lab.progress(TASKS)).notes == other
        await lab.commit(TASKS, rows[4][0])
        assert (await lab.progress(TASKS)).notes == NO_NOTES

    @in_colour
    async def test_notes_are_written_without_moving(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        await lab.commit(LISTS, 0, notes=NOTES)
        progress = await lab.progress(LISTS)
        assert (progress.checkpoint, progress.notes) == (0, NOTES)
        await lab.commit(TASKS, rows[0][0], {"a": b"1"})
        await lab.commit(TASKS, rows[0][0], notes=NOTES)
        progress = await lab.progress(TASKS)
        assert (progress.checkpoint, progress.notes) == (rows[0][0], NOTES)
        assert await lab.documents(TASKS) == {"a": b"1"}
        await lab.commit(TASKS, rows[1][0], {"a": b"2"})
        assert (await lab.progress(TASKS)).notes == NO_NOTES

    @in_colour
    async def test_what_comes_next_is_pulled_after_the_commit(self, lab: Lab) -> None:
        rows = await lab.fill(5)
        head = rows[-1][0]
        then = Pull((TASKS, LISTS), 2, MAX_PAGE_BYTES)
        commits = [await lab.committing(TASKS, rows[1][0], {"a": b"1"})]
        committed = await lab.views.commit(commits, then)
        assert committed.outcomes == (Outcome.COMMITTED,)
        assert committed.pulled is not None
        assert [progress.checkpoint for progress in committed.pulled.progress] == [rows[1][0], 0]
        assert (committed.pulled.after, committed.pulled.head) == (rows[1][0], head)
        assert committed.pulled.events == lab.page(committed.pulled.events, rows[2:4])
        again = await lab.views.commit(commits, then)
        assert again.outcomes == (Outcome.ALREADY,)
        assert again.pulled is not None
        assert (again.pulled.after, again.pulled.events) == (rows[1][0], committed.pulled.events)
        last = await lab.views.commit([await lab.committing(TASKS, head), await lab.committing(LISTS, head)], then)
        assert last.pulled is not None
        assert (last.pulled.after, last.pulled.events) == (head, [])

    @in_colour
    async def test_versions_of_a_projection_have_views_of_their_own(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        names = [
            *(ProjectionId("tasks", version) for version in (1, 2, 11)),
            *(ProjectionId(name, 1) for name in ("Tasks", "task", "tasks-1", "tasks.1", "tasks_1", "t", "tasks-1-1")),
        ]
        for index, name in enumerate(names):
            await lab.commit(name, rows[index % 3][0], {"a": f"{name}".encode(), f"{index}": b"x"})
        for index, name in enumerate(names):
            assert await lab.documents(name) == {"a": f"{name}".encode(), f"{index}": b"x"}
            assert (await lab.progress(name)).checkpoint == rows[index % 3][0]
            assert await lab.count(name) == 2
        await lab.commit(names[1], rows[2][0], {"a": None}, notes=NOTES)
        assert (await lab.documents(names[0]))["a"] == b"tasks v1"
        assert (await lab.progress(names[0])).notes == NO_NOTES

    @in_colour
    async def test_everything_is_there_when_the_views_are_opened_again(self, lab: Lab) -> None:
        rows = await lab.fill(3)
        await lab.commit(TASKS, rows[0][0], {"a": b"1", "b": ALL_BYTES})
        await lab.commit(TASKS, rows[1][0], {"c": b"3"}, notes=NOTES)
        await lab.commit(LISTS, rows[2][0], {"a": b"other"})
        before = (await lab.views.progress([TASKS, LISTS]))[:2]
        lab.reopen()
        assert (await lab.views.progress([TASKS, LISTS]))[:2] == before
        assert await lab.documents(TASKS) == {"a": b"1", "b": ALL_BYTES, "c": b"3"}
        assert await lab.documents(LISTS) == {"a": b"other"}
        await lab.commit(TASKS, rows[2][0], {"a": None})
        lab.reopen()
        assert await lab.documents(TASKS) == {"b": ALL_BYTES, "c": b"3"}
        assert (await lab.progress(TASKS)).notes == NO_NOTES
