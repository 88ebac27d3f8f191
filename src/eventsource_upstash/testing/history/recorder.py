"""The recorder of one process: a line at each invocation and at each answer, safe from `kill -9`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import msgspec
from typing_extensions import Self

from ...domain.events import ANY, EXISTS, Expectation, Recorded
from ...domain.queries import AppendCondition
from ...errors import ConcurrencyError, ConditionFailed, Misuse, Refused, SubjectForgotten, Unavailable
from .records import (
    Answer,
    Answered,
    AppendCall,
    Begun,
    Boundary,
    Call,
    CatchUpCall,
    CheckpointCall,
    Expected,
    HeadCall,
    Invoked,
    ReadLogCall,
    ReadStreamCall,
    Record,
    ViewCall,
)

if TYPE_CHECKING:
    from ...blocking import EventStore
    from ...blocking.projector import Projector
    from ...blocking.views import ProjectionStore
    from .faces import MarkOf, RecordedEventStore, RecordedProjectionStore, RecordedProjector

NOTHING_WRITTEN = (ConditionFailed, Misuse, Refused, SubjectForgotten, Unavailable)
"""Errors that promise it. A check holds them to it."""

_C = TypeVar("_C", bound="OpenCall")
_encoder = msgspec.json.Encoder()


class Recorder:
    """Records what one process does.

    With a path it writes a line of JSON before each call and another after it, each handed to the kernel at once: when
    the process is killed, what it had begun is there without an answer, and counts as unknown. (A machine that loses
    its power may lose lines.)

    Args:
        process: A name of the process, the same in each of its lives. Calls of several threads may overlap in it.
        path: The file to write to, whose name ends with `.jsonl`; it goes on after what is there. None keeps the
            records in memory.
        clock: Nanoseconds that only ever grow, of a clock that all processes share: `time.monotonic_ns` on one machine.
    """

    def __init__(
        self, process: str, path: str | Path | None = None, *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.process = process
        self.path: Path | None = Path(path) if path is not None else None
        self.records: list[Record] = []
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._file: int | None = None
        if self.path is not None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if os.fstat(self._file).st_size:
                os.write(self._file, b"\n")  # the life before may have been cut off amid a line
        self.began: int = clock()
        self._write(Begun(process, self.began))

    def __repr__(self) -> str:
        return f"Recorder({self.process!r}, {str(self.path) if self.path else None!r})"

    def append(
        self,
        stream: str,
        mark: str,
        *,
        expected_revision: int | Expectation = ANY,
        events: int = 1,
        condition: AppendCondition | None = None,
    ) -> OpenAppend:
        """Record an append, around whatever makes it.

        ```python
        with recorder.append("task-1", mark="p1-17", expected_revision=3) as call:
            answer = client.post("/tasks/1/complete", headers={"Idempotency-Key": "p1-17"})
            if answer.status_code == 200:
                call.ok(revision=answer.json()["revision"])
            elif answer.status_code == 409:
                call.conflict()
            else:
                call.unknown()
        ```

        An error that leaves the block says how it ended: `ConcurrencyError` is a conflict; `Unavailable`, `Refused`,
        `ConditionFailed` and `Misuse` promise that nothing was written; after any other one nobody knows.

        Args:
            stream: The stream.
            mark: What the stored events are recognised by. Unique to the append; the same for the same append that is
                tried again with its idempotency key.
            expected_revision: What the append expects.
            events: How many events it has.
            condition: The condition that it has, by types as recorded, not by classes.

        Raises:
            Misuse: The condition's query names a class.
        """
        expected: Expected
        if isinstance(expected_revision, Expectation):
            expected = "exists" if expected_revision is EXISTS else "any"
        else:
            expected = expected_revision
        boundary = None if condition is None else Boundary.of(condition)
        return self._open(OpenAppend, AppendCall(stream, mark, expected, events, boundary))

    def read_stream(self, stream: str, *, after_revision: int = 0, limit: int | None = None) -> OpenRead:
        """Record a read of a stream."""
        return self._open(OpenRead, ReadStreamCall(stream, after_revision, limit))

    def read_log(self, *, after: int = 0, limit: int | None = None) -> OpenRead:
        """Record a read of the log."""
        return self._open(OpenRead, ReadLogCall(after, limit))

    def head(self) -> OpenPosition:
        """Record that the log's last position was asked for."""
        return self._open(OpenPosition, HeadCall())

    def checkpoint(self, projection: str) -> OpenPosition:
        """Record that the position was asked for which a view has reached."""
        return self._open(OpenPosition, CheckpointCall(projection))

    def view(self, projection: str, key: str, *, at_least: int | None = None) -> OpenView:
        """Record a read of a document."""
        return self._open(OpenView, ViewCall(projection, key, at_least))

    def catch_up(self) -> OpenCatchUp:
        """Record a catch-up."""
        return self._open(OpenCatchUp, CatchUpCall())

    def event_store(self, store: EventStore, *, mark_of: MarkOf | None = None) -> RecordedEventStore:
        """An event store that records by itself. See `RecordedEventStore`."""
        from .faces import RecordedEventStore, mark_in_metadata

        return RecordedEventStore(self, store, mark_of or mark_in_metadata)

    def projection_store(self, store: ProjectionStore) -> RecordedProjectionStore:
        """A projection store that records by itself. See `RecordedProjectionStore`."""
        from .faces import RecordedProjectionStore

        return RecordedProjectionStore(self, store)

    def projector(self, projector: Projector) -> RecordedProjector:
        """A projector that records by itself. See `RecordedProjector`."""
        from .faces import RecordedProjector

        return RecordedProjector(self, projector)

    def close(self) -> None:
        """Close the file. Calls that are still open stay unknown."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, kind: Callable[[Recorder, Call], _C], call: Call) -> _C:
        return kind(self, call)

    def invoked(self, call: Call) -> int:
        """Write that a call is made now. Answers its number."""
        with self._lock:
            self._count += 1
            number = self._count
        self._write(Invoked(number, self._clock(), call))
        return number

    def answered(self, number: int, answer: Answer) -> None:
        """Write that a call has ended."""
        self._write(Answered(number, self._clock(), answer))

    def _write(self, record: Record) -> None:
        if self.path is None:
            self.records.append(record)
        elif self._file is None:
            raise ValueError(f"{self!r} is closed")
        else:
            os.write(self._file, _encoder.encode(record) + b"\n")


class OpenCall:
    """A call that is being made: a context manager. Made by `Recorder`."""

    def __init__(self, recorder: Recorder, call: Call) -> None:
        self.recorder = recorder
        self.call = call
        self._number = 0
        self._answered = False

    def __enter__(self) -> Self:
        self._number = self.recorder.invoked(self.call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._answered:
            return
        if error is None:
            self.unknown()
            raise RuntimeError("the block has not said how the call ended: call.ok(...), failed(), unknown()")
        self.answer(answer_of(error))

    def answer(self, answer: Answer) -> None:
        """Record the end of the call. Only the first one counts."""
        if not self._answered:
            self._answered = True
            self.recorder.answered(self._number, answer)

    def failed(self) -> None:
        """Nothing was done: nothing written, nothing answered."""
        self.answer(Answer("failed"))

    def unknown(self) -> None:
        """Nobody knows whether it was done, or will be."""
        self.answer(Answer("unknown"))


class OpenAppend(OpenCall):
    """An append that is being made."""

    def ok(self, *, position: int | None = None, revision: int | None = None) -> None:
        """It is done.

        Args:
            position: Position of its last event, if the caller was told.
            revision: Revision of the stream after it, if the caller was told.
        """
        self.answer(Answer("ok", position=position, revision=revision))

    def conflict(self, *, actual: int | None = None) -> None:
        """The stream was not where it was expected: nothing was written.

        Args:
            actual: The revision that it was at, if the caller was told.
        """
        self.answer(Answer("conflict", actual=actual))


class OpenRead(OpenCall):
    """A read of a stream or of the log."""

    def ok(self, items: Iterable[tuple[int, str | None]]) -> None:
        """It was answered: revision (of a stream) or position (of the log) of each event, and its mark."""
        self.answer(Answer("ok", items=list(items)))

    def recorded(self, events: Iterable[Recorded[object]], mark_of: MarkOf) -> list[Recorded[object]]:
        """It was answered with these events, which are read to the end, and answered again."""
        found = list(events)
        of_stream = isinstance(self.call, ReadStreamCall)
        self.ok((each.revision if of_stream else each.position, mark_of(each)) for each in found)
        return found


class OpenPosition(OpenCall):
    """A question for a position."""

    def ok(self, position: int) -> None:
        """It was answered."""
        self.answer(Answer("ok", position=position))


class OpenView(OpenCall):
    """A read of a document."""

    def ok(self, document: object) -> None:
        """It was answered: a document of any class that msgspec can write, or None."""
        self.answer(Answer("ok", document=msgspec.to_builtins(document)))


class OpenCatchUp(OpenCall):
    """A catch-up."""

    def ok(self, *, position: int, complete: bool) -> None:
        """It came to its end: the position that every view has reached, and whether that was the head."""
        self.answer(Answer("ok", position=position, complete=complete))


def answer_of(error: BaseException) -> Answer:
    """What an error says of how a call ended."""
    if isinstance(error, ConcurrencyError):
        return Answer("conflict", actual=error.actual)
    told = f"{type(error).__name__}: {error}"[:300]
    if isinstance(error, ConditionFailed):
        return Answer("failed", position=error.position, error=told)
    return Answer("failed" if isinstance(error, NOTHING_WRITTEN) else "unknown", error=told)
