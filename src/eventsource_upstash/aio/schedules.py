"""The event-loop face of schedules. Its twin is `blocking.schedules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from .._flow.scheduling import Scheduling
from .._io.event_loop import PORT
from ..errors import Misuse
from ..ports import NoticeTransport, Schedule

if TYPE_CHECKING:
    import builtins

    from ..backends.qstash import Sweep
    from .messages import AsyncMessages


class AsyncSchedules:
    """What is sent by the clock: messages to URLs and to the app's jobs, and QStash's sweep.

    Where notifications go through QStash, it looks at the clock. Elsewhere the app does so itself, by whoever delivers
    its messages: a schedule whose moments went by while nobody did sends one message then.

    Args:
        transport: The `QStash` that notifications go through.
        messages: What sends where they go through something else: `app.messages`.
    """

    def __init__(self, transport: NoticeTransport | None, *, messages: AsyncMessages | None = None) -> None:
        timetable = transport.timetable(PORT) if transport is not None else None
        if timetable is None and messages is not None:
            timetable = messages.flow.timetable
        self.flow: Scheduling = Scheduling(timetable)
        self._transport = transport

    def __repr__(self) -> str:
        return f"AsyncSchedules({self._transport!r})"

    async def ensure_sweep(self, cron: str = "*/5 * * * *") -> Sweep:
        """See that the sweep is there: a notification by the clock, which catches up whatever there is.

        It covers what no notification announced, because a process died between an append and its notification. The
        same call again changes nothing; another `cron` replaces it. Call it where you deploy. For QStash only: in
        process the worker polls.

        Args:
            cron: When: five fields, at most once a minute. Each run is a message, and a catch-up with nothing to do.

        Raises:
            Misuse: That is no cron expression, or notifications do not go through QStash.
            Unavailable: QStash cannot be reached.
            OutcomeUnknown: It did not answer; the same call again is safe.
            Refused: Token, quota, destination.

        Cost: one request, two where something changes.
        """
        from ..backends.qstash.schedules import Sweeping

        if self._transport is None or self._transport.timetable(PORT) is None:
            raise Misuse(f"the sweep needs QStash; with {self._transport!r} a worker polls: app.worker()")
        return await Sweeping(PORT, self._transport).ensure_sweep(cron)

    async def create(
        self,
        cron: str,
        destination: str,
        body: object = b"",
        *,
        schedule_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
        method: Literal["GET", "POST", "PUT", "DELETE", "PATCH"] = "POST",
    ) -> str:
        """Have a message sent by the clock.

        Args:
            cron: When: minute, hour, day, month, weekday, in UTC; or behind a time zone, as in
                `CRON_TZ=Europe/Berlin 0 8 * * *`.
            destination: A whole URL, or the path of a job of this app.
            body: Bytes, a text, or anything that can be written as JSON.
            schedule_id: Names the schedule: with the same id again it is replaced; with the same cron it keeps its next
                moment, and while it rests it goes on resting. Without one, a call that is made twice makes two.
            headers: What goes with it. Without a `content-type`, a text is `text/plain; charset=utf-8`, bytes are
                `application/octet-stream`, anything else is `application/json`.
            retries: How often a delivery that failed is tried again: 3 times without it.
            method: How it is sent; a job is called by POST only.

        Returns:
            The schedule's id.

        Raises:
            Misuse: An argument cannot be what it is to be; or, in process, the package `cronsim` is not installed.
            TooLarge: The body has more than 1 MiB.
            Unavailable: It cannot be kept at the moment.
            OutcomeUnknown: It may have been created; the same call with the same `schedule_id` is safe.
            Refused: Token, quota, destination, cron.
        """
        return await self.flow.create(cron, destination, body, schedule_id, headers, retries, method)

    async def list(self) -> builtins.list[Schedule]:
        """All schedules, in order of their ids; of QStash those of the account. Raises as `create`."""
        return await self.flow.list()

    async def get(self, schedule_id: str) -> Schedule | None:
        """One schedule, or None. Raises as `create`."""
        return await self.flow.get(schedule_id)

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule, if it is there. Raises as `create`."""
        await self.flow.delete(schedule_id)

    async def pause(self, schedule_id: str) -> None:
        """Let a schedule rest. Raises as `create`; `Refused` where there is none."""
        await self.flow.pause(schedule_id, paused=True)

    async def resume(self, schedule_id: str) -> None:
        """Let a schedule go on, at its next moment from now. Raises as `create`; `Refused` where there is none."""
        await self.flow.pause(schedule_id, paused=False)
