"""Projections: named, versioned sets of fold handlers over documents of one type, and the folding of a page."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast, get_type_hints
from uuid import UUID

import msgspec

from ..errors import EventSourceError, RegistrationError, UndecodableDocument, UndecodableEvent
from .codec import Codec, reason
from .event_types import EventType, EventTypes, recorded_of, undecodable
from .events import Recorded, StoredEvent
from .folds import (
    Fold,
    FoldDecorator,
    Keyed,
    check_event_type,
    check_handler,
    check_result,
    failure,
    takes_key,
    unpacking,
)
from .names import check_key

D = TypeVar("D")
E = TypeVar("E")

KeyOf = Callable[[object], object]


class ProjectionId(NamedTuple):
    """What tells one projection's view from another's: a new version is a new view."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Stopped(msgspec.Struct, frozen=True):
    """Why and since when a projection does not go on.

    Attributes:
        position: Position of the event that it cannot fold.
        reason: What went wrong there.
        since_us: When it stopped first, in microseconds since 1970 (UTC).
    """

    position: int
    reason: str
    since_us: int = 0


class Folded(NamedTuple):
    """What a page of events made of a view.

    Attributes:
        documents: Changed documents by key, encoded; None where a document was deleted.
        checkpoint: Position that the view has reached with them.
        applied: How many events were folded.
        error: What stopped the fold at the event after `checkpoint`, if anything did.
        stopped: The same, in words to be kept.
    """

    documents: dict[str, bytes | None]
    checkpoint: int
    applied: int
    error: BaseException | None = None
    stopped: Stopped | None = None


class _Handler(Generic[D]):
    __slots__ = ("decode", "event_type", "fold", "key_of", "keyed", "name", "plain", "recorded", "version")

    def __init__(
        self, name: str, event_type: EventType, fold: Fold[D], key_of: KeyOf | None, *, recorded: bool, keyed: bool
    ) -> None:
        self.name = name
        self.event_type = event_type
        self.version = event_type.version
        self.decode = event_type.decode
        self.fold: Fold[D] = unpacking(cast("Callable[[D | None, object, str], D | None]", fold)) if keyed else fold
        self.key_of = key_of
        self.recorded = recorded
        self.keyed = keyed
        self.plain: bool = not recorded and not keyed

    def argument(self, row: StoredEvent, event: object, key: str) -> object:
        """What it is given besides the document, where that is not the event alone."""
        argument = recorded_of(row, event) if self.recorded else event
        return Keyed(argument, key) if self.keyed else argument


_Step: TypeAlias = "tuple[str, _Handler[D], object, int]"
"""Key, handler, what the handler is given besides the document, and the event's position."""


class Plan(Generic[D]):
    """A page of events, decoded and sorted out for one projection: what has to be loaded to fold it.

    Attributes:
        keys: Keys of the documents that it touches.
        checkpoint: Position that the view will have reached, if every fold goes well.
        error: Why the page ends before its last event, if it does.
    """

    __slots__ = ("checkpoint", "error", "keys", "rows", "steps")

    def __init__(
        self,
        rows: Sequence[StoredEvent],
        steps: list[_Step[D]],
        keys: list[str],
        checkpoint: int,
        error: BaseException | None,
    ) -> None:
        self.rows: Sequence[StoredEvent] = rows
        self.steps: list[_Step[D]] = steps
        self.keys: list[str] = keys
        self.checkpoint: int = checkpoint
        self.error: BaseException | None = error


