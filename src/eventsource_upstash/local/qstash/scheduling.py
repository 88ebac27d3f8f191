"""Schedules: messages that are published when a cron expression says so."""

from __future__ import annotations

import heapq
import logging
import secrets
from collections.abc import Callable
from typing import Final

from ...domain.cron import BadCron, next_moment
from ..metering import Meter
from .clock import Clock
from .errors import ApiError
from .publishing import Draft, Published
from .records import Schedule
from .store import Store

__all__ = ["Scheduling", "next_time"]

_log: Final = logging.getLogger("eventsource_upstash.local.qstash")


class Scheduling:
    """Keeps the schedules, and fires them.

    Args:
        publish: Publishes what a schedule says.
        woken: Called when there is a new time to wait for.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        meter: Meter,
        publish: Callable[[Draft], Published],
        woken: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._meter = meter
        self._publish = publish
        self._woken = woken
        self._times: list[tuple[int, str]] = []

    def restore(self) -> None:
        """Line the stored schedules up. One whose time went by meanwhile fires once, at once."""
        self._times = [(schedule.next, schedule.id) for schedule in self._store.schedules]
        heapq.heapify(self._times)

    def create(self, draft: Draft, cron: str, id: str | None) -> Schedule:
        """Make a schedule, or give the one of this id new settings. A paused one stays paused.

        Raises:
            ApiError: 400, the cron expression is none.
        """
        now = self._clock.now()
        name = id or f"scd_{secrets.token_hex(14)}"
        known = self._store.schedules.get(name)
        schedule = Schedule(
            id=name,
            cron=cron,
            destination=draft.destination,
            created_at=now if known is None else known.created_at,
            next=next_time(cron, now),
            options=draft.options,
            body=draft.body,
            queue=draft.queue,
            caller=draft.caller,
            agent=draft.agent,
            paused=known is not None and known.paused,
            last=None if known is None else known.last,
            states={} if known is None else known.states,
        )
        self._store.schedules.put(name, schedule)
        heapq.heappush(self._times, (schedule.next, name))
        self._woken()
        return schedule

    def known(self, id: str) -> Schedule:
        """The schedule of this id.

        Raises:
            ApiError: 404, there is none.
        """
        schedule = self._store.schedules.get(id)
        if schedule is None:
            raise ApiError(404, f"schedule {id} not found")
        return schedule

    def pause(self, id: str, *, paused: bool) -> None:
        """Have the schedule's times go by without effect, or count again.

        Raises:
            ApiError: 404, there is none.
        """
        schedule = self.known(id)
        schedule.paused = paused
        self._store.schedules.put(id, schedule)

    def next_fire(self) -> int | None:
        """When the next one is due."""
        while self._times and not self._valid(self._times[0]):
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def fire(self, now: int) -> None:
        """Publish what is due."""
        while (due := self.next_fire()) is not None and due <= now:
            schedule = self._store.schedules.get(heapq.heappop(self._times)[1])
            assert schedule is not None
            schedule.next = next_time(schedule.cron, max(due, now))
            heapq.heappush(self._times, (schedule.next, schedule.id))
            if not schedule.paused:
                self._fire(schedule, due)
            self._store.schedules.put(schedule.id, schedule)

    def _fire(self, schedule: Schedule, due: int) -> None:
        draft = Draft(
            schedule.destination,
            schedule.body,
            schedule.options,
            queue=schedule.queue,
            schedule=schedule.id,
            caller=schedule.caller,
            agent=schedule.agent,
        )
        schedule.last = due
        try:
            published = self._publish(draft)
        except ApiError as refused:
            schedule.error = refused.message
            schedule.states = {}
            _log.warning("schedule %s could not publish: %s", schedule.id, refused.message)
            return
        schedule.error = None
        schedule.states = {message: "IN_PROGRESS" for message, _, _ in published.messages}
        self._meter.add(schedule.agent, {"scheduled": len(published.messages)})

    def _valid(self, entry: tuple[int, str]) -> bool:
        schedule = self._store.schedules.get(entry[1])
        return schedule is not None and schedule.next == entry[0]


def next_time(cron: str, after: int) -> int:
    """When a cron expression fires next.

    Args:
        cron: Five fields, and `CRON_TZ=Area/City` before them if they are not in UTC. Where clocks are put forward or
            back, as Debian's cron does: a time that is left out fires at once after the gap, one that comes twice fires
            once.
        after: Unix milliseconds.

    Raises:
        ApiError: 400, it is none, or never fires.
    """
    try:
        return next_moment(cron, after * 1000) // 1000
    except BadCron as problem:
        raise ApiError(400, f"invalid cron expression {cron!r}: {problem}") from problem
