"""Log -> page, with the event that the page follows: what a reader notes of it tells whether the log is the same."""

from __future__ import annotations

from typing import NamedTuple

from ..domain.events import Receipt, StoredEvent, stored_id
from ..ports import Log


class Next(NamedTuple):
    """What the log has at a position, and after it.

    Attributes:
        mark: Id of the event at the position; None where there is none.
        events: Those that come next.
        head: The log's last position.
        receipt: What it cost.
    """

    mark: str | None
    events: list[StoredEvent]
    head: int
    receipt: Receipt


async def read_on(log: Log, after: int, limit: int, max_bytes: int) -> Next:
    """Read on after a position, and in the same request the event at it, to see whether the log is the same.

    Args:
        log: The log.
        after: The position.
        limit: Most events after it; 0 where only the event at it is wanted.
        max_bytes: The page ends with the event that reaches so many bytes of payload, that at the position included.
    """
    if after == 0:
        if limit == 0:
            head, receipt = await log.head()
            return Next(None, [], head, receipt)
        page = await log.read(0, limit, max_bytes)
        return Next(None, page.events, page.head, page.receipt)
    page = await log.read(after - 1, limit + 1, max_bytes)
    events, receipt, mark = page.events, page.receipt, None
    if events and events[0][0] == after:
        mark, events = stored_id(events[0]), events[1:]
    if limit and not events and page.head > after:  # a page may end anywhere: here, at the very event
        page = await log.read(after, limit, max_bytes)
        events, receipt = page.events, receipt + page.receipt
    return Next(mark, events[:limit], page.head, receipt)
