"""Mailboxes that each break one rule."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from eventsource_upstash import Memory
from eventsource_upstash.backends.memory.mailbox import MemoryMailbox
from eventsource_upstash.backends.memory.state import State
from eventsource_upstash.ports import Backend, Buried, Claimed, Left, Mailbox, Message, Port, Schedule
from eventsource_upstash.testing import BackendWrapper, MailboxContract
from eventsource_upstash.testing.colours import Colour

HOUR = 3_600_000_000


class Broken(BackendWrapper):
    """A backend with that mailbox, over storage that outlives it."""

    def __init__(self, memory: Memory, broken: Callable[[State], Mailbox]) -> None:
        super().__init__(memory)
        self._mailbox = broken(memory._state)

    def mailbox(self, port: Port) -> Mailbox:
        return self._mailbox


class Contract(MailboxContract):
    def __init__(self, broken: Callable[[State], Mailbox], *, lost: bool = False) -> None:
        self._broken = broken
        self._lost = lost
        self._kept: dict[Path, Memory] = {}

    def open_backend(self, folder: Path) -> Backend:
        memory = Memory() if self._lost else self._kept.setdefault(folder, Memory())
        return Broken(memory, self._broken)


class Whole(MemoryMailbox):
    """Nothing is broken."""


class LosesBodies(MemoryMailbox):
    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        await super().put([Message(each.id, each.destination) for each in messages], now_us)


class SendsAtOnce(MemoryMailbox):
    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        for each in messages:
            self._state.mail.add(each, now_us)


class LastComesFirst(MemoryMailbox):
    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        return list(reversed(await super().claim(now_us, limit, places)))


class ByTheirOwnTime(MemoryMailbox):
    """It goes by `not_before` alone, so that what is put later jumps the queue."""

    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        for each in messages:
            self._state.mail.add(each, each.not_before_us)


class TakesAll(MemoryMailbox):
    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        return await super().claim(now_us, 1_000, places)


class HoldsNothing(MemoryMailbox):
    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        claimed = await super().claim(now_us, limit, places)
        for each in claimed:
            self._state.mail.move(self._state.mail.letters[each.message.id], now_us, each.lease_us)
        return claimed


class HoldsForGood(MemoryMailbox):
    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        claimed = await super().claim(now_us, limit, places)
        for each in claimed:
            self._state.mail.move(self._state.mail.letters[each.message.id], now_us + 9_999 * HOUR, each.lease_us)
        return claimed


class CountsNoAttempts(MemoryMailbox):
    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        return [each._replace(attempt=1) for each in await super().claim(now_us, limit, places)]


class IsNeverDone(MemoryMailbox):
    async def done(self, claimed: Claimed, now_us: int) -> bool:
        return True


class HoldsToTheSecond(MemoryMailbox):
    """A lease that ended is lost, though nobody took it up."""

    async def done(self, claimed: Claimed, now_us: int) -> bool:
        return now_us < claimed.lease_us and await super().done(claimed, now_us)


class AsksNobody(MemoryMailbox):
    """Whoever lost the lease may say how it went all the same."""

    def _own(self, claimed: Claimed) -> Claimed:
        letter = self._state.mail.letters.get(claimed.message.id)
        return claimed if letter is None or letter.lease_us is None else claimed._replace(lease_us=letter.lease_us)

    async def again(self, claimed: Claimed, at_us: int, error: str) -> bool:
        return await super().again(self._own(claimed), at_us, error)

    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        return await super().bury(self._own(claimed), now_us, error)


class MindsTheLease(MemoryMailbox):
    """What was delivered by somebody whose lease was lost is delivered again and again."""

    async def done(self, claimed: Claimed, now_us: int) -> bool:
        return self._state.mail.held(claimed) is not None and await super().done(claimed, now_us)


class ForgetsWhatWasGivenUp(MemoryMailbox):
    async def done(self, claimed: Claimed, now_us: int) -> bool:
        self._state.mail.buried.pop(claimed.message.id, None)
        return await super().done(claimed, now_us)


class TakesAnything(MemoryMailbox):
    """A message of an id that waits takes the place of the one before."""

    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        for each in messages:
            self._state.mail.letters.pop(each.id, None)
        await super().put(messages, now_us)


class ForgetsAtOnce(MemoryMailbox):
    async def done(self, claimed: Claimed, now_us: int) -> bool:
        done = await super().done(claimed, now_us)
        self._state.mail.finished.clear()
        return done


class ForgetsTheBuried(MemoryMailbox):
    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        buried = await super().bury(claimed, now_us, error)
        self._state.mail.buried.clear()
        return buried


class TriesAgainAtOnce(MemoryMailbox):
    async def again(self, claimed: Claimed, at_us: int, error: str) -> bool:
        return await super().again(claimed, 0, error)


class OldestFirst(MemoryMailbox):
    async def buried(self, limit: int) -> list[Buried]:
        return list(reversed(await super().buried(1_000)))[:limit]


class KeepsOneBuried(MemoryMailbox):
    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        self._state.mail.buried.clear()
        return await super().bury(claimed, now_us, error)


class RevivesNobody(MemoryMailbox):
    async def revive(self, id: str, now_us: int) -> bool:
        return False


class RevivesAnybody(MemoryMailbox):
    async def revive(self, id: str, now_us: int) -> bool:
        letter = self._state.mail.letters.get(id)
        if letter is not None:
            self._state.mail.move(letter, now_us, None)
        return letter is not None or await super().revive(id, now_us)


class NeverKnowsTheTime(MemoryMailbox):
    async def next_due(self, places: Collection[str]) -> int | None:
        return 0


class StumblesOverNothing(MemoryMailbox):
    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        assert messages
        await super().put(messages, now_us)


class HandsOutAnything(MemoryMailbox):
    """Whoever claims is handed what it has no job for."""

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        return await super().claim(now_us, limit, dict.fromkeys((*places, "/a", "/b"), max(places.values())))


class LeavesNothing(MemoryMailbox):
    async def left(self, now_us: int, places: Collection[str]) -> list[Left]:
        return []


class LooksThenTakes(MemoryMailbox):
    """It looks what is due, waits, and then takes it, whoever has it by now."""

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        mail = self._state.mail
        due = sorted((each for each in mail.letters.values() if each.due_us <= now_us), key=lambda each: each.number)
        await Colour.EVENT_LOOP.breathe()
        if not due:
            return await super().claim(now_us, limit, places)
        lease_us = max(places.values())
        for each in due[:limit]:
            each.attempts += 1
            mail.move(each, lease_us, lease_us)
        return [Claimed(each.message, each.attempts, each.schedule_id, lease_us) for each in due[:limit]]


class SendsForEachCaller(MemoryMailbox):
    """Each who looks at the clock sends the schedule's message, under an id of its own."""

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        due = dict(self._state.mail.schedules)
        await Colour.EVENT_LOOP.breathe()
        claimed = await super().claim(now_us, limit, places)
        if not claimed and any(at is not None and at <= now_us for _, at in due.values()):
            ((schedule, at), *_) = due.values()
            return [Claimed(Message(f"{schedule.id}-{at}", schedule.destination), 1, schedule.id, max(places.values()))]
        return claimed