class Projection(Generic[D]):
    """A named, versioned set of fold handlers over documents of one type.

    Made by `Registry.projection`. Hand it to `ProjectionStore.view` to read its documents.

    Attributes:
        id: Name and version.
        document: The class of its documents.
        types: The event types of its registry.
    """

    def __init__(self, types: EventTypes, name: str, document: type[D], version: int) -> None:
        self.id: ProjectionId = ProjectionId(name, version)
        self.document: type[D] = document
        self.codec: Codec[D] = Codec(document, f"document of projection {name!r}")
        self.types: EventTypes = types
        self._handlers: dict[str, _Handler[D]] = {}
        self._where = f"projection {name!r}"

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.name

    @property
    def version(self) -> int:
        """Its version: raise it when the folds change meaning, and the view is built anew beside the old one."""
        return self.id.version

    def __repr__(self) -> str:
        return f"<Projection {self.id} of {self.document.__name__}>"

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

    def handles(self, event_type: str) -> bool:
        """Whether a fold handler is registered for the type of that name."""
        return event_type in self._handlers

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
        key_of = _key_function(key, event_type, f"{self._where}, handler {name}")
        # Under every name that its events are recorded under: the loop over a page looks up the recorded one.
        self._handlers.update(
            dict.fromkeys(known.names, _Handler(name, known, fold, key_of, recorded=recorded, keyed=keyed))
        )

    def plan(self, rows: Sequence[StoredEvent], after: int, shared: dict[int, object] | None) -> Plan[D]:
        """Decode what concerns this projection in a page.

        Args:
            rows: The page of the log after the view's checkpoint, in order.
            after: That checkpoint.
            shared: Events decoded for other projections by position, where several fold one page; None where not.
        """
        handlers = self._handlers
        types = self.types
        steps: list[_Step[D]] = []
        add = steps.append
        keys: dict[str, None] = {}
        checkpoint = after
        for row in rows:
            position = row[0]
            handler = handlers.get(row[5])
            if handler is None:
                if row[5] not in types.by_name and row[5] not in types.ignored:
                    return Plan(rows, steps, list(keys), position - 1, types.unknown(row))
            else:
                try:
                    if row[6] == handler.version and shared is None:
                        event = handler.decode(row[9])
                    else:
                        event = _decode(types, handler, row, shared)
                except EventSourceError as error:
                    return Plan(rows, steps, list(keys), position - 1, error)
                except Exception as error:
                    return Plan(rows, steps, list(keys), position - 1, undecodable(row, error))
                key_of = handler.key_of
                try:
                    key = row[1] if key_of is None else key_of(event)
                    if type(key) is str:
                        if key not in keys:
                            check_key(key)
                            keys[key] = None
                        add((key, handler, event if handler.plain else handler.argument(row, event, key), position))
                    else:
                        for one in _several(key):
                            keys[one] = None
                            add((one, handler, event if handler.plain else handler.argument(row, event, one), position))
                            if not handler.event_type.shareable:  # each call is given an event of its own
                                event = handler.event_type.decode_version(row[6], row[9])
                except UndecodableEvent as error:
                    return Plan(rows, steps, list(keys), position - 1, error)
                except Exception as error:
                    return Plan(rows, steps, list(keys), position - 1, _blame(handler.name, error))
            checkpoint = position
        return Plan(rows, steps, list(keys), checkpoint, None)

    def fold(self, plan: Plan[D], stored: Mapping[str, bytes | None]) -> Folded:
        """Fold a planned page over the documents that were loaded for it.

        Nothing is lost or half-applied when a handler fails: the answer then holds the documents as they were before
        that event, whatever the handler did to its argument, and says where and why it stopped.
        """
        with suppress(Exception):
            return self._fold_all(plan, stored)
        # Which event was it, and what did the documents look like before it? Fold again, one event at a time, and from
        # events as they are stored: a handler may have changed what it was given.
        checkpoint = plan.rows[0][0] - 1 if plan.rows else plan.checkpoint
        return self._fold_one_by_one(self.plan(plan.rows, checkpoint, None), stored)

    def _fold_all(self, plan: Plan[D], stored: Mapping[str, bytes | None]) -> Folded:
        cls = self.document
        decode = self.codec.decode
        encode = self.codec.encode_checked
        documents: dict[str, D | None] = {}
        for key in plan.keys:
            kept = stored.get(key)
            documents[key] = None if kept is None else decode(kept)
        for key, handler, argument, _ in plan.steps:
            document = handler.fold(documents[key], argument)
            if document.__class__ is not cls and document is not None:
                check_result(document, cls, self._where, handler.name, stored=True)
            documents[key] = document
        changed: dict[str, bytes | None] = {}
        for key, document in documents.items():
            encoded = None if document is None else encode(document)
            if encoded != stored.get(key):
                changed[key] = encoded
        return Folded(changed, plan.checkpoint, len(plan.steps), plan.error, _stopped(plan.checkpoint + 1, plan.error))

    def _fold_one_by_one(self, plan: Plan[D], stored: Mapping[str, bytes | None]) -> Folded:
        documents = {key: stored.get(key) for key in plan.keys}
        trial: dict[str, bytes | None] = {}
        applied = 0
        before = -1
        error: BaseException | None = None
        for key, handler, argument, position in plan.steps:
            if position != before:
                documents.update(trial)
                trial = {}
                before = position
            try:
                trial[key] = self._fold_one(key, handler, argument, trial.get(key, documents[key]))
            except Exception as failed:
                error = _blame(handler.name, failed)
                break
            applied += 1
        if error is None:
            documents.update(trial)
        changed = {key: encoded for key, encoded in documents.items() if encoded != stored.get(key)}
        if error is None:
            # It went well the second time, one by one: the first failure was not a matter of these events.
            return Folded(changed, plan.checkpoint, applied, plan.error, _stopped(plan.checkpoint + 1, plan.error))
        return Folded(changed, before - 1, applied, error, _stopped(before, error))

    def _fold_one(self, key: str, handler: _Handler[D], argument: object, kept: bytes | None) -> bytes | None:
        document = None if kept is None else self._decode_document(key, kept)
        result = handler.fold(document, argument)
        check_result(result, self.document, self._where, handler.name, stored=True)
        return None if result is None else self.codec.encode_checked(result)

    def _decode_document(self, key: str, kept: bytes) -> D:
        try:
            return self.codec.decode(kept)
        except Exception as error:
            raise undecodable_document(self.id, key, error) from error

    def documents(self, stored: Iterable[tuple[str, bytes]]) -> list[tuple[str, D]]:
        """Decode documents that were read for a query. Raises `UndecodableDocument` where one does not fit."""
        decode = self._decode_document
        return [(key, decode(key, kept)) for key, kept in stored]


