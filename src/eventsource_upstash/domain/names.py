"""What may be a name: of a stream, an event type, a projection, a document, a tag."""

from __future__ import annotations

import re
from typing import Final

from ..errors import Misuse, RegistrationError

MAX_NAME: Final = 255
"""Longest stream name, in characters."""

MAX_KEY: Final = 1024
"""Longest document key, in characters."""

_TYPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_stream(stream: str) -> None:
    """Refuse a stream name that no backend could keep apart from others. Raises `Misuse`."""
    # One test on the good path: an append of one small event to memory costs about a microsecond in all.
    if type(stream) is str and 0 < len(stream) <= MAX_NAME and stream.isprintable():
        return
    raise Misuse(_why("stream name", stream, MAX_NAME))


def check_key(key: str) -> None:
    """Refuse a document key that a backend could not keep. Raises `Misuse`."""
    if type(key) is str and 0 < len(key) <= MAX_KEY and key.isprintable():
        return
    raise Misuse(_why("document key", key, MAX_KEY))


def check_tags(tags: tuple[str, ...]) -> None:
    """Refuse tags that are not printable text. Raises `Misuse`."""
    for tag in tags:
        if not (type(tag) is str and 0 < len(tag) <= MAX_NAME and tag.isprintable()):
            raise Misuse(_why("tag", tag, MAX_NAME))


def check_type_name(name: object) -> None:
    """Refuse an event type's name. Raises `RegistrationError`."""
    if not isinstance(name, str) or not _TYPE_NAME.fullmatch(name):
        raise RegistrationError(
            f"event type {name!r}: a type name has 1 to 128 letters, digits and . _ : / -, and starts with a "
            "letter or digit"
        )


def check_part_name(kind: str, name: object) -> None:
    """Refuse the name of a projection or an aggregate. Raises `RegistrationError`."""
    if not isinstance(name, str) or not _PART_NAME.fullmatch(name):
        raise RegistrationError(
            f"{kind} {name!r}: its name has 1 to 128 letters, digits and . _ -, and starts with a letter or digit"
        )


def _why(kind: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        return f"a {kind} is a str, not {type(value).__name__}"
    if not value:
        return f"a {kind} cannot be empty"
    if len(value) > longest:
        return f"{kind} {value[:40]!r}...: {len(value)} characters, at most {longest} are allowed"
    return f"{kind} {value!r}: control characters, line breaks and lone surrogates are not allowed"
