"""Fold handlers: pure functions `(state or None, event) -> state or None`, and what is checked of them beforehand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeVar, cast, overload

from ..errors import RegistrationError
from .event_types import EventType, EventTypes

S = TypeVar("S")
E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)


class KeyedFold(Protocol[S, E_contra]):
    """A fold handler that is told which document it is called for."""

    def __call__(self, document: S | None, event: E_contra, /, key: str) -> S | None:
        """The document as the event makes it."""
        ...


class FoldDecorator(Protocol[S, E]):
    """What `Projection.on` answers: it takes a fold handler, and answers it as it is."""

    @overload
    def __call__(self, handler: KeyedFold[S, E], /) -> KeyedFold[S, E]: ...
    @overload
    def __call__(self, handler: Callable[[S | None, E], S | None], /) -> Callable[[S | None, E], S | None]: ...


class Keyed(NamedTuple):
    """What a handler that is told its key is given besides the document."""

    argument: object
    key: str


Fold = Callable[["S | None", object], "S | None"]

_WAITING: Final = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def check_handler(handler: Callable[..., object], where: str, parameters: tuple[str, ...]) -> str:
    """Refuse a handler that could not be called, or that would wait. Answers its name.

    Args:
        handler: The function.
        where: How to call the place in an error, such as "projection 'tasks'".
        parameters: What it is called with, for the message.

    Raises:
        RegistrationError: It is not a plain function of so many parameters.
    """
    name = handler_name(handler)
    if not callable(handler):
        raise RegistrationError(f"{where}: {name!r} is not a function")
    if any(waits(handler) for waits in _WAITING):
        raise RegistrationError(
            f"{where}: {name} is an async or generator function; a handler is a plain function that answers at once"
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return name  # a built-in without a signature: nothing can be known
    try:
        signature.bind(*parameters)
    except TypeError:
        raise RegistrationError(
            f"{where}: {name}{signature} cannot be called as {name}({', '.join(parameters)}), which is how it is called"
        ) from None
    return name


def takes_key(handler: Callable[..., object]) -> bool:
    """Whether a fold handler has a third parameter, and it is called `key`."""
    try:
        third = list(inspect.signature(handler).parameters.values())[2:3]
    except (TypeError, ValueError):
        return False
    return any(each.name == "key" and each.kind is each.POSITIONAL_OR_KEYWORD for each in third)


def unpacking(handler: Callable[[S | None, object, str], S | None]) -> Fold[S]:
    """A handler that is told its key, as one that is given it with the event."""

    def fold(document: S | None, given: object) -> S | None:
        keyed = cast("Keyed", given)
        return handler(document, keyed.argument, keyed.key)

    return fold


def handler_name(handler: Callable[..., object]) -> str:
    """How a handler is called in messages."""
    name: str = getattr(handler, "__name__", type(handler).__name__)
    return name


def check_event_type(types: EventTypes, event_type: type, where: str) -> EventType:
    """The registered type of a class. Raises `RegistrationError` when it has none."""
    # What is no class may have no hash either.
    known = types.by_class.get(event_type) if isinstance(cast("object", event_type), type) else None
    if known is None:
        name = getattr(event_type, "__name__", repr(event_type))
        raise RegistrationError(
            f"{where}: {name} is not registered as an event here; put @registry.event(...) on it, above the handler"
        )
    return known


def check_result(result: object, cls: type, where: str, name: str, *, stored: bool = False) -> None:
    """Refuse what a fold handler answered: nothing of its class, or, where it is stored, of a subclass.

    Raises `TypeError`.
    """
    if result is None or (isinstance(result, cls) and not stored) or result.__class__ is cls:
        return
    if inspect.iscoroutine(result):
        result.close()  # nobody will await it, and Python would say so at some later time
    told = f"{where}: {name} answered a {type(result).__name__}, not a {cls.__name__} or None"
    raise TypeError(f"{told}; it would be read back as a {cls.__name__}" if isinstance(result, cls) else told)


def failure(error: BaseException) -> str:
    """How a handler's exception is told, in one line."""
    try:
        # Surrogates, as file names may hold them, could not be kept with the view.
        text = str(error).encode(errors="replace").decode().splitlines()
    except Exception:  # whatever its class makes of it: this is no reason why others should not go on
        text = []
    return type(error).__name__ + (f": {text[0][:300]}" if text else "")