class HandlerError(Exception):
    """Internal: wraps what a handler raised, with the handler's name. Never leaves the library by itself."""


def undecodable_document(projection: ProjectionId, key: str, error: Exception) -> UndecodableDocument:
    """The error for a stored document that does not fit its class any more."""
    return UndecodableDocument(
        f"projection {projection.name!r}: document {key!r} does not decode as its class: {reason(error)}. The class "
        f"changed; give the projection a version above {projection.version}, so that its view is built anew"
    )


def _blame(name: str, error: Exception) -> BaseException:
    blamed = HandlerError(f"handler {name}: {failure(error)}")
    blamed.__cause__ = error
    return blamed


def _stopped(position: int, error: BaseException | None) -> Stopped | None:
    return None if error is None else Stopped(position, str(error))


def _decode(types: EventTypes, handler: _Handler[D], row: StoredEvent, shared: dict[int, object] | None) -> object:
    if row[6] > handler.version:
        raise types.unknown(row)
    if shared is None or not handler.event_type.shareable:
        return handler.event_type.decode_version(row[6], row[9])
    event = shared.get(row[0])
    if event is None:
        event = shared[row[0]] = handler.event_type.decode_version(row[6], row[9])
    return event


def _several(key: object) -> list[str]:
    """The keys in a key function's answer that is not a plain string. Raises `TypeError`, or `Misuse` for a bad one."""
    kind = type(key).__name__
    if isinstance(key, str):
        text = str.__str__(key)  # an Enum of strings would answer its name to str()
        check_key(text)
        return [text]
    if isinstance(key, (UUID, int)) and not isinstance(key, bool):
        return [str(key)]
    if isinstance(key, Iterable) and not isinstance(key, (bytes, bytearray, dict)):
        # Each key once: one event changes a document once.
        return list(dict.fromkeys(one for inner in cast("Iterable[object]", key) for one in _several(inner)))
    raise TypeError(f"a key is a string, a whole number, a UUID or several of them, not {kind}")


def _key_function(key: object, event_type: type, where: str) -> KeyOf | None:
    if key is None:
        return None
    if isinstance(key, str):
        fields = _fields(event_type)
        if key not in fields:
            raise RegistrationError(
                f"{where}: key={key!r} is not a field of {event_type.__name__}; it has {', '.join(sorted(fields))}"
            )
        return operator.attrgetter(key)
    if callable(key):
        check_handler(key, f"{where}, key", ("event",))
        return cast("KeyOf", key)
    raise RegistrationError(f"{where}: key= is the name of a field or a function of the event, not {key!r}")


def _fields(cls: type) -> set[str]:
    try:
        return set(get_type_hints(cls))
    except Exception:
        return set(getattr(cls, "__annotations__", {}))
