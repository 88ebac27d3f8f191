"""Log -> notification: telling whoever folds that there is something to fold."""

from __future__ import annotations

import logging
from typing import Final

from ..domain.events import Appended, Receipt
from ..ports import Notices

_log: Final = logging.getLogger("eventsource_upstash.notifier")


class Notifying:
    """Sends notifications over a carrier, if there is one.

    Attributes:
        notices: The carrier. An append awaits it directly: one coroutine more would be a tenth of its time in memory.
    """

    def __init__(self, notices: Notices | None) -> None:
        self.notices = notices

    def failed(self, position: int, error: Exception) -> None:
        """Note that the notification after an append failed. It fails nothing else: the events are in the log."""
        _log.warning(
            "the notification for position %d was not sent; the next one, or the next catch-up, covers it",
            position,
            exc_info=error,
        )

    def billed(self, appended: Appended, receipt: Receipt) -> Appended:
        """The append's answer with the notification's cost in its receipt."""
        return Appended(appended.position, appended.revision, appended.receipt + receipt, appended.repeated)

    async def notify(self, position: int) -> None:
        """Notify that the log reached a position. Raises what the carrier raises."""
        if self.notices is not None:
            await self.notices.send(position)
