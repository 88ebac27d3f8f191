"""Reactors: event handlers whose results are appends, commands and messages; and the outbox that these are kept in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar, cast
from uuid import UUID

import msgspec

from ..errors import RegistrationError
from .event_types import EventTypes
from .events import Recorded
from .folding import Handler, OnError
from .folds import check_event_type, check_handler
from .outgoing import Encoding, Outgoing
from .projections import POLICIES, Projection, key_function
from .reactions import Reaction

E = TypeVar("E")
R = TypeVar("R", bound="Reaction | Sequence[Reaction] | None")

OUTBOX: Final = "reactor~"
"""What the name of an outbox begins with. No projection's name holds a tilde."""


class ReactionFailed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the first reaction of an outbox's document could not be carried out.

    Attributes:
        error: What went wrong, in a line.
        attempts: How often it was tried.
        first_us: When it failed first, in microseconds since 1970.
    """

    error: str
    attempts: int = 1
    first_us: int = 0


class Outbox(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reactions of one key that are still to be carried out, in order.

    Attributes:
        reactions: The reactions; at least one.
        failed: Why the first one could not be carried out, and waits for somebody to look; None where it was not tried.
    """

    reactions: tuple[Outgoing, ...]
    failed: ReactionFailed | None = None


class OutboxProjection(Projection[Outbox]):
    """What a reactor decided, folded like any view: its documents are what is still to be carried out.

    Attributes:
        reactor: The reactor's name.
    """

    outbox = True

    def __init__(self, types: EventTypes, reactor: str, on_error: OnError) -> None:
        super().__init__(types, OUTBOX + reactor, Outbox, 1, on_error=on_error)
        self.reactor: str = reactor
        self._where = f"reactor {reactor!r}"

    def add(self, event_type: type, key: object, handler: object, *, recorded: bool, since_us: int) -> None:
        """Register a handler of the reactor. Raises `RegistrationError`."""
        known = check_event_type(self.types, event_type, self._where)
        if known.name in self._handlers:
            raise RegistrationError(
                f"{self._where}: event type {known.name!r} has a handler already ({self._handlers[known.name].name})"
            )
        react = cast("Callable[[object], object]", handler)
        name = check_handler(react, self._where, ("recorded" if recorded else "event",))
        key_of = key_function(key, event_type, f"{self._where}, handler {name}")
        encoding = Encoding(self.types, self.reactor)
        where = f"{self._where}: {name}"

        def decide(outbox: Outbox | None, given: object) -> Outbox | None:
            of = cast("Recorded[object]", given)
            if of.recorded_us < since_us:
                return outbox
            decided = encoding.encode(react(of if recorded else of.event), of, where)
            if not decided:
                return outbox
            if outbox is None:
                return Outbox(tuple(decided))
            return Outbox((*outbox.reactions, *decided), outbox.failed)

        one_key = None if key_of is None else _only_one(key_of)
        handler_of: Handler[Outbox] = Handler(name, known, decide, one_key, recorded=True, keyed=False)
        self._handlers.update(dict.fromkeys(known.names, handler_of))


class Reactor:
    """Event handlers that answer what is to be done: append events, execute a command, send a message.

    Made by `Registry.reactor`. What its handlers answer is recorded in the same step as how far it is, and carried out
    after that: each event is decided on once, and what was decided is done at least once under one id.

    Attributes:
        name: Its name.
        on_error: What becomes of an event whose handler fails, and of a reaction that cannot be carried out.
        since: Events that were recorded before are not reacted to; None for all.
        outbox: The projection of what is still to be carried out.
    """

    def __init__(self, types: EventTypes, name: str, *, on_error: OnError, since: datetime | None) -> None:
        self.name: str = name
        self.on_error: OnError = on_error
        self.since: datetime | None = since
        if on_error not in POLICIES:
            raise RegistrationError(f"reactor {name!r}: on_error={on_error!r}; it is 'stop', 'park' or 'skip'")
        self._since_us = _since_us(since, name)
        self.outbox: Projection[Outbox] = OutboxProjection(types, name, on_error)

    def __repr__(self) -> str:
        return f"<Reactor {self.name}>"

    def on(
        self, event_type: type[E], *, key: str | Callable[[E], str | UUID | int] | None = None
    ) -> Callable[[Callable[[E], R]], Callable[[E], R]]:
        """Register a handler for events of one type.

        The handler is given the event, and answers `Append(...)`, `Execute(...)`, `Send(...)`, a list of them, or None.
        It is a pure function: it reads nothing and sends nothing by itself.

        Args:
            event_type: A registered event class.
            key: What keeps reactions in order: the name of a field of the event, or a function of it that answers one
                key. Reactions of one key are carried out in the order of their events; those of other keys do not wait
                for them. Without it, the event's stream.

        Raises:
            RegistrationError: The type is not registered or has a handler already, the field does not exist, or the
                handler cannot be called with an event.
        """

        def register(handler: Callable[[E], R]) -> Callable[[E], R]:
            self._outbox.add(event_type, key, handler, recorded=False, since_us=self._since_us)
            return handler

        return register

    def on_recorded(
        self, event_type: type[E], *, key: str | Callable[[E], str | UUID | int] | None = None
    ) -> Callable[[Callable[[Recorded[E]], R]], Callable[[Recorded[E]], R]]:
        """Register a handler that is given the recorded event: position, stream, time, metadata and all.

        Takes and raises the same as `on`.
        """

        def register(handler: Callable[[Recorded[E]], R]) -> Callable[[Recorded[E]], R]:
            self._outbox.add(event_type, key, handler, recorded=True, since_us=self._since_us)
            return handler

        return register

    @property
    def _outbox(self) -> OutboxProjection:
        return cast("OutboxProjection", self.outbox)


def _only_one(key_of: Callable[[object], object]) -> Callable[[object], object]:
    def one(event: object) -> object:
        key = key_of(event)
        if isinstance(key, Iterable) and not isinstance(key, str):
            raise TypeError("the key of a reaction is one: a string, a whole number or a UUID")
        return key

    return one


def _since_us(since: object, name: str) -> int:
    if since is None:
        return 0
    if not isinstance(since, datetime) or since.tzinfo is None:
        raise RegistrationError(
            f"reactor {name!r}, since={since!r}: it is a datetime with a time zone, as in "
            "datetime(2026, 1, 1, tzinfo=timezone.utc)"
        )
    return round(since.timestamp() * 1_000_000)
