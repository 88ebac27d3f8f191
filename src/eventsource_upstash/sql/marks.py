"""Which log a table is of: the id of the event that it has reached, compared with the log's each time.

Ids are drawn at random, and an event is never changed: who finds that event at its position has the log, up to there,
that the table was made of. Neither the address of a log nor its first event tells as much: a log may be moved, and one
that was restored to an older state begins like the one before.
"""

from __future__ import annotations

from typing import NamedTuple

from ..domain.events import Receipt, StoredEvent, event_id
from ..errors import LogReplaced, LogRewound
from ..ports import MAX_PAGE_BYTES, Log


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


class Expected(NamedTuple):
    """What a table says of the log.

    Attributes:
        projection: The projection's name.
        where: What to call the table in a message.
        position: How far it is.
        mark: Id of the event there; None where it was not noted.
        remedy: What to do to take another log for the right one.
    """

    projection: str
    where: str
    position: int
    mark: str | None
    remedy: str


def mark_of(row: StoredEvent) -> str:
    """What a table notes of the event that it has reached."""
    return event_id(row[3], row[4])


async def read_on(log: Log, after: int, limit: int) -> Next:
    """Read on after a position, and in the same request the event at it, to see whether the log is the same.

    Args:
        log: The log.
        after: The position.
        limit: Most events after it; 0 where only the event at it is wanted.
    """
    if after == 0:
        if limit == 0:
            head, receipt = await log.head()
            return Next(None, [], head, receipt)
        page = await log.read(0, limit, MAX_PAGE_BYTES)
        return Next(None, page.events, page.head, page.receipt)
    page = await log.read(after - 1, limit + 1, MAX_PAGE_BYTES)
    events, receipt, mark = page.events, page.receipt, None
    if events and events[0][0] == after:
        mark, events = mark_of(events[0]), events[1:]
    if limit and not events and page.head > after:  # a page may end anywhere: here, at the very event
        page = await log.read(after, limit, MAX_PAGE_BYTES)
        events, receipt = page.events, receipt + page.receipt
    return Next(mark, events[:limit], page.head, receipt)


def check(expected: Expected, found: Next) -> None:
    """Compare a table with the log.

    Raises:
        LogRewound: The log ends before the position that the table has reached.
        LogReplaced: It has another event there.
    """
    if expected.position > found.head:
        raise LogRewound(
            projection=expected.projection, checkpoint=expected.position, head=found.head, remedy=expected.remedy
        )
    if expected.mark is not None and found.mark != expected.mark:
        raise LogReplaced(
            projection=expected.projection,
            checkpoint=expected.position,
            head=found.head,
            where=expected.where,
            remedy=expected.remedy,
        )
