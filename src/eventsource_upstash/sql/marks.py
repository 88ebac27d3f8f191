"""Which log a table is of: the id of the event that it has reached, compared with the log's each time.

Ids are drawn at random, and an event is never changed: who finds that event at its position has the log, up to there,
that the table was made of. Neither the address of a log nor its first event tells as much: a log may be moved, and one
that was restored to an older state begins like the one before.
"""

from __future__ import annotations

from typing import NamedTuple

from ..backends.marks import Next
from ..errors import LogReplaced, LogRewound


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


def check(expected: Expected, found: Next) -> None:
    """Compare a table with the log.

    Raises:
        LogRewound: The log ends before the position that the table has reached.
        LogReplaced: It has another event there.
    """
    if not expected.position <= found.head:
        raise LogRewound(
            projection=expected.projection, checkpoint=expected.position, head=found.head, remedy=expected.remedy
        )
    if expected.mark is not None and found.mark != expected.mark and (found.told or found.mark is not None):
        raise LogReplaced(
            projection=expected.projection,
            checkpoint=expected.position,
            head=found.head,
            where=expected.where,
            remedy=expected.remedy,
        )
