"""Aggregates: fold handlers plus decide handlers over one stream. Load, decide, append."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar, cast

import msgspec

from ..errors import Misuse, RegistrationError
from .event_types import EventType, EventTypes, undecodable
from .events import FREE, NewEvent, Receipt, StoredEvent
from .folds import Fold, check_event_type, check_handler, check_result, handler_name
from .schema import inspect_class
from .snapshots import Snapshots

S = TypeVar("S")
E = TypeVar("E")
C = TypeVar("C")

Decided = object
"""What a decide handler answers: one event, several, or None."""


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """An aggregate's state as its stream makes it.

    Attributes:
        state: The state, or None when the stream holds no event or the last fold answered None.
        revision: The stream's revision that it was folded up to; 0 when there is no stream.
        receipt: What loading it cost.
    """

    state: S | None
    revision: int
    receipt: Receipt = FREE


class Executed(msgspec.Struct, Generic[S], frozen=True):
    """What came of a command.

    Attributes:
        state: The state after the events.
        revision: The stream's revision after them.
        position: Position of the last one, to hand to reads as `at_least=`; None when nothing was decided.
        events: The events that were decided and appended.
        receipt: What it cost, retries included.
        repeated: True when an earlier call under the same idempotency key had done it: nothing was decided anew, and
            `state` and `revision` are where the stream is now.
    """

    state: S | None
    revision: int
    position: int | None
    events: tuple[object, ...]
    receipt: Receipt = FREE
    repeated: bool = False


class _Handler(Generic[S]):
    __slots__ = ("decode", "fold", "name", "version")

    def __init__(self, name: str, event_type: EventType, fold: Fold[S]) -> None:
        self.name = name
        self.version = event_type.version
        self.decode = event_type.decode
        self.fold = fold


class Aggregate(Generic[S]):
    """Fold handlers and decide handlers over one stream.

    Made by `Registry.aggregate`. Hand it to `EventStore.load` and `EventStore.execute`.

    Attributes:
        name: Its name.
        state: The class of its state.
        version: The version of its folds and its state.
        immutable: Whether a state cannot be changed, so that it may be kept and gone on from.
        snapshots: How its states are kept beside their streams; None when they are not.
        personal: Whether it folds personal data, so that its states are kept nowhere.
        types: The event types of its registry.
    """

    def __init__(
        self, types: EventTypes, name: str, state: type[S], version: int = 1, snapshot_every: int | None = None
    ) -> None:
        self.name = name
        self.state = state
        self.version = version
        what = f"state of aggregate {name!r}"
        self.immutable: bool = inspect_class(state, what).immutable
        self.snapshots: Snapshots[S] | None = (
            None if snapshot_every is None else Snapshots(f"{name}@{version}", state, snapshot_every, what)
        )
        self.personal: bool = False
        self.types: EventTypes = types
        self._folds: dict[str, _Handler[S]] = {}
        self._deciders: dict[type, Callable[[S | None, object], Decided]] = {}
        self._where = f"aggregate {name!r}"
        self._followers: list[Callable[[EventType, Fold[S]], None]] = []

    def __repr__(self) -> str:
        return f"<Aggregate {self.name} of {self.state.__name__}>"

    def on(
        self, event_type: type[E]
    ) -> Callable[[Callable[[S | None, E], S | None]], Callable[[S | None, E], S | None]]:
        """Register a fold handler for events of one type. Types without one leave the state as it is.

        Raises:
            RegistrationError: The type is not registered or has a handler already, or the handler cannot be called
                with a state and an event.
        """

        def register(handler: Callable[[S | None, E], S | None]) -> Callable[[S | None, E], S | None]:
            known = check_event_type(self.types, event_type, self._where)
            if known.name in self._folds:
                raise RegistrationError(f"{self._where}: event type {known.name!r} has a fold handler already")
            if known.personal is not None:
                if self.snapshots is not None:
                    raise RegistrationError(
                        f"{self._where}: event type {known.name!r} holds personal data, which a snapshot would keep in "
                        "clear when its subject is forgotten; leave out snapshot_every"
                    )
                self.personal = True
            fold = cast("Fold[S]", handler)
            name = check_handler(fold, self._where, ("state", "event"))
            for follow in self._followers:
                follow(known, fold)
            self._folds.update(dict.fromkeys(known.names, _Handler(name, known, fold)))  # as they may be recorded
            return handler

        return register

    def decide(
        self, command: type[C]
    ) -> Callable[
        [Callable[[S | None, C], object | Sequence[object] | None]],
        Callable[[S | None, C], object | Sequence[object] | None],
    ]:
        """Register the decide handler for commands of one class.

        The handler is given the state and the command, and answers an event, several, or None for nothing to do. To
        refuse, it raises an exception of its own, which reaches the caller of `execute` as it is.

        Raises:
            RegistrationError: The command has a handler already, or the handler cannot be called with a state and a
                command.
        """

        def register(
            handler: Callable[[S | None, C], object | Sequence[object] | None],
        ) -> Callable[[S | None, C], object | Sequence[object] | None]:
            if not isinstance(cast("object", command), type):
                raise RegistrationError(f"{self._where}: decide() is given the class of a command, not {command!r}")
            if command in self._deciders:
                raise RegistrationError(f"{self._where}: command {command.__name__} has a decide handler already")
            check_handler(cast("Callable[..., object]", handler), self._where, ("state", "command"))
            self._deciders[command] = cast("Callable[[S | None, object], Decided]", handler)
            return handler

        return register

    def followed_by(self, follow: Callable[[EventType, Fold[S]], None]) -> None:
        """Hand on every fold handler, those that are there and those to come, with the event type that it is for."""
        for known, handler in {self.types.by_name[name].name: handler for name, handler in self._folds.items()}.items():
            follow(self.types.by_name[known], handler.fold)
        self._followers.append(follow)

    @property
    def commands(self) -> tuple[type, ...]:
        """The classes of its commands."""
        return tuple(self._deciders)

    def fold_handler(self, event_type: str) -> str | None:
        """The name of the fold handler for events of a type, or None where there is none."""
        handler = self._folds.get(event_type)
        return None if handler is None else handler.name

    def decide_handler(self, command: object) -> str | None:
        """The name of the decide handler for a command, or None where there is none."""
        handler = self._deciders.get(type(command))
        return None if handler is None else handler_name(handler)

    def fold_rows(self, state: S | None, rows: Sequence[StoredEvent]) -> S | None:
        """Fold stored rows of its stream onto a state.

        Raises:
            UnknownEventType: A row's type is not registered and not ignored.
            UndecodableEvent: A row's payload does not fit its class.
        """
        folds = self._folds
        types = self.types
        cls = self.state
        for row in rows:
            handler = folds.get(row[5])
            if handler is None:
                if row[5] not in types.by_name and row[5] not in types.ignored:
                    raise types.unknown(row)
                continue
            if row[6] == handler.version:
                try:
                    event = handler.decode(row[9])
                except Exception as error:
                    raise undecodable(row, error) from error
            else:
                event = types.decode(row)
            state = handler.fold(state, event)
            if state.__class__ is not cls and state is not None:
                check_result(state, cls, self._where, handler.name)
        return state

    def fold_events(self, state: S | None, events: Iterable[object]) -> S | None:
        """Fold events as they are onto a state. Raises `Misuse` for an event whose class is not registered."""
        for event in events:
            handler = self._folds.get(self.types.of(event).name)
            if handler is not None:
                state = handler.fold(state, event)
                check_result(state, self.state, self._where, handler.name)
        return state

    def fold_new(self, state: S | None, events: Iterable[NewEvent]) -> S | None:
        """Fold events that were just encoded onto a state: as they will be read back, and as instances of their own."""
        for type_, _, payload in events:
            handler = self._folds.get(type_)
            if handler is not None:
                state = handler.fold(state, handler.decode(payload))
                check_result(state, self.state, self._where, handler.name)
        return state

    def decide_on(self, state: S | None, command: object) -> tuple[object, ...]:
        """The events that a command leads to. Raises `Misuse` for a command without a handler, and what that raises."""
        decider = self._deciders.get(type(command))
        if decider is None:
            if isinstance(command, type):
                raise Misuse(
                    f"{command.__name__} is the class of a command; hand over an instance: {command.__name__}(...)"
                )
            known = ", ".join(sorted(cls.__name__ for cls in self._deciders)) or "none"
            raise Misuse(
                f"{self._where} has no decide handler for {type(command).__name__} (it has: {known}); register one "
                f"with @{self.name}.decide({type(command).__name__})"
            )
        decided = decider(state, command)
        if decided is None:
            return ()
        if type(decided) in self.types.by_class:
            return (decided,)
        if isinstance(decided, Iterable) and not isinstance(decided, (str, bytes)):
            return tuple(cast("Iterable[object]", decided))
        return (decided,)
