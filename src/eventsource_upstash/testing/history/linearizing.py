"""Whether the operations on one stream have an order that explains every answer.

A stream is linearizable when each operation can be thought to have happened at one moment between its invocation and
its answer, so that in the order of those moments a plain list would have given the same answers. An append whose
outcome nobody knows may have happened at any moment after its invocation, or never.

The search is Wing and Gong's (J. M. Wing, C. Gong, *Testing and Verifying Concurrent Objects*, Journal of Parallel and
Distributed Computing 17, 1993), with the memory of Lowe's (G. Lowe, *Testing for linearizability*, Concurrency and
Computation 29, 2017): an order is put together from the front, out of the operations that began before any other one
that is left had ended; where it cannot go on, it goes back; and what is left to do, in a state of the stream, is looked
at once. Taking one stream at a time (what Horn and Kroening call P-compositionality, 2015) keeps it small.

What answers say of revisions leaves little to search: an append that was told the revision it made fits one state only;
the state never passes one that an operation still has to meet; what changes nothing is put in as early as it fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from .records import Operation

Item: TypeAlias = tuple[str | None, int]
"""An event of a stream: its append's mark and its place in it, from 1."""

BEFORE_ALL: Final = -1

LIMIT: Final = 1_000_000
"""Most states that are looked at. With the log as the last read of a stream, a stream has few more than appends."""


class Effect(NamedTuple):
    """An append, as a stream sees it.

    Attributes:
        items: Its events.
        expected: What it expects of the stream.
        start: The revision that the stream was at before it; None where nobody knows.
    """

    items: tuple[Item, ...]
    expected: int | str = "any"
    start: int | None = None


class Refusal(NamedTuple):
    """An append that met another revision than it expected.

    Attributes:
        expected: What it expected.
        actual: Where the stream was; None where the caller was not told.
    """

    expected: int | str
    actual: int | None


class Sight(NamedTuple):
    """A read.

    Attributes:
        after: The revision that it started after.
        items: What it saw.
        whole: Whether the stream ended there.
    """

    after: int
    items: tuple[Item, ...]
    whole: bool


class Step(NamedTuple):
    """An operation on one stream.

    Attributes:
        what: What it does or saw.
        invoked: A moment before it, in nanoseconds.
        returned: A moment after it; None for one that may happen at any later moment, or never.
        told: The operation, for a report.
    """

    what: Effect | Refusal | Sight
    invoked: int
    returned: int | None
    told: Operation | str | None = None


class Searched(NamedTuple):
    """What a search found.

    Attributes:
        steps: How many states of the stream were looked at.
        stuck: Where no order goes on, in words; None when there is an order.
    """

    steps: int
    stuck: str | None = None


class _Node:
    """A state of the stream: its revision, and what came to it last. The same state is the same object."""

    __slots__ = ("children", "item", "parent", "revision")

    def __init__(self, revision: int, parent: _Node | None, item: Item) -> None:
        self.revision = revision
        self.parent = parent
        self.item = item
        self.children: dict[Item, _Node] = {}

    def then(self, items: Sequence[Item]) -> _Node:
        node = self
        for item in items:
            found = node.children.get(item)
            if found is None:
                found = node.children[item] = _Node(node.revision + 1, node, item)
            node = found
        return node

    def ends_with(self, items: Sequence[Item], last: int) -> bool:
        """Whether these items stand before a revision, that included."""
        node: _Node | None = self
        while node is not None and node.revision > last:
            node = node.parent
        for item in reversed(items):
            if node is None or node.item != item:
                return False
            node = node.parent
        return True


class _Frame(NamedTuple):
    """Where the search can go back to: what was put in there, and what else could be."""

    placed: list[int]
    choices: list[int]
    node: _Node
    need: int


def search(steps: Iterable[Step], limit: int = LIMIT) -> Searched:
    """Look for an order of the operations on one stream that explains every answer.

    Args:
        steps: The operations.
        limit: Most states to look at before giving up, undecided.
    """
    return _Search(sorted(steps, key=lambda each: each.invoked)).run(limit)


