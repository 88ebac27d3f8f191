"""Projections: named, versioned sets of fold handlers over documents of one type, and what those are found by."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, cast
from uuid import UUID

from ..errors import Misuse, RegistrationError
from .event_types import EventTypes
from .events import Recorded, StoredEvent
from .folding import Aside, Folded, Folding, Handler, KeyOf, OnError, Plan
from .folds import Fold, FoldDecorator, check_event_type, check_handler, takes_key
from .indexes import Entries, encode_value
from .names import check_part_name
from .progress import NO_NOTES, Notes, ProjectionId, Stopped

if TYPE_CHECKING:
    from .aggregates import Aggregate

__all__ = [
    "NO_NOTES",
    "Aside",
    "Folded",
    "Notes",
    "Plan",
    "Projection",
    "ProjectionId",
    "Stopped",
    "Value",
]

D = TypeVar("D")
E = TypeVar("E")

Value: TypeAlias = "float | str | None"
"""What an index may hold: a number (int, float, bool), a string, or None for a document that is not in it."""

POLICIES = ("stop", "park", "skip")


class Projection(Folding[D], Generic[D]):
    """A named, versioned set of fold handlers over documents of one type.

    Made by `Registry.projection`. Hand it to `ProjectionStore.view` to read its documents.

    Attributes:
        id: Name and version.
        document: The class of its documents.
        types: The event types of its registry.
        on_error: What becomes of an event whose fold fails: "stop", "park" or "skip". A document that does not decode
            stops it all the same.
        changes: Whether its view has a change feed.
        outbox: Whether it is what a reactor has still to do.
        partitioned: Whether each of its documents is fed from one partition of the log only, and its view is kept in
            parts, one for each partition.
    """

    outbox: ClassVar[bool] = False

    def __init__(
        self,
        types: EventTypes,
        name: str,
        document: type[D],
        version: int,
        *,
        on_error: OnError = "stop",
        changes: bool = False,
        partitioned: bool = False,
    ) -> None:
        if on_error not in POLICIES:
            raise RegistrationError(f"projection {name!r}: on_error={on_error!r}; it is 'stop', 'park' or 'skip'")
        super().__init__(types, ProjectionId(name, version), document, on_error)
        if partitioned and changes:
            raise RegistrationError(
                f"projection {name!r}: partitioned=True and changes=True: a view in parts has no order of its changes, "
                "and keeps no feed of them; leave out one of the two"
            )
        self.changes: bool = changes
        self.partitioned: bool = partitioned
        self._indexes: dict[str, tuple[Callable[[D], object], str]] = {}
        self._expires: Callable[[D], object] | None = None
        self._place: tuple[int, Callable[[str], int]] | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.known

    @property
    def version(self) -> int:
        """Its version: raise it when the folds change meaning, and the view is built anew beside the old one."""
        return self.id.version

    def __repr__(self) -> str:
        return f"<Projection {self.id} of {self.document.__name__}>"

    def part(self, partition: int, partition_of: Callable[[str], int]) -> Projection[D]:
        """The same folds for the part of its view that is folded from one partition of the log.

        Args:
            partition: Which.
            partition_of: Tells the partition that a stream's events belong in. At an event that stands in another one
                the part stops: some of its document's events are elsewhere.
        """
        part = copy.copy(self)
        part.id = self.id.part(partition)
        part.in_place(partition, partition_of)
        return part

    def in_place(self, partition: int, partition_of: Callable[[str], int]) -> None:
        """Hold it to one partition. See `part`."""
        self._place = partition, partition_of

    def plan(self, rows: Sequence[StoredEvent], after: int, shared: dict[int, object] | None) -> Plan[D]:
        """See `Folding.plan`."""
        if self._place is None:
            return super().plan(rows, after, shared)
        partition, partition_of = self._place
        here = {stream for stream in {row[1] for row in rows} if partition_of(stream) == partition}
        for index, row in enumerate(rows):
            if row[1] not in here and row[5] in self._handlers:
                plan = super().plan(rows[:index], after, shared)
                if plan.error is None:
                    plan.rows, plan.checkpoint = rows, row[0] - 1
                    plan.error = Misplaced(
                        f"it is of stream {row[1]!r}, whose events belong in partition {partition_of(row[1])}, and "
                        f"stands in partition {partition}: the topic has grown since, or somebody writes with another "
                        "partitioner. Take partitioned= off and raise the version; or copy the log to a new topic"
                    )
                return plan
        return super().plan(rows, after, shared)

    def on(
        self, event_type: type[E], *, key: str | Callable[[E], str | UUID | int | Iterable[str]] | None = None
    ) -> FoldDecorator[D, E]:
        """Register a fold handler for events of one type.

        The handler is given the document, or None where there is none, and the event, and answers the document as it
        is then, or None for no document. A third parameter that is called `key` is given the document's key.

        Args:
            event_type: A registered event class.
            key: Which document an event concerns: the name of a field of the event, or a function of the event that
                answers one key or several. Without it, the document of the event's stream. Keys are strings; whole
                numbers and UUIDs are turned into them.

        Raises:
            RegistrationError: The type is not registered, the field does not exist, or the handler cannot be called
                with a document and an event.
        """
        return self._decorator(event_type, key, recorded=False)

    def on_recorded(
        self, event_type: type[E], *, key: str | Callable[[E], str | UUID | int | Iterable[str]] | None = None
    ) -> FoldDecorator[D, Recorded[E]]:
        """Register a fold handler that is given the recorded event: position, stream, time, metadata and all.

        Takes and raises the same as `on`.
        """
        return self._decorator(event_type, key, recorded=True)

    def fold_as(self, aggregate: Aggregate[D]) -> None:
        """Fold as an aggregate does, the document of each stream: its state, to be had where no stream can be loaded.

        Takes over the aggregate's fold handlers, those that are registered already and those to come. The document
        under a stream's name is then what `EventStore.load` answers as the state, as of the position that the view has
        reached: `view.get("account-1", at_least=appended.position)` has it as of an append. It is no older state that
        an append could be refused for: whoever decides on it decides on what may have changed by then.

        Args:
            aggregate: An aggregate of the same registry, whose state is the class of this projection's documents.

        Raises:
            RegistrationError: It is not that; or a type has a handler here already.
        """
        if aggregate.types is not self.types or aggregate.state is not self.document:
            raise RegistrationError(
                f"{self._where}: it cannot fold as aggregate {aggregate.name!r}, which is of another registry or has "
                f"another state than {self.document.__name__}"
            )
        aggregate.followed_by(lambda known, fold: self._register(known.cls, None, fold, recorded=False))

    def index(self, name: str, value: str | Callable[[D], Value]) -> None:
        """Let documents be found by a value of theirs: `view.index(name)`.

        Numbers are kept in their order, for `top`, `range` and `rank`; strings are found when they are equal. Of a
        date, hand over its `timestamp()`. A document whose value is None stands not in the index.

        An index that is added to a projection, or changed, needs a new version of it, or a rebuild of its view.

        Args:
            name: Name of the index.
            value: The name of a field of the document, or a function of the document.

        Raises:
            RegistrationError: The name is taken or none, the field does not exist, or the function cannot be called
                with a document.

        A value that is neither number, string nor None, or is NaN or infinite, stops the fold as a handler that raises.

        Cost: at most 2 commands for each commit in which values change.
        """
        where = f"{self._where}, index {name!r}"
        check_part_name("index", name)
        if name in self._indexes:
            raise RegistrationError(f"{where}: there is one of that name already")
        self._indexes[name] = (_value_function(value, self.document, where), where)

    def expires(self, value: str | Callable[[D], datetime | float | None]) -> None:
        """Give documents an end: from then on they are absent from whatever is read, and their storage goes as well.

        To an event that was recorded after a document's end the document is none: its handler is given None.

        Args:
            value: The name of a field of the document, or a function of the document: a datetime with a time zone,
                seconds since 1970 (UTC), or None for a document that does not end.

        Raises:
            RegistrationError: It is said already, the field does not exist, or the function cannot be called with a
                document.
        """
        where = f"{self._where}, expires"
        if self._expires is not None:
            raise RegistrationError(f"{where}: when its documents end is said already")
        self._expires = _value_function(value, self.document, where)

    @property
    def indexed(self) -> bool:
        """Whether its documents are found by anything but their keys, or end."""
        return bool(self._indexes) or self._expires is not None

    @property
    def ends(self) -> bool:
        """Whether its documents may end."""
        return self._expires is not None

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of its indexes."""
        return tuple(sorted(self._indexes))

    @property
    def shape(self) -> str:
        """What its documents are found by, in a word: a view of another shape is another view."""
        return " ".join([*self.indexes, *(["(ends)"] if self._expires is not None else [])])

    def entries_of(self, document: D) -> Entries:
        """What a document is found by. Raises what an index function raises, and `Misuse` for a value that is none."""
        values: list[tuple[str, str]] = []
        for name, (value_of, where) in self._indexes.items():
            value = value_of(document)
            if value is not None:
                values.append((name, encode_value(value, where)))
        end = None if self._expires is None else self._expires(document)
        return Entries(tuple(values), None if end is None else _microseconds(end, self._where))

    # Any: the event's class is what `on` and `on_recorded` say.
    def _decorator(self, event_type: type, key: object, *, recorded: bool) -> FoldDecorator[D, Any]:
        def register(handler: Callable[..., D | None]) -> Callable[..., D | None]:
            self._register(event_type, key, handler, recorded=recorded)
            return handler

        return register

    def _register(self, event_type: type, key: object, handler: object, *, recorded: bool) -> None:
        known = check_event_type(self.types, event_type, self._where)
        if known.name in self._handlers:
            raise RegistrationError(
                f"{self._where}: event type {known.name!r} has a handler already ({self._handlers[known.name].name})"
            )
        fold = cast("Fold[D]", handler)
        keyed = takes_key(fold)
        parameters = ("document", "recorded" if recorded else "event", *(("key",) if keyed else ()))
        name = check_handler(fold, self._where, parameters)
        if self.partitioned and key is not None:
            raise RegistrationError(
                f"{self._where}, handler {name}: key= with partitioned=True: of events with another key than their "
                "stream nothing tells that they stay in one partition of the log, and documents fed from several would "
                "be wrong. Leave out key=, so that the stream is the key; or partitioned=, and the view is folded as "
                "a whole"
            )
        key_of = key_function(key, event_type, f"{self._where}, handler {name}")
        # Under every name that its events are recorded under: the loop over a page looks up the recorded one.
        handler_of = Handler(name, known, fold, key_of, recorded=recorded, keyed=keyed)
        self._handlers.update(dict.fromkeys(known.names, handler_of))

    def documents(self, stored: Iterable[tuple[str, bytes]]) -> list[tuple[str, D]]:
        """Decode documents that were read for a query. Raises `UndecodableDocument` where one does not fit."""
        decode = self.decode_document
        return [(key, decode(key, kept)) for key, kept in stored]


