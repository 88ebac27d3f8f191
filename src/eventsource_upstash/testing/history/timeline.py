"""The operations of a history in time: what had ended when something began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .records import Operation


def timeline(operations: Iterable[Operation]) -> Iterator[tuple[Operation, bool]]:
    """Each operation when it began (True) and when it had ended, in time. At one moment nothing has ended yet."""
    moments: list[tuple[int, bool, int, Operation]] = []
    for number, operation in enumerate(operations):
        moments.append((operation.invoked, False, number, operation))
        if operation.returned is not None:
            moments.append((operation.returned, True, number, operation))
    moments.sort(key=lambda moment: moment[:3])
    return ((operation, not ended) for _, ended, _, operation in moments)


class Floor:
    """The highest position that somebody was told so far.

    Attributes:
        position: It.
        operation: Who was told.
    """

    def __init__(self) -> None:
        self.position: int = 0
        self.operation: Operation | None = None

    def copy(self) -> Floor:
        """It, as it is now."""
        floor = Floor()
        floor.position, floor.operation = self.position, self.operation
        return floor

    def raise_(self, position: int, operation: Operation) -> None:
        """Somebody was told of a position."""
        if position > self.position:
            self.position, self.operation = position, operation
