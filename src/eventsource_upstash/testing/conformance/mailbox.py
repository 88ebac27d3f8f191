"""The contract of a mailbox: messages that wait, are held, delivered, tried again and given up."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial

from ...ports import URLS, Claimed, Left, Mailbox, Message
from .kit import Contract, Lab, in_colour

NOW: int = 1_700_000_000_000_000
"""14 November 2023, 22:13:20 UTC, in microseconds."""

SECOND: int = 1_000_000
HOUR: int = 3_600 * SECOND
DAY: int = 24 * HOUR
LEASE: int = 60 * SECOND

CALLERS = 4

PLACES = (URLS, "/work", "/b", "/c")
"""Where those deliver to who claim here."""


def message(id: str, due_us: int = 0) -> Message:
    """A message, of bytes of every kind."""
    return Message(id, "/work", bytes(range(256)), {"x-header": 'a "b" \\'}, due_us, 5, "PUT")


def box(lab: Lab) -> Mailbox:
    """The mailbox under test."""
    mailbox = lab.backend.mailbox(lab.colour.port)
    assert mailbox is not None
    return mailbox


async def claim(mailbox: Mailbox, now_us: int = NOW, limit: int = 10) -> list[Claimed]:
    """What is due then, held for a minute."""
    return await mailbox.claim(now_us, limit, dict.fromkeys(PLACES, now_us + LEASE))


async def names(mailbox: Mailbox, now_us: int = NOW, limit: int = 10) -> list[str]:
    """The ids of what is due then."""
    return [claimed.message.id for claimed in await claim(mailbox, now_us, limit)]


async def one(mailbox: Mailbox, now_us: int = NOW) -> Claimed:
    """The only message that is due then."""
    (claimed,) = await claim(mailbox, now_us)
    return claimed


class MailboxMessages(Contract):
    """Messages that wait, and whoever delivers them."""

    @in_colour
    async def test_a_message_is_claimed_as_it_was_put(self, lab: Lab) -> None:
        given = [message("a"), Message("b", "https://example.com/x", retries=0), Message("c", "/c")]
        await box(lab).put(given, NOW)
        assert await claim(box(lab)) == [Claimed(each, 1, None, NOW + LEASE) for each in given]

    @in_colour
    async def test_none_is_due_before_its_time(self, lab: Lab) -> None:
        await box(lab).put([message("later", NOW + SECOND)], NOW)
        assert await names(box(lab), NOW + SECOND - 1) == []
        assert await names(box(lab), NOW + SECOND) == ["later"]

    @in_colour
    async def test_what_was_due_first_comes_first(self, lab: Lab) -> None:
        await box(lab).put([message("c", NOW + 2), message("a"), message("d", NOW + 3)], NOW)
        await box(lab).put([message("past", NOW - DAY), message("b")], NOW)
        assert await names(box(lab), NOW + HOUR) == ["a", "past", "b", "c", "d"]

    @in_colour
    async def test_no_more_are_claimed_than_were_asked_for(self, lab: Lab) -> None:
        await box(lab).put([message(str(number)) for number in range(300)], NOW)
        assert await names(box(lab), limit=2) == ["0", "1"]
        assert await names(box(lab), limit=1_000) == [str(number) for number in range(2, 300)]

    @in_colour
    async def test_what_is_held_is_handed_to_nobody_else(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        assert await names(box(lab)) == ["a"]
        assert await names(box(lab), NOW + LEASE - 1) == []

    @in_colour
    async def test_when_the_lease_ends_it_is_handed_out_again(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        await one(box(lab))
        later = NOW + LEASE
        assert await one(box(lab), later) == Claimed(message("a"), 2, None, later + LEASE)

    @in_colour
    async def test_what_is_done_is_gone(self, lab: Lab) -> None:
        await box(lab).put([message("a"), message("b")], NOW)
        first, second = await claim(box(lab))
        assert await box(lab).done(first, NOW)
        assert not await box(lab).done(first, NOW)
        assert await names(box(lab), NOW + DAY) == [second.message.id]

    @in_colour
    async def test_a_lease_that_nobody_took_up_holds(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        held = await one(box(lab))
        assert await box(lab).done(held, NOW + HOUR)
        assert await names(box(lab), NOW + DAY) == []

    @in_colour
    async def test_who_lost_the_lease_and_failed_changes_nothing(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        late = await one(box(lab))
        now = NOW + LEASE
        holds = await one(box(lab), now)
        assert not await box(lab).again(late, now, "late")
        assert not await box(lab).bury(late, now, "late")
        assert await names(box(lab), now) == []
        assert await box(lab).buried(10) == []
        assert await box(lab).done(holds, now)

    @in_colour
    async def test_what_is_delivered_is_done_also_by_who_lost_the_lease(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        late = await one(box(lab))
        now = NOW + LEASE
        holds = await one(box(lab), now)
        assert not await box(lab).done(late, now)
        assert not await box(lab).again(holds, now, "no luck")
        assert await names(box(lab), now + DAY) == []
        await box(lab).put([message("a")], now)
        assert await names(box(lab), now + DAY) == []

    @in_colour
    async def test_what_was_given_up_is_not_done_by_who_lost_the_lease(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        late = await one(box(lab))
        await box(lab).bury(await one(box(lab), NOW + LEASE), NOW + LEASE, "no luck")
        assert not await box(lab).done(late, NOW + LEASE)
        assert [each.message.id for each in await box(lab).buried(10)] == ["a"]

    @in_colour
    async def test_an_id_that_waits_is_not_taken_twice(self, lab: Lab) -> None:
        await box(lab).put([message("a"), message("a", NOW + 5)], NOW)
        held = await one(box(lab), NOW + HOUR)
        await box(lab).put([message("a"), message("b")], NOW)
        assert await names(box(lab), NOW + HOUR) == ["b"]
        assert await box(lab).done(held, NOW + HOUR)

    @in_colour
    async def test_the_id_of_what_is_done_is_remembered_for_a_day(self, lab: Lab) -> None:
        await box(lab).put([message("a"), message("b", NOW + DAY)], NOW)
        await box(lab).done(await one(box(lab)), NOW)
        await box(lab).done(await one(box(lab), NOW + DAY), NOW + DAY)
        await box(lab).put([message("a"), message("b")], NOW + DAY)
        assert await names(box(lab), NOW + DAY) == []

    @in_colour
    async def test_what_is_to_be_tried_again_is_due_then(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        held = await one(box(lab))
        assert await box(lab).again(held, NOW + HOUR, "no luck")
        assert await names(box(lab), NOW + HOUR - 1) == []
        assert (await one(box(lab), NOW + HOUR)).attempt == 2

    @in_colour
    async def test_what_is_buried_is_not_tried_again(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        await box(lab).again(await one(box(lab)), NOW, "no luck")
        assert await box(lab).bury(await one(box(lab)), NOW + 7, "out of luck")
        assert await names(box(lab), NOW + 20 * DAY) == []
        (buried,) = await box(lab).buried(10)
        assert buried == (message("a"), 2, "out of luck", NOW + 7, None)
        await box(lab).put([message("a")], NOW)
        assert await names(box(lab), NOW + DAY) == []

    @in_colour
    async def test_the_newest_of_the_buried_comes_first(self, lab: Lab) -> None:
        await box(lab).put([message(name) for name in "abcd"], NOW)
        for claimed, at in zip(await claim(box(lab)), (3, 9, 9, 4), strict=True):
            await box(lab).bury(claimed, NOW + at, "no luck")
        assert [each.message.id for each in await box(lab).buried(3)] == ["c", "b", "d"]

    @in_colour
    async def test_the_buried_are_kept_for_thirty_days(self, lab: Lab) -> None:
        await box(lab).put([message("a"), message("b", NOW + 30 * DAY)], NOW)
        await box(lab).bury(await one(box(lab)), NOW, "no luck")
        await box(lab).bury(await one(box(lab), NOW + 30 * DAY), NOW + 30 * DAY, "no luck")
        assert [each.message.id for each in await box(lab).buried(10)] == ["b", "a"]

    @in_colour
    async def test_what_is_revived_begins_anew(self, lab: Lab) -> None:
        await box(lab).put([message("a")], NOW)
        await box(lab).bury(await one(box(lab)), NOW, "no luck")
        assert await box(lab).revive("a", NOW + HOUR)
        assert await box(lab).buried(10) == []
        assert await names(box(lab), NOW + HOUR - 1) == []
        assert (await one(box(lab), NOW + HOUR)).attempt == 1

    @in_colour
    async def test_only_the_buried_can_be_revived(self, lab: Lab) -> None:
        await box(lab).put([message("waits", NOW + HOUR), message("done")], NOW)
        await box(lab).done(await one(box(lab)), NOW)
        for name in ("waits", "done", "unknown"):
            assert not await box(lab).revive(name, NOW)
        assert await names(box(lab)) == []

    @in_colour
    async def test_it_tells_when_the_next_is_due(self, lab: Lab) -> None:
        assert await box(lab).next_due(PLACES) is None
        await box(lab).put([message("late", NOW + DAY), message("a")], NOW)
        assert await box(lab).next_due(PLACES) == NOW
        held = await one(box(lab))
        assert await box(lab).next_due(PLACES) == NOW + LEASE
        await box(lab).again(held, NOW + HOUR, "no luck")
        assert await box(lab).next_due(PLACES) == NOW + HOUR
        await box(lab).bury(await one(box(lab), NOW + HOUR), NOW + HOUR, "no luck")
        assert await box(lab).next_due(PLACES) == NOW + DAY
        await box(lab).done(await one(box(lab), NOW + DAY), NOW + DAY)
        assert await box(lab).next_due(PLACES) is None

    @in_colour
    async def test_who_has_no_job_for_it_is_not_handed_a_message(self, lab: Lab) -> None:
        await box(lab).put([Message("a", "/a"), Message("b", "/b", not_before_us=NOW + 5), message("c", NOW + 9)], NOW)
        await box(lab).put([Message("url", "https://example.com/a", not_before_us=NOW + 7)], NOW)
        assert await box(lab).next_due(("/b", "/none")) == NOW + 5
        assert await box(lab).next_due((URLS, "/work")) == NOW + 7
        assert await box(lab).next_due(()) is None
        assert await box(lab).claim(NOW + DAY, 10, dict.fromkeys(("/none",), NOW + DAY + LEASE)) == []
        claims = await box(lab).claim(NOW + DAY, 2, dict.fromkeys(("/work", URLS, "/b"), NOW + DAY + LEASE))
        assert [each.message.id for each in claims] == ["b", "url"]
        (last,) = await box(lab).claim(NOW + DAY, 2, dict.fromkeys(("/a",), NOW + DAY + LEASE))
        assert (last.message.id, last.attempt) == ("a", 1)

    @in_colour
    async def test_it_tells_what_waits_for_those_who_have_the_job(self, lab: Lab) -> None:
        await box(lab).put([Message("b1", "/x", not_before_us=NOW + 5), Message("b2", "/x"), Message("a", "/a")], NOW)
        await box(lab).put([Message("url", "https://example.com/a"), message("c"), Message("l", "/x2")], NOW + 9)
        assert await box(lab).left(NOW + 5, PLACES) == [Left("/a", 1, NOW), Left("/x", 2, NOW)]
        await box(lab).claim(NOW, 1, dict.fromkeys(("/x",), NOW + LEASE))
        assert await box(lab).left(NOW + 5, ("/a",)) == [Left("/x", 1, NOW + 5)]
        (held,) = await box(lab).claim(NOW, 1, dict.fromkeys(("/a",), NOW + LEASE))
        await box(lab).bury(held, NOW, "no luck")
        assert await box(lab).left(NOW + 5, ("/x",)) == []

    @in_colour
    async def test_nothing_is_put_and_nothing_is_lost_by_it(self, lab: Lab) -> None:
        await box(lab).put([], NOW)
        assert await claim(box(lab)) == []

    @in_colour
    async def test_messages_stay_when_the_backend_is_closed(self, lab: Lab) -> None:
        await box(lab).put([message(name) for name in ("done", "dead", "held", "failed")], NOW)
        done, dead, held, failed = await claim(box(lab))
        await box(lab).put([message("waits", NOW + HOUR)], NOW)
        await box(lab).done(done, NOW)
        await box(lab).bury(dead, NOW, "no luck")
        await box(lab).again(failed, NOW + HOUR, "no luck")
        lab.reopen()
        assert [each.message for each in await box(lab).buried(10)] == [message("dead")]
        await box(lab).put([message("done"), message("dead")], NOW)
        assert await names(box(lab), NOW + LEASE - 1) == []
        later = await claim(box(lab), NOW + HOUR)
        assert [(each.message.id, each.attempt) for each in later] == [("held", 2), ("failed", 2), ("waits", 1)]
        assert not await box(lab).done(held, NOW)

    @in_colour
    async def test_several_who_claim_at_once_never_get_the_same(self, lab: Lab) -> None:
        await box(lab).put([message(str(number)) for number in range(20)], NOW)
        boxes = [lab.another().mailbox(lab.colour.port) for _ in range(CALLERS)]

        async def take(mailbox: Mailbox | None) -> list[str]:
            assert mailbox is not None
            taken: list[str] = []
            for _ in range(20):
                taken += await names(mailbox, limit=1)
                await lab.colour.breathe()
            return taken

        answers = await lab.colour.together([partial(take, each) for each in boxes])
        taken = [name for answer in answers for name in answer]
        assert sorted(taken, key=int) == [str(number) for number in range(20)]
