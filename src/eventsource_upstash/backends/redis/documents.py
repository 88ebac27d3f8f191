"""Documents as they are stored: what they are found by before their content, and the names that they stand under."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...domain.indexes import NO_ENTRIES, Entries
from .entries import to_bytes, to_text
from .keys import ENDS, index_set

_HEADER: Final = "\n"
_HEADER_ENDS: Final = "\n\n"

SEPARATOR: Final = "\t"
"""Between a value and a key. No value or key holds it, and it comes before every character that they may hold."""

BEHIND: Final = " "
"""A value with this behind it comes after every name that begins with that value, and before every greater value."""


def stored(content: bytes, entries: Entries) -> str:
    """A document as it is stored.

    The text of its content as it is, where it is found by its key alone, as most are. Else a newline and its end (or
    nothing), for each index a line with name and value, and an empty line come before it; scripts read them as well.
    """
    text = to_text(content)
    if entries == NO_ENTRIES and not text.startswith(_HEADER):
        return text
    expires = "" if entries.expires_us is None else entries.expires_us
    lines = "".join([f"{index} {value}\n" for index, value in entries.values])
    return f"{_HEADER}{expires}\n{lines}\n{text}"


def read_entries(text: str) -> tuple[Entries, str]:
    """What a stored document is found by, and the text of its content."""
    if not text.startswith(_HEADER):
        return NO_ENTRIES, text
    end = text.index(_HEADER_ENDS, 1)
    expires, *lines = text[1:end].split("\n")
    values = tuple([(index, value) for index, _, value in [line.partition(" ") for line in lines if line]])
    return Entries(values, int(expires) if expires else None), text[end + 2 :]


def content_of(text: str) -> bytes:
    """The content of a stored document."""
    return to_bytes(read_entries(text)[1])


def has_ended(entries: Entries, now_us: int) -> bool:
    """Whether a document is absent by then."""
    return entries.expires_us is not None and entries.expires_us <= now_us


def ended_by(now_us: int) -> str:
    """The bound behind the names of all documents that have ended by then."""
    return f"({max(0, now_us + 1):020d}"


def names_of(key: str, entries: Entries) -> Iterator[tuple[str, str]]:
    """The sets that a document stands in beside that of the keys, and its name in each."""
    for index, value in entries.values:
        yield index_set(index), f"{value}{SEPARATOR}{key}"
    if entries.expires_us is not None:
        # An end before 1970 is over like any other.
        yield ENDS, f"{max(0, entries.expires_us):020d}{SEPARATOR}{key}"
