"""The contract of what else is brought up by a catch-up: views that are kept elsewhere, with a checkpoint there."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .._io.port import Port
from ..domain.events import FREE, Receipt
from .log import Log


class Followed(NamedTuple):
    """How far a follower has come.

    Attributes:
        applied: Events that were applied.
        position: Position that it has reached.
        complete: Whether that is the position that it was to be brought to, or beyond.
        receipt: What it cost of the log.
    """

    applied: int
    position: int
    complete: bool
    receipt: Receipt = FREE


class Follower(Protocol):
    """Follows the log, with a checkpoint of its own. Added by `Projector.follow`, called at the end of a catch-up."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
        """Apply what is new in the log.

        Args:
            port: What waits; blocking work goes through its `call`.
            log: The log.
            head: Its last position, as known, or the one that a catch-up is to end at. Nothing beyond it is applied;
                where the checkpoint is there, there is nothing to read. In a log of several partitions it ends with the
                page that reaches it in each.
            deadline: `time.monotonic()` after which no further page is begun; at least one is applied.

        Raises:
            EventSourceError: It cannot go on; `ProjectionStopped` where it is an event that it cannot apply.
        """
        ...
