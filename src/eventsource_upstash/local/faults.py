"""Misbehaviour on request: which fault is to strike which request, how often.

All parts of the local Upstash take their faults from one `Faults`. A half asks, where a fault could strike, with
`take`; what a kind means is the half's own work, except for the kinds in `HTTP_FAULTS`, which `misbehaving` carries
out for any aiohttp application:

    faults = Faults()
    app = web.Application(middlewares=[misbehaving(faults, "qstash", quota=..., names_of=...)])

and, for kinds of its own, where it is about to deliver a message:

    if faults.take("qstash", ("deliver-twice",), path=destination):
        ...

A test adds them in the process (`local.faults.add("lose-answer", command="EVAL")`), others by `POST /dev/faults`.
"""

from __future__ import annotations

import asyncio
import fnmatch
import itertools
import random
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Literal

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

__all__ = ["DELIVERY_FAULTS", "FIELDS", "HTTP_FAULTS", "KINDS", "Fault", "Faults", "Half", "misbehaving"]

Half = Literal["redis", "qstash", "kafka"]

HTTP_FAULTS: Final[Mapping[str, str]] = {
    "lose-request": "close the connection without having done anything",
    "lose-answer": "do what was asked, then close the connection without an answer",
    "delay": "wait `seconds` before doing anything",
    "duplicate": "do what was asked twice, and answer the second time's answer",
    "error-500": "answer 500 with a page of HTML, as a proxy would, without having done anything",
    "error-429": "answer 429, without having done anything",
    "quota": "answer that the quota is used up, without having done anything",
    "cut-answer": "do what was asked, and close the connection in the middle of the answer",
    "slow-answer": "do what was asked, and send the answer in small pieces, `seconds` apart",
}
"""Kinds that strike a request, in any half."""

DELIVERY_FAULTS: Final[Mapping[str, str]] = {
    "deliver-twice": "deliver a message twice",
    "deliver-late": "deliver a message `seconds` later than it is due",
    "deliver-out-of-order": "deliver a message after the one behind it",
    "lose-delivery": "take a delivery for failed without having sent it",
    "lose-delivery-answer": "take a delivery for failed although it was answered",
    "sign-with-next-key": "sign a delivery with the next key",
    "sign-with-wrong-key": "sign a delivery with a key that nobody knows",
    "sign-skewed": "sign a delivery by a clock that is `seconds` ahead (behind, if below 0)",
}
"""Kinds that strike a delivery of QStash."""

KINDS: Final[Mapping[str, str]] = {
    **HTTP_FAULTS,
    **DELIVERY_FAULTS,
    "database-full": "refuse commands that make the database larger, also those that a script calls, as one at its "
    "capacity does",
}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One order to misbehave.

    Attributes:
        kind: What to do: one of `KINDS`.
        half: Strikes only there; None for all.
        path: Strikes only requests (or deliveries) whose path (or destination) matches this pattern of `fnmatch`.
        command: Strikes only requests that carry this command, in any case of letters (for a script: EVAL or EVALSHA;
            in Kafka: produce, fetch, consume, commit, offsets and so on).
        count: How often it strikes before it is used up; None for without end.
        skip: How many matching requests it lets pass first.
        probability: Of a matching request being struck.
        seed: Of the dice, so that a run can be repeated.
        seconds: For the kinds that wait.
        id: Given when it is added.
        struck: How often it has struck.
    """

    kind: str
    half: Half | None = None
    path: str | None = None
    command: str | None = None
    count: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int | None = None
    seconds: float = 0.1
    id: int = 0
    struck: int = 0


FIELDS: Final = tuple(name for name in Fault.__struct_fields__ if name not in {"id", "struck"})
"""What can be said of a fault. The two others are given by `Faults`."""


class Faults:
    """The faults in force. Safe under threads: a test adds them while a server's thread takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._active: list[tuple[Fault, random.Random]] = []
        self._used_up: dict[int, tuple[Fault, random.Random]] = {}

    def add(
        self,
        kind: str,
        *,
        half: Half | None = None,
        path: str | None = None,
        command: str | None = None,
        count: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
        seed: int | None = None,
        seconds: float = 0.1,
    ) -> Fault:
        """Misbehave from now on, as `Fault` describes. The fault returned counts how often it `struck`.

        Raises:
            ValueError: There is no such kind.
        """
        return self.put(
            Fault(
                kind=kind,
                half=half,
                path=path,
                command=command,
                count=count,
                skip=skip,
                probability=probability,
                seed=seed,
                seconds=seconds,
            )
        )

    def put(self, fault: Fault) -> Fault:
        """As `add`, with the fault built already."""
        if fault.kind not in KINDS:
            raise ValueError(f"there is no fault {fault.kind!r}; there are: {', '.join(KINDS)}")
        with self._lock:
            fault.id = next(self._ids)
            fault.struck = 0
            self._active.append((fault, random.Random(fault.seed)))  # noqa: S311 - dice, not a secret
        return fault

    def remove(self, id: int) -> bool:
        """Take one back; tells whether it was still in force."""
        with self._lock:
            before = len(self._active)
            self._active = [entry for entry in self._active if entry[0].id != id]
            self._used_up.pop(id, None)
            return len(self._active) < before

    def clear(self) -> None:
        """Behave again."""
        with self._lock:
            self._active.clear()
            self._used_up.clear()

    def active(self) -> list[Fault]:
        """The faults that are not used up."""
        with self._lock:
            return [fault for fault, _ in self._active]

    def __bool__(self) -> bool:
        return bool(self._active)

    def take(
        self, half: Half, kinds: Collection[str], *, path: str = "", commands: Collection[str] = ()
    ) -> Fault | None:
        """The fault that strikes here, if any, counted as having struck: the oldest that matches.

        Args:
            half: Who asks.
            kinds: What could strike at this place.
            path: The request's path, or the delivery's destination.
            commands: The names of the commands in the request.
        """
        if not self._active:
            return None
        upper = {name.upper() for name in commands}
        with self._lock:
            for index, (fault, dice) in enumerate(self._active):
                if fault.kind not in kinds or fault.half not in (None, half):
                    continue
                if fault.path is not None and not fnmatch.fnmatchcase(path, fault.path):
                    continue
                if fault.command is not None and fault.command.upper() not in upper:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.probability < 1 and dice.random() >= fault.probability:
                    continue
                fault.struck += 1
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._used_up[fault.id] = self._active.pop(index)
                return fault
        return None

    def spare(self, fault: Fault) -> None:
        """Undo a `take`: nothing was there to be struck. If the fault was taken back meanwhile, nothing happens."""
        with self._lock:
            used_up = self._used_up.pop(fault.id, None)
            if used_up is not None:
                self._active.append(used_up)
                self._active.sort(key=lambda entry: entry[0].id)
            elif all(entry[0] is not fault for entry in self._active):
                return
            fault.struck -= 1
            if fault.count is not None:
                fault.count += 1


