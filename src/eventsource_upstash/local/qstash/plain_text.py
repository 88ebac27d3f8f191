"""Plain text, whatever bytes came over the wire."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["plain", "plain_headers"]


def plain_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names and values as plain strings that can be stored: what is not UTF-8 becomes U+FFFD."""
    return [(plain(name), plain(value)) for name, value in headers.items()]


def plain(text: str) -> str:
    """A plain string, which can be stored: aiohttp's names are of a kind of their own, stray bytes lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
