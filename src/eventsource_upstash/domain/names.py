"""What may be a name: of a stream, an event type, a projection, a document, a tag, a namespace."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..errors import Misuse, RegistrationError

MAX_NAME: Final = 255
"""Longest stream name, in characters."""

MAX_KEY: Final = 1024
"""Longest document key, in characters."""

# What RFC 9839 leaves out of its "Unicode Assignables", and the ends of a line: fixed for good, where `str.isprintable`
# depends on the Unicode tables of each Python, and refuses the joiners within emoji.
_NEVER: Final = (
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x11_0000, 0x1_0000))
    + "]"
)  # compiled, as the others here, by who asks first: `re` keeps it

DEFAULT_NAMESPACE: Final = "events"
"""Namespace of an app that names none."""

NAMESPACE_RULE: Final = "1 to 64 letters, digits and . _ -, and starts with a letter or digit"
"""What `is_namespace` asks for, as messages say it."""

_NAMESPACE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TYPE_NAME = r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}"
_PART_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"


def is_name(text: str, longest: int = MAX_NAME) -> bool:
    """Whether it can name something that an app names itself: a stream, a tag, a person, a document, a table."""
    # What is printable on any Python holds none of those characters: only what is not is searched for them.
    return 0 < len(text) <= longest and (text.isprintable() or not re.search(_NEVER, text))


def check_stream(stream: str) -> None:
    """Refuse a stream name that no backend could keep apart from others. Raises `Misuse`."""
    if type(stream) is not str or not is_name(stream):
        raise Misuse(_why("stream name", stream, MAX_NAME))


def check_key(key: str) -> None:
    """Refuse a document key that a backend could not keep. Raises `Misuse`."""
    if type(key) is not str or not is_name(key, MAX_KEY):
        raise Misuse(_why("document key", key, MAX_KEY))


def check_text(text: str, what: str, longest: int) -> None:
    """Refuse what no backend could keep apart from other texts. Raises `Misuse`, which does not tell the text."""
    if not text:
        raise Misuse(f"{what} cannot be empty")
    if len(text) > longest:
        raise Misuse(f"{what} has {len(text)} characters, at most {longest} are allowed")
    if not text.isprintable() and re.search(_NEVER, text):
        raise Misuse(f"{what} has what none may hold: {_refused(text)}")


def check_tags(tags: tuple[str, ...]) -> None:
    """Refuse tags that no backend could keep apart from others. Raises `Misuse`."""
    for tag in tags:
        if type(tag) is not str or not is_name(tag):
            raise Misuse(_why("tag", tag, MAX_NAME))


def check_idempotency_key(key: str) -> None:
    """Refuse an idempotency key that a backend could not keep. Raises `Misuse`."""
    if type(key) is not str or not 0 < len(key) <= MAX_NAME:
        raise Misuse(f"idempotency_key={key!r}: it is a printable text of 1 to {MAX_NAME} characters")
    if not key.isprintable() and re.search(_NEVER, key):
        raise Misuse(f"idempotency_key={key!r}: {_refused(key)}")


def is_namespace(value: object) -> bool:
    """Whether it can be the namespace of an app: of its keys in Redis, and of its notifications."""
    return isinstance(value, str) and re.fullmatch(_NAMESPACE, value) is not None


@lru_cache(1024)  # asked of each record that others may have written, and most are of a few types
def is_type_name(name: str) -> bool:
    """Whether an event type can be called so."""
    return re.fullmatch(_TYPE_NAME, name) is not None


def check_type_name(name: object) -> None:
    """Refuse an event type's name. Raises `RegistrationError`."""
    if not isinstance(name, str) or not is_type_name(name):
        raise RegistrationError(
            f"event type {name!r}: a type name has 1 to 128 letters, digits and . _ : / -, and starts with a "
            "letter or digit"
        )


def check_part_name(kind: str, name: object) -> None:
    """Refuse the name of a projection or an aggregate. Raises `RegistrationError`."""
    if not isinstance(name, str) or not re.fullmatch(_PART_NAME, name):
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
    return f"{kind} {value!r}: {_refused(value)}"


def _refused(text: str) -> str:
    """Which character of a text no name may hold, for a message."""
    found = re.search(_NEVER, text)
    assert found is not None
    code = ord(found[0])
    if code in (0x2028, 0x2029):
        what = "line breaks"
    elif code < 0xA0:
        what = "control characters"
    else:
        what = "lone surrogates" if 0xD800 <= code <= 0xDFFF else "Unicode's noncharacters"
    return f"U+{code:04X} at index {found.start()} cannot be part of it; {what} are not allowed"
