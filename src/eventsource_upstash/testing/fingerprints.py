"""What a value is, in sixteen bytes: the same for two that nobody could tell apart, by whatever they are made of."""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Final, cast

PLAIN: Final = frozenset((type(None), bool, int, float, str, bytes))

# Nobody holds one while somebody else is stepped.
LOCKS: Final = frozenset(("lock", "RLock"))


def fingerprint(value: object) -> bytes:
    """A digest of a value: of what it holds, and not of where it is.

    It goes through collections, data classes, structs and other objects, down to numbers and text. The order of a
    dictionary counts, that of a set does not. Two values with one digest are the same; two that are the same may have
    several, where they came about in different ways.

    Raises:
        TypeError: It holds something that cannot be looked into, such as a connection.
    """
    return blake2b(repr(_told(value, [])).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _told(value: object, above: list[int]) -> object:
    """The value in tuples of text and numbers. `above`: what it is a part of."""
    cls = type(value)
    if cls in PLAIN:
        return value
    if id(value) in above:
        return "above", len(above) - above.index(id(value))
    above.append(id(value))
    try:
        return (f"{cls.__module__}.{cls.__qualname__}", *_parts(value, cls, above))
    finally:
        above.pop()


def _parts(value: object, cls: type, above: list[int]) -> Iterator[object]:
    if isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}"
    elif isinstance(value, enum.Enum):
        yield value.name
    elif isinstance(value, (FunctionType, BuiltinFunctionType, MethodType, functools.partial)):
        yield from _callable(cast("Callable[..., object]", value), above)
    elif isinstance(value, (itertools.count, re.Pattern)):
        yield repr(cast("object", value))
    elif cls.__name__ not in LOCKS:
        names = _names(cls)
        items = _items(value, above)
        if names is None and items is None:
            raise TypeError(f"cannot tell one {cls.__qualname__} from another: nothing of it can be looked at")
        yield from items or ()
        for name in (*(names or ()), *getattr(value, "__dict__", ())):
            if hasattr(value, name):
                yield name, _told(getattr(value, name), above)


def _items(value: object, above: list[int]) -> Iterable[object] | None:
    """What a collection holds, or what a number or a text is; None where it is neither."""
    if isinstance(value, int):
        return [int.__repr__(value)]
    if isinstance(value, float):
        return [float.__repr__(value)]
    if isinstance(value, str):
        return [str.__str__(value)]
    if isinstance(value, (bytes, bytearray)):
        return [bytes(value)]
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return [(_told(key, above), _told(content, above)) for key, content in pairs]
    if isinstance(value, AbstractSet):
        return sorted((_told(each, above) for each in cast("AbstractSet[object]", value)), key=repr)
    if isinstance(value, (tuple, list, deque)):
        return [_told(each, above) for each in cast("Iterable[object]", value)]
    if isinstance(value, memoryview):
        return [value.tobytes()]
    return [_told(value.args, above)] if isinstance(value, BaseException) else None


@functools.cache
def _names(cls: type) -> tuple[str, ...] | None:
    """The attributes that an instance has a place for, beside its dictionary; None where it can have none at all."""
    fields: tuple[str, ...] = getattr(cls, "__struct_fields__", ())
    slots = [each.__dict__["__slots__"] for each in cls.__mro__ if "__slots__" in each.__dict__]
    if not fields and not slots and not any("__dict__" in each.__dict__ for each in cls.__mro__):
        return None
    names = [*fields, *(name for each in slots for name in ((each,) if isinstance(each, str) else each))]
    return tuple(name for name in dict.fromkeys(names) if name not in {"__dict__", "__weakref__"})


def _callable(value: Callable[..., object], above: list[int]) -> Iterator[object]:
    """What a function is made of: its place in the code, and what it has been given."""
    if isinstance(value, functools.partial):
        yield from (_told(each, above) for each in (value.func, value.args, value.keywords))
    elif isinstance(value, MethodType):
        yield value.__func__.__qualname__
        yield _told(value.__self__, above)
    elif isinstance(value, FunctionType):
        yield f"{value.__module__}.{value.__qualname__}:{value.__code__.co_firstlineno}"
        yield from (_told(each.cell_contents, above) for each in value.__closure__ or ())
        yield _told((value.__defaults__, value.__kwdefaults__), above)
    else:
        yield repr(value) if getattr(value, "__self__", None) is None else value.__name__
