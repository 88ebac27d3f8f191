"""How a scenario tells what it found: two values beside each other, line by line."""

from __future__ import annotations

import difflib
import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ..domain.codec import to_builtins


def difference(expected: object, actual: object) -> str:
    """What was expected and what came, as a diff."""
    left, right = _lines(expected), _lines(actual)
    if left == right:  # told apart by their types only
        left, right = _lines(_typed(expected)), _lines(_typed(actual))
    diff = [line.rstrip() for line in difflib.ndiff(left, right) if not line.startswith("?")]
    return "\n".join(["  (- expected, + what came)", *(f"  {line}" for line in diff)])


def same(expected: object, actual: object) -> bool:
    """Whether two values are equal; of a class that does not define it, whether they hold the same."""
    if expected == actual:
        return True
    if type(expected) is not type(actual) or type(expected).__eq__(expected, actual) is not NotImplemented:
        return False
    return _or_repr(to_builtins, expected) == _or_repr(to_builtins, actual)


def listed(values: Sequence[object]) -> str:
    """Values in one line, for a message."""
    return ", ".join(map(repr, values)) or "nothing"


def _lines(value: object) -> list[str]:
    if isinstance(value, tuple):  # of events: one after another
        events = cast("tuple[object, ...]", value)
        return [line for each in events for line in _lines(each)] or ["nothing"]
    if isinstance(value, Mapping):  # of documents: one after another
        documents = cast("Mapping[str, object]", value)
        return [f"{key!r}: {_or_repr(pprint.pformat, documents[key])}" for key in sorted(documents)] or ["nothing"]
    return str(_or_repr(lambda each: pprint.pformat(each, width=100), value)).splitlines()


def _typed(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_typed(each) for each in cast("tuple[object, ...]", value))
    if isinstance(value, Mapping):
        return {key: _typed(each) for key, each in cast("Mapping[str, object]", value).items()}
    return f"{type(value).__module__}.{type(value).__qualname__}: {value!r}"


def _or_repr(show: Callable[[object], object], value: object) -> object:
    try:
        return show(value)
    except Exception:  # a class may be such that it cannot be shown any better
        return repr(value)
