"""Lua scripts, as they are sent."""

from __future__ import annotations

import hashlib


class Script:
    """One Lua file.

    Args:
        name: What messages call it.
        text: Its text. The first line is `#!lua flags=allow-key-locking`, so that it locks its keys and not the whole
            database.
        reads: Whether it writes nothing, so that a lost answer is no question.

    Attributes:
        sha: SHA-1 of the text, as EVALSHA takes it.
        plain: The text without the first line, for a server that refuses it. The lines keep their numbers.
        plain_sha: SHA-1 of that.
    """

    __slots__ = ("name", "plain", "plain_sha", "reads", "sha", "text")

    def __init__(self, name: str, text: str, *, reads: bool = False) -> None:
        self.name: str = name
        self.text: str = text
        self.reads: bool = reads
        first, newline, rest = text.partition("\n")
        self.plain: str = newline + rest if first.startswith("#!") else text
        self.sha: str = _sha1(self.text)
        self.plain_sha: str = _sha1(self.plain)

    def __repr__(self) -> str:
        return f"Script({self.name!r})"


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives it, no secret
