"""What all concerns share: the registry, how a refusal is told, and what a name, a text and an id can be."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import unicodedata

from eventsource_upstash import Registry

registry = Registry()

MAX_TEXT = 500
"""Longest text of a post or a reminder, in characters."""


# -- Refusals: each message is written for the person who asked; nothing was appended --


class Refusal(Exception):
    """A request that was refused."""


class Unknown(Refusal):
    """What it is about is not there."""


class Invalid(Refusal):
    """What was sent cannot be."""


class Forbidden(Refusal):
    """It is not for this user to do."""


# -- Texts, names, ids --

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?")
_ID = re.compile(r"[0-9a-f]{24}")


def checked_text(text: str, what: str) -> str:
    """The text as it came, if it can be one. Raises `Invalid`."""
    if len(text) > MAX_TEXT:
        raise Invalid(f"The {what} is too long: {len(text):,} characters, at most {MAX_TEXT:,} are possible.")
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise Invalid(f"The {what} contains half of a character (a lone surrogate), which cannot be stored.")
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n" for character in text):
        raise Invalid(f"The {what} contains control characters, which cannot be shown.")
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise Invalid(f"The {what} is empty.")
    return text


def checked_name(name: str) -> str:
    """The name, if a user can have it. Raises `Invalid`."""
    if not _NAME.fullmatch(name):
        raise Invalid("A name has 1 to 24 of the characters a-z, 0-9 and -, and begins and ends with none of the last.")
    return name


def checked_id(id: str, what: str) -> str:
    """The id, if anything can have it. Raises `Unknown`."""
    if not _ID.fullmatch(id):
        raise Unknown(f"There is no such {what}.")
    return id


def new_id(key: str | None = None) -> str:
    """An id that sorts by the time it was made.

    A request that is sent again under its idempotency key must mean the same thing: with a key, the id follows from it.
    """
    if key is None:
        return f"{time.time_ns():016x}{secrets.token_hex(4)}"
    return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()
