"""The contract of a mailbox that looks at the clock: schedules, and the messages that they become."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial

from ...ports import Claimed, Mailbox, Message, Schedule
from .kit import Contract, Lab, in_colour
from .mailbox import CALLERS, DAY, HOUR, LEASE, NOW, PLACES, SECOND, box, claim, message, names, one

ELEVEN: int = NOW + 2_800 * SECOND
"""The next full hour."""


def hourly(id: str = "hourly", *, paused: bool = False) -> Schedule:
    """A schedule that is due each hour."""
    return Schedule(id, "0 * * * *", "https://example.com/a?b", b"\x00\xff", {"a": "b"}, None, "POST", paused)


class MailboxSchedules(Contract):
    """Messages that are sent by the clock."""

    @in_colour
    async def test_a_schedule_becomes_a_message_at_its_moment(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        assert await claim(box(lab), ELEVEN - 1) == []
        sent = await one(box(lab), ELEVEN)
        name = f"hourly-{ELEVEN}"
        wanted = Message(name, "https://example.com/a?b", b"\x00\xff", {"a": "b"}, ELEVEN, None, "POST")
        assert sent == Claimed(wanted, 1, "hourly", ELEVEN + LEASE)
        await box(lab).done(sent, ELEVEN)
        assert await names(box(lab), ELEVEN + HOUR - 1) == []
        assert await names(box(lab), ELEVEN + HOUR) == [f"hourly-{ELEVEN + HOUR}"]

    @in_colour
    async def test_moments_that_went_by_become_one_message(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        await box(lab).done(await one(box(lab), ELEVEN + DAY + 1), ELEVEN + DAY + 1)
        assert await names(box(lab), ELEVEN + DAY + HOUR - 1) == []
        assert await box(lab).next_due(PLACES) == ELEVEN + DAY + HOUR

    @in_colour
    async def test_a_schedule_does_not_wait_for_its_last_message(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        failed = await one(box(lab), ELEVEN)
        await box(lab).again(failed, ELEVEN + DAY, "no luck")
        assert await names(box(lab), ELEVEN + HOUR) == [f"hourly-{ELEVEN + HOUR}"]

    @in_colour
    async def test_it_tells_when_a_schedule_is_due(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        assert await box(lab).next_due(PLACES) == ELEVEN
        await box(lab).put([message("a", ELEVEN + 1)], NOW)
        assert await box(lab).next_due(PLACES) == ELEVEN

    @in_colour
    async def test_one_saved_with_the_same_cron_keeps_its_moment(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        await box(lab).save(hourly(), ELEVEN + 5)
        assert await box(lab).next_due(PLACES) == ELEVEN

    @in_colour
    async def test_one_saved_with_another_cron_is_due_by_it(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        changed = Schedule("hourly", "30 * * * *", "/b", b"changed")
        await box(lab).save(changed, NOW)
        assert await box(lab).schedules() == [changed]
        assert (await one(box(lab), NOW + 1_000 * SECOND)).message.body == b"changed"

    @in_colour
    async def test_a_schedule_that_rests_sends_nothing(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        assert await box(lab).rest("hourly", NOW, paused=True)
        assert await box(lab).schedules() == [hourly(paused=True)]
        assert await box(lab).next_due(PLACES) is None
        assert await names(box(lab), NOW + DAY) == []
        assert await box(lab).rest("hourly", ELEVEN + DAY, paused=False)
        assert await names(box(lab), ELEVEN + DAY + HOUR - 1) == []
        assert await names(box(lab), ELEVEN + DAY + HOUR) == [f"hourly-{ELEVEN + DAY + HOUR}"]

    @in_colour
    async def test_one_that_is_saved_again_goes_on_resting_or_not_as_it_did(self, lab: Lab) -> None:
        await box(lab).save(hourly(paused=True), NOW)
        await box(lab).save(hourly(), NOW)
        assert await box(lab).schedules() == [hourly(paused=True)]
        assert await box(lab).next_due(PLACES) is None
        assert await box(lab).rest("hourly", NOW, paused=False)
        await box(lab).save(hourly(paused=True), NOW)
        assert await box(lab).schedules() == [hourly()]
        assert await box(lab).next_due(PLACES) == ELEVEN

    @in_colour
    async def test_one_that_goes_on_already_keeps_its_moment(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        assert await box(lab).rest("hourly", ELEVEN + 5, paused=False)
        assert await box(lab).next_due(PLACES) == ELEVEN

    @in_colour
    async def test_only_a_schedule_that_is_there_can_rest(self, lab: Lab) -> None:
        assert not await box(lab).rest("hourly", NOW, paused=True)
        assert await box(lab).schedules() == []

    @in_colour
    async def test_a_moment_that_a_wrong_clock_set_is_set_right_by_the_next_save(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW + 365 * DAY)
        await box(lab).save(hourly(), NOW)
        assert await box(lab).next_due(PLACES) == ELEVEN

    @in_colour
    async def test_schedules_are_listed_in_order(self, lab: Lab) -> None:
        given = [hourly(name, paused=name == "b") for name in ("b", "a.1", "C", "a-1")]
        for each in given:
            await box(lab).save(each, NOW)
        assert await box(lab).schedules() == sorted(given, key=lambda each: each.id)

    @in_colour
    async def test_a_schedule_that_is_removed_sends_nothing(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        await box(lab).save(hourly("other", paused=True), NOW)
        await box(lab).remove("hourly")
        await box(lab).remove("unknown")
        assert await box(lab).schedules() == [hourly("other", paused=True)]
        assert await names(box(lab), NOW + DAY) == []

    @in_colour
    async def test_its_schedule_is_known_of_a_message_that_was_buried(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        await box(lab).bury(await one(box(lab), ELEVEN), ELEVEN, "no luck")
        (buried,) = await box(lab).buried(10)
        assert buried.schedule_id == "hourly"
        await box(lab).revive(buried.message.id, ELEVEN)
        assert (await one(box(lab), ELEVEN)).schedule_id == "hourly"

    @in_colour
    async def test_schedules_stay_when_the_backend_is_closed(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        await box(lab).save(hourly("rests", paused=True), NOW)
        lab.reopen()
        assert await box(lab).schedules() == [hourly(), hourly("rests", paused=True)]
        assert await names(box(lab), ELEVEN + DAY) == [f"hourly-{ELEVEN}"]

    @in_colour
    async def test_a_schedule_sends_once_to_several_who_claim_at_once(self, lab: Lab) -> None:
        await box(lab).save(hourly(), NOW)
        boxes = [lab.another().mailbox(lab.colour.port) for _ in range(CALLERS)]
        for hour in range(5):

            async def take(mailbox: Mailbox | None, now_us: int = ELEVEN + hour * HOUR) -> list[Claimed]:
                assert mailbox is not None
                return await claim(mailbox, now_us)

            answers = await lab.colour.together([partial(take, each) for each in boxes])
            (sent,) = [each for answer in answers for each in answer]
            assert sent.message.id == f"hourly-{ELEVEN + hour * HOUR}"
            assert await box(lab).done(sent, ELEVEN + hour * HOUR)
