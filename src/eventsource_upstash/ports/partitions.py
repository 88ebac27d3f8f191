"""The contract of a log in partitions, beside that of a log: each partition is a log of its own as well."""

from __future__ import annotations

from typing import Protocol

from ..domain.events import Receipt
from .log import Log


class PartitionedLog(Log, Protocol):
    """A log whose streams are spread over partitions. See `Capabilities.partitions`.

    Positions of its events are packed numbers, how far somebody has read it is a vector (`domain.positions`).
    """

    async def partitions(self) -> tuple[int, Receipt]:
        """How many partitions there are. It may answer what it was told lately; `read` and `head` tell of growth."""
        ...

    def partition_of(self, stream: str, partitions: int) -> int:
        """Which of so many partitions the events of a stream go to."""
        ...

    def part(self, partition: int) -> Log:
        """One partition as a log of its own, for reading.

        Its positions are those that its events have in the whole log, and all of them, its head and checkpoints in it
        are plain numbers; 0 is before its first event, and its head while it is empty. Pages may reach further than
        their last event, as those of the whole log do.
        """
        ...
