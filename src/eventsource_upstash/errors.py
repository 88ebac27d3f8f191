"""Every error this library raises on purpose, sorted by what the caller can do about it.

Any other exception that comes out of the library, and was not raised by your own handlers, is a bug of ours.

======================= ==================================================================
error                   what to do
======================= ==================================================================
`ConcurrencyError`      decide again: the stream moved on; the error carries what you missed
`ConditionFailed`       decide again: something that the decision was made on has changed
`Unavailable`           try later: nothing was written
`OutcomeUnknown`        call again with the same idempotency key: safe, whatever happened
`Refused`               change something first (quota, size, rights): retrying cannot help
`TooLarge`              a `Refused`: make it smaller
`Misuse`                mend the calling code
`UnknownEventType`      deploy the code that knows the type, or declare it ignored
`ProjectionStopped`     mend what it names, mostly a fold handler: the projection goes on from there
`ReactorStopped`        mend what it names, or give it up: the reactor goes on from there
`StaleView`             wait longer, or read without `at_least`
`CorruptLog`            an operator's work: the stored data is not what was written
`LogTrimmed`            a `CorruptLog`: the topic let go of events before they were read
`SubjectForgotten`      decide whether the person is back: nothing was written
`SealedEvent`           hand over the key store that the event was written with
`LogRewound`            an operator's work: the log is older than the view that was built on it
`LogsDiffer`            an operator's work: a copy of a log is not what its source is
`LogReplaced`           a `LogRewound`: the log is not the one that the table or view is of
`PartitionsChanged`     an operator's work: the topic has grown under a view that is kept in parts
======================= ==================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .domain.events import CatchUp, Receipt, Recorded

__all__ = [
    "ConcurrencyError",
    "ConditionFailed",
    "CorruptLog",
    "EventSourceError",
    "IdempotencyKeyReused",
    "InvalidEvent",
    "LogReplaced",
    "LogRewound",
    "LogTrimmed",
    "LogsDiffer",
    "Misuse",
    "OutcomeUnknown",
    "PartitionsChanged",
    "ProjectionStopped",
    "ReactorStopped",
    "Refused",
    "RegistrationError",
    "SealedEvent",
    "StaleView",
    "SubjectForgotten",
    "TooLarge",
    "Unavailable",
    "UndecodableDocument",
    "UndecodableEvent",
    "UnknownEventType",
    "ViewNotBuilt",
]

_E = TypeVar("_E", bound="EventSourceError")


def told_position(position: int) -> str:
    """An event's position for a message: beyond partition 0 with the partition, and the offset in Kafka's words."""
    partition, place = divmod(position, 1 << 40)  # as `domain.positions` has it, which imports this module
    return f"{position} (partition {partition}, offset {place - 1})" if partition else f"{position}"


class EventSourceError(Exception):
    """Base of every error that this library raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        # The subclasses take keyword arguments; rebuilding from the state keeps them picklable,
        # so they survive a process pool.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[_E], args: tuple[object, ...], state: Mapping[str, object]) -> _E:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConcurrencyError(EventSourceError):
    """The stream is not at the revision that the append expected. Nothing was written.

    Attributes:
        stream: The stream's name.
        expected: What the append expected, in words or as a number.
        actual: The revision that the stream is at; 0 means that it does not exist.
        events: The recorded events after the expected revision, oldest first, so that a decision can
            be made again without a read. At most one page of them: `complete` says whether it is all.
        complete: Whether `events` holds everything that was missed.
        receipt: What the append cost that met it; None where nobody counted.
    """

    def __init__(
        self,
        *,
        stream: str,
        expected: int | str,
        actual: int,
        events: Sequence[Recorded[object]] = (),
        complete: bool = True,
        receipt: Receipt | None = None,
    ) -> None:
        at = f"is at revision {actual}" if actual else "does not exist"
        want = f"revision {expected}" if isinstance(expected, int) and expected else expected
        if expected == 0 and isinstance(expected, int):
            want = "no stream yet"
        super().__init__(
            f"stream {stream!r} {at}, the append expected {want}; nothing was written. "
            "Load the stream again and decide on its present state."
        )
        self.stream = stream
        self.expected = expected
        self.actual = actual
        self.events: tuple[Recorded[object], ...] = tuple(events)
        self.complete = complete
        self.receipt = receipt


