"""What is recorded of a workload: each invocation, each answer, and the operations that they make together."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

from ...domain.queries import AppendCondition, Query, QueryItem

Expected: TypeAlias = int | Literal["any", "exists"]
"""The revision that an append expects: a number (0 for no stream yet), or in words."""

Items: TypeAlias = list[tuple[int, str | None]]
"""What a read answered: revision or position of each event, and its mark; None for an event that has none."""


class Boundary(msgspec.Struct, frozen=True):
    """An append's condition, as it is recorded: no event of these types and tags after a position.

    Attributes:
        items: For each item of the query its types and its tags. An event matches one of which it has one of the types,
            or none are named, and all of the tags.
        after: The position.
    """

    items: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    after: int = 0

    @classmethod
    def of(cls, condition: AppendCondition) -> Boundary:
        """What is recorded of a condition. Raises `Misuse` where it names a class: no log holds classes."""
        for item in condition.query.items:
            item.matches("", ())
        items = tuple((tuple(sorted(item.types)), tuple(sorted(item.tags))) for item in condition.query.items)
        return cls(items, condition.after)

    def again(self) -> AppendCondition:
        """The condition that it was."""
        items = tuple(QueryItem(frozenset(types), frozenset(tags)) for types, tags in self.items)
        return AppendCondition(Query(items), self.after)

    def matches(self, entry: Entry) -> bool:
        """Whether the condition excludes an event of the log."""
        return entry.position > self.after and any(
            (not types or entry.type in types) and set(tags).issubset(entry.tags) for types, tags in self.items
        )


class AppendCall(msgspec.Struct, frozen=True, tag="append", tag_field="call"):
    """Events are to be appended.

    Attributes:
        stream: To which stream.
        mark: Unique to this append; the same again for the same append that is tried again.
        expected: The revision that the stream has to be at.
        events: How many events.
        condition: What must not have been appended before.
    """

    stream: str
    mark: str
    expected: Expected = "any"
    events: int = 1
    condition: Boundary | None = None


class ReadStreamCall(msgspec.Struct, frozen=True, tag="read_stream", tag_field="call"):
    """A stream is to be read.

    Attributes:
        stream: Which.
        after: The revision to start after.
        limit: Most events to answer; None for all.
    """

    stream: str
    after: int = 0
    limit: int | None = None


class ReadLogCall(msgspec.Struct, frozen=True, tag="read_log", tag_field="call"):
    """The log is to be read.

    Attributes:
        after: The position to start after.
        limit: Most events to answer; None for all.
    """

    after: int = 0
    limit: int | None = None


class HeadCall(msgspec.Struct, frozen=True, tag="head", tag_field="call"):
    """The log's last position is asked for."""


class ViewCall(msgspec.Struct, frozen=True, tag="view", tag_field="call"):
    """A document of a view is to be read.

    Attributes:
        projection: The view's projection.
        key: The document's key.
        at_least: The position that the view has to have reached; None for whatever it has.
    """

    projection: str
    key: str
    at_least: int | None = None


class CheckpointCall(msgspec.Struct, frozen=True, tag="checkpoint", tag_field="call"):
    """The position that a view has reached is asked for.

    Attributes:
        projection: The view's projection.
    """

    projection: str


class CatchUpCall(msgspec.Struct, frozen=True, tag="catch_up", tag_field="call"):
    """What is new is to be folded into every view."""


Call: TypeAlias = AppendCall | ReadStreamCall | ReadLogCall | HeadCall | ViewCall | CheckpointCall | CatchUpCall
"""What a process asks for."""

Outcome: TypeAlias = Literal["ok", "conflict", "failed", "unknown"]
"""How a call ended: done; refused because the stream was elsewhere; surely not done; nobody knows."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a call ended, and what it answered.

    Attributes:
        outcome: How it ended.
        position: Position of the append's last event, the head, the checkpoint, or what a catch-up reached; of an
            append that failed, that of the event that its condition excludes.
        revision: Revision of the stream after the append; None where the caller was not told.
        actual: For a conflict: the revision that the stream was at; None where the caller was not told.
        items: What a read of the stream or the log answered.
        document: What a view answered, as JSON has it; None where there is no such document.
        complete: Whether a catch-up met the head.
        error: What was raised, for whoever reads a report.
    """

    outcome: Outcome
    position: int | None = None
    revision: int | None = None
    actual: int | None = None
    items: Items | None = None
    document: object = None
    complete: bool = False
    error: str | None = None


