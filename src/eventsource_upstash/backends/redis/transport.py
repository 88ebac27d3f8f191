"""Commands and scripts on their way to Redis, and back: tried again where that may help, errors by remedy."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, TypeVar

import msgspec

from ..._io.addresses import check_base_url, host_of
from ..._io.port import HttpRequest, HttpResponse, Port
from ..._io.retrying import RANDOM, Budget
from ...domain.events import Receipt
from ...errors import Misuse, OutcomeUnknown, Refused, TooLarge
from ..sending import Call, Trouble, exchange, gave_up, insist, quoted
from . import replies
from .replies import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Refusal, Reply
from .scripts import Script
from .sync_tokens import SyncTokens

__all__ = ["MAX_REQUEST_BYTES", "HttpTransport", "Script", "Transport"]

T = TypeVar("T")

ATTEMPTS: Final = 6

_READING: Final = frozenset(
    (
        "DBSIZE",
        "ECHO",
        "EXISTS",
        "GET",
        "HEXISTS",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HLEN",
        "HMGET",
        "HVALS",
        "INFO",
        "LINDEX",
        "LLEN",
        "LRANGE",
        "MGET",
        "PING",
        "PTTL",
        "SCAN",
        "SCARD",
        "SISMEMBER",
        "SMEMBERS",
        "STRLEN",
        "TIME",
        "TTL",
        "TYPE",
        "XINFO",
        "XLEN",
        "XRANGE",
        "XREVRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZLEXCOUNT",
        "ZMSCORE",
        "ZRANGE",
        "ZRANK",
        "ZREVRANK",
        "ZSCORE",
    )
)
"""Commands that write nothing. What is not among them may have."""


class Transport:
    """Sends commands and scripts. Each of them is safe to be sent again; see `again` of `script`.

    Attributes:
        sends_twice: Whether an attempt may send its request twice, without saying so.
        pipelines: Whether it can send several commands in one request.

    Args:
        port: What waits.
        where: The server's host, for messages.
        total_timeout: Seconds for one operation, with everything that is tried again.
        attempts: How often an operation is tried.
        clock: Seconds, as `time.monotonic` tells them.
        draw: Draws a number from 0 up to 1.
    """

    sends_twice = False
    pipelines = False

    def __init__(
        self,
        port: Port,
        where: str,
        *,
        total_timeout: float,
        attempts: int,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = RANDOM,
    ) -> None:
        if not total_timeout > 0 or attempts < 1:
            raise Misuse("a transport needs a total_timeout above 0 seconds, and at least one attempt")
        self.port = port
        self.where = where
        self._total_timeout = total_timeout
        self._attempts = attempts
        self._clock = clock
        self._draw = draw
        self._plain = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"

    async def command(self, *command: str | int) -> tuple[object, Receipt]:
        """Send one plain command, and again if that may help. It has to be safe to be done twice.

        Args:
            command: Its name in capitals, and its arguments. Numbers are sent as strings.

        Returns:
            The result, as JSON has it: strings, numbers, lists and None. And what it cost.

        Raises:
            Unavailable: The server could not be asked; nothing was written.
            OutcomeUnknown: The answer was lost, again and again; it may have been done.
            TooLarge: The command, or the reply to it, is too large.
            Refused: Token, quota, size, a key of another type.
        """
        words = [str(word) for word in command]
        name = words[0]
        call = Call(f"command {name}", words[1:2], self._budget(), reads=name in _READING)
        outcome = await self._run(call, lambda _: words)
        if isinstance(outcome, Refusal):
            self._refuse(call, outcome.text)
        return outcome.result, call.receipt()

    async def script(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | int],
        *,
        again: Sequence[str | int] | None = None,
        once: bool = False,
        total_timeout: float | None = None,
    ) -> tuple[object, Receipt]:
        """Run a script, and again if that may help.

        Args:
            script: Which.
            keys: Every key that it touches.
            args: Its arguments. Numbers are sent as strings.
            again: Its arguments from the moment that it may have been done without an answer: with them it looks for
                its own earlier write before it writes. Without them, it has to be safe to be done twice as it is.
            once: Whether it is not sent again when it may have been done without an answer.
            total_timeout: Seconds for this operation, instead of what the transport was made with.

        Returns:
            The result, and what it cost; a command that the script itself calls is not counted here.

        Raises: as `command`.
        """
        first = [str(len(keys)), *keys, *[str(arg) for arg in args]]
        later = first if again is None else [str(len(keys)), *keys, *[str(arg) for arg in again]]
        if self.sends_twice:
            first = later
        call = Call(f"script {script.name!r}", keys, self._budget(total_timeout), reads=script.reads, once=once)

        def by(verb: str, text: str) -> Callable[[bool], list[str]]:
            return lambda unknown: [verb, text, *(later if unknown else first)]

        plain = self._plain  # what this call sent: another thread may learn meanwhile that the flag is refused
        outcome = await self._run(call, by("EVALSHA", script.plain_sha if plain else script.sha))
        if isinstance(outcome, Refusal) and replies.missing(outcome.text):
            call.budget.tried -= 1  # it was no failure
            outcome = await self._run(call, by("EVAL", script.plain if plain else script.text))
            if isinstance(outcome, Refusal) and not plain and replies.shebang_refused(outcome.text):
                call.budget.tried -= 1
                self._plain = True  # a Redis that is not Upstash's: it locks everything anyway
                outcome = await self._run(call, by("EVAL", script.plain))
        if isinstance(outcome, Refusal):
            self._refuse(call, outcome.text)
        if isinstance(outcome.result, dict):  # no script answers so
            raise Refused(f"{self.where}: what answers is no Redis. {replies.CHECK_URL}")
        return outcome.result, call.receipt()

    async def scripts(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]]
    ) -> tuple[list[object], Receipt]:
        """Run a script that the server knows several times, one after the other, in one request; where it `pipelines`.

        Args:
            script: Which. It was run before: it is not sent.
            calls: The keys and the arguments of each.

        Returns:
            The result of each; None for one that was refused, which does not keep those after it from being done. And
            what it cost; a command that the script itself calls is not counted here.

        Raises: as `command`. It is not sent again when it may have been done without an answer.
        """
        sha = script.plain_sha if self._plain else script.sha
        commands = [["EVALSHA", sha, str(len(keys)), *keys, *[str(arg) for arg in args]] for keys, args in calls]
        about = f"script {script.name!r}, {len(calls)} times"
        call = Call(about, (), self._budget(), reads=script.reads, once=True, billed=len(commands))
        outcome = await self._insist(call, lambda: self.attempt_many(call, commands))
        if isinstance(outcome, Refusal):
            self._refuse(call, outcome.text)
        return [each.result if isinstance(each, Reply) else None for each in outcome], call.receipt()

    async def attempt(self, call: Call, command: Sequence[str]) -> Reply | Refusal | Trouble:
        """Send a command once. What it costs is noted in the call. Raises what no other attempt can change."""
        raise NotImplementedError

    async def attempt_many(
        self, call: Call, commands: Sequence[Sequence[str]]
    ) -> list[Reply | Refusal] | Refusal | Trouble:
        """Send several commands in one request, once. As `attempt`."""
        raise NotImplementedError

    def _budget(self, total_timeout: float | None = None) -> Budget:
        return Budget(self.port, total_timeout or self._total_timeout, self._attempts, self._clock, self._draw)

    async def _run(self, call: Call, command: Callable[[bool], Sequence[str]]) -> Reply | Refusal:
        """Try until the server says something about the command, or the budget is spent."""
        return await self._insist(call, lambda: self.attempt(call, command(call.unknown)))

    async def _insist(self, call: Call, send: Callable[[], Awaitable[T | Refusal | Trouble]]) -> T | Refusal:
        """Try until the server says something, or the budget is spent."""

        async def attempt() -> T | Refusal | Trouble:
            outcome = await send()
            if isinstance(outcome, Refusal):
                kind = replies.kind_of(outcome.text)
                if kind is not None and not kind.refused:
                    return Trouble(f"answered {quoted(outcome.text)}", unknown=False, remedy=kind.remedy)
            return outcome

        outcome: T | Refusal | Trouble = await insist(call, attempt)
        if isinstance(outcome, Trouble):
            again = (
                "It was not sent again, since it would count twice"
                if call.once
                else "The same call with the same idempotency key is safe"
            )
            raise gave_up(call, outcome._replace(text=self._scrubbed(outcome.text)), self._about(call), again)
        return outcome

    def _refuse(self, call: Call, text: str) -> NoReturn:
        """Raise what the server's error text means."""
        kind = replies.kind_of(text)
        remedy = kind.remedy if kind else "If it is not known what this means, it is a bug: please report it"
        if "WRONGTYPE" in text and call.keys:
            more = ", ..." if len(call.keys) > 3 else ""
            remedy = f"{remedy}. The keys are {', '.join(repr(key) for key in call.keys[:3])}{more}"
        said = f"{self._about(call)}: the server refused it: {quoted(self._scrubbed(text))}"
        if call.unknown and not call.reads:
            # An attempt before this one may have been done: a refusal says nothing about that one.
            raise OutcomeUnknown(f"{said}. Whether an attempt before it was written is not known. {remedy}")
        if kind and kind.too_large:
            raise TooLarge(
                what=f"{self._about(call)}: the request, or the reply to it,", size=None, limit=MAX_REPLY_BYTES
            )
        raise Refused(f"{said}. {remedy}")

    def _about(self, call: Call) -> str:
        return f"{self.where}: {call.what}"

    def _scrubbed(self, text: str) -> str:
        """A text without what must not stand in a message."""
        return text