class ConditionFailed(EventSourceError):
    """An event that the append's condition excludes came after the condition's position. Nothing was written.

    Attributes:
        stream: The stream that was to be appended to.
        after: The position that the condition names.
        position: Position of an event after it that matches the condition's query.
        receipt: What the append cost that met it; None where nobody counted.
    """

    def __init__(self, *, stream: str, after: int, position: int, receipt: Receipt | None = None) -> None:
        super().__init__(
            f"append to stream {stream!r} under a condition: an event that its query means stands at position "
            f"{position}, after {after}; nothing was written. Read again by the query, and decide on what is there now."
        )
        self.stream = stream
        self.after = after
        self.position = position
        self.receipt = receipt


class Unavailable(EventSourceError):
    """The backend cannot serve the request now. Nothing was written; the same call may succeed later."""


class OutcomeUnknown(EventSourceError):
    """The answer was lost: the write may or may not have happened.

    The same call with the same `idempotency_key` is safe, and answers what the first one did. With the same numeric
    `expected_revision` nothing is written twice either; the second call then raises `ConcurrencyError`, which carries
    the events that the first one wrote.
    """


class Refused(EventSourceError):
    """The backend refused for a reason that retrying cannot change: rights, quota, size, a full disk."""


class TooLarge(Refused):
    """More bytes than the backend takes, or answers, at once. Nothing was written.

    Attributes:
        what: What is too large.
        size: How much it has; None where only the server knows.
        limit: How much it may have.
        unit: Of what: bytes, documents or events.
    """

    def __init__(self, *, what: str, size: int | None, limit: int, unit: str = "bytes") -> None:
        has = "is too large for the server" if size is None else f"has {size} {unit}"
        super().__init__(
            f"{what} {has}: at most {limit} {unit} are taken at once; nothing was written. Make it smaller"
        )
        self.what = what
        self.size = size
        self.limit = limit
        self.unit = unit


class Misuse(EventSourceError):
    """The calling code is wrong. Nothing was written."""


class RegistrationError(Misuse):
    """A type, handler or name cannot be registered as given."""


class InvalidEvent(Misuse):
    """An event, its metadata or its tags could not be stored and read back as they are."""


class IdempotencyKeyReused(Misuse):
    """The idempotency key stands for another append already."""


class UndecodableDocument(Misuse):
    """A stored document does not fit the class of its projection any more."""


class UnknownEventType(EventSourceError):
    """The log holds an event of a type, or of a schema version, that this registry does not know.

    A projection stops there, because it cannot know whether the event matters to it.

    Attributes:
        type: The type name as recorded.
        version: The schema version as recorded.
        position: Where in the log; None when the event was met in a stream read.
        stream: The stream it is in.
    """

    def __init__(self, *, type: str, version: int, known: int | None, stream: str, position: int) -> None:
        have = (
            f"version {version} is newer than the registered version {known}"
            if known is not None
            else "it is not registered"
        )
        super().__init__(
            f"event type {type!r} at position {told_position(position)} in stream {stream!r}: {have}. Deploy the code "
            f"that knows it, or declare registry.ignore({type!r}) if it does not matter here."
        )
        self.type = type
        self.version = version
        self.stream = stream
        self.position = position


class CorruptLog(EventSourceError):
    """What is stored is not what was written: an operator has to look at it."""


class LogsDiffer(CorruptLog):
    """A copy of a log does not hold what its source holds: events are lost, doubled, in another order or altered.

    Attributes:
        difference: Where they begin to differ.
    """

    def __init__(self, difference: str) -> None:
        super().__init__(
            f"the copy is not what its source is: {difference}. Did somebody else write to the destination? Do not use "
            "it: empty it, and copy again"
        )
        self.difference = difference


class UndecodableEvent(CorruptLog):
    """A recorded event cannot be decoded as its registered type.

    Attributes:
        type: The type name as recorded.
        stream: The stream it is in.
        position: Where in the log.
    """

    def __init__(self, *, type: str, stream: str, position: int, reason: str) -> None:
        super().__init__(
            f"event {type!r} at position {told_position(position)} in stream {stream!r} does not decode: {reason}. "
            "If the class changed, give it a new version and an upcaster from the old one."
        )
        self.type = type
        self.stream = stream
        self.position = position


class SealedEvent(UndecodableEvent):
    """A recorded event holds encrypted personal data, and it was read without a key store."""

    def __init__(self, *, type: str, stream: str, position: int) -> None:
        super(UndecodableEvent, self).__init__(
            f"event {type!r} at position {told_position(position)} in stream {stream!r} holds personal data that is "
            "encrypted, and there is no key store here. Hand over the one that it was written with, as in "
            "connect(url, registry, keys=...)"
        )
        self.type = type
        self.stream = stream
        self.position = position


