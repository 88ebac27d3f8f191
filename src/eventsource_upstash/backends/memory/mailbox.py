"""Messages in memory."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...domain.cron import next_due, next_or_never
from ...ports import Buried, Claimed, Message, Schedule
from ..rules import DEAD_FOR_US, REMEMBERED_FOR_US, scheduled

if TYPE_CHECKING:
    from .state import State


@dataclass
class Letter:
    """A message that waits.

    Attributes:
        message: The message.
        due_us: When it can be claimed; while it is held, when its lease ends.
        number: Its place among those that are due at the same time.
        schedule_id: The schedule that it came from.
        attempts: How often it was claimed.
        lease_us: The lease of whoever holds it.
    """

    message: Message
    due_us: int
    number: int
    schedule_id: str | None = None
    attempts: int = 0
    lease_us: int | None = None


class Mail:
    """The messages and schedules of one backend. Whoever touches them holds its lock."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self.finished: dict[str, int] = {}
        self.buried: dict[str, Buried] = {}
        self.schedules: dict[str, tuple[Schedule, int | None]] = {}
        self._number = 0
        self._line: list[tuple[int, int, str]] = []  # a heap; what has changed since is passed over

    def add(self, message: Message, due_us: int, schedule_id: str | None = None) -> None:
        """Keep a message, if its id is not known."""
        if message.id not in self.letters and message.id not in self.finished and message.id not in self.buried:
            self._number += 1
            letter = self.letters[message.id] = Letter(message, due_us, self._number, schedule_id)
            heapq.heappush(self._line, (due_us, letter.number, message.id))

    def move(self, letter: Letter, due_us: int, lease_us: int | None) -> None:
        """Set when a message can be claimed next, and who holds it until then."""
        letter.due_us, letter.lease_us = due_us, lease_us
        heapq.heappush(self._line, (due_us, letter.number, letter.message.id))

    def first(self) -> Letter | None:
        """The message that can be claimed first."""
        while self._line:
            due_us, number, name = self._line[0]
            letter = self.letters.get(name)
            if letter is not None and (letter.due_us, letter.number) == (due_us, number):
                return letter
            heapq.heappop(self._line)
        return None

    def held(self, claimed: Claimed) -> Letter | None:
        """The message, if it is still held by that claim."""
        letter = self.letters.get(claimed.message.id)
        return letter if letter is not None and letter.lease_us == claimed.lease_us else None


class MemoryMailbox:
    """See `Mailbox`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        """See `Mailbox.put`."""
        with self._state.lock:
            for message in messages:
                self._state.mail.add(message, max(message.not_before_us, now_us))

    async def claim(self, now_us: int, lease_us: int, limit: int) -> list[Claimed]:
        """See `Mailbox.claim`."""
        claimed: list[Claimed] = []
        with self._state.lock:
            mail = self._state.mail
            for name, (schedule, due_us) in mail.schedules.items():
                if due_us is not None and due_us <= now_us:
                    mail.add(scheduled(schedule, due_us), due_us, name)
                    mail.schedules[name] = (schedule, next_or_never(schedule.cron, now_us))
            while len(claimed) < limit and (letter := mail.first()) is not None and letter.due_us <= now_us:
                letter.attempts += 1
                mail.move(letter, lease_us, lease_us)
                claimed.append(Claimed(letter.message, letter.attempts, letter.schedule_id, lease_us))
        return claimed

    async def done(self, claimed: Claimed, now_us: int) -> bool:
        """See `Mailbox.done`."""
        with self._state.lock:
            mail = self._state.mail
            if mail.held(claimed) is None:
                return False
            del mail.letters[claimed.message.id]
            mail.finished[claimed.message.id] = now_us
            while (oldest := next(iter(mail.finished))) and mail.finished[oldest] < now_us - REMEMBERED_FOR_US:
                del mail.finished[oldest]
            return True

    async def again(self, claimed: Claimed, at_us: int, error: str) -> bool:
        """See `Mailbox.again`."""
        with self._state.lock:
            letter = self._state.mail.held(claimed)
            if letter is not None:
                self._state.mail.move(letter, at_us, None)
            return letter is not None

    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        """See `Mailbox.bury`."""
        with self._state.lock:
            mail = self._state.mail
            letter = mail.held(claimed)
            if letter is None:
                return False
            del mail.letters[claimed.message.id]
            mail.buried[claimed.message.id] = Buried(letter.message, letter.attempts, error, now_us, letter.schedule_id)
            while (oldest := next(iter(mail.buried))) and mail.buried[oldest].buried_us < now_us - DEAD_FOR_US:
                del mail.buried[oldest]
            return True

    async def next_due(self) -> int | None:
        """See `Mailbox.next_due`."""
        with self._state.lock:
            mail = self._state.mail
            moments = [due_us for _, due_us in mail.schedules.values() if due_us is not None]
            if (letter := mail.first()) is not None:
                moments.append(letter.due_us)
            return min(moments, default=None)

    async def buried(self, limit: int) -> list[Buried]:
        """See `Mailbox.buried`."""
        with self._state.lock:
            newest = reversed(self._state.mail.buried.values())
            return heapq.nlargest(limit, newest, key=lambda each: each.buried_us)

    async def revive(self, id: str, now_us: int) -> bool:
        """See `Mailbox.revive`."""
        with self._state.lock:
            mail = self._state.mail
            buried = mail.buried.pop(id, None)
            if buried is not None:
                mail.add(buried.message, now_us, buried.schedule_id)
            return buried is not None

    async def save(self, schedule: Schedule, now_us: int) -> None:
        """See `Mailbox.save`."""
        moment = next_due(schedule.cron, now_us)
        with self._state.lock:
            known, due_us = self._state.mail.schedules.get(schedule.id, (None, None))
            if known is not None:
                schedule = replace(schedule, paused=known.paused)
                if due_us is not None and known.cron == schedule.cron:
                    moment = min(moment, due_us)  # it is later only where it was set by a clock that was wrong
            self._state.mail.schedules[schedule.id] = (schedule, None if schedule.paused else moment)

    async def rest(self, id: str, now_us: int, *, paused: bool) -> bool:
        """See `Mailbox.rest`."""
        with self._state.lock:
            known, _ = self._state.mail.schedules.get(id, (None, None))
            if known is not None and known.paused is not paused:
                due_us = None if paused else next_due(known.cron, now_us)
                self._state.mail.schedules[id] = (replace(known, paused=paused), due_us)
            return known is not None

    async def schedules(self) -> list[Schedule]:
        """See `Mailbox.schedules`."""
        with self._state.lock:
            return [schedule for _, (schedule, _) in sorted(self._state.mail.schedules.items())]

    async def remove(self, id: str) -> None:
        """See `Mailbox.remove`."""
        with self._state.lock:
            self._state.mail.schedules.pop(id, None)
