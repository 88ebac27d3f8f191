"""Headers as plain text, whatever bytes came over the wire."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["plain_headers"]


def plain_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names and values as plain strings that can be stored: what is not UTF-8 becomes U+FFFD."""
    return [(_plain(name), _plain(value)) for name, value in headers.items()]


def _plain(text: str) -> str:
    # aiohttp's names are strings of a kind of its own, and its values hold stray bytes as lone surrogates.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
