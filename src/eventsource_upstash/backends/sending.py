"""What sending over HTTP has in common, whatever is asked: what was tried, what it cost, what no answer means."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from .._io.port import HttpRequest, HttpResponse, Port
from .._io.retrying import Budget, retry_after
from ..domain.events import Receipt
from ..errors import EventSourceError, OutcomeUnknown, Refused, Unavailable

T = TypeVar("T")

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]{1,30}/[\w.+-]{1,30}\b", re.ASCII)


class Trouble(NamedTuple):
    """No answer to what was asked.

    Attributes:
        text: What there was instead.
        unknown: Whether it may have been done all the same.
        again: Whether it may help to send it again.
        at_least: Seconds to wait before that, as the server asks.
        remedy: What the caller can do.
    """

    text: str
    unknown: bool
    again: bool = True
    at_least: float = 0.0
    remedy: str = "Try again later"


class Call:
    """One operation on its way: what it is, what was tried, what it cost so far.

    Attributes:
        what: What messages call it.
        keys: The keys it names, for messages.
        reads: Whether it writes nothing.
        once: Whether it must not be done twice, so that it is not sent again when its answer was lost.
        billed: How many commands a request is billed as.
        budget: The time there is for it.
        unknown: Whether an attempt may have been done without an answer.
        failed: Whether the attempt before went wrong, so that the next one is a retry.
    """

    __slots__ = (
        "billed",
        "budget",
        "bytes_received",
        "bytes_sent",
        "commands",
        "failed",
        "keys",
        "once",
        "reads",
        "requests",
        "retries",
        "unknown",
        "what",
    )

    def __init__(
        self,
        what: str,
        keys: Sequence[str],
        budget: Budget,
        *,
        reads: bool,
        once: bool = False,
        billed: int = 1,
    ) -> None:
        self.what: str = what
        self.keys: Sequence[str] = keys
        self.reads: bool = reads
        self.once: bool = once
        self.billed: int = billed
        self.budget: Budget = budget
        self.unknown: bool = False
        self.failed: bool = False
        self.requests: int = 0
        self.commands: int = 0
        self.bytes_sent: int = 0
        self.bytes_received: int = 0
        self.retries: int = 0

    def sent(self, size: int) -> None:
        """Note that a request was sent, or may have been."""
        self.requests += 1
        self.commands += self.billed
        self.bytes_sent += size
        if self.failed:
            self.retries += 1
            self.failed = False

    def receipt(self) -> Receipt:
        """What it cost."""
        return Receipt(self.requests, self.commands, self.bytes_sent, self.bytes_received, self.retries)


async def exchange(port: Port, call: Call, request: HttpRequest) -> HttpResponse | Trouble:
    """Send a request once. What it costs is noted in the call."""
    try:
        answer = await port.send(request)
    except Unavailable as error:
        return Trouble(_reason(error), unknown=False)
    except OutcomeUnknown as error:
        call.sent(len(request.body))
        return Trouble(_reason(error), unknown=True)
    call.sent(len(request.body))
    call.bytes_received += len(answer.body)
    return answer


async def insist(call: Call, attempt: Callable[[], Awaitable[T | Trouble]]) -> T | Trouble:
    """Try until there is an answer, or no attempt is left, or none may be made. Then it is the last trouble."""
    while True:
        call.budget.tried += 1
        before = call.requests
        outcome = await attempt()
        if not isinstance(outcome, Trouble):
            return outcome
        call.unknown = call.unknown or outcome.unknown
        call.failed = call.failed or call.requests > before
        lost = call.once and call.unknown
        if lost or not outcome.again or not await call.budget.pause(outcome.at_least):
            return outcome


def gave_up(call: Call, trouble: Trouble, about: str, again: str) -> EventSourceError:
    """The error of a call that had no answer.

    Args:
        call: The call.
        trouble: The last that there was instead of an answer; its text can be shown.
        about: Who was asked what.
        again: For a call that may have been done: whether it can be sent again.
    """
    tried = f"{call.budget.tried} attempts" if call.budget.tried > 1 else "1 attempt"
    said = f"{about}: {trouble.text} ({tried}, {call.budget.spent:.1f} s)"
    if call.unknown and not call.reads:
        return OutcomeUnknown(f"{said}; whether it was written is not known. {again}. {trouble.remedy}")
    kind = Unavailable if trouble.again else Refused
    return kind(f"{said}; nothing was written. {trouble.remedy}")


def by_status(status: int, headers: Mapping[str, str], *, api: str, check_url: str, check_secret: str) -> Trouble:
    """What the status of an answer says that is none of the API's.

    Args:
        status: The status.
        headers: The answer's headers.
        api: What should have answered.
        check_url: The remedy where something else answers.
        check_secret: The remedy where it does not know who asks.
    """
    told = _MEDIA_TYPE.match(headers.get("content-type", ""))
    kind = told[0] if told else "no type"
    what = f"answered status {status} ({kind})"
    if status in (408, 425, 429):
        return Trouble(what, unknown=False, at_least=retry_after(headers), remedy="Too many requests: try again later")
    if status in (401, 403, 407):
        return Trouble(what, unknown=False, again=False, remedy=f"{check_secret}, or a proxy wants to know who asks")
    if status in (413, 431):
        return Trouble(what, unknown=False, again=False, remedy="Something before the server takes no request so large")
    if 300 <= status < 500:
        return Trouble(what, unknown=False, again=False, remedy=check_url)
    if status >= 500:
        # Also those that a proxy gives: it may have passed the request on, and lost the answer.
        return Trouble(what, unknown=True, at_least=retry_after(headers))
    # An answer cut off, or a page that some proxy shows to everybody.
    return Trouble(f"{what} that is no reply of {api}", unknown=True, remedy=check_url)


def quoted(text: str) -> str:
    """A server's words for a message: in one line, not too long."""
    line = " ".join(text.split())
    return repr(line if len(line) <= 300 else f"{line[:300]}...")


def _reason(error: EventSourceError) -> str:
    """What happened on the way, in a few words."""
    cause = error.__cause__
    happened = "could not be reached" if isinstance(error, Unavailable) else "did not answer"
    return f"{happened} ({type(cause).__name__})" if cause else happened