_NamesOf = Callable[[web.Request], Awaitable[Collection[str]]]

_PAGE_500: Final = (
    "<html>\r\n<head><title>500 Internal Server Error</title></head>\r\n<body>\r\n"
    "<center><h1>500 Internal Server Error</h1></center>\r\n</body>\r\n</html>\r\n"
)


async def _no_names(_: web.Request) -> Collection[str]:
    return ()


def misbehaving(
    faults: Faults, half: Half, *, quota: Callable[[], web.Response], names_of: _NamesOf = _no_names
) -> Middleware:
    """A middleware that carries out `HTTP_FAULTS` on every request but those below `/dev/`.

    Args:
        faults: Where to take them from.
        half: Whose requests these are.
        quota: Makes that half's answer to a used-up quota.
        names_of: Names of the commands in a request, for faults that strike only some.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not faults or request.path == "/dev" or request.path.startswith("/dev/"):
            return await handler(request)
        fault = faults.take(half, HTTP_FAULTS, path=request.path, commands=await names_of(request))
        if fault is None:
            return await handler(request)
        return await _strike(fault, request, handler, quota)

    return middleware


async def _strike(
    fault: Fault, request: web.Request, handler: Handler, quota: Callable[[], web.Response]
) -> web.StreamResponse:
    kind = fault.kind
    if kind == "lose-request":
        return _hang_up(request)
    if kind == "error-500":
        return web.Response(status=500, text=_PAGE_500, content_type="text/html")
    if kind == "error-429":
        return web.json_response({"error": "Too Many Requests"}, status=429, headers={"Retry-After": "1"})
    if kind == "quota":
        return quota()
    if kind == "delay":
        await asyncio.sleep(fault.seconds)
        return await handler(request)
    if kind == "duplicate":
        await handler(request)
        return await handler(request)  # its body was read whole the first time, and is kept by the request
    answer = await handler(request)
    if kind == "lose-answer" or not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
        return _hang_up(request)
    return await _send_badly(fault, request, answer, answer.body)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere: aiohttp wants one


async def _send_badly(fault: Fault, request: web.Request, answer: web.Response, body: bytes) -> web.StreamResponse:
    bad = web.StreamResponse(status=answer.status, headers=answer.headers)
    bad.content_length = len(body)
    await bad.prepare(request)
    if fault.kind == "cut-answer":
        await bad.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()  # what was written is still sent, unlike with abort()
        return bad
    step = max(1, len(body) // 5)
    for start in range(0, len(body), step):
        await bad.write(body[start : start + step])
        await asyncio.sleep(fault.seconds)
    await bad.write_eof()
    return bad
