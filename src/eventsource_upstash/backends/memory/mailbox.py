"""Messages in memory."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...domain.cron import next_due, next_or_never
from ...errors import Misuse
from ...ports import URLS, Buried, Claimed, Left, Message, Schedule
from ..mailing import DEAD_FOR_US, REMEMBERED_FOR_US, place_of, scheduled

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
        # A heap for each place; what has changed since is passed over.
        self._lines: dict[str, list[tuple[int, int, str]]] = {}

    def add(self, message: Message, due_us: int, schedule_id: str | None = None) -> None:
        """Keep a message, if its id is not known."""
        if message.id not in self.letters and message.id not in self.finished and message.id not in self.buried:
            self._number += 1
            letter = self.letters[message.id] = Letter(message, due_us, self._number, schedule_id)
            self.move(letter, due_us, None)

    def move(self, letter: Letter, due_us: int, lease_us: int | None) -> None:
        """Set when a message can be claimed next, and who holds it until then."""
        letter.due_us, letter.lease_us = due_us, lease_us
        line = self._lines.setdefault(place_of(letter.message), [])
        heapq.heappush(line, (due_us, letter.number, letter.message.id))

    def first(self, places: Collection[str]) -> Letter | None:
        """The message to one of these places that can be claimed first."""
        found = [letter for place in places if (letter := self._first(place)) is not None]
        return min(found, key=lambda letter: (letter.due_us, letter.number), default=None)

    def _first(self, place: str) -> Letter | None:
        line = self._lines.get(place, [])
        while line:
            due_us, number, name = line[0]
            letter = self.letters.get(name)
            if letter is not None and (letter.due_us, letter.number) == (due_us, number):
                return letter
            heapq.heappop(line)
        self._lines.pop(place, None)
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

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        """See `Mailbox.claim`."""
        claimed: list[Claimed] = []
        unknown: Misuse | None = None
        with self._state.lock:
            mail = self._state.mail
            for name, (schedule, due_us) in mail.schedules.items():
                if due_us is not None and due_us <= now_us:
                    try:
                        after_us = next_or_never(schedule.cron, now_us)
                    except Misuse as error:
                        unknown = error
                        continue
                    mail.add(scheduled(schedule, due_us), due_us, name)
                    mail.schedules[name] = (schedule, after_us)
            while len(claimed) < limit and (letter := mail.first(places)) is not None and letter.due_us <= now_us:
                letter.attempts += 1
                lease_us = places[place_of(letter.message)]
                mail.move(letter, lease_us, lease_us)
                claimed.append(Claimed(letter.message, letter.attempts, letter.schedule_id, lease_us))
        if unknown is not None and not claimed:
            raise unknown
        return claimed

    async def done(self, claimed: Claimed, now_us: int) -> bool:
        """See `Mailbox.done`."""
        with self._state.lock:
            mail = self._state.mail
            letter = mail.letters.pop(claimed.message.id, None)
            if letter is None:
                return False
            mail.finished[claimed.message.id] = now_us
            while (oldest := next(iter(mail.finished))) and mail.finished[oldest] < now_us - REMEMBERED_FOR_US:
                del mail.finished[oldest]
            return letter.lease_us == claimed.lease_us

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

    async def next_due(self, places: Collection[str]) -> int | None:
        """See `Mailbox.next_due`."""
        with self._state.lock:
            mail = self._state.mail
            moments = [due_us for _, due_us in mail.schedules.values() if due_us is not None]
            if (letter := mail.first(places)) is not None:
                moments.append(letter.due_us)
            return min(moments, default=None)

    async def left(self, now_us: int, places: Collection[str]) -> list[Left]:
        """See `Mailbox.left`."""
        found: dict[str, Left] = {}
        with self._state.lock:
            for letter in self._state.mail.letters.values():
                place = place_of(letter.message)
                if letter.due_us <= now_us and place != URLS and place not in places:
                    known = found.get(place, Left(place, 0, letter.due_us))
                    found[place] = Left(place, known.messages + 1, min(known.since_us, letter.due_us))
        return [found[place] for place in sorted(found)]

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