class LogTrimmed(CorruptLog):
    """Kafka's retention has deleted events of a topic that somebody was yet to read. Nothing was skipped.

    Attributes:
        topic: The topic.
        partition: The partition that lacks them.
        first: Offset of the first event that is lost.
        last: Offset of the last one.
    """

    def __init__(self, *, topic: str, partition: int, first: int, last: int) -> None:
        super().__init__(
            f"topic {topic!r}, partition {partition}: the offsets {first} to {last} were to be read, and are not kept "
            "any more: retention has deleted them. Keep events of an event store for ever (retention.ms=-1, "
            "retention.bytes=-1). What is lost is lost: to go on without it, declare from where the log counts as "
            f"whole, as in Kafka(..., beginning='{partition}:{last + 1}'), and rebuild the projections if need be"
        )
        self.topic = topic
        self.partition = partition
        self.first = first
        self.last = last


class SubjectForgotten(EventSourceError):
    """Personal data of somebody who was forgotten was to be appended. Nothing was written.

    Attributes:
        stream: The stream that it was to be appended to.
        subject: Who was forgotten. Not in the message: it may be personal itself.
    """

    def __init__(self, *, stream: str, subject: str) -> None:
        super().__init__(
            f"append to stream {stream!r}: it holds personal data of a subject that was forgotten; nothing was "
            "written. If the person is back, say so first: event_store.readmit(subject)"
        )
        self.stream = stream
        self.subject = subject


class LogRewound(EventSourceError):
    """Somebody knows of a position that the log does not have (any more): the log was restored or lost writes.

    Attributes:
        projection: The projection's name; None where the log itself holds more than its head says.
        checkpoint: The position that its view, or the log, has reached, or that a read asked for.
        head: The last position of the log.
        asked: Whether a read asked for the position, with `at_least=`. Then it may come from a client, and nothing
            need be wrong here.

    Args:
        projection: See above.
        checkpoint: See above.
        head: See above.
        asked: See above.
        remedy: What to do where the log is not restored, if something else than building the view anew.
    """

    def __init__(
        self, *, projection: str | None, checkpoint: int, head: int, asked: bool = False, remedy: str | None = None
    ) -> None:
        if projection is None:
            message = (
                f"the log holds events up to position {checkpoint}, but its head says {head}: part of the database is "
                "older than the rest, as after a fail-over. Nothing was written. Restore the database as a whole"
            )
        elif asked:
            message = (
                f"a read of projection {projection!r} asked for position {checkpoint}, but the log ends at {head}: the "
                "position is from before the log was restored, or from another log. Read without it"
            )
        elif projection.startswith("reactor~"):  # its outbox
            message = (
                f"reactor {projection.removeprefix('reactor~')!r} has decided on events up to position {checkpoint}, "
                f"but the log ends at {head}: the log is older than what was decided. Nothing more of it is carried "
                "out. Restore the log; or take the reactor out of the code, delete what it keeps with "
                f"projector.drop_version({projection!r}, 1), and put it back with since= the time of the restoration"
            )
        else:
            remedy = remedy or (
                "rebuild the projection (raise its version, where the view is kept elsewhere than the log)"
            )
            message = (
                f"projection {projection!r} is at position {checkpoint}, but the log ends at {head}: the log is older "
                f"than the view. Restore the log, or {remedy}"
            )
        super().__init__(message)
        self.projection = projection
        self.checkpoint = checkpoint
        self.head = head
        self.asked = asked


class LogReplaced(LogRewound):
    """At the position that a table or view has reached, the log has another event than the one that it holds.

    It is another log; or it was restored to an older state, and has grown since. Nothing was written.

    Attributes:
        projection: The projection's name.
        checkpoint: The position that the table, or view, has reached.
        head: The last position of the log.
        asked: False.

    Args:
        projection: See above.
        checkpoint: See above.
        head: See above.
        where: What has reached it, for the message: the projection, and the table if there is one.
        remedy: What to do to take this log for the right one.
    """

    def __init__(self, *, projection: str, checkpoint: int, head: int, where: str, remedy: str) -> None:
        EventSourceError.__init__(
            self,
            f"{where} is at position {checkpoint} of a log, but this log, which ends at {head}, has another event "
            "there: it is another log, or one that was restored to an older state and has grown since. Nothing was "
            f"written. Go back to the log that it was; or {remedy}",
        )
        self.projection = projection
        self.checkpoint = checkpoint
        self.head = head
        self.asked = False


