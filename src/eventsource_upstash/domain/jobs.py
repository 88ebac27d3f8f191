"""Jobs: what a message to one of the app's own paths is handled by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, overload

import msgspec

T = TypeVar("T")


class NotRetryable(Exception):
    """Raised by a job's handler: no retry can help. The message goes to the dead letters at once.

    The text is logged, and never sent to whoever delivers.
    """


class RetryLater(Exception):
    """Raised by a job's handler: it could not be done now.

    Args:
        reason: Why, for the log.
        after: Seconds after which it should be tried again; the carrier's own measure without it.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        super().__init__(reason)
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
