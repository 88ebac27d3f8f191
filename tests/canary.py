"""Secrets that sing: each holds a text that stands nowhere else, so that whoever looks finds it wherever it got to."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator

from eventsource_upstash.local.qstash import settings

CANARY = "CanaryK7qZ2xV9mB4t"
"""Stands in every secret that the tests make up."""

LOCAL = (
    *("local_development_token", "local_development_read_only_token", "local_development_password"),
    *(settings.TOKEN, settings.CURRENT_SIGNING_KEY, settings.NEXT_SIGNING_KEY),
)
"""The fixed credentials of the local Upstash sing by themselves."""


def secret(name: str) -> str:
    """A secret: a token, a password, something about a person."""
    return f"{CANARY}.{name}"


def key(length: int, random: bytes) -> bytes:
    """A key of so many bytes, of which as many are random as there is room for."""
    return (CANARY.encode() + random)[:length]


def spellings(text: str) -> Iterator[str]:
    """A text as it is, and what stays of it in base64, wherever it stands there, and in hexadecimal digits."""
    yield text
    raw = text.encode()
    yield raw.hex()
    for before in range(3):
        # Without the characters that depend on what stands before or after it.
        within = slice(-(-before * 8 // 6), (before + len(raw)) * 8 // 6)
        yield base64.b64encode(b"\0" * before + raw)[within].decode()
        yield base64.urlsafe_b64encode(b"\0" * before + raw)[within].decode()


SPELLINGS = tuple(dict.fromkeys(spelling for text in (CANARY, *LOCAL) for spelling in spellings(text)))


@functools.lru_cache(4096)  # the same few errors are made a hundred thousand times
def find(text: str) -> str:
    """What stands around the first secret in a text, with every one blotted out; "" where there is none."""
    for spelling in SPELLINGS:
        at = text.find(spelling)
        if at >= 0:
            return f"...{blotted(text)[max(0, at - 120) : at + 60]}..."
    return ""


def blotted(text: str) -> str:
    """A text without its secrets."""
    for spelling in SPELLINGS:
        text = text.replace(spelling, "[A SECRET]")
    return text
