"""Schedules -> messages by the clock: what a schedule is made of, and where it is kept in process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from .._io.port import Signal
from ..domain.cron import check_cron
from ..domain.events import FREE, Receipt
from ..domain.sending import (
    MAX_SCHEDULE_ID,
    METHODS,
    check_destination,
    check_headers,
    check_id,
    check_retries,
    encode_body,
)
from ..errors import Misuse, Refused, TooLarge
from ..ports import MAX_MESSAGE_BYTES, Mailbox, Schedule, Timetable


class Timing:
    """A timetable beside the mailbox, which sends what is due when somebody claims. A `Timetable`.

    Args:
        mailbox: Where messages wait.
        clock: Nanoseconds since 1970.
        signal: Wakes the deliverer, which sleeps until the next is due.
    """

    def __init__(self, mailbox: Mailbox, clock: Callable[[], int], signal: Signal) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._signal = signal

    async def put(self, schedule: Schedule) -> Receipt:
        """See `Timetable.put`. One that is there goes on resting, or not, as it did."""
        check_destination(schedule.destination)
        await self._mailbox.save(schedule, self._clock() // 1000)
        self._signal.set()
        return FREE

    async def get(self, id: str) -> Schedule | None:
        """See `Timetable.get`."""
        return next((schedule for schedule in await self.all() if schedule.id == id), None)

    async def all(self) -> list[Schedule]:
        """See `Timetable.all`."""
        return await self._mailbox.schedules()

    async def delete(self, id: str) -> None:
        """See `Timetable.delete`."""
        await self._mailbox.remove(id)

    async def pause(self, id: str, *, paused: bool) -> bool:
        """See `Timetable.pause`."""
        found = await self._mailbox.rest(id, self._clock() // 1000, paused=paused)
        self._signal.set()
        return found


class Scheduling:
    """Creates, lists and changes the schedules of a timetable.

    Args:
        timetable: Where they are kept; None where there is none.
    """

    def __init__(self, timetable: Timetable | None) -> None:
        self._timetable = timetable

    @property
    def timetable(self) -> Timetable:
        """Where they are kept. Raises `Misuse` where there is none."""
        if self._timetable is None:
            raise Misuse(
                "there are no schedules here: notifications need QStash, or the backend a mailbox, as Memory() and "
                "SQLite(...) have"
            )
        return self._timetable

    async def create(
        self,
        cron: str,
        destination: str,
        body: object,
        schedule_id: str | None,
        headers: Mapping[str, str] | None,
        retries: int | None,
        method: str,
    ) -> str:
        """See `Schedules.create`."""
        check_cron(cron)
        name = f"scd-{os.urandom(16).hex()}" if schedule_id is None else schedule_id
        check_id(name, "schedule_id", MAX_SCHEDULE_ID)
        check_retries(retries)
        if method not in METHODS:
            raise Misuse(f"method={method!r}: it is one of {', '.join(METHODS)}")
        check_destination(destination)
        if destination.startswith("/") and method != "POST":
            raise Misuse(f"method={method!r}: a job, as {destination!r}, is called by POST only")
        content = encode_body(body)
        if len(content) > MAX_MESSAGE_BYTES:
            raise TooLarge(what="the body of a schedule", size=len(content), limit=MAX_MESSAGE_BYTES)
        known = await self.timetable.get(name) if schedule_id is not None else None
        paused = known is not None and known.paused
        checked = check_headers(headers, body=body)
        await self.timetable.put(Schedule(name, cron, destination, content, checked, retries, method, paused))
        return name

    async def list(self) -> list[Schedule]:
        """See `Schedules.list`."""
        return await self.timetable.all()

    async def get(self, schedule_id: str) -> Schedule | None:
        """See `Schedules.get`."""
        check_id(schedule_id, "schedule_id")
        return await self.timetable.get(schedule_id)

    async def delete(self, schedule_id: str) -> None:
        """See `Schedules.delete`."""
        check_id(schedule_id, "schedule_id")
        await self.timetable.delete(schedule_id)

    async def pause(self, schedule_id: str, *, paused: bool) -> None:
        """See `Schedules.pause`."""
        check_id(schedule_id, "schedule_id")
        if not await self.timetable.pause(schedule_id, paused=paused):
            raise Refused(f"there is no schedule {schedule_id!r} (404)")
