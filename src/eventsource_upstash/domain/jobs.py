"""Jobs: what a message to one of the app's own paths is handled by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeVar, overload

import msgspec

from ..errors import RegistrationError
from .names import MAX_NAME
from .telling import without_header_values

T = TypeVar("T")

# The characters of a path that mean themselves in every server and proxy: nothing to be decoded or folded on the way.
_PATH: Final = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)+"


def check_job_path(path: object) -> None:
    """Refuse what cannot be the path of a job, the same to whoever sends it and whoever is asked for it.

    Raises:
        RegistrationError: It does not start with `/`, or holds what a server or a proxy could make another path of.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise RegistrationError(f"job {path!r}: its path is a text that starts with '/', as in '/workers/report'")
    if len(path) > MAX_NAME:
        raise RegistrationError(f"job {path[:40]!r}...: {len(path)} characters, at most {MAX_NAME} are allowed")
    if not re.fullmatch(_PATH, path):
        raise RegistrationError(
            f"job {path!r}: a path is of letters, digits and . _ ~ ! $ & ' ( ) * + , ; = : @ - between its slashes, "
            "without a query; what differs from message to message goes into the body"
        )
    segments = path.split("/")[1:]
    if "" in segments[:-1] or any(segment.strip(".") == "" and segment for segment in segments):
        raise RegistrationError(f"job {path!r}: an empty part, or one of dots only, is another path to some servers")


LEASE: Final = 900.0
"""How long nobody else is handed a message that is being delivered, in seconds, where its job does not say."""

MAX_LEASE: Final = 7 * 24 * 3600.0
"""Longest lease that a job may ask for, in seconds."""


def lease_seconds(path: str, lease: float | timedelta) -> float:
    """A job's lease in seconds. Raises `RegistrationError` where it cannot be one."""
    seconds = lease.total_seconds() if isinstance(lease, timedelta) else lease
    if type(seconds) not in (int, float) or not 1 <= seconds <= MAX_LEASE:  # NaN is not either
        raise RegistrationError(
            f"job {path}: lease={lease!r}: it is a number of seconds from 1 to {MAX_LEASE:.0f}, or a timedelta"
        )
    return float(seconds)


NON_RETRYABLE: Final = 489
"""The status that, with the header `Upstash-NonRetryable-Error: true`, says that no retry can help."""

MAX_AFTER: Final = 24 * 3600.0
"""Longest pause that a handler may ask for, in seconds: QStash heeds no longer one than a day."""


class NotRetryable(Exception):
    """Raised by a job's handler: no retry can help. The message goes to the dead letters at once.

    The text is logged, and never sent to whoever delivers.
    """


class RetryLater(Exception):
    """Raised by a job's handler: it could not be done now.

    Args:
        reason: Why, for the log.
        after: Seconds after which it should be tried again, up to a day; the carrier's own measure without it. Each
            try counts among the message's retries.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        super().__init__(reason)
        if after is not None and not 0 <= after <= MAX_AFTER:  # NaN is not either
            raise ValueError(f"after={after!r}: it is a number of seconds from 0 to {MAX_AFTER:.0f}")
        self.after = after


class Job(msgspec.Struct, frozen=True):
    """A message that arrived for a job.

    Attributes:
        path: The job's path.
        id: What tells this message from any other, the same at each delivery of it: an idempotency key for what the
            handler does.
        body: What was sent.
        headers: The request's, names in lower case.
        attempt: Which attempt this is, from 1, as far as the carrier tells.
        schedule_id: The schedule that sent it, or None.
    """

    path: str
    id: str
    body: bytes = b""
    headers: Mapping[str, str] = {}
    attempt: int = 1
    schedule_id: str | None = None

    def __repr__(self) -> str:
        return without_header_values(self)

    @overload
    def json(self) -> object: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    def json(self, type: type[T] | None = None) -> T | object:
        """The body, read as JSON.

        Args:
            type: What it is to be: a dataclass, a msgspec.Struct, `dict[str, int]`. Without it, whatever it is.

        Raises:
            NotRetryable: It is not: no retry can help.
        """
        try:
            return msgspec.json.decode(self.body) if type is None else msgspec.json.decode(self.body, type=type)
        except (ValueError, RecursionError) as error:
            raise NotRetryable(f"the body is not what job {self.path} reads: {error}") from None