class Begun(msgspec.Struct, frozen=True, tag="begun", tag_field="record"):
    """The first line of a process's life.

    Attributes:
        process: The process.
        at: When it began, in nanoseconds of the clock that all of them share.
    """

    process: str
    at: int


class Invoked(msgspec.Struct, frozen=True, tag="invoked", tag_field="record"):
    """A call was made.

    Attributes:
        number: Number of the call in this life of the process.
        at: A moment before it was made.
        call: What was asked for.
    """

    number: int
    at: int
    call: Call


class Answered(msgspec.Struct, frozen=True, tag="answered", tag_field="record"):
    """A call came to its end.

    Attributes:
        number: Which call.
        at: A moment after its end.
        answer: How it ended.
    """

    number: int
    at: int
    answer: Answer


Record: TypeAlias = Begun | Invoked | Answered
"""A line of a history."""

UNKNOWN = Answer("unknown")


class Operation(NamedTuple):
    """A call and its answer.

    Attributes:
        process: Who made it.
        call: What was asked for.
        invoked: A moment before it began, in nanoseconds.
        returned: A moment after its end; None where nobody knows that it ended, as when the process was killed.
        answer: How it ended.
    """

    process: str
    call: Call
    invoked: int
    returned: int | None
    answer: Answer

    def __str__(self) -> str:
        return f"{self.process}: {told(self.call)} -> {told_answer(self)}"


class Entry(msgspec.Struct, frozen=True):
    """An event of the log, as it was found when the workload had ended.

    Attributes:
        position: Its position.
        stream: Its stream.
        revision: Its revision.
        mark: The mark of its append, with or without `/ordinal` (from 1); None for an event that no process of the
            history has appended.
        event: Whatever the folds of the check need of it.
        type: Its type, as recorded. Type and tags are looked at where an append had a condition.
        tags: Its tags.
    """

    position: int
    stream: str
    revision: int
    mark: str | None
    event: object = None
    type: str = ""
    tags: tuple[str, ...] = ()


def told(call: Call) -> str:
    """A call in words."""
    match call:
        case AppendCall():
            count = "" if call.events == 1 else f" of {call.events} events"
            unless = "" if call.condition is None else f", if nothing of it stands after {call.condition.after}"
            return f"append {call.mark!r}{count} to {call.stream!r}, expecting {call.expected}{unless}"
        case ReadStreamCall():
            limit = "" if call.limit is None else f", at most {call.limit}"
            return f"read {call.stream!r} after revision {call.after}{limit}"
        case ReadLogCall():
            limit = "" if call.limit is None else f", at most {call.limit}"
            return f"read the log after position {call.after}{limit}"
        case HeadCall():
            return "head"
        case ViewCall():
            fresh = "" if call.at_least is None else f", at least at {call.at_least}"
            return f"{call.key!r} of view {call.projection!r}{fresh}"
        case CheckpointCall():
            return f"checkpoint of {call.projection!r}"
        case CatchUpCall():
            return "catch up"


def told_answer(operation: Operation) -> str:
    """How an operation ended, in words."""
    answer = operation.answer
    if answer.outcome == "conflict":
        return f"conflict: at revision {answer.actual}"
    if answer.outcome != "ok":
        return answer.outcome + (f" ({answer.error})" if answer.error else "")
    match operation.call:
        case AppendCall():
            return f"revision {answer.revision}, position {answer.position}"
        case ReadStreamCall() | ReadLogCall():
            items = answer.items or []
            shown = ", ".join(f"{place}: {mark}" for place, mark in items[-3:])
            return f"{len(items)} events{', the last ' if len(items) > 3 else ': ' if items else ''}{shown}"
        case ViewCall():
            return f"{answer.document!r}"
        case CatchUpCall():
            return f"at {answer.position}, {'complete' if answer.complete else 'not complete'}"
        case _:
            return f"{answer.position}"
