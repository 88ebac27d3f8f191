"""The sweep: a schedule of QStash that catches up whatever no notification announced."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ..._io.port import HttpRequest, HttpResponse, Port
from ...domain.cron import check_cron
from ...domain.events import FREE, Receipt
from ...domain.telling import without_user_and_query
from ...errors import Misuse, Refused
from .answers import created, decoded, exchange
from .notices import message
from .transport import QStash

if TYPE_CHECKING:
    from qstash.schedule import Schedule

DEFAULT_CRON: Final = "*/5 * * * *"

_log: Final = logging.getLogger("eventsource_upstash.qstash")


class Sweep(NamedTuple):
    """The sweep, as `ensure_sweep` left it.

    Attributes:
        schedule_id: Its id in the console: the namespace with `-sweep` behind it.
        cron: When it runs.
        changed: Whether this call created or replaced it.
        paused: Whether somebody paused it; that is left as it is.
        receipt: What the call cost.
    """

    schedule_id: str
    cron: str
    changed: bool
    paused: bool = False
    receipt: Receipt = FREE


class _Stored(msgspec.Struct, rename="camel"):
    cron: str = ""
    destination: str = ""
    body: str = ""
    is_paused: bool = False
    retries: int | None = None
    parallelism: int | None = None
    flow_control_key: str | None = None


_stored: Final = msgspec.json.Decoder(_Stored)


class Sweeping:
    """The sweep of one QStash, over a port. The faces are `Schedules` and `AsyncSchedules`.

    Args:
        port: Where to send and to wait.
        transport: Where QStash is, and what the sweep is sent to.

    Raises:
        Misuse: The app's notifications do not go through QStash.
    """

    def __init__(self, port: Port, transport: object) -> None:
        if not isinstance(transport, QStash):
            raise Misuse(f"there is no sweep without QStash; notifications go through {transport!r}")
        transport.check_port(port)
        self._port = port
        self.transport = transport

    @property
    def sweep_id(self) -> str:
        """The sweep's id."""
        return f"{self.transport.namespace}-sweep"

    async def ensure_sweep(self, cron: str = DEFAULT_CRON) -> Sweep:
        """See `Schedules.ensure_sweep`."""
        check_cron(cron)
        if self.transport.client is not None:
            return await self._ensure_through_client(cron)
        answer, receipt = await self._exchange("GET", f"/v2/schedules/{self.sweep_id}", {}, b"")
        if answer.status != 404:
            stored = decoded(_stored, answer)
            if self._fits(stored, cron):
                return Sweep(self.sweep_id, cron, changed=False, paused=stored.is_paused, receipt=receipt)
        target = self.transport.destination
        headers = {
            **self.transport.delivery_headers(),
            "content-type": "application/json",
            "upstash-cron": cron,
            "upstash-schedule-id": self.sweep_id,
            "upstash-method": "POST",
            "upstash-retries": "0",  # the next sweep is the retry
        }
        answer, more = await self._exchange("POST", f"/v2/schedules/{target}", headers, message(0))
        if answer.status == 404:
            where = without_user_and_query(target)
            raise Refused(f"QStash knows no destination {where!r} (404). Create the URL group in the console")
        decoded(created, answer)
        _log.info("the sweep %s runs at %s", self.sweep_id, cron)
        return Sweep(self.sweep_id, cron, changed=True, receipt=receipt + more)

    async def _ensure_through_client(self, cron: str) -> Sweep:
        from .official import Missing, ask

        client = self.transport.client
        assert client is not None
        schedule: Schedule | None = None
        with suppress(Missing):
            schedule = await ask(self._port, client, lambda client: client.schedule.get(self.sweep_id))
        if schedule is not None:
            flow = schedule.flow_control
            stored = _Stored(
                schedule.cron,
                schedule.destination,
                schedule.body or "",
                schedule.paused,
                schedule.retries,
                flow.parallelism if flow else None,
                flow.key if flow else None,
            )
            if self._fits(stored, cron):
                return Sweep(self.sweep_id, cron, changed=False, paused=stored.is_paused, receipt=Receipt(1))
        given, name = self.transport.delivery, self.transport.namespace
        await ask(
            self._port,
            client,
            lambda client: client.schedule.create(
                cron=cron,
                destination=self.transport.destination,
                body=message(0),
                schedule_id=self.sweep_id,
                content_type="application/json",
                method="POST",
                retries=0,
                timeout=given.timeout,
                label=given.label or name,
                flow_control=None if given.parallelism is None else {"key": name, "parallelism": given.parallelism},
            ),
        )
        return Sweep(self.sweep_id, cron, changed=True, receipt=Receipt(2, 0, len(message(0))))

    def _fits(self, stored: _Stored, cron: str) -> bool:
        wanted = (cron, self.transport.destination, message(0).decode())
        if (stored.cron, stored.destination, stored.body) != wanted or stored.retries not in {None, 0}:
            return False
        parallelism = self.transport.delivery.parallelism
        key = None if parallelism is None else self.transport.namespace
        return stored.parallelism in {None, parallelism} and stored.flow_control_key in {None, key}

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[HttpResponse, Receipt]:
        token = self.transport.token
        request = HttpRequest(
            method,
            self.transport.url + path,
            {"authorization": f"Bearer {token}", **headers},
            body,
            self.transport.timeout,
        )
        return await exchange(self._port, request, token)
