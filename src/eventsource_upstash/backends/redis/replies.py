"""What an answer of the REST API means, and what each error of Redis, and of Upstash, means to a caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from ..sending import Trouble, by_status

MAX_REQUEST_BYTES: Final = 8_000_000
"""Largest request that is sent: well below the 10 MB that the service takes, since how it counts is not known."""

MAX_REPLY_BYTES: Final = 10_000_000
"""Largest reply that the service gives."""


class Reply(NamedTuple):
    """The result of a command."""

    result: object


class Refusal(NamedTuple):
    """The server's own error text: it has looked at the command, and not done it, or failed in it."""

    text: str


class _Body(msgspec.Struct):
    result: object = msgspec.UNSET
    error: object = msgspec.UNSET


_decoder: Final = msgspec.json.Decoder(_Body)
_many: Final = msgspec.json.Decoder(list[_Body])

CHECK_URL: Final = "Check UPSTASH_REDIS_REST_URL: it is the address of a Redis REST API, not of something before it"
CHECK_TOKEN: Final = "Check the token, UPSTASH_REDIS_REST_TOKEN: it is not this database's"  # noqa: S105  a message


def read(status: int, headers: Mapping[str, str], body: bytes) -> Reply | Refusal | Trouble:
    """What an HTTP answer says about the one command that was sent."""
    try:
        decoded = _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _no_reply(status, headers)
    if isinstance(decoded.error, str) and (status < 500 or decisive(decoded.error)):
        if status == 429 and not decisive(decoded.error):
            return _no_reply(status, headers)
        if status == 401 and not decisive(decoded.error):
            return Refusal(f"WRONGPASS {decoded.error}")
        return Refusal(decoded.error)
    if 200 <= status < 300 and decoded.result is not msgspec.UNSET:
        return Reply(decoded.result)
    return _no_reply(status, headers)


def read_many(
    status: int, headers: Mapping[str, str], body: bytes, count: int
) -> list[Reply | Refusal] | Refusal | Trouble:
    """What an HTTP answer says about several commands that were sent in one request."""
    try:
        decoded = _many.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        outcome = read(status, headers, body)  # about the request as a whole
        return _no_reply(status, headers) if isinstance(outcome, Reply) else outcome
    if not 200 <= status < 300 or len(decoded) != count:
        return _no_reply(status, headers)
    return [Refusal(each.error) if isinstance(each.error, str) else Reply(each.result) for each in decoded]


def _no_reply(status: int, headers: Mapping[str, str]) -> Trouble:
    """What the status of an answer says that is none of the API's."""
    return by_status(status, headers, api="a Redis REST API", check_url=CHECK_URL, check_secret=CHECK_TOKEN)


class Kind(NamedTuple):
    """What an error text means.

    Attributes:
        refused: Whether retrying cannot help, before something is changed.
        remedy: What the caller can do.
        reply: Whether it is the reply that is too large, where a request was expected to read.
    """

    refused: bool
    remedy: str
    too_large: bool = False


# Searched for anywhere in a text: an error inside a script is wrapped in words that differ from server to server.
_KINDS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"\bWRONGPASS\b|\bNOAUTH\b|[Uu]nauthorized", Kind(True, CHECK_TOKEN)),
        (
            r"\bNOPERM\b",
            Kind(True, "The token may not do this; a read-only token cannot write. Use the database's standard token"),
        ),
        (
            r"max (?:\w+ )?requests? limit exceeded|max bandwidth limit|[Qq]uota (?:is )?exceeded for requests",
            Kind(
                True,
                "The database's quota of requests is used up: raise its plan or its budget, or wait for the next",
            ),
        ),
        (
            r"max request size exceeded",
            Kind(True, "Ask for less at once: fewer or smaller events, documents or keys", too_large=True),
        ),
        (
            r"max single record size exceeded",
            Kind(True, "One key holds more than the plan allows: raise the plan, or use another namespace"),
        ),
        (
            r"capacity quota exceeded|\bOOM\b|max data size|\bMISCONF\b",
            Kind(True, "The database is full: raise its plan, or remove what is not needed"),
        ),
        (r"max key size exceeded", Kind(True, "Shorten the names of the streams, tags or documents")),
        (
            r"\bWRONGTYPE\b",
            Kind(True, "Something else uses keys of this name: give the event log a namespace of its own"),
        ),
        (
            r"^(?:LOADING|BUSY|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS)\b|against a read only replica",
            Kind(False, "The server is not ready: try again later"),
        ),
    )
)


def kind_of(text: str) -> Kind | None:
    """What an error text means; None where it says nothing that is known."""
    return next((kind for pattern, kind in _KINDS if pattern.search(text)), None)


def decisive(text: str) -> bool:
    """Whether an error text says what became of the command, whatever the status beside it."""
    return kind_of(text) is not None or missing(text) or shebang_refused(text)


def missing(text: str) -> bool:
    """Whether the server does not have the script."""
    return text.startswith("NOSCRIPT")


def shebang_refused(text: str) -> bool:
    """Whether the server refused a script for its first line: for the flag (Redis 7, Valkey), or the line as such."""
    return "in script shebang" in text or ("compiling script" in text and "near '#'" in text)
