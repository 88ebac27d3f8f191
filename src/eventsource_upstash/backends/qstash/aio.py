"""The schedules' face for an event loop. Its twin is `blocking`, and has the words."""

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
    """See `Schedules`: the same with `await`."""

    def __init__(self, transport: NoticeTransport | None) -> None:
        self.flow: Scheduling = Scheduling(PORT, transport)

    def __repr__(self) -> str:
        return f"AsyncSchedules({self.flow.transport!r})"

    async def ensure_sweep(self, cron: str = DEFAULT_CRON) -> Sweep:
        """See `Schedules.ensure_sweep`."""
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
        """See `Schedules.create`."""
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
        """See `Schedules.list`."""
        return await self.flow.list()

    async def get(self, schedule_id: str) -> Schedule | None:
        """See `Schedules.get`."""
        return await self.flow.get(schedule_id)

    async def delete(self, schedule_id: str) -> None:
        """See `Schedules.delete`."""
        await self.flow.delete(schedule_id)

    async def pause(self, schedule_id: str) -> None:
        """See `Schedules.pause`."""
        await self.flow.pause(schedule_id)

    async def resume(self, schedule_id: str) -> None:
        """See `Schedules.resume`."""
        await self.flow.resume(schedule_id)