class SendsAllThatWentBy(MemoryMailbox):
    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        claimed: list[Claimed] = []
        mail = self._state.mail
        while any(at is not None and at <= now_us for _, at in mail.schedules.values()):
            at = min(at for _, at in mail.schedules.values() if at is not None)
            claimed += await super().claim(at, limit, places)
        return claimed + await super().claim(now_us, limit, places)


class SendsNothing(MemoryMailbox):
    async def save(self, schedule: Schedule, now_us: int) -> None:
        self._state.mail.schedules[schedule.id] = (schedule, None)


class WaitsForTheLast(MemoryMailbox):
    """A schedule's message that waits keeps the next one back."""

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        waiting = {each.schedule_id for each in self._state.mail.letters.values()}
        kept = {name: each for name, each in self._state.mail.schedules.items() if name in waiting}
        for name in kept:
            del self._state.mail.schedules[name]
        claimed = await super().claim(now_us, limit, places)
        self._state.mail.schedules.update(kept)
        return claimed


class BeginsAnew(MemoryMailbox):
    """Each save sets the moment."""

    async def save(self, schedule: Schedule, now_us: int) -> None:
        self._state.mail.schedules.pop(schedule.id, None)
        await super().save(schedule, now_us)


class KeepsTheFirst(MemoryMailbox):
    async def save(self, schedule: Schedule, now_us: int) -> None:
        if schedule.id not in self._state.mail.schedules:
            await super().save(schedule, now_us)


class NeverRests(MemoryMailbox):
    async def rest(self, id: str, now_us: int, *, paused: bool) -> bool:
        return True


class RestsAsItIsSaved(MemoryMailbox):
    """Each save says anew whether it rests."""

    async def save(self, schedule: Schedule, now_us: int) -> None:
        await super().save(schedule, now_us)
        await self.rest(schedule.id, now_us, paused=schedule.paused)


class GoesOnAnew(MemoryMailbox):
    """To go on sets the moment, also of one that does not rest."""

    async def rest(self, id: str, now_us: int, *, paused: bool) -> bool:
        await super().rest(id, now_us, paused=True)
        return await super().rest(id, now_us, paused=paused)


class KeepsAnyMoment(MemoryMailbox):
    """Also one that a wrong clock set."""

    async def save(self, schedule: Schedule, now_us: int) -> None:
        _, due_us = self._state.mail.schedules.get(schedule.id, (None, None))
        await super().save(schedule, now_us)
        if due_us is not None:
            self._state.mail.schedules[schedule.id] = (schedule, due_us)


class ListsAsTheyCame(MemoryMailbox):
    async def schedules(self) -> list[Schedule]:
        return [schedule for schedule, _ in self._state.mail.schedules.values()]


class RemovesNothing(MemoryMailbox):
    async def remove(self, id: str) -> None: ...


class ForgetsWhoSent(MemoryMailbox):
    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        self._state.mail.letters[claimed.message.id].schedule_id = None
        return await super().bury(claimed, now_us, error)
