"""Projections whose view is SQL tables: handlers that are given a connection and an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import StatementError

from ..domain.event_types import EventType, EventTypes, recorded_of
from ..domain.events import Recorded, StoredEvent
from ..domain.folds import check_event_type, check_handler, failure
from ..domain.names import check_part_name
from ..domain.registry import Registry
from ..errors import Misuse, RegistrationError
from .engines import told

E = TypeVar("E")
H = TypeVar("H", bound=Callable[[Connection], object])

_POLICIES: Final = ("stop", "skip")


class _Handler(NamedTuple):
    name: str
    event_type: EventType
    handle: Callable[[Connection, object], object]
    recorded: bool


class HandlerError(Exception):
    """Internal: what a handler raised, with the handler's name in front."""


class TransactionEnded(Misuse):
    """Internal: a handler has ended the transaction, or tried to."""

    def __init__(self) -> None:
        super().__init__("it ended the transaction, which is not the handler's: neither commit nor roll back there")


class SqlProjection:
    """A named, versioned set of handlers that write events into SQL tables. Made by `sql_projection`.

    Attributes:
        name: Its name.
        version: Its version: raised when handlers or tables change meaning. It begins at the first event then.
        types: The event types of its registry.
        on_error: What becomes of an event whose handler fails: "stop" or "skip".
    """

    def __init__(self, types: EventTypes, name: str, version: int, on_error: Literal["stop", "skip"]) -> None:
        self.types: EventTypes = types
        self.name: str = name
        self.version: int = version
        self.on_error: Literal["stop", "skip"] = on_error
        self._handlers: dict[str, _Handler] = {}
        self._reset: Callable[[Connection], object] | None = None

    def __repr__(self) -> str:
        return f"<SqlProjection {self.name} v{self.version}>"

    @property
    def where(self) -> str:
        """How it is called in messages."""
        return f"SQL projection {self.name!r}"

    def on(self, event_type: type[E]) -> Callable[[Callable[[Connection, E], None]], Callable[[Connection, E], None]]:
        """Register a handler for events of one type: it is given a connection, within a transaction, and the event.

        The handler neither commits nor rolls back: its statements and the checkpoint are one transaction, so that each
        event takes effect exactly once. What it does elsewhere than on that connection may happen again.

        Args:
            event_type: A registered event class.

        Raises:
            RegistrationError: The type is not registered, has a handler already, or the handler cannot be called with a
                connection and an event.
        """

        def register(handler: Callable[[Connection, E], None]) -> Callable[[Connection, E], None]:
            self._register(event_type, handler, recorded=False)
            return handler

        return register

    def on_recorded(
        self, event_type: type[E]
    ) -> Callable[[Callable[[Connection, Recorded[E]], None]], Callable[[Connection, Recorded[E]], None]]:
        """Register a handler that is given the recorded event: position, stream, time, metadata and all.

        Takes and raises the same as `on`.
        """

        def register(
            handler: Callable[[Connection, Recorded[E]], None],
        ) -> Callable[[Connection, Recorded[E]], None]:
            self._register(event_type, handler, recorded=True)
            return handler

        return register

    def reset(self, handler: H) -> H:
        """Register what empties the tables: called in the first transaction of each version, before the first event.

        Of the first version as well. Where it makes or drops tables: MySQL and MariaDB commit at once then, so that it
        has to bear to be called again.

        Raises:
            RegistrationError: There is one already, or it cannot be called with a connection.
        """
        check_handler(handler, f"{self.where}, reset", ("connection",))
        if self._reset is not None:
            raise RegistrationError(f"{self.where}: there is a reset handler already")
        self._reset = handler
        return handler

    @property
    def resets(self) -> bool:
        """Whether it knows how to begin anew."""
        return self._reset is not None

    def begin(self, connection: Connection) -> None:
        """Begin anew, within a transaction. Raises what the reset handler raises."""
        if self._reset is not None:
            self._reset(connection)

    def handle(self, connection: Connection, row: StoredEvent) -> bool:
        """Apply an event within a transaction. Answers whether it concerned this projection.

        Raises:
            UnknownEventType: Nobody registered its type, or not its version.
            UndecodableEvent: It does not decode.
            HandlerError: Its handler failed; the cause is what it raised.
        """
        handler = self._handlers.get(row[5])
        if handler is None:
            if row[5] not in self.types.by_name and row[5] not in self.types.ignored:
                raise self.types.unknown(row)
            return False
        event = self.types.decode(row)
        argument = recorded_of(row, event) if handler.recorded else event
        try:
            handler.handle(connection, argument)
            _check_open(connection)
        except Exception as error:
            # It is kept beside the checkpoint, in clear. What a database says may repeat what was to be stored: of
            # that, and of an event with personal data, only the class.
            if isinstance(error, StatementError):
                error.hide_parameters = True
                why = told(error)
            else:
                why = failure(error) if handler.event_type.personal is None else type(error).__name__
            raise HandlerError(f"handler {handler.name}: {why}") from error
        return True

    def _register(self, event_type: type, handler: object, *, recorded: bool) -> None:
        known = check_event_type(self.types, event_type, self.where)
        if known.name in self._handlers:
            raise RegistrationError(
                f"{self.where}: event type {known.name!r} has a handler already ({self._handlers[known.name].name})"
            )
        handle = cast("Callable[[Connection, object], object]", handler)
        name = check_handler(handle, self.where, ("connection", "recorded" if recorded else "event"))
        self._handlers.update(dict.fromkeys(known.names, _Handler(name, known, handle, recorded)))


def _check_open(connection: Connection) -> None:
    if not connection.in_transaction():
        raise TransactionEnded


def sql_projection(
    name: str, registry: Registry, *, version: int = 1, on_error: Literal["stop", "skip"] = "stop"
) -> SqlProjection:
    """A projection whose view is SQL tables. Its handlers are added with `on`; `SqlFollower` lets it follow the log.

    Args:
        name: Its name, for good: the checkpoint is kept under it.
        registry: The event types.
        version: Raise it when handlers or tables change meaning: it begins at the first event again then, after what
            `reset` does. Code of a lower version does nothing from then on.
        on_error: What becomes of an event whose handler fails. "stop": the tables stay before it, and each catch-up
            tries again. "skip": it is passed over, counted and logged. To set events aside, as views with
            `on_error="park"` do, is not offered: rows of tables have no keys that events could wait behind.

    Raises:
        RegistrationError: The name can be none, the version is no whole number from 1, or the policy is none.
    """
    check_part_name("SQL projection", name)
    if type(version) is not int or version < 1:
        raise RegistrationError(f"SQL projection {name!r}: a version is a whole number from 1, not {version!r}")
    if on_error not in _POLICIES:
        raise RegistrationError(
            f"SQL projection {name!r}: on_error={on_error!r}; it is 'stop' or 'skip' ('park' is for views: rows of "
            "tables have no keys that later events could wait behind)"
        )
    if not isinstance(cast("object", registry), Registry):
        raise RegistrationError(f"SQL projection {name!r}: {registry!r} is no Registry")
    return SqlProjection(registry.types, name, version, on_error)