class Misplaced(Exception):
    """Internal: an event is in another partition than its stream. Told as the reason why a projection stops."""


def _microseconds(end: object, where: str) -> int:
    if isinstance(end, datetime):
        if end.tzinfo is None:
            raise Misuse(
                f"{where}, expires: a datetime without a time zone; use datetime.now(timezone.utc) and its like"
            )
        end = end.timestamp()
    if isinstance(end, (int, float)) and not isinstance(end, bool):
        if 0 <= end < 1e11:  # NaN is not either
            return round(end * 1_000_000)
        raise Misuse(f"{where}, expires: a number is seconds since 1970, from 0 to 10**11; was it milliseconds?")
    raise Misuse(
        f"{where}, expires: it is a datetime with a time zone, seconds since 1970 or None, not {type(end).__name__}"
    )


def _value_function(value: object, document: type[D], where: str) -> Callable[[D], object]:
    if isinstance(value, str):
        fields = fields_of(document)
        if value not in fields and not hasattr(document, value):
            raise RegistrationError(
                f"{where}: {value!r} is not a field of {document.__name__}; it has {', '.join(sorted(fields))}"
            )
        return operator.attrgetter(value)
    if callable(value):
        check_handler(value, where, ("document",))
        return cast("Callable[[D], object]", value)
    raise RegistrationError(f"{where}: it is the name of a field or a function of the document, not {value!r}")


def key_function(key: object, event_type: type, where: str) -> KeyOf | None:
    """What tells the key of an event: None for its stream. Raises `RegistrationError`."""
    if key is None:
        return None
    if isinstance(key, str):
        fields = fields_of(event_type)
        if key not in fields:
            raise RegistrationError(
                f"{where}: key={key!r} is not a field of {event_type.__name__}; it has {', '.join(sorted(fields))}"
            )
        return operator.attrgetter(key)
    if callable(key):
        check_handler(key, f"{where}, key", ("event",))
        return cast("KeyOf", key)
    raise RegistrationError(f"{where}: key= is the name of a field or a function of the event, not {key!r}")


def fields_of(cls: type) -> set[str]:
    """The names of a class's fields, be they its bases'."""
    return {name for base in cls.__mro__ for name in inspect.get_annotations(base)}
