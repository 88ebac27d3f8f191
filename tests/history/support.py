"""Histories that are made up, for what a checker has to say of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from eventsource_upstash.testing.history import Answer, Entry, History, Operation, Verdict, View, check
from eventsource_upstash.testing.history.records import (
    AppendCall,
    Boundary,
    Call,
    CatchUpCall,
    CheckpointCall,
    Expected,
    HeadCall,
    ReadLogCall,
    ReadStreamCall,
    ViewCall,
)


class Told:
    """A history that is told one operation after another; `at=` lets them overlap."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._moments = count(10, 10)

    def __call__(self, call: Call, answer: Answer, at: tuple[int, int] | None = None, process: str = "p") -> None:
        begun, ended = at or (next(self._moments), next(self._moments))
        returned = None if answer.outcome == "unknown" else ended
        self.operations.append(Operation(process, call, begun, returned, answer))

    def append(
        self,
        stream: str,
        mark: str,
        position: int,
        revision: int,
        *,
        expected: Expected = "any",
        events: int = 1,
        at: tuple[int, int] | None = None,
        condition: Boundary | None = None,
    ) -> None:
        call = AppendCall(stream, mark, expected, events, condition)
        self(call, Answer("ok", position=position, revision=revision), at)

    def unmet(self, stream: str, mark: str, condition: Boundary, position: int) -> None:
        self(AppendCall(stream, mark, condition=condition), Answer("failed", position=position))

    def conflict(self, stream: str, mark: str, expected: int, actual: int) -> None:
        self(AppendCall(stream, mark, expected), Answer("conflict", actual=actual))

    def failed(self, stream: str, mark: str) -> None:
        self(AppendCall(stream, mark), Answer("failed"))

    def unknown(
        self,
        stream: str,
        mark: str,
        *,
        expected: Expected = "any",
        events: int = 1,
        condition: Boundary | None = None,
    ) -> None:
        self(AppendCall(stream, mark, expected, events, condition), Answer("unknown"))

    def stream(self, stream: str, *marks: str, after: int = 0, at: tuple[int, int] | None = None) -> None:
        items = list[tuple[int, str | None]](enumerate(marks, after + 1))
        self(ReadStreamCall(stream, after), Answer("ok", items=items), at)

    def log(
        self,
        *items: tuple[int, str | None],
        after: int = 0,
        limit: int | None = None,
        at: tuple[int, int] | None = None,
    ) -> None:
        self(ReadLogCall(after, limit), Answer("ok", items=list(items)), at)

    def head(self, position: int, at: tuple[int, int] | None = None) -> None:
        self(HeadCall(), Answer("ok", position=position), at)

    def checkpoint(self, position: int) -> None:
        self(CheckpointCall("tasks"), Answer("ok", position=position))

    def caught_up(self, position: int, *, complete: bool = True) -> None:
        self(CatchUpCall(), Answer("ok", position=position, complete=complete))

    def view(self, key: str, document: object, at_least: int | None = None) -> None:
        self(ViewCall("tasks", key, at_least), Answer("ok", document=document))

    def checked(self, log: Sequence[Entry], views: Sequence[View] = ()) -> Verdict:
        return check(History(self.operations), log, views)


def log(*marks: str | None, stream: str = "s") -> list[Entry]:
    """A log of one stream."""
    return [Entry(place, stream, place, mark) for place, mark in enumerate(marks, 1)]


def tasks(checkpoint: int, **documents: list[str]) -> View:
    """A view of the marks of each stream, in their order."""

    def fold(document: object, entry: Entry) -> object:
        return [*(document if isinstance(document, list) else []), entry.mark]

    return View("tasks", checkpoint, documents, fold, lambda entry: [entry.stream])


def found(verdict: Verdict) -> list[str]:
    """The checks that found something, each once."""
    return sorted({violation.check for violation in verdict.violations})
