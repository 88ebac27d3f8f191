"""The schedules' event-loop face: each method one line over the shared coroutines. Its twin is `blocking`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..._io.event_loop import PORT
from .schedules import DEFAULT_CRON, Method, Scheduling, Sweep

if TYPE_CHECKING:
    import builtins

    from qstash.schedule import Schedule

    from ...ports import NoticeTransport


class AsyncSchedules:
    """What QStash sends by the clock: the sweep, and jobs of the app's own.

    `create`, `list`, `get`, `delete`, `pause` and `resume` go through the official package: `pip install qstash`. The
    sweep does not need it.

    Args:
        transport: The `QStash` that notifications go through.

    Raises:
        Misuse: They go through something else.
    """

    def __init__(self, transport: NoticeTransport | None) -> None:
        self.flow: Scheduling = Scheduling(PORT, transport)

    def __repr__(self) -> str:
        return f"AsyncSchedules({self.flow.transport!r})"

    async def ensure_sweep(self, cron: str = DEFAULT_CRON) -> Sweep:
        """See that the sweep is there: a notification by the clock, which catches up whatever there is.

        It covers what no notification announced, because a process died between an append and its notification. The
        same call again changes nothing; another `cron` replaces it. Call it where you deploy.

        Args:
            cron: When: five fields, at most once a minute. Each run is a message, and a catch-up with nothing to do.

        Raises:
            Misuse: That is no cron expression.
            Unavailable: QStash cannot be reached.
            OutcomeUnknown: It did not answer; the same call again is safe.
            Refused: Token, quota, destination.

        Cost: one request, two where something changes.
        """
        return await self.flow.ensure_sweep(cron)

    async def create(
        self,
        cron: str,
        destination: str,
        body: str | bytes = b"",
        *,
        schedule_id: str | None = None,
        content_type: str | None = None,
        method: Method | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
        timeout: int | None = None,
        label: str | None = None,
    ) -> str:
        """Have QStash send a request by the clock.

        Args:
            cron: When.
            destination: A URL, or the name of a URL group.
            body: What is sent.
            schedule_id: Names the schedule: with the same id again it is replaced. Without one, a call that is made
                twice makes two.
            content_type: Of the body.
            method: POST without one.
            headers: What the destination gets besides.
            retries: How often a delivery that failed is tried again.
            timeout: Seconds that QStash waits for the destination's answer.
            label: What the messages are found by in the console.

        Returns:
            The schedule's id.

        Raises:
            Misuse: An argument cannot be one, or the package `qstash` is not installed.
            Unavailable: QStash cannot be reached; nothing was sent.
            OutcomeUnknown: It did not answer.
            Refused: Token, quota, destination, cron.
        """
        return await self.flow.create(
            cron,
            destination,
            body,
            schedule_id=schedule_id,
            content_type=content_type,
            method=method,
            headers=headers,
            retries=retries,
            timeout=timeout,
            label=label,
        )

    async def list(self) -> builtins.list[Schedule]:
        """All schedules of the account, the sweep among them. Raises as `create`."""
        return await self.flow.list()

    async def get(self, schedule_id: str) -> Schedule | None:
        """One schedule, or None. Raises as `create`."""
        return await self.flow.get(schedule_id)

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule, if it is there. Raises as `create`."""
        await self.flow.delete(schedule_id)

    async def pause(self, schedule_id: str) -> None:
        """Let a schedule rest. Raises as `create`; `Refused` where there is none."""
        await self.flow.pause(schedule_id)

    async def resume(self, schedule_id: str) -> None:
        """Let a schedule run again. Raises as `create`; `Refused` where there is none."""
        await self.flow.resume(schedule_id)
