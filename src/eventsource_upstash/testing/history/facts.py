"""A history beside the log that it left: what every check looks at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from .histories import History
from .linearizing import Item
from .records import AppendCall, Call, Entry, Operation

C = TypeVar("C", bound=Call)


class Found(NamedTuple):
    """An event of the log that an append of the history is recognised in.

    Attributes:
        entry: The event.
        ordinal: Its place in the append, from 1.
    """

    entry: Entry
    ordinal: int


class Facts:
    """A history and its log, sorted for the checks.

    Attributes:
        history: The operations.
        log: The whole log, in its order.
        appends: The appends, by mark. More than one of a mark only if they were told of different places.
        found: The events of each append, by mark, in the log's order.
        strange: Events with a mark that no append of the history has.
    """

    def __init__(self, history: History, log: Sequence[Entry]) -> None:
        self.history = history
        self.log = log
        self.appends: dict[str, list[Operation]] = defaultdict(list)
        for operation, call in self.each(AppendCall):
            self.appends[call.mark].append(operation)
        self.found: dict[str, list[Found]] = defaultdict(list)
        self.strange: list[Entry] = []
        self._counts: Counter[str] = Counter()
        for entry in log:
            if entry.mark is None:
                continue
            mark, ordinal = self.parted(entry.mark)
            if mark is None:
                self.strange.append(entry)
            else:
                self._counts[mark] += 1
                self.found[mark].append(Found(entry, ordinal or self._counts[mark]))

    def each(self, kind: type[C]) -> Iterator[tuple[Operation, C]]:
        """The operations with calls of one kind, and their calls."""
        return ((each, each.call) for each in self.history.operations if isinstance(each.call, kind))

    def parted(self, mark: str) -> tuple[str | None, int]:
        """The mark of an event as its append's mark and its place in it; 0 for a place that it does not tell."""
        if mark in self.appends:
            return mark, 0
        whole, slash, ordinal = mark.rpartition("/")
        if slash and ordinal.isdecimal() and whole in self.appends:
            return whole, int(ordinal)
        return None, 0

    def items(self, marks: Iterable[str | None], first: int) -> tuple[Item, ...]:
        """What a read has seen, from a revision on, as items: `strange` events stand for themselves.

        A mark without a place gets the one that follows the last of the same append; an append's events stand
        together, and a read that begins amid one is told the place by the log.
        """
        items: list[Item] = []
        for revision, mark in enumerate(marks, first):
            whole, ordinal = (None, 0) if mark is None else self.parted(mark)
            if whole is None:
                items.append((mark, -revision))
                continue
            if not ordinal and items and items[-1][0] == whole:
                ordinal = items[-1][1] + 1
            elif not ordinal:
                ordinal = next(
                    (each.ordinal for each in self.found.get(whole, ()) if each.entry.revision == revision), 1
                )
            items.append((whole, ordinal))
        return tuple(items)