class PartitionsChanged(EventSourceError):
    """The log has another number of partitions than the view is kept in parts for. Nothing was folded into it.

    Since then streams may go to other partitions than before, so that no part would hold all of its documents' events.
    The view answers as it is.

    Attributes:
        projection: The projection's name.
        partitions: How many partitions the log had when the view was begun.
        present: How many it has now.
    """

    def __init__(self, *, projection: str, version: int, partitions: int, present: int) -> None:
        super().__init__(
            f"projection {projection!r}, version {version}, is partitioned=True over {partitions} partitions, and the "
            f"log has {present} now: streams have moved, and none of its parts would be right. Copy the log to a new "
            "topic with as many partitions as are wanted (eventsource-upstash copy); or take partitioned= off and "
            "raise the version, and it is built anew as a whole"
        )
        self.projection = projection
        self.partitions = partitions
        self.present = present


class StaleView(EventSourceError):
    """The view did not reach the wanted position in time. The read was not answered.

    Attributes:
        projection: The projection's name.
        wanted: The position that the read asked for.
        reached: The position that the view is at.
        head: The log's last position.
    """

    def __init__(self, *, projection: str, wanted: int, reached: int, head: int) -> None:
        why = (
            f"did not reach {wanted} in time. Allow a longer timeout, or read without at_least"
            if wanted <= head
            else f"cannot reach {wanted}: the log ends at {head}. Is the position from another log?"
        )
        super().__init__(f"the view of projection {projection!r} is at position {reached} and {why}")
        self.projection = projection
        self.wanted = wanted
        self.reached = reached
        self.head = head


class ViewNotBuilt(StaleView):
    """The view of this version has not met the head yet, and no older version of it can answer the read.

    Or it was built before the projection had the index that is asked for. The read was not answered. Catch-up goes on
    with a new version; a read with `at_least=` waits for it.
    """

    def __init__(
        self, *, projection: str, version: int, reached: int, head: int, why: str, remedy: str | None = None
    ) -> None:
        EventSourceError.__init__(
            self,
            f"the view of projection {projection!r}, version {version}, is at position {reached} of {head}, and cannot "
            f"be read so: {why}. {remedy}"
            if remedy is not None
            else f"the view of projection {projection!r}, version {version}, is being built (at position {reached} of "
            f"{head}), and cannot be read yet: {why}. Try again when it has caught up",
        )
        self.projection = projection
        self.wanted = head
        self.reached = reached
        self.head = head


class ProjectionStopped(EventSourceError):
    """At least one projection could not fold an event. The others went on, and nothing was skipped.

    The view keeps everything before that event. The next catch-up tries the event again. The handler's own
    exception is the `__cause__`.

    Attributes:
        projection: The first projection that stopped.
        position: The position of the event that it could not fold.
        result: What the catch-up did all the same.
        others: The names of further projections that are stopped.
    """

    def __init__(
        self, *, projection: str, position: int, reason: str, result: CatchUp, others: Sequence[str] = ()
    ) -> None:
        more = f" Also stopped: {', '.join(others)}." if others else ""
        what, so_far = f"projection {projection!r}", "Its view holds everything before that event"
        if projection.startswith("reactor~"):  # its outbox
            what, so_far = f"reactor {projection.removeprefix('reactor~')!r}", "It has decided on all before that event"
        super().__init__(
            f"{what} stopped at position {told_position(position)}: {reason.rstrip('.')}. {so_far}, and the next "
            f"catch-up tries it again.{more}"
        )
        self.projection = projection
        self.position = position
        self.result = result
        self.others: tuple[str, ...] = tuple(others)


class ReactorStopped(ProjectionStopped):
    """A reactor decided something that cannot be carried out, whatever is tried. Everything else went on.

    It stays in the reactor's outbox, and so does what was decided after it. The next catch-up tries it again.

    Attributes:
        reactor: The reactor's name.
        position: The position of the event that it was the reaction to.
        result: What the catch-up did all the same.
    """

    def __init__(self, *, reactor: str, position: int, reason: str, result: CatchUp) -> None:
        EventSourceError.__init__(
            self,
            f"reactor {reactor!r} stopped at the reaction to the event at position {told_position(position)}: "
            f"{reason.rstrip('.')}. It is kept, with what was decided after it, and the next catch-up tries "
            "it again; or give it up: app.reactions.discard",
        )
        self.reactor = reactor
        self.projection = reactor
        self.position = position
        self.result = result
        self.others: tuple[str, ...] = ()
