"""Schedules of QStash as a timetable: each under an id, created or replaced by the same call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

import msgspec

from ..._io.port import HttpRequest, HttpResponse, Port
from ...domain.cron import check_cron
from ...domain.events import Receipt
from ...domain.sending import MAX_SCHEDULE_ID, check_id
from ...domain.telling import without_user_and_query
from ...errors import Refused
from ...ports import Schedule
from .answers import body_of, created, decoded, exchange
from .messages import check_options, option_headers, url_of

if TYPE_CHECKING:
    from qstash.http import HttpMethod
    from qstash.schedule import Schedule as OfficialSchedule

    from .transport import QStash


class _Stored(msgspec.Struct, rename="camel"):
    schedule_id: str
    cron: str
    destination: str
    body: str = ""
    body_base64: str = ""
    header: dict[str, list[str]] = {}
    retries: int | None = None
    method: str = "POST"
    is_paused: bool = False


_stored: Final = msgspec.json.Decoder(_Stored)
_listed: Final = msgspec.json.Decoder(list[_Stored])


class Kept:
    """The schedules of the account, over the port. Made by `QStash.timetable`. Raises as `Messages.publish`.

    Their ids are the account's: two apps of one account do not share them out by namespace.

    Args:
        port: Where to send and to wait.
        transport: Where QStash is, and where the app's jobs are.
    """

    def __init__(self, port: Port, transport: QStash) -> None:
        self._port = port
        self._transport = transport

    async def put(self, schedule: Schedule) -> Receipt:
        """See `Timetable.put`. A path is kept as the URL of that job.

        Raises:
            Misuse: The schedule cannot be one.

        Cost: 2 requests: what replaces a schedule does not say whether it rests.
        """
        check_cron(schedule.cron)
        _check_id(schedule.id)
        check_options(schedule, f"schedule {schedule.id!r}")
        url = url_of(schedule.destination, self._transport)
        if self._transport.client is not None:
            receipt = await self._put_through_client(schedule, url)
        else:
            headers = {
                "upstash-cron": schedule.cron,
                "upstash-schedule-id": schedule.id,
                "upstash-method": schedule.method,
                "upstash-label": self._transport.namespace,
                **option_headers(schedule.headers, schedule.retries),
            }
            answer, receipt = await self._exchange("POST", f"/{url}", headers, schedule.body)
            if answer.status == 404:
                raise Refused(
                    f"QStash knows no destination {without_user_and_query(url)!r} (404). Is QSTASH_URL right?"
                )
            decoded(created, answer)
        await self.pause(schedule.id, paused=schedule.paused)
        return receipt + Receipt(1)

    async def get(self, id: str) -> Schedule | None:
        """See `Timetable.get`. Cost: 1 request."""
        _check_id(id)
        if self._transport.client is not None:
            from .official import Missing, ask

            try:
                return _of_official(await ask(self._port, self._transport.client, lambda c: c.schedule.get(id)))
            except Missing:
                return None
        answer, _ = await self._exchange("GET", f"/{id}")
        return None if answer.status == 404 else _of(decoded(_stored, answer))

    async def all(self) -> list[Schedule]:
        """See `Timetable.all`: those of the account, the sweep among them. Cost: 1 request."""
        if self._transport.client is not None:
            from .official import ask

            found = await ask(self._port, self._transport.client, lambda client: client.schedule.list())
            schedules = [_of_official(each) for each in found]
        else:
            answer, _ = await self._exchange("GET", "")
            schedules = [_of(each) for each in decoded(_listed, answer)]
        return sorted(schedules, key=lambda schedule: schedule.id)

    async def delete(self, id: str) -> None:
        """See `Timetable.delete`. Cost: 1 request."""
        _check_id(id)
        if self._transport.client is not None:
            from .official import Missing, ask

            try:
                await ask(self._port, self._transport.client, lambda client: client.schedule.delete(id))
            except Missing:
                return
        else:
            await self._exchange("DELETE", f"/{id}")

    async def pause(self, id: str, *, paused: bool) -> bool:
        """See `Timetable.pause`. Cost: 1 request."""
        _check_id(id)
        if self._transport.client is not None:
            from .official import Missing, ask

            try:
                await ask(
                    self._port,
                    self._transport.client,
                    lambda client: client.schedule.pause(id) if paused else client.schedule.resume(id),
                )
            except Missing:
                return False
            return True
        answer, _ = await self._exchange("PATCH", f"/{id}/{'pause' if paused else 'resume'}")
        return answer.status != 404

    async def _put_through_client(self, schedule: Schedule, url: str) -> Receipt:
        from .official import ask

        assert self._transport.client is not None
        headers = dict(schedule.headers)
        await ask(
            self._port,
            self._transport.client,
            lambda client: client.schedule.create(
                cron=schedule.cron,
                destination=url,
                body=schedule.body,
                schedule_id=schedule.id,
                content_type=headers.pop("content-type", None),
                method=cast("HttpMethod", schedule.method),
                headers=headers,
                retries=schedule.retries,
                label=self._transport.namespace,
            ),
        )
        return Receipt(1, 0, len(schedule.body))

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[HttpResponse, Receipt]:
        token = self._transport.token
        url = f"{self._transport.url}/v2/schedules{path}"
        request = HttpRequest(
            method,
            url,
            {"authorization": f"Bearer {token}", **(headers or {})},
            body,
            self._transport.timeout,
        )
        return await exchange(self._port, request, token)


def _check_id(id: str) -> None:
    check_id(id, "schedule_id", MAX_SCHEDULE_ID)  # it becomes a part of a path


def _of(stored: _Stored) -> Schedule:
    return Schedule(
        stored.schedule_id,
        stored.cron,
        stored.destination,
        body_of(stored.body, stored.body_base64),
        {name.lower(): values[0] for name, values in stored.header.items() if values},
        stored.retries,
        stored.method,
        stored.is_paused,
    )


def _of_official(found: OfficialSchedule) -> Schedule:
    return Schedule(
        found.schedule_id,
        found.cron,
        found.destination,
        body_of(found.body or "", found.body_base64 or ""),
        {name.lower(): values[0] for name, values in (found.headers or {}).items() if values},
        found.retries,
        found.method,
        found.paused,
    )
