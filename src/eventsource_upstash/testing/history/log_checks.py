"""What the log has to hold: every append that was acknowledged, once and whole, in the order of time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from .facts import Facts, Found
from .records import AppendCall, Entry, HeadCall, Operation, ReadLogCall
from .timeline import Floor, timeline
from .verdict import Violation


def check_positions(facts: Facts) -> Iterator[Violation]:
    """Positions are unique, and increase in the order of appends: within the log, and in time.

    An append that began when another one had returned, or when somebody had seen a position, is behind it.
    """
    check = "positions are unique and increase"
    for earlier, later in zip(facts.log, facts.log[1:], strict=False):
        if earlier.position >= later.position:
            yield Violation(check, f"{_told(later)} stands behind {_told(earlier)}")
    floor = Floor()
    for operation, began in timeline(facts.history.operations):
        if not began:
            floor.raise_(reached(facts, operation), operation)
        elif isinstance(operation.call, AppendCall) and (found := facts.found.get(operation.call.mark)):
            first = min(each.entry.position for each in found)
            if first <= floor.position:
                told = f"{operation} stands at {first}, and began when this had ended: {floor.operation}"
                yield Violation(check, told)


def check_acknowledged(facts: Facts) -> Iterator[Violation]:
    """No acknowledged append is missing, and each stands where its answer said."""
    check = "no acknowledged append is missing"
    for operation, call in facts.each(AppendCall):
        answer = operation.answer
        if answer.outcome != "ok":
            continue
        found = facts.found.get(call.mark, [])
        if not found:
            yield Violation(check, f"{operation} is not in the log")
            continue
        # Of an append that took effect twice, another check tells; the answer is of one of the two.
        ends = [each.entry for each in found if each.ordinal % call.events == 0] or [found[-1].entry]
        if answer.position is not None and answer.position not in {end.position for end in ends}:
            yield Violation(check, f"{operation} ends at position {ends[-1].position}")
        if answer.revision is not None and answer.revision not in {end.revision for end in ends}:
            yield Violation(check, f"{operation} ends at revision {ends[-1].revision}")


def check_once(facts: Facts) -> Iterator[Violation]:
    """No append took effect twice, or in part: those whose outcome is unknown once or never, like all others."""
    check = "each append took effect once and whole"
    for mark, found in facts.found.items():
        operation = facts.appends[mark][0]
        assert isinstance(operation.call, AppendCall)
        if (told := _not_once(operation.call, found)) is not None:
            places = ", ".join(f"{each.entry.stream!r} {each.entry.revision}" for each in found[:8])
            yield Violation(check, f"{operation} {told}: {places}")
    for entry in facts.strange:
        yield Violation(check, f"nobody has appended what stands there: {_told(entry)}")


def check_failed(facts: Facts) -> Iterator[Violation]:
    """What was refused, or failed for sure, has left nothing."""
    for mark, operations in facts.appends.items():
        if operations[0].answer.outcome in ("failed", "conflict") and (found := facts.found.get(mark)):
            told = f"{operations[0]}, and stands in the log: {_told(found[0].entry)}"
            yield Violation("what failed has left nothing", told)


def check_conditions(facts: Facts) -> Iterator[Violation]:
    """An append with a condition stands before everything that it excludes, and is refused only where there is some."""
    check = "append conditions are kept"
    positions = [entry.position for entry in facts.log]
    for operation, call in facts.each(AppendCall):
        if (condition := call.condition) is None:
            continue
        if found := facts.found.get(call.mark):
            first = min(each.entry.position for each in found)
            between = facts.log[bisect_right(positions, condition.after) : bisect_left(positions, first)]
            excluded = next((each for each in between if condition.matches(each)), None)
            if excluded is not None:
                yield Violation(check, f"{operation} stands at {first}, behind what it excludes: {_told(excluded)}")
        at = operation.answer.position
        if operation.answer.outcome == "failed" and at is not None:
            place = bisect_left(positions, at)
            if positions[place : place + 1] != [at]:
                yield Violation(check, f"{operation}: no event stands at position {at}")
            elif not condition.matches(facts.log[place]):
                yield Violation(check, f"{operation}: the condition does not exclude {_told(facts.log[place])}")


def check_reads(facts: Facts) -> Iterator[Violation]:
    """Reads of the log answer a piece of it without a gap, and all that had been appended before; the head as well."""
    check = "reads of the log miss nothing"
    positions = [entry.position for entry in facts.log]
    floors: dict[int, tuple[int, Operation | None]] = {}
    floor = Floor()
    for operation, began in timeline(facts.history.operations):
        if not began:
            floor.raise_(reached(facts, operation), operation)
        elif operation.answer.outcome == "ok" and isinstance(operation.call, (ReadLogCall, HeadCall)):
            floors[id(operation)] = (floor.position, floor.operation)
    for operation, _ in facts.each(HeadCall):
        if operation.answer.outcome == "ok":
            least, before = floors[id(operation)]
            if (operation.answer.position or 0) < least:
                yield Violation(check, f"{operation}, after this had ended: {before}")
    for operation, call in facts.each(ReadLogCall):
        if operation.answer.outcome != "ok":
            continue
        items = operation.answer.items or []
        first = bisect_right(positions, call.after)
        entries = facts.log[first : first + len(items)]
        for (position, mark), entry in zip(items, entries, strict=False):
            if (position, mark) != (entry.position, entry.mark):
                told = f"{operation}: it saw {mark!r} at position {position}, where the log has {_told(entry)}"
                yield Violation(check, told)
                break
        else:
            if len(entries) < len(items):
                yield Violation(check, f"{operation}: the log ends before {items[len(entries)]}")
        least, before = floors[id(operation)]
        last = items[-1][0] if items else call.after
        if last < least and (call.limit is None or len(items) < call.limit):
            yield Violation(check, f"{operation}: it ends at {last}, and began when this had ended: {before}")


def reached(facts: Facts, operation: Operation) -> int:
    """The position that the log had come to for certain when an operation had ended."""
    call, answer = operation.call, operation.answer
    if answer.outcome != "ok":
        return 0
    if isinstance(call, AppendCall):
        if answer.position is not None:
            return answer.position
        return max((each.entry.position for each in facts.found.get(call.mark, ())), default=0)
    if isinstance(call, ReadLogCall):
        return answer.items[-1][0] if answer.items else 0
    return answer.position or 0


def _not_once(call: AppendCall, found: Sequence[Found]) -> str | None:
    if len(found) > call.events:
        return "took effect more than once"
    if len(found) < call.events:
        return "took effect in part"
    if any(each.entry.stream != call.stream for each in found):
        return "stands in another stream"
    if [each.ordinal for each in found] != list(range(1, call.events + 1)):
        return "stands in another order"
    first = found[0].entry.revision
    if [each.entry.revision for each in found] != list(range(first, first + call.events)):
        return "does not stand in one piece"
    return None


def _told(entry: Entry) -> str:
    return f"{entry.mark!r} at position {entry.position} ({entry.stream!r}, revision {entry.revision})"
