"""Log -> notification: telling whoever folds that there is something to fold."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from .._io.port import Port
from ..domain.events import FREE, Appended, Receipt
from ..errors import Misuse
from ..ports import Log, Notices, NoticeTransport

_log: Final = logging.getLogger("eventsource_upstash.notifier")


class Notifying:
    """Sends notifications over a carrier, if there is one.

    Args:
        transport: How notifications travel, if they do.
        port: What waits.

    Attributes:
        notices: The carrier. An append awaits it directly: one coroutine more would be a tenth of its time in memory.
    """

    def __init__(self, transport: NoticeTransport | None, port: Port) -> None:
        self.transport = transport
        self.notices: Notices | None = transport.notices(port) if transport else None

    async def failed(self, log: Log, position: int, raised_us: int, error: Exception) -> Receipt:
        """Note that the notification after an append failed. It fails nothing else: the events are in the log."""
        _log.warning(
            "the notification for position %s was not sent; the next one, or the next catch-up, covers it",
            position,
            exc_info=error,
        )
        try:
            return await log.withdraw(position, raised_us)
        except Exception as further:
            _log.warning(
                "the notification for position %s counts as outstanding until it expires, since the log could not be "
                "told: %s",
                position,
                further,
            )
            return FREE

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        """See `Notifier.verify`."""
        verifier = None if self.transport is None else self.transport.verifier(None)
        if verifier is None:
            raise Misuse("notifications stay in this process here: there is nothing to verify deliveries with")
        verifier.verify(headers, body, url)

    def billed(self, appended: Appended, receipt: Receipt) -> Appended:
        """The append's answer with the notification's cost in its receipt."""
        return Appended(
            appended.position,
            appended.revision,
            appended.receipt + receipt,
            appended.repeated,
            appended.owes_notification,
        )

    async def notify(self, position: int) -> Receipt | None:
        """Notify that the log reached a position; None where there is no carrier. Raises what the carrier raises."""
        if self.notices is None:
            return None
        return await self.notices.send(position, time.time_ns() // 1000)