class _Search:
    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        count = len(steps)
        # The entries of the list: step i is called at 2i and returns at 2i + 1; 2 * count is the head of the list.
        self.head = 2 * count
        moments: list[tuple[int, bool, int]] = []
        for index, step in enumerate(steps):
            moments.append((step.invoked, False, 2 * index))
            if step.returned is not None:
                moments.append((step.returned, True, 2 * index + 1))  # at the same moment, calls come first
        self.before = [0] * (2 * count + 1)
        self.next = [self.head] * (2 * count + 1)
        self.left = 0
        last = self.head
        for _, is_return, entry in sorted(moments):
            self.before[entry], self.next[last] = last, entry
            self.left += is_return
            last = entry
        self.before[self.head], self.next[last] = last, self.head
        self.placed = 0  # a bit for each step that has its place
        self.start: dict[int, list[int]] = {}
        self.needs: list[tuple[int, int]] = []
        self.seen: dict[int, set[Item]] = {}
        for index, step in enumerate(steps):
            self._note(index, step)
        self.needs.sort()

    def _note(self, index: int, step: Step) -> None:
        what = step.what
        need: int | None = None
        if isinstance(what, Effect):
            need = what.start if step.returned is not None else None
            if need is not None:
                self.start.setdefault(need, []).append(index)
        elif isinstance(what, Refusal):
            need = what.actual
        else:
            need = what.after + len(what.items) if what.whole else None
            for revision, item in enumerate(what.items, what.after + 1):
                self.seen.setdefault(revision, set()).add(item)
        if need is not None:
            self.needs.append((need, index))

    def run(self, limit: int) -> Searched:
        node = _Node(0, None, (None, 0))
        frames: list[_Frame] = []
        known: set[tuple[int, _Node]] = set()
        need = looked = alternatives = 0
        furthest: tuple[int, _Node, int] = (-1, node, 0)
        while True:
            looked += 1
            if looked > limit:
                return Searched(looked, f"undecided: {limit:,} states were looked at, and there are more")
            placed, candidates = self._put_in(node)
            if not self.left:
                return Searched(looked)
            if self.left_to_right > furthest[0]:
                furthest = (self.left_to_right, node, self.placed)
            need = self._need(need)
            frame = _Frame(placed, self._choices(node, need, candidates), node, need)
            frames.append(frame)
            alternatives += bool(frame.choices)
            # Go on with the next choice of the last state that has one.
            while frames:
                frame = frames[-1]
                node, need = frame.node, frame.need
                if frame.choices:
                    alternatives -= len(frame.choices) == 1
                    chosen = frame.choices.pop()
                    effect = self.steps[chosen].what
                    assert isinstance(effect, Effect)
                    self._lift(chosen)
                    frame.placed.append(chosen)
                    after = node.then(effect.items)
                    if alternatives or known:
                        here = (self.placed, after)
                        if here in known:
                            self._lower(frame.placed.pop())
                            continue
                        known.add(here)
                    node = after
                    break
                frames.pop()
                for index in reversed(frame.placed):
                    self._lower(index)
                if frames:  # the effect that led here is the last that the state before has put in
                    self._lower(frames[-1].placed.pop())
            else:
                return Searched(looked, self._told(*furthest[1:]))

    @property
    def left_to_right(self) -> int:
        """How far the order has come: how many operations have their place in it."""
        return self.placed.bit_count()

    def _put_in(self, node: _Node) -> tuple[list[int], list[int]]:
        """Place whatever fits and changes nothing; answer it, and the appends that could come next."""
        placed: list[int] = []
        candidates: list[int] = []
        entry = self.next[self.head]
        while entry != self.head and not entry & 1:
            index = entry >> 1
            if isinstance(self.steps[index].what, Effect):
                candidates.append(index)
            elif self._fits(self.steps[index].what, node) is None:
                self._lift(index)
                placed.append(index)
            entry = self.next[entry]
        return placed, candidates

    def _need(self, first: int) -> int:
        """The first of `needs` that is still to be met, from one on that was the first before."""
        while first < len(self.needs) and self.placed >> self.needs[first][1] & 1:
            first += 1
        return first

    def _choices(self, node: _Node, need: int, candidates: Iterable[int]) -> list[int]:
        forced = [index for index in self.start.get(node.revision, ()) if not self.placed >> index & 1]
        choices = [index for index in candidates if not forced or index in forced]
        # The last is tried first; what is known to have happened, before what may not have.
        choices.sort(key=lambda index: (self.steps[index].returned is not None, -self.steps[index].invoked))
        return [index for index in choices if self._why_not(index, node, need) is None]

    def _why_not(self, index: int, node: _Node, need: int) -> str | None:
        effect = self.steps[index].what
        assert isinstance(effect, Effect)
        if (reason := self._fits(effect, node)) is not None:
            return reason
        for revision, item in enumerate(effect.items, node.revision + 1):
            seen = self.seen.get(revision)
            if seen is not None and seen != {item}:
                others = ", ".join(sorted(repr(mark) for mark, place in seen if (mark, place) != item))
                return f"at revision {revision} somebody has read {others}"
        after = node.revision + len(effect.items)
        for met, other in self.needs[need:]:
            if met >= after:
                break
            if other != index and not self.placed >> other & 1:
                return f"something else has still to be at revision {met}: {self.steps[other].told}"
        return None

    def _fits(self, what: Effect | Refusal | Sight, node: _Node) -> str | None:
        """Why an operation cannot happen in a state; None if it can."""
        at = node.revision
        if isinstance(what, Effect):
            if not holds(what.expected, at):
                return f"it expects {what.expected}"
            if what.start not in (None, at):
                return f"its answer says that the stream was at revision {what.start}"
            return None
        if isinstance(what, Refusal):
            if what.actual not in (None, at):
                return f"its answer says that the stream was at revision {what.actual}"
            return "it has met what it expected" if holds(what.expected, at) else None
        end = what.after + len(what.items)
        if not what.items:
            return f"it saw nothing after revision {what.after}" if at > what.after and what.whole else None
        if at < end or (what.whole and at > end):
            return f"it saw the stream {'end ' if what.whole else ''}at revision {end}"
        return None if node.ends_with(what.items, end) else "it saw other events"

    def _lift(self, index: int) -> None:
        """Take a step out of the list: it has its place."""
        self.placed |= 1 << index
        if self.steps[index].returned is not None:
            self._out(2 * index + 1)  # first, so that whoever stands at the call goes on behind both
            self.left -= 1
        self._out(2 * index)

    def _lower(self, index: int) -> None:
        """Put a step back where it was. In the opposite order of `_lift`."""
        self.placed &= ~(1 << index)
        self._back(2 * index)
        if self.steps[index].returned is not None:
            self._back(2 * index + 1)
            self.left += 1

    def _out(self, entry: int) -> None:
        self.next[self.before[entry]] = self.next[entry]
        self.before[self.next[entry]] = self.before[entry]

    def _back(self, entry: int) -> None:
        self.next[self.before[entry]] = entry
        self.before[self.next[entry]] = entry

    def _told(self, node: _Node, placed: int) -> str:
        """Where the order that came furthest ends, and why nothing goes on from there."""
        self.placed = placed
        left = [index for index in range(len(self.steps)) if not placed >> index & 1]
        ends = [end for index in left if (end := self.steps[index].returned) is not None]
        first = min(ends)
        lines = [
            f"an order explains {placed.bit_count()} operations, up to revision {node.revision}. What could come next:"
        ]
        need = self._need(0)
        next_ = [index for index in left if self.steps[index].invoked <= first]
        for index in sorted(next_, key=lambda index: self.steps[index].returned or 2**63)[:8]:
            step = self.steps[index]
            reason = self._why_not(index, node, need) if isinstance(step.what, Effect) else self._fits(step.what, node)
            if reason is None:
                others = [other for other in self.start.get(node.revision, ()) if not placed >> other & 1]
                clash = ", ".join(str(self.steps[other].told) for other in others if other != index)
                reason = f"so would {clash}" if clash else "nothing explains the rest after it"
            lines.append(f"  {step.told or step.what}: {reason}")
        if len(next_) > 8:
            lines.append(f"  and {len(next_) - 8} more")
        return "\n".join(lines)


def holds(expected: int | str, revision: int) -> bool:
    """Whether a stream at a revision is what an append expects."""
    if isinstance(expected, int):
        return revision == expected
    return revision > 0 or expected != "exists"
