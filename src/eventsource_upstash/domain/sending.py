"""What a message may be made of: where it goes, what it holds, when it is due."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, cast

import msgspec

from ..errors import Misuse
from .jobs import check_job_path

METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
"""How a message may be sent."""

MAX_RETRIES: Final = 100
"""Most retries that can be asked for."""

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""Largest body of a message: what every plan of QStash takes."""

MAX_ID: Final = 255
"""Longest id of a message, in characters."""

MAX_SCHEDULE_ID: Final = 200
"""Longest id of a schedule: with the moment behind it, it is the id of a message."""

MAX_URL: Final = 2_000
"""Longest destination, in characters: beyond it not every server and proxy takes a URL."""

_FOREVER_US: Final = 253_402_300_800_000_000
"""The year 10000: whoever names a later moment counts in something else than seconds."""

_ID: Final = re.compile(r"[A-Za-z0-9._-]+")
# Of a host, no part is empty or longer than what the names of the internet have (RFC 1035).
_HOST: Final = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\]"
_URL: Final = re.compile(rf"https?://(?:{_HOST})(?::[0-9]{{1,5}})?(?:[/?][!-~]*)?")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")

_NOT_OURS: Final = frozenset(
    {
        "connection",
        "content-length",
        "eventsource-message-id",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that whoever sends the message sets: its id, and what holds for one connection only (RFC 9110, 7.6.1)."""


def new_id() -> str:
    """An id that no other message has."""
    return f"msg-{os.urandom(16).hex()}"


def check_id(id: object, what: str = "id", longest: int = MAX_ID) -> None:
    """Refuse what can be no id of a message or a schedule. Raises `Misuse`."""
    # It may become a part of a path, where dots alone mean another path.
    if not isinstance(id, str) or len(id) > longest or not _ID.fullmatch(id) or not id.strip("."):
        shown = repr(id[:40]) if isinstance(id, str) else repr(type(id))
        raise Misuse(f"{what}={shown}: it has 1 to {longest} letters, digits and . _ -, not dots alone")


def check_destination(destination: object) -> None:
    """Refuse what is neither a whole URL nor a path of the app. Raises `Misuse`, which repeats no query."""
    if not isinstance(destination, str):
        raise Misuse(f"a destination is a str, not {type(destination).__name__}")
    if destination.startswith("/"):
        check_job_path(destination)
        return
    if len(destination) <= MAX_URL and "#" not in destination and _URL.fullmatch(destination):
        return
    if len(destination) > MAX_URL:
        raise Misuse(f"the destination has {len(destination)} characters, at most {MAX_URL} are allowed")
    shown, query, _ = destination.partition("?")
    if "@" in shown:  # what stands before it may be a password
        raise Misuse("the destination holds a user name or a password; a token goes into a header")
    if "#" in destination:
        raise Misuse("the destination has a fragment (#...), which no server ever sees: leave it out")
    raise Misuse(
        f"destination {shown + ('?...' if query else '')!r}: it is a whole URL, as in 'https://orders.example.com/hooks',"
        " or the path of a job of this app, as in '/workers/report'; what a URL may not hold is written %20"
    )


def encode_body(body: object) -> bytes:
    """A message's body: bytes as they are, a text in UTF-8, anything else as JSON. Raises `Misuse`."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, bytearray):
        return bytes(body)
    if isinstance(body, str):
        try:
            return body.encode()
        except UnicodeEncodeError:
            raise Misuse("the body holds a lone surrogate, which UTF-8 has no bytes for") from None
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Misuse(
            f"the body, a {type(body).__name__}, cannot be written as JSON: {error}. Give bytes, a text, or dict, "
            "list, dataclass or msgspec.Struct of what JSON has"
        ) from None


def check_headers(headers: Mapping[str, str] | None, *, body: object) -> dict[str, str]:
    """A message's headers, names in lower case.

    Without a `content-type`, a text is `text/plain; charset=utf-8`, bytes are `application/octet-stream`, and what is
    written as JSON is `application/json`.

    Args:
        headers: As given.
        body: The body as given, before it is encoded.

    Raises:
        Misuse: A name or a value can be none, or is set by whoever sends the message. Values are not repeated.
    """
    found: dict[str, str] = {}
    if headers is not None and not isinstance(cast("object", headers), Mapping):
        raise Misuse(f"headers are a dict of names and values, not a {type(headers).__name__}")
    for name, value in (headers or {}).items():
        if not isinstance(cast("object", name), str) or not _HEADER_NAME.fullmatch(name):
            raise Misuse(f"header {name!r}: a name has letters, digits and a few signs, no space and no ':'")
        lower = name.lower()
        if lower in _NOT_OURS:
            raise Misuse(f"header {lower!r} is set by whoever sends the message: leave it out")
        if lower in found:
            raise Misuse(f"header {lower!r} is given twice")
        if not isinstance(cast("object", value), str) or not _HEADER_VALUE.fullmatch(value):
            raise Misuse(f"header {lower!r}: its value is a text of visible ASCII characters, with spaces within only")
        found[lower] = value
    if not isinstance(body, (bytes, bytearray, str)) or body:
        found.setdefault("content-type", _content_type(body))
    return found


def _content_type(body: object) -> str:
    if isinstance(body, str):
        return "text/plain; charset=utf-8"
    return "application/octet-stream" if isinstance(body, (bytes, bytearray)) else "application/json"


def check_retries(retries: object) -> None:
    """Refuse what is no number of retries. Raises `Misuse`."""
    if retries is not None and (type(retries) is not int or not 0 <= retries <= MAX_RETRIES):
        raise Misuse(f"retries={retries!r}: it is a whole number from 0 to {MAX_RETRIES}; None for the usual 3")


def due_us(delay: float | timedelta | None, not_before: datetime | float | None, now_us: int) -> int:
    """When a message is due, in microseconds since 1970; 0 for at once.

    Args:
        delay: Seconds from now, or a timedelta.
        not_before: A datetime with a time zone, or seconds since 1970.
        now_us: Now, in microseconds since 1970.

    Raises:
        Misuse: It is no such time, or both are given.
    """
    if delay is not None and not_before is not None:
        raise Misuse("delay and not_before are both given: it is one or the other")
    if delay is not None:
        microseconds = _microseconds(delay)
        if microseconds is None or not 0 <= microseconds < _FOREVER_US - now_us:
            raise Misuse(f"delay={delay!r}: it is a number of seconds from 0, or a timedelta")
        return now_us + microseconds if microseconds else 0
    if not_before is None:
        return 0
    if isinstance(not_before, datetime):
        if not_before.tzinfo is None:
            raise Misuse(f"not_before={not_before!r} has no time zone: give one, as in datetime.now(timezone.utc)")
        moment: int | None = round(not_before.timestamp() * 1_000_000)
    else:
        moment = _microseconds(not_before)
    if moment is None or not 0 <= moment < _FOREVER_US:
        raise Misuse(f"not_before={not_before!r}: it is a datetime with a time zone, or seconds since 1970")
    return moment


def _microseconds(given: object) -> int | None:
    """A duration in microseconds, or None where it is none."""
    if isinstance(given, timedelta):
        return (given.days * 86_400 + given.seconds) * 1_000_000 + given.microseconds
    if type(given) is int:
        return given * 1_000_000
    if type(given) is float and math.isfinite(microseconds := given * 1_000_000):
        return round(microseconds)
    return None
