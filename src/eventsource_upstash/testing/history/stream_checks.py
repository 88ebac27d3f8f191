"""Each stream is linearizable, with respect to the revisions that appends expect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from .facts import Facts
from .linearizing import BEFORE_ALL, Effect, Item, Refusal, Sight, Step, search
from .records import AppendCall, Entry, Operation, ReadStreamCall
from .verdict import Violation

CHECK = "each stream is linearizable"


def check_streams(facts: Facts) -> Iterator[Violation]:
    """Each stream is linearizable: an order of its operations explains every revision, conflict and read."""
    entries: dict[str, list[Entry]] = defaultdict(list)  # the log of an hour has tens of thousands of streams
    for entry in facts.log:
        entries[entry.stream].append(entry)
    for stream, operations in operations_by_stream(facts).items():
        yield from check_stream(facts, stream, operations, entries[stream])


def operations_by_stream(facts: Facts) -> dict[str, list[Operation]]:
    """The appends to each stream, and its reads."""
    found: dict[str, list[Operation]] = {entry.stream: [] for entry in facts.log}
    for operation in facts.history.operations:
        if isinstance(operation.call, (AppendCall, ReadStreamCall)):
            found.setdefault(operation.call.stream, []).append(operation)
    return found


def check_stream(
    facts: Facts, stream: str, operations: Iterable[Operation], entries: Iterable[Entry]
) -> Iterator[Violation]:
    """One stream is linearizable. What the log holds of it in the end counts as one more read of it."""
    steps: list[Step] = []
    appended: dict[Item, int | None] = {}
    end = 0
    for operation in operations:
        end = max(end, operation.invoked, operation.returned or 0)
        call, answer = operation.call, operation.answer
        if isinstance(call, AppendCall):
            if answer.outcome == "conflict":
                steps.append(_step(Refusal(call.expected, answer.actual), operation))
            elif answer.outcome != "failed":
                items: tuple[Item, ...] = tuple((call.mark, ordinal) for ordinal in range(1, call.events + 1))
                start = None if answer.revision is None else answer.revision - call.events
                appended.update((item, None if start is None else start + item[1]) for item in items)
                steps.append(_step(Effect(items, call.expected, start), operation))
        elif isinstance(call, ReadStreamCall) and answer.outcome == "ok":
            read = answer.items or []
            if [revision for revision, _ in read] != list(range(call.after + 1, call.after + 1 + len(read))):
                yield Violation(CHECK, f"the revisions that a read saw do not follow one another: {operation}")
                return
            items = facts.items([mark for _, mark in read], call.after + 1)
            whole = call.limit is None or len(read) < call.limit
            steps.append(_step(Sight(call.after, items, whole), operation))
    ordered = sorted(entries, key=lambda entry: entry.revision)
    if [entry.revision for entry in ordered] != list(range(1, len(ordered) + 1)):
        yield Violation(CHECK, f"the revisions of {stream!r} in the log do not follow one another from 1")
        return
    items = facts.items([entry.mark for entry in ordered], 1)
    steps.append(Step(Sight(0, items, whole=True), end + 1, end + 2, "the log, when all had ended"))
    steps += _by_others(steps, appended)
    searched = search(steps)
    if searched.stuck is not None:
        yield Violation(CHECK, f"{stream!r}: {searched.stuck}")


def _step(what: Effect | Refusal | Sight, operation: Operation) -> Step:
    return Step(what, operation.invoked, operation.returned, operation)


def _by_others(steps: Iterable[Step], appended: dict[Item, int | None]) -> Iterator[Step]:
    """What was read and no append of the history explains: somebody else may have appended it, at any time.

    Other checks say of it what there is to say (an event that is there twice, an append that had failed): the order of
    the rest is looked for all the same.
    """
    seen: dict[Item, set[int]] = defaultdict(set)
    for step in steps:
        if isinstance(step.what, Sight):
            for revision, item in enumerate(step.what.items, step.what.after + 1):
                seen[item].add(revision)
    for item, revisions in seen.items():
        ours: set[int] = set()
        if item in appended:
            place = appended[item]
            ours = {min(revisions) if place is None else place}
        for revision in revisions - ours:
            yield Step(Effect((item,), "any", revision - 1), BEFORE_ALL, None, f"somebody's event {item[0]!r}")
