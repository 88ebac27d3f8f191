"""Log -> notification: telling whoever folds that there is something to fold."""

from __future__ import annotations

import logging
from typing import Final

from ..domain.events import FREE, Appended
from ..ports import Notices

_log: Final = logging.getLogger("eventsource_upstash.notifier")


class Notifying:
    """Sends notifications over a carrier, if there is one."""

    def __init__(self, notices: Notices | None) -> None:
        self._notices = notices

    async def after_append(self, appended: Appended) -> Appended:
        """Notify after an append. Never raises: the events are in the log, and the next catch-up finds them.

        Answers the append with the notification's cost in its receipt.
        """
        notices = self._notices
        if notices is None:
            return appended
        try:
            receipt = await notices.send(appended.position)
        except Exception:  # whatever the carrier raises, the append has succeeded
            _log.warning(
                "the notification for position %d was not sent; the next one, or the next catch-up, covers it",
                appended.position,
                exc_info=True,
            )
            return appended
        if _log.isEnabledFor(logging.INFO):
            _log.info("notified: the log reached position %d", appended.position)
        if receipt is FREE:
            return appended
        return Appended(appended.position, appended.revision, appended.receipt + receipt, appended.repeated)

    async def notify(self, position: int) -> None:
        """Notify that the log reached a position. Raises what the carrier raises."""
        if self._notices is not None:
            await self._notices.send(position)
            _log.info("notified: the log reached position %d", position)
