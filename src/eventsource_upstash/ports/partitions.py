"""The contract of a log in partitions, beside that of a log: each partition is a log of its own as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.events import Receipt
from .log import Log


class Membership(Protocol):
    """Tells a worker which partitions are its own. It only saves work: what makes it right is the commit."""

    async def tend(self, shares: Sequence[str]) -> frozenset[str]:
        """Say that the worker is there, and answer which of some shares are its own until it asks again.

        A share is a partition, by its number; or a word for something else, which goes to one worker as well.
        """
        ...

    async def leave(self) -> None:
        """The worker stops: let others have at once what it had."""
        ...


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

    def membership(self) -> Membership | None:
        """What tells one worker which partitions are its own, where the log's own service does; None where not."""
        ...

    def part(self, partition: int) -> Log:
        """One partition as a log of its own, for reading.

        Its positions are those that its events have in the whole log, and all of them, its head and checkpoints in it
        are plain numbers; 0 is before its first event, and its head while it is empty. Pages may reach further than
        their last event, as those of the whole log do.
        """
        ...
