"""The folding of a page of events into the documents of one projection, and what becomes of an event that fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast
from uuid import UUID

from ..errors import EventSourceError, UndecodableDocument, UndecodableEvent, UnknownEventType
from .codec import Codec, reason
from .event_types import EventType, EventTypes, recorded_of, undecodable
from .events import StoredEvent
from .folds import Fold, Keyed, check_result, failure, unpacking
from .indexes import NO_ENTRIES, Entries
from .names import check_key
from .progress import ProjectionId, Stopped

D = TypeVar("D")

KeyOf = Callable[[object], object]

OnError: TypeAlias = Literal["stop", "park", "skip"]

NOBODY: Final[Collection[str]] = frozenset[str]()


class Aside(NamedTuple):
    """An event that was not folded into a document: parked or skipped.

    Attributes:
        row: The event.
        key: The document's key; None where the event did not even decode.
        error: What its fold raised; None where it only waits behind another event of the same key.
    """

    row: StoredEvent
    key: str | None
    error: BaseException | None


class Folded(NamedTuple):
    """What a page of events made of a view.

    Attributes:
        documents: Changed documents by key, encoded; None where a document was deleted.
        checkpoint: Position that the view has reached with them.
        applied: How many events were folded.
        error: What stopped the fold at the event after `checkpoint`, if anything did.
        stopped: The same, in words to be kept.
        entries: What the changed documents are found by, of those that are found by anything.
        aside: Events that were parked or skipped, in order.
    """

    documents: dict[str, bytes | None]
    checkpoint: int
    applied: int
    error: BaseException | None = None
    stopped: Stopped | None = None
    entries: Mapping[str, Entries] = {}
    aside: Sequence[Aside] = ()


class Handler(Generic[D]):
    """A registered fold handler, with all that is needed to call it."""

    __slots__ = ("decode", "event_type", "fold", "key_of", "keyed", "name", "plain", "recorded", "version")

    def __init__(
        self, name: str, event_type: EventType, fold: Fold[D], key_of: KeyOf | None, *, recorded: bool, keyed: bool
    ) -> None:
        self.name: str = name
        self.event_type: EventType = event_type
        self.version: int = event_type.version
        self.decode: Callable[[bytes], object] = event_type.decode
        self.fold: Fold[D] = unpacking(cast("Callable[[D | None, object, str], D | None]", fold)) if keyed else fold
        self.key_of: KeyOf | None = key_of
        self.recorded: bool = recorded
        self.keyed: bool = keyed
        self.plain: bool = not recorded and not keyed

    def argument(self, row: StoredEvent, event: object, key: str) -> object:
        """What it is given besides the document, where that is not the event alone."""
        argument = recorded_of(row, event) if self.recorded else event
        return Keyed(argument, key) if self.keyed else argument


_Step: TypeAlias = "tuple[str, Handler[D], object, StoredEvent]"
"""Key, handler, what the handler is given besides the document, and the event as it is stored."""


class Plan(Generic[D]):
    """A page of events, decoded and sorted out for one projection: what has to be loaded to fold it.

    Attributes:
        keys: Keys of the documents that it touches.
        checkpoint: Position that the view will have reached, if every fold goes well.
        error: Why the page ends before its last event, if it does.
        skipped: Events that could not even be decoded, where those are passed over.
    """

    __slots__ = ("checkpoint", "error", "keys", "rows", "skipped", "steps")

    def __init__(
        self,
        rows: Sequence[StoredEvent],
        steps: list[_Step[D]],
        keys: list[str],
        checkpoint: int,
        error: BaseException | None,
        skipped: Sequence[Aside] = (),
    ) -> None:
        self.rows: Sequence[StoredEvent] = rows
        self.steps: list[_Step[D]] = steps
        self.keys: list[str] = keys
        self.checkpoint: int = checkpoint
        self.error: BaseException | None = error
        self.skipped: Sequence[Aside] = skipped


class Folding(ABC, Generic[D]):
    """The fold handlers of a projection, and how pages are folded with them.

    Attributes:
        id: Name and version of the projection.
        document: The class of its documents.
        codec: Encodes and decodes them.
        types: The event types of its registry.
        on_error: What becomes of an event whose fold fails.
    """

    def __init__(self, types: EventTypes, id: ProjectionId, document: type[D], on_error: OnError) -> None:
        self.id: ProjectionId = id
        self.document: type[D] = document
        self.codec: Codec[D] = Codec(document, f"document of projection {id.name!r}")
        self.types: EventTypes = types
        self.on_error: OnError = on_error
        self._handlers: dict[str, Handler[D]] = {}
        self._where = f"projection {id.name!r}"

    @abstractmethod
    def entries_of(self, document: D) -> Entries:
        """What a document is found by. Raises what an index function raises, and `Misuse` for a value that is none."""

    @property
    @abstractmethod
    def indexed(self) -> bool:
        """Whether its documents are found by anything but their keys, or end."""

    def handles(self, event_type: str) -> bool:
        """Whether a fold handler is registered for the type of that name."""
        return event_type in self._handlers

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
        skipped: list[Aside] = []
        checkpoint = after
        for row in rows:
            position = row[0]
            handler = handlers.get(row[5])
            if handler is None:
                if row[5] not in types.by_name and row[5] not in types.ignored:
                    return Plan(rows, steps, list(keys), position - 1, types.unknown(row), skipped)
            else:
                error: BaseException
                try:
                    if row[6] == handler.version and shared is None:
                        event = handler.decode(row[9])
                    else:
                        event = _decode(types, handler, row, shared)
                    key_of = handler.key_of
                    key = row[1] if key_of is None else key_of(event)
                    if type(key) is str:
                        if key not in keys:
                            check_key(key)
                            keys[key] = None
                        add((key, handler, event if handler.plain else handler.argument(row, event, key), row))
                    else:
                        for one in _several(key):
                            keys[one] = None
                            add((one, handler, event if handler.plain else handler.argument(row, event, one), row))
                            if not handler.event_type.shareable:  # each call is given an event of its own
                                event = handler.event_type.decode_version(row[6], row[9])
                    checkpoint = position
                    continue
                except (UnknownEventType, UndecodableEvent) as failed:
                    error = failed
                except Exception as failed:
                    error = self._plan_failed(handler, row, failed)
                while steps and steps[-1][3] is row:
                    steps.pop()
                if self.on_error != "skip" or isinstance(error, UnknownEventType):
                    # Which key it concerns is not known, so that nothing can wait behind it: the view stops.
                    return Plan(rows, steps, list(keys), position - 1, error, skipped)
                skipped.append(Aside(row, None, error))
            checkpoint = position
        return Plan(rows, steps, list(keys), checkpoint, None, skipped)

    @staticmethod
    def _plan_failed(handler: Handler[D], row: StoredEvent, error: Exception) -> BaseException:
        """Whether it was the event that did not decode, or the handler's key function that raised."""
        try:
            handler.event_type.decode_version(row[6], row[9])
        except EventSourceError as failed:
            return failed
        except Exception as failed:
            return undecodable(row, failed)
        return blame(handler, error)

    def fold(
        self,
        plan: Plan[D],
        stored: Mapping[str, bytes | None],
        entries: Mapping[str, Entries] = {},
        parked: Collection[str] = NOBODY,
    ) -> Folded:
        """Fold a planned page over the documents that were loaded for it.

        Nothing is lost or half-applied when a handler fails: the answer then holds the documents as they were before
        that event, whatever the handler did to its argument, and says where and why it stopped; or which events were
        set aside, where the projection parks or skips them.

        Args:
            plan: The page.
            stored: The documents under the plan's keys.
            entries: What those are found by.
            parked: Keys for which events are parked: those of this page wait behind them.
        """
        # A document that has ended by the time of an event is none to that event, whenever it is folded.
        ends = {key: each.expires_us for key, each in entries.items() if each.expires_us is not None}
        if not any(key in parked for key in plan.keys):
            with suppress(Exception):
                return self._fold_all(plan, stored, ends)
        # Which event was it, and what did the documents look like before it? Fold again, one event at a time, and from
        # events as they are stored: a handler may have changed what it was given.
        return self._fold_one_by_one(self.plan(plan.rows, plan.checkpoint, None), stored, ends, set(parked))

    def _fold_all(self, plan: Plan[D], stored: Mapping[str, bytes | None], ends: Mapping[str, int | None]) -> Folded:
        cls = self.document
        decode = self.codec.decode
        encode = self.codec.encode_checked
        documents: dict[str, D | None] = {}
        for key in plan.keys:
            kept = stored.get(key)
            documents[key] = None if kept is None else decode(kept)
        found: Mapping[str, Entries] = {}
        if self.indexed:
            found = self._fold_steps(plan, documents, dict(ends))
        else:
            for key, handler, argument, _ in plan.steps:
                document = handler.fold(documents[key], argument)
                if document.__class__ is not cls and document is not None:
                    check_result(document, cls, self._where, handler.name, stored=True)
                documents[key] = document
        changed: dict[str, bytes | None] = {}
        entries: dict[str, Entries] = {}
        for key, document in documents.items():
            encoded = None if document is None else encode(document)
            if encoded != stored.get(key):
                changed[key] = encoded
                if document is not None and key in found:
                    entries[key] = found[key]
        stopped = _stopped(plan.checkpoint + 1, plan.error)
        return Folded(changed, plan.checkpoint, len(plan.steps), plan.error, stopped, entries, plan.skipped)

    def _fold_steps(
        self, plan: Plan[D], documents: dict[str, D | None], ends: dict[str, int | None]
    ) -> Mapping[str, Entries]:
        """Fold documents that are found by something, or may end: each is none to an event after its end.

        Answers what they are found by. Each event's document is asked, not the last one of the page alone: what cannot
        be found by anything stops the view at its event, wherever the page ends.
        """
        cls = self.document
        entries_of = self.entries_of
        found: dict[str, Entries] = {}
        for key, handler, argument, row in plan.steps:
            before = documents[key]
            if _ended(ends.get(key), row):
                before = None
            document = handler.fold(before, argument)
            documents[key] = document
            if document is None:
                ends[key] = None
                continue
            if document.__class__ is not cls:
                check_result(document, cls, self._where, handler.name, stored=True)
            entries = found[key] = entries_of(document)
            ends[key] = entries.expires_us
        return found

    def _fold_one_by_one(
        self,
        plan: Plan[D],
        stored: Mapping[str, bytes | None],
        ends: Mapping[str, int | None],
        parked: set[str],
    ) -> Folded:
        state = {key: State(stored.get(key), ends.get(key)) for key in plan.keys}
        trial: dict[str, State] = {}
        aside = list(plan.skipped)
        applied = 0
        before: StoredEvent | None = None
        error: BaseException | None = None
        for key, handler, argument, row in plan.steps:
            if row is not before:
                state.update(trial)
                applied += len(trial)
                trial = {}
                before = row
            if key in parked:
                aside.append(Aside(row, key, None))
                continue
            try:
                trial[key] = self._fold_one(key, handler, argument, row, state[key])
            except Exception as failed:
                error = blame(handler, failed)
                # A document of another class is no fault of the event's: the next one would be set aside as well.
                if self.on_error == "stop" or isinstance(failed, UndecodableDocument):
                    break
                aside.append(Aside(row, key, error))
                if self.on_error == "park":
                    parked.add(key)
                error = None
        checkpoint, stopped = plan.checkpoint, _stopped(plan.checkpoint + 1, plan.error)
        # By their places in the page: positions in different partitions say nothing of an order.
        order = {row[0]: place for place, row in enumerate(plan.rows)}
        if error is None:
            # Where nothing is set aside it went well the second time: the failure was not a matter of these events.
            state.update(trial)
            applied += len(trial)
            error = plan.error
        elif before is not None:
            checkpoint, stopped = before[0] - 1, _stopped(before[0], error)
            # The event itself is still ahead, for all its keys: what waits of it is set aside when it is folded.
            aside = [each for each in aside if order[each.row[0]] < order[before[0]]]
        changed = {key: each for key, each in state.items() if each.document != stored.get(key)}
        aside.sort(key=lambda each: order[each.row[0]])
        return Folded(
            {key: each.document for key, each in changed.items()},
            checkpoint,
            applied,
            error,
            stopped,
            {key: each.entries for key, each in changed.items() if each.entries != NO_ENTRIES},
            aside,
        )

    def fold_waiting(
        self, rows: Sequence[StoredEvent], key: str, document: bytes | None, entries: Entries
    ) -> tuple[State, int, BaseException | None]:
        """Fold events that were parked for a key, in order, up to the first that fails.

        Answers what the document has become, how many of the events are done with, and what the next one raised.
        """
        state = State(document, entries.expires_us, entries)
        for done, row in enumerate(rows):
            trial = state
            plan = self.plan([row], row[0] - 1, None)
            if plan.error is not None:
                return state, done, plan.error
            for one, handler, argument, _ in plan.steps:
                if one != key:
                    continue
                try:
                    trial = self._fold_one(key, handler, argument, row, trial)
                except Exception as failed:
                    return state, done, blame(handler, failed)
            state = trial
        return state, len(rows), None

    def _fold_one(self, key: str, handler: Handler[D], argument: object, row: StoredEvent, before: State) -> State:
        kept = None if _ended(before.ends, row) else before.document
        document = None if kept is None else self.decode_document(key, kept)
        result = handler.fold(document, argument)
        check_result(result, self.document, self._where, handler.name, stored=True)
        if result is None:
            return State(None, None)
        entries = self.entries_of(result)
        return State(self.codec.encode_checked(result), entries.expires_us, entries)

    def decode_document(self, key: str, kept: bytes) -> D:
        """A stored document. Raises `UndecodableDocument` if it does not fit its class any more."""
        try:
            return self.codec.decode(kept)
        except Exception as error:
            raise _undecodable_document(self.id, key, error) from error


