"""Requests to a server of Kafka over REST: tried again where that may help, errors by remedy, costs counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from typing import Final, NamedTuple, TypeVar

import msgspec

from ...._io.port import HttpRequest, Port
from ...._io.retrying import RANDOM, Budget
from ....errors import EventSourceError, Misuse, TooLarge
from ...sending import Call, Trouble, exchange, gave_up, insist
from . import answers
from .answers import Problem

T = TypeVar("T")

ATTEMPTS: Final = 6

LARGEST_RECORD: Final = 1_048_588
"""Bytes of a record that a broker of Kafka takes where nobody has told it otherwise (`message.max.bytes`)."""

MAX_ANSWER: Final = 96 * 1024 * 1024
"""Most bytes of an answer: the 64 MiB of records that are asked for at once at most, in base64."""

NOT_AGAIN: Final = "It was not sent again: that would write it twice, if it was written"


class Ask(NamedTuple):
    """A request.

    Attributes:
        method: "POST".
        path: What follows the base URL.
        body: What is sent, as bytes.
        accept: The media type wanted.
        kind: The media type of the body.
        also: Statuses beside those in the 200s whose answers may be what was hoped for.
    """

    method: str
    path: str
    body: bytes = b""
    accept: str = "application/json"
    kind: str = "application/json"
    also: tuple[int, ...] = ()


class RestTransport:
    """Sends requests to one server.

    Args:
        port: What waits, and sends.
        url: The base URL, without a slash at its end.
        where: The server's host, for messages.
        authorization: The header's value; "" for none.
        secrets: What must not stand in a message.
        timeouts: Seconds until a connection is there, that the server may be silent, and for one operation with
            everything that is tried again.
        attempts: How often a request is tried.
        clock: Seconds, as `time.monotonic` tells them.
        draw: Draws a number from 0 up to 1.
    """

    def __init__(
        self,
        port: Port,
        url: str,
        where: str,
        authorization: str,
        *,
        secrets: tuple[str, ...] = (),
        timeouts: tuple[float, float, float] = (3.0, 10.0, 20.0),
        attempts: int = ATTEMPTS,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = RANDOM,
    ) -> None:
        self.port = port
        self.where = where
        self._url = url
        self._headers = {"authorization": authorization} if authorization else {}
        self._secrets = secrets
        self._connect, self._read, self._total = timeouts
        self._attempts = attempts
        self._clock = clock
        self._draw = draw

    def __repr__(self) -> str:
        return f"RestTransport({self.where!r})"

    def patience_ms(self, wanted: int) -> int:
        """How long a server may be let wait for records: no longer than half of what an answer may take."""
        return max(1, min(wanted, int(min(self._read, self._total) * 500)))

    def call(self, what: str, *, writes: bool = False) -> Call:
        """An operation begins: its requests share the time there is for it, and their cost is summed up.

        Args:
            what: What messages call it.
            writes: Whether it must not be done twice. Only what writes nothing is sent again when it may have arrived.
        """
        budget = Budget(self.port, self._total, self._attempts, self._clock, self._draw)
        return Call(what, (), budget, reads=not writes, once=writes, billed=0)

    async def ask(self, call: Call, ask: Ask, decode: Callable[[bytes], T]) -> T:
        """Send a request until it is answered, or the time is up.

        Args:
            call: The operation that it belongs to.
            ask: The request.
            decode: Makes something of the body of an answer with a status in the 200s.

        Raises:
            Unavailable: The server could not be asked, or asks to be asked later; nothing was written.
            OutcomeUnknown: The operation writes, and may have been done.
            TooLarge: The server takes no record so large.
            Refused: Rights, topic, path.
        """
        answer = await self.ask_or(call, ask, decode, ())
        assert not isinstance(answer, Problem)
        return answer

    async def ask_or(self, call: Call, ask: Ask, decode: Callable[[bytes], T], expects: Container[int]) -> T | Problem:
        """As `ask`, but errors with codes that the caller deals with are answered as a `Problem`."""
        call.budget.tried = 0
        outcome: T | Problem | Trouble = await insist(call, lambda: self.attempt(call, ask, decode, expects))
        if isinstance(outcome, Trouble):
            raise self.error(call, outcome, len(ask.body))
        return outcome

    async def attempt(
        self, call: Call, ask: Ask, decode: Callable[[bytes], T], expects: Container[int] = ()
    ) -> T | Problem | Trouble:
        """Send a request once."""
        left = call.budget.left
        if left <= 0:
            return Trouble("there was no time left for it", unknown=False, again=True)
        headers = {**self._headers, "accept": ask.accept}
        if ask.body:
            headers["content-type"] = ask.kind
        request = HttpRequest(
            ask.method, self._url + ask.path, headers, ask.body, left, self._connect, self._read, MAX_ANSWER
        )
        answer = await exchange(self.port, call, request)
        if isinstance(answer, Trouble):
            return answer
        fine = 200 <= answer.status < 300
        if fine or answer.status in ask.also:
            try:
                return decode(answer.body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                if fine:
                    return answers.trouble_in(answer, None, writes=not call.reads)
        problem = answers.problem_in(answer)
        if problem is not None and problem.code in expects:
            return problem
        return answers.trouble_in(answer, problem, writes=not call.reads)

    def error(self, call: Call, trouble: Trouble, size: int = 0) -> EventSourceError:
        """The error of an operation that came to nothing."""
        about = f"{self.where}: {call.what}"
        if trouble.text is answers.TOO_LARGE and not call.unknown:
            return TooLarge(what=f"{about}: the record", size=None, limit=min(LARGEST_RECORD, max(1, size - 1)))
        text = trouble.text
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return gave_up(call, trouble._replace(text=text), about, NOT_AGAIN)


def one_record(records: int) -> None:
    """See that it is one record. Raises `Misuse` for several, which nothing writes all or none over REST."""
    if records != 1:
        raise Misuse(f"{records} records cannot be written all or none over Kafka's REST protocol: write one at a time")
