"""What a sync answers: what it did, and how far it is."""

from __future__ import annotations

import msgspec

from ..domain.events import FREE, Receipt


class Synced(msgspec.Struct, frozen=True):
    """What a sync did.

    Attributes:
        upserted: Rows written; one may be written several times.
        deleted: Rows deleted.
        position: The table holds what the view held at this position of the log, or later.
        head: The log's last position as of the beginning.
        complete: Whether the table reached what the view held at the beginning, and that is the head. Without, the time
            was over, or the view cannot get to the head; or a copy that took several runs is done, of a view that may
            have changed without events meanwhile, as documents end: the next run copies it again then.
        full: Whether the whole view was copied, or a part of a copy of it.
        more: Whether another run would go on now, since it was the time that was over. Run it again as long as this
            holds, and not until it is complete: where the view has stopped, no run gets any further.
        receipt: What it cost of the log and the view.
    """

    upserted: int
    deleted: int
    position: int
    head: int
    complete: bool
    full: bool = False
    more: bool = False
    receipt: Receipt = FREE


class Syncing(msgspec.Struct, frozen=True):
    """How far a sync is, for a progress bar.

    Attributes:
        done: Documents copied, where the whole view is; else events looked at, since the call began.
        total: How many of them there are, about.
        upserted: Rows written so far.
        deleted: Rows deleted so far.
        full: Whether the whole view is copied.
        elapsed: Seconds since the call began.
        remaining: Seconds that it may still take, about; None where that cannot be told yet.
    """

    done: int
    total: int
    upserted: int
    deleted: int
    full: bool
    elapsed: float
    remaining: float | None

    @property
    def fraction(self) -> float:
        """How much of it is done, from 0 to 1."""
        return 1.0 if not self.total else min(1.0, self.done / self.total)