class State(NamedTuple):
    """A document in the course of a fold: encoded, when it ends, and what it is found by."""

    document: bytes | None
    ends: int | None
    entries: Entries = NO_ENTRIES


class HandlerError(Exception):
    """Internal: wraps what a handler raised, with the handler's name. Never leaves the library by itself."""


def _undecodable_document(projection: ProjectionId, key: str, error: Exception) -> UndecodableDocument:
    return UndecodableDocument(
        f"projection {projection.known!r}: document {key!r} does not decode as its class: {reason(error)}. The class "
        f"changed; give the projection a version above {projection.version}, so that its view is built anew"
    )


def blame(handler: Handler[D], error: Exception) -> BaseException:
    """What a handler raised, with the handler's name in front.

    It is kept beside the view, in clear: of an event with personal data only the class, since the text may tell some.
    """
    told = failure(error) if handler.event_type.personal is None else type(error).__name__
    blamed = HandlerError(f"handler {handler.name}: {told}")
    blamed.__cause__ = error
    return blamed


def _ended(ends: int | None, row: StoredEvent) -> bool:
    return ends is not None and ends <= row[3]


def _stopped(position: int, error: BaseException | None) -> Stopped | None:
    return None if error is None else Stopped(position, str(error))


def _decode(types: EventTypes, handler: Handler[D], row: StoredEvent, shared: dict[int, object] | None) -> object:
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
