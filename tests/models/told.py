"""What TLC prints of a state, as Python's values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_TOKEN: Final = re.compile(r'\s*("[^"]*"|<<|>>|\|->|-?\d+|\w+|[\[\]{},])')
_NAMED: Final = {"TRUE": True, "FALSE": False}
_VARIABLE: Final = re.compile(r"^/\\ (\w+) = ", re.MULTILINE)


def states(text: str) -> list[dict[str, Any]]:
    """The states of one behaviour, as `-simulate file=` writes it."""
    return [state(each) for each in re.split(r"STATE_\d+ ==", text)[1:]]


def state(text: str) -> dict[str, Any]:
    """One state: each variable and its value."""
    parts = _VARIABLE.split(text.partition("\n\n\n")[0].partition("=====")[0])
    return {name: value(told) for name, told in zip(parts[1::2], parts[2::2], strict=True)}


def value(text: str) -> Any:
    """One value: a record is a dict, a sequence and a set are lists."""
    return _value(iter([*_TOKEN.findall(text), ""]))[0]


def _value(tokens: Iterator[str]) -> tuple[Any, str]:
    """A value, or None where none begins, and the token that is not part of it."""
    token = next(tokens)
    if token in ("<<", "{"):
        items: list[Any] = []
        while True:
            item, end = _value(tokens)
            items += [] if item is None else [item]
            if end != ",":
                return items, next(tokens)
    if token == "[":
        record: dict[str, Any] = {}
        while True:
            name, arrow = next(tokens), next(tokens)
            assert arrow == "|->", f"{name} {arrow}"
            record[name], end = _value(tokens)
            if end != ",":
                return record, next(tokens)
    if token in (">>", "}", ""):
        return None, token
    read: Any = token[1:-1] if token[0] == '"' else _NAMED[token] if token in _NAMED else int(token)
    return read, next(tokens)
