"""Conditional requests (RFC 9110, section 13) on plain values, for any framework: who has an answer gets a 304."""

from __future__ import annotations

import re
from typing import Final, cast

from ..errors import Misuse

PRIVATE: Final = "private, no-cache"
"""Cache-Control of what a caller may keep for itself, and asks about each time before it shows it again."""

_TAG: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


# Directives (RFC 9111, section 5.2): names, each with a word, a number or a quoted string; no line break, so no header.
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_DIRECTIVE: Final = rf'{_NAME}(?:=(?:{_NAME}|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))?'
_CACHE_CONTROL: Final = re.compile(rf"{_DIRECTIVE}(?:, *{_DIRECTIVE})*")


def check_cache_control(cache_control: str) -> None:
    """Refuse what can be no Cache-Control, and above all what would begin another header. Raises `Misuse`."""
    if not isinstance(cast("object", cache_control), str) or not _CACHE_CONTROL.fullmatch(cache_control):
        raise Misuse(
            f"cache_control={cache_control!r}: it is a list of directives, as in 'public, max-age=60' or 'no-store'"
        )


def etag(version: str) -> str:
    """The ETag of an answer that shows a view at a version, as `View.version` tells it."""
    return f'"{version}"'


def validators(version: str, *, cache_control: str = PRIVATE) -> dict[str, str]:
    """The headers of an answer that can be asked about later: of the 200 that holds it, and of each 304.

    Args:
        version: What `View.version` answered before the answer was read: one that is older than the answer costs a
            repetition, one that is younger would hide a change.
        cache_control: Who may keep the answer, and for how long.

    Raises:
        Misuse: `cache_control` can be no such header.
    """
    check_cache_control(cache_control)
    return {"etag": etag(version), "cache-control": cache_control}


def not_modified(if_none_match: str | None, version: str) -> bool:
    """Whether a GET or HEAD is to be answered with 304 and no body: the caller has what it asks for.

    Args:
        if_none_match: The request's header of that name, as it came: one ETag, several, weak ones, or `*`; None where
            there is none.
        version: The present version of what is asked for.
    """
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or version in _TAG.findall(if_none_match)