class HttpTransport(Transport):
    """The REST API over HTTPS.

    Args:
        port: What waits, and sends.
        url: The API's URL, as in UPSTASH_REDIS_REST_URL.
        token: Its token, as in UPSTASH_REDIS_REST_TOKEN.
        tokens: Sync tokens; shared by all transports to one database.
        connect_timeout: Seconds until a connection is there.
        read_timeout: Seconds that the server may be silent.
        total_timeout: Seconds for one operation, with everything that is tried again.
        attempts: How often an operation is tried.
        clock: Seconds, as `time.monotonic` tells them.
        draw: Draws a number from 0 up to 1.

    Raises:
        Misuse: URL, token or times cannot be what they have to be. The message repeats neither URL nor token.
    """

    pipelines = True

    def __init__(
        self,
        port: Port,
        url: str,
        token: str,
        *,
        tokens: SyncTokens | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 10.0,
        total_timeout: float = 20.0,
        attempts: int = ATTEMPTS,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = RANDOM,
    ) -> None:
        self._url = check_base_url("the URL of Redis (UPSTASH_REDIS_REST_URL)", url)
        super().__init__(
            port, host_of(self._url), total_timeout=total_timeout, attempts=attempts, clock=clock, draw=draw
        )
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Misuse("the token of Redis (UPSTASH_REDIS_REST_TOKEN) is empty, or holds what no token holds")
        if not connect_timeout > 0 or not read_timeout > 0:
            raise Misuse("connect_timeout and read_timeout are numbers of seconds above 0")
        self._token = token
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._tokens = SyncTokens() if tokens is None else tokens
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout

    async def attempt(self, call: Call, command: Sequence[str]) -> Reply | Refusal | Trouble:
        """See `Transport.attempt`."""
        answer, answered = await self._post(call, self._url, command)
        if isinstance(answer, Trouble):
            return answer
        outcome = replies.read(answer.status, answer.headers, answer.body)
        if not isinstance(outcome, Trouble):
            answered(isinstance(outcome, Reply) and (not call.reads or command[0].startswith("EVAL")))
        return outcome

    async def attempt_many(
        self, call: Call, commands: Sequence[Sequence[str]]
    ) -> list[Reply | Refusal] | Refusal | Trouble:
        """See `Transport.attempt_many`."""
        answer, answered = await self._post(call, f"{self._url}/pipeline", commands)
        if isinstance(answer, Trouble):
            return answer
        outcome = replies.read_many(answer.status, answer.headers, answer.body, len(commands))
        if isinstance(outcome, list):
            answered(any(isinstance(each, Reply) for each in outcome))
        return outcome

    async def _post(
        self, call: Call, url: str, content: Sequence[object]
    ) -> tuple[HttpResponse | Trouble, Callable[[bool], None]]:
        """Send a request once. Answers with it what is to be told of the answer: whether it is the primary's."""
        body = msgspec.json.encode(content)
        if len(body) > MAX_REQUEST_BYTES:
            raise TooLarge(what=f"{self._about(call)}: the request", size=len(body), limit=MAX_REQUEST_BYTES)
        left = call.budget.left
        if left <= 0:  # between the two steps of a script that the server did not have
            return Trouble("there was no time left for it", unknown=False), _nobody
        sending = self._tokens.begin()
        headers = {**self._headers, "upstash-sync-token": sending.token} if sending.token else self._headers
        request = HttpRequest("POST", url, headers, body, left, self._connect_timeout, self._read_timeout)
        answer = await exchange(self.port, call, request)
        if isinstance(answer, Trouble):
            return answer, _nobody
        token = answer.headers.get("upstash-sync-token")
        return answer, lambda by_primary: self._tokens.answered(sending, token, by_primary=by_primary)

    def _scrubbed(self, text: str) -> str:
        return text.replace(self._token, "(token)")


def _nobody(by_primary: bool) -> None:
    """Nobody answered."""
