"""`owes_notification`, `Log.settle`, `Log.withdraw` and `Pull.settle`: who tells whoever folds, and when."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial
from typing import ClassVar

from msgspec.structs import replace

from ...domain.events import ANY, Appended
from ...ports import MAX_PAGE_BYTES, Append, Conflict, KeyReused, Pull
from .kit import Contract, Lab, appended, in_colour
from .viewing import LISTS, TASKS

CALLERS = 4


class LogSettling(Contract):
    """What every log answers, whether it remembers notifications or not."""

    @in_colour
    async def test_settle_answers_the_head(self, lab: Lab) -> None:
        assert (await lab.log.settle(0))[0] == 0
        first = await lab.append("a", b"1", b"2")
        second = await lab.append("b", b"3")
        for position in (0, first.position, second.position):
            head, _ = await lab.log.settle(position)
            assert head == (await lab.log.head())[0]
            assert head >= first.position
            assert head >= second.position
        third = await lab.append("a", b"4")
        assert (await lab.log.settle(second.position))[0] >= third.position

    @in_colour
    async def test_neither_settle_nor_withdraw_changes_an_event(self, lab: Lab) -> None:
        await lab.log.withdraw(1, 1)
        append = lab.appending("a", *lab.several(b"1", b"2"))
        first = appended(await lab.log.append(append))
        before = await lab.everything()
        await lab.log.withdraw(first.position, append.recorded_us)
        await lab.log.settle(first.position)
        assert await lab.everything() == before
        assert (await lab.append("a", b"3", expected=lab.expect(len(append.events)))).position > first.position


class FreeNotifications(Contract):
    """Of a log whose notifications cost nothing: every append sends one."""

    @in_colour
    async def test_every_append_owes_a_notification(self, lab: Lab) -> None:
        append = replace(lab.appending("a", key="key"), notifies=True)
        assert appended(await lab.log.append(append)).owes_notification
        again = await lab.log.append(append)
        assert isinstance(again, Appended)
        assert again.owes_notification
        assert appended(await lab.log.append(replace(lab.appending("b"), notifies=True))).owes_notification


class OutstandingNotifications(Contract):
    """Of a log whose notifications cost something: one is outstanding at a time.

    Attributes:
        lost_after_us: After so many microseconds one that is outstanding counts as lost.
    """

    lost_after_us: ClassVar[int] = 60_000_000

    @staticmethod
    def _notifying(lab: Lab, stream: str = "a", *, expected: int | None = None, key: str | None = None) -> Append:
        return replace(lab.appending(stream, expected=ANY if expected is None else expected, key=key), notifies=True)

    async def _append(self, lab: Lab, stream: str = "a") -> Appended:
        return appended(await lab.log.append(self._notifying(lab, stream)))

    async def _owed(self, lab: Lab) -> bool:
        """Whether the next append owes a notification. If it does, that one is outstanding from here on."""
        return (await self._append(lab, "asking")).owes_notification

    @in_colour
    async def test_while_one_is_outstanding_no_append_owes_another(self, lab: Lab) -> None:
        assert (await self._append(lab)).owes_notification
        for stream in ("a", "b", "a"):
            assert not (await self._append(lab, stream)).owes_notification
        lab.reopen()
        assert not await self._owed(lab)

    @in_colour
    async def test_an_append_that_cannot_notify_owes_nothing(self, lab: Lab) -> None:
        assert not (await lab.append("a")).owes_notification
        assert (await self._append(lab)).owes_notification, "an append that does not notify has raised one"
        assert not (await lab.append("a")).owes_notification

    @in_colour
    async def test_what_was_not_written_raises_nothing(self, lab: Lab) -> None:
        await lab.append("a", key="key")
        assert isinstance(await lab.log.append(self._notifying(lab, expected=7)), Conflict)
        assert isinstance(await lab.log.append(self._notifying(lab, key="key")), KeyReused)
        assert await self._owed(lab)

    @in_colour
    async def test_it_is_settled_at_the_head(self, lab: Lab) -> None:
        for _ in range(2):
            assert (await self._append(lab)).owes_notification
            last = await self._append(lab)
            assert (await lab.log.settle(last.position))[0] == last.position
        assert await self._owed(lab)

    @in_colour
    async def test_it_is_not_settled_below_the_head(self, lab: Lab) -> None:
        first = await self._append(lab)
        last = await self._append(lab)
        assert (await lab.log.settle(first.position))[0] == last.position
        assert (await lab.log.settle(0))[0] == last.position
        assert not await self._owed(lab)

    @in_colour
    async def test_one_that_was_not_sent_is_withdrawn(self, lab: Lab) -> None:
        append = self._notifying(lab)
        first = appended(await lab.log.append(append))
        await self._append(lab)
        await lab.log.withdraw(first.position, append.recorded_us)
        await lab.log.withdraw(first.position, append.recorded_us)
        assert await self._owed(lab)

    @in_colour
    async def test_only_the_one_that_was_not_sent_is_withdrawn(self, lab: Lab) -> None:
        append = self._notifying(lab)
        first = appended(await lab.log.append(append))
        await lab.log.settle(first.position)
        assert (await self._append(lab)).owes_notification
        await lab.log.withdraw(first.position, append.recorded_us)
        assert not await self._owed(lab), "another notification was withdrawn than the one that was not sent"

    @in_colour
    async def test_one_that_an_append_owed_again_is_withdrawn(self, lab: Lab) -> None:
        """Called again under its key, an append has another time."""
        append = self._notifying(lab, key="key")
        first = appended(await lab.log.append(append))
        again = replace(append, recorded_us=append.recorded_us + 5, number=append.number + 7)
        answer = await lab.log.append(again)
        assert isinstance(answer, Appended)
        assert answer.owes_notification
        await lab.log.withdraw(first.position, again.recorded_us)
        assert await self._owed(lab)

    @in_colour
    async def test_after_a_while_it_counts_as_lost(self, lab: Lab) -> None:
        append = self._notifying(lab)
        assert appended(await lab.log.append(append)).owes_notification

        def after(microseconds: int) -> Append:
            return replace(self._notifying(lab), recorded_us=append.recorded_us + microseconds)

        assert not appended(await lab.log.append(after(self.lost_after_us))).owes_notification
        late = after(self.lost_after_us + 1)
        assert appended(await lab.log.append(late)).owes_notification
        soon = replace(self._notifying(lab), recorded_us=late.recorded_us + 1)
        assert not appended(await lab.log.append(soon)).owes_notification

    @in_colour
    async def test_an_append_sent_again_owes_its_own_still(self, lab: Lab) -> None:
        for append in (self._notifying(lab, key="key"), self._notifying(lab, "b", expected=0)):
            first = appended(await lab.log.append(append))
            assert first.owes_notification
            await self._append(lab, "other")
            again = await lab.log.append(append)
            assert isinstance(again, Appended)
            assert (again.repeated, again.owes_notification) == (True, True)
            await lab.log.settle((await lab.log.head())[0])
            again = await lab.log.append(append)
            assert isinstance(again, Appended)
            assert (again.repeated, again.owes_notification) == (True, False)

    @in_colour
    async def test_an_append_sent_again_does_not_owe_anothers(self, lab: Lab) -> None:
        append = self._notifying(lab, key="key")
        assert (await self._append(lab)).owes_notification
        for repeated in (False, True):
            answer = await lab.log.append(append)
            assert isinstance(answer, Appended)
            assert (answer.repeated, answer.owes_notification) == (repeated, False)

    @in_colour
    async def test_of_appends_at_once_one_owes(self, lab: Lab) -> None:
        for _ in range(5):
            appends = [self._notifying(lab, f"s-{n}") for n in range(CALLERS)]
            answers = await lab.colour.together([partial(lab.log.append, append) for append in appends])
            assert sum(appended(answer).owes_notification for answer in answers) == 1
            await lab.log.settle((await lab.log.head())[0])

    @in_colour
    async def test_a_pull_settles_when_everybody_is_at_the_head(self, lab: Lab) -> None:
        head = (await self._append(lab)).position
        pull = Pull((TASKS, LISTS), 10, MAX_PAGE_BYTES, settle=True)
        await lab.commit(TASKS, head)
        await lab.views.pull(pull)
        assert not await self._owed(lab), "one of two projections was at the head, and it was settled"
        head = (await lab.log.head())[0]
        await lab.commit(TASKS, head)
        await lab.commit(LISTS, head)
        await lab.views.pull(pull._replace(settle=False))
        await lab.views.progress([TASKS, LISTS])
        assert not await self._owed(lab), "it was settled by somebody who may not"
        head = (await lab.log.head())[0]
        await lab.commit(TASKS, head)
        await lab.commit(LISTS, head)
        await lab.views.pull(pull)
        assert await self._owed(lab)

    @in_colour
    async def test_a_build_that_can_go_on_and_is_behind_holds_it_up(self, lab: Lab) -> None:
        pull = Pull((TASKS,), 10, MAX_PAGE_BYTES, settle=True)
        await self._append(lab)
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, (await lab.log.head())[0])
        await lab.views.pull(pull)
        assert not await self._owed(lab), "a build was behind, and it was settled"
        await lab.commit(TASKS, (await lab.log.head())[0])
        await lab.views.pull(pull._replace(aside={LISTS: building, TASKS: building + 1}))
        assert not await self._owed(lab), "another build was aside, and it was settled"
        await lab.commit(TASKS, (await lab.log.head())[0])
        await lab.views.pull(pull._replace(aside={TASKS: building}))
        assert await self._owed(lab), "a build that cannot go on has held it up"
        await lab.rebuild(TASKS)
        await lab.views.pull(pull)
        assert await self._owed(lab), "a build that is kept has held it up"

    @in_colour
    async def test_a_commit_settles_when_everybody_is_at_the_head(self, lab: Lab) -> None:
        first = await self._append(lab)
        pull = Pull((TASKS, LISTS), 10, MAX_PAGE_BYTES, settle=True)
        commits = [await lab.committing(name, first.position) for name in (TASKS, LISTS)]
        last = await self._append(lab)
        committed = await lab.views.commit(commits, pull)
        assert committed.pulled is not None
        assert (committed.pulled.head, committed.pulled.after) == (last.position, first.position)
        assert not await self._owed(lab), "the head had moved on, and it was settled"
        head = (await lab.log.head())[0]
        for name in (TASKS, LISTS):
            await lab.views.commit([await lab.committing(name, head)], pull)
        assert await self._owed(lab)
