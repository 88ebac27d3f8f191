"""What is no answer of our scripts: an error of this library's, and no endless asking, whatever answers there.

A key that something else wrote to, a proxy that changes what passes, a server that only looks like Redis: whoever reads
their answers as those of our scripts meets a TypeError somewhere, or asks again and again.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any, Final, TypeVar

import msgspec

from ...errors import EventSourceError, OutcomeUnknown, Refused

C = TypeVar("C")

MOST_TURNS: Final = 100
"""How often a script may answer that it has to be called with something else: far more than there is to be known."""

_MISREAD: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
)
_REMEDY: Final = (
    "Is UPSTASH_REDIS_REST_URL that of a Redis, is the namespace used by this library alone, and does nothing change "
    "answers on their way? Then it is a bug: please report it"
)


class Turns:
    """Counts how often a script was called for one purpose, where each answer may ask for another call."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST_TURNS

    def another(self) -> None:
        """Take one more turn. Raises `ValueError` when there were far too many."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"after {MOST_TURNS} answers it still asks to be called with something else")


def checked(*writes: str) -> Callable[[type[C]], type[C]]:
    """Have the methods of a class that can be awaited raise errors of this library where an answer cannot be read.

    Args:
        writes: Those of them that write: of these it is not known then whether they did.
    """

    def wrap(cls: type[C]) -> type[C]:
        for name, method in list(vars(cls).items()):
            # Not by `inspect`, which is slow to import.
            if not name.startswith("_") and isinstance(method, FunctionType) and method.__code__.co_flags & _COROUTINE:
                setattr(cls, name, _checked(name, method, OutcomeUnknown if name in writes else Refused))
        return cls

    return wrap


_COROUTINE: Final = 0x80
"""`inspect.CO_COROUTINE`."""


# Whatever the method takes and answers, as it is.
def _checked(
    name: str, method: Callable[..., Awaitable[Any]], kind: type[OutcomeUnknown] | type[Refused]
) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def guarded(self: object, *args: Any, **options: Any) -> Any:
        try:
            return await method(self, *args, **options)
        except EventSourceError:
            raise
        except _MISREAD as error:
            raise misread(name.replace("_", " "), error, kind) from error

    return guarded


def misread(what: str, error: Exception, kind: type[OutcomeUnknown] | type[Refused] = Refused) -> EventSourceError:
    """The error for an answer that cannot be read. What it holds is not repeated."""
    unknown = "; whether anything was written is not known" if kind is OutcomeUnknown else ""
    return kind(
        f"Redis, {what}: the answer is none of this library's scripts ({type(error).__name__}){unknown}. {_REMEDY}"
    )
