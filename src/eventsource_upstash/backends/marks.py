"""Log -> page, with the event that the page follows: what a reader notes of it tells whether the log is the same."""

from __future__ import annotations

from typing import NamedTuple

from ..domain.events import Receipt, StoredEvent, stored_id
from ..domain.positions import Vector, vector
from ..errors import LogTrimmed
from ..ports import Log


class Next(NamedTuple):
    """What the log has at a position, and after it.

    Attributes:
        mark: Id of the event at the position; None where there is none.
        events: Those that come next.
        head: The log's last position.
        receipt: What it cost.
        reached: How far they reach, as `Page.reached` has it.
        told: Whether it tells anything that there is no event at the position. Not in a log that may have let go of it;
            nor of a vector, at which no single event stands.
    """

    mark: str | None
    events: list[StoredEvent]
    head: int
    receipt: Receipt
    reached: int | None = None
    told: bool = True


async def read_on(log: Log, after: int, limit: int, max_bytes: int) -> Next:
    """Read on after a position, and in the same request the event at it, to see whether the log is the same.

    Args:
        log: The log.
        after: The position.
        limit: Most events after it; 0 where only the event at it is wanted.
        max_bytes: The page ends with the event that reaches so many bytes of payload, that at the position included.
    """
    if after == 0 or isinstance(after, Vector):
        return await _read_after(log, after, limit, max_bytes)
    try:
        page = await log.read(after - 1, limit + 1, max_bytes)
    except LogTrimmed:  # of the event at the position alone, which somebody has read: what comes next may be there
        return await _read_after(log, after, limit, max_bytes)
    events, receipt, mark = page.events, page.receipt, None
    told = page.reached is None  # else it is a log with gaps, in which events may come to be gaps
    if events and events[0][0] == after:
        mark, events, told = stored_id(events[0]), events[1:], True
    if isinstance(page.head, Vector):  # it has grown, and was read from the beginning in all other partitions
        following = await _read_after(log, vector(after), limit, max_bytes)
        return following._replace(mark=mark, receipt=receipt + following.receipt)
    if limit and not events and page.head > after:  # a page may end anywhere: here, at the very event
        page = await log.read(after, limit, max_bytes)
        events, receipt = page.events, receipt + page.receipt
    reached = page.reached if len(events) <= limit else events[limit - 1][0] if limit else after
    return Next(mark, events[:limit], page.head, receipt, reached, told)


async def _read_after(log: Log, after: int, limit: int, max_bytes: int) -> Next:
    """Read on after a position that is not one event's."""
    if limit == 0:
        head, receipt = await log.head()
        return Next(None, [], head, receipt, told=after == 0)
    page = await log.read(after, limit, max_bytes)
    return Next(None, page.events, page.head, page.receipt, page.reached, told=after == 0)
