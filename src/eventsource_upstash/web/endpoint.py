"""What happens when a notification arrives, on plain values: no framework, no colour."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from .._flow.catching_up import CatchingUp
from .._flow.notifying import Notifying
from .._io.blocking import run
from ..blocking import App
from ..blocking.projector import Projector
from ..domain.events import MAX_POSITION, CatchUp
from ..domain.jobs import NON_RETRYABLE
from ..domain.positions import Vector, further, plain, read_position
from ..domain.telling import without_user_and_query
from ..errors import Misuse, ReactorStopped
from ..ports import NoticeTransport, Unverified, Verifier

__all__ = [
    "DEFAULT_TIME_BUDGET",
    "MAX_BODY",
    "NON_RETRYABLE",
    "Endpoint",
    "Handling",
    "Request",
    "Response",
    "Unverified",
    "Verifier",
    "problem",
    "with_length",
]

_log: Final = logging.getLogger("eventsource_upstash.handler")

MAX_BODY: Final = 64 * 1024
"""Most bytes of a notification. It holds a position, of some thousands of partitions; whatever is longer is none."""

DEFAULT_TIME_BUDGET: Final = 20.0
"""Seconds that one delivery may fold: below the limits of the usual platforms, and of a QStash delivery."""


class Request(NamedTuple):
    """A request in plain values.

    Attributes:
        method: "POST", in capitals.
        url: The whole URL, as the sender addressed it.
        headers: Names in lower case.
        body: The raw bytes, as they were signed.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:  # cookies and tokens of callers stand in headers and queries
        where = without_user_and_query(self.url)
        return f"Request({self.method!r}, {where!r}, headers={sorted(self.headers)}, {len(self.body)} bytes)"


class Response(NamedTuple):
    """An answer in plain values."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Message(msgspec.Struct, frozen=True):
    position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)] | str = 0


_decoder: Final = msgspec.json.Decoder(_Message)


class Handling:
    """Answers notifications, over the flows."""

    def __init__(
        self,
        catching_up: CatchingUp,
        notifying: Notifying,
        verifier: Verifier | None,
        public_url: str | None,
        time_budget: float,
        *,
        transport: NoticeTransport | None,
        public: bool,
    ) -> None:
        if verifier is None and transport is not None:
            verifier = transport.verifier(public_url)
        if public and verifier is None:
            raise Misuse(
                "this endpoint would be open to everybody: the backend is reached over the open network and no "
                "verifier is configured. Hand it a verifier, with the signing keys of whoever notifies"
            )
        if public_url is not None and not urlsplit(public_url).netloc:
            raise Misuse("public_url= is no whole URL, as https://app.example.com/projections is")
        if not time_budget > 0:  # NaN is not either
            raise Misuse(f"time_budget={time_budget!r}: it is a number of seconds above 0")
        self._catching_up = catching_up
        self._notifying = notifying
        self._verifier = verifier
        self._public_url = public_url
        self._time_budget = time_budget

    async def handle(self, request: Request) -> Response:
        """See `Endpoint.handle`."""
        if request.method != "POST":
            return problem(405, "only POST is answered here", {"allow": "POST"})
        if len(request.body) > MAX_BODY:
            return problem(413, f"a notification has at most {MAX_BODY} bytes")
        if self._verifier is not None:
            try:
                self._verifier.verify(request.headers, request.body, self._public_url or request.url)
            except Unverified as reason:
                _log.warning("refused a notification: %s", reason)
                return problem(401, "the notification is not signed by whom it has to be")
            except Exception:
                _log.exception("a notification could not be verified; the sender will try again")
                return problem(500, "not verified yet; try again")
        try:
            position = _position(_decoder.decode(request.body).position if request.body else 0)
        except (ValueError, RecursionError):
            _log.warning("refused a notification: its body is not a position")
            return problem(
                NON_RETRYABLE,
                'a notification is a JSON object with a position, as in {"position": 42}',
                {"upstash-nonretryable-error": "true"},
            )
        return await self._fold(position)

    async def _fold(self, position: int) -> Response:
        _log.info("notified of position %s", position)
        stopped: ReactorStopped | None = None
        try:
            try:
                result: CatchUp = await self._catching_up.catch_up(None, self._time_budget)
            except ReactorStopped as error:  # everything else is done, and is answered for
                stopped, result = error, error.result
            if not result.complete:
                # Out of time: hand the rest to another delivery, and let this one count. All of the rest, up to the
                # head: appends beyond the position in the message owe no notification while this one is outstanding.
                if await self._notifying.notify(further(position, result.head)) is not None:
                    return _folded(result)
                _log.warning("out of time, and nothing to notify with: the sender will have to try again")
                return problem(500, "not folded yet; try again")
            if position <= result.position:
                if stopped is None:
                    return _folded(result)
                # Not 500: to try it again at once would only be the same once more, four times for each append.
                _log.error("%s", stopped)
                return problem(NON_RETRYABLE, "a reactor has stopped", {"upstash-nonretryable-error": "true"})
        except Exception:
            _log.exception("the notification of position %s could not be met; the sender will try again", position)
        else:
            _log.error(
                "notified of position %s, but the log ends at %s; the sender will try again", position, result.head
            )
        return problem(500, "not folded yet; try again")


class Endpoint:
    """The endpoint that a notification calls, on plain values, for blocking frameworks.

    Args:
        app: An app, or a projector built by hand.
        verifier: Tells whether a notification is genuine; the notifier's own without one. A backend that is reached
            over the open network needs one.
        public_url: The URL that notifications are addressed to, where a proxy makes the request's own look different.
        time_budget: Seconds that one delivery may fold. What is left then is notified anew.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one.
    """

    def __init__(
        self,
        app: App | Projector,
        *,
        verifier: Verifier | None = None,
        public_url: str | None = None,
        time_budget: float = DEFAULT_TIME_BUDGET,
    ) -> None:
        projector = app.projector if isinstance(app, App) else app
        store = projector.event_store
        self.flow: Handling = Handling(
            projector.flow,
            store.notifier.flow,
            verifier,
            public_url,
            time_budget,
            transport=store.notifier.transport,
            public=store.backend.public,
        )

    def handle(self, request: Request) -> Response:
        """Fold what is new, because a notification came.

        Returns:
            200 when every projection reached the position in the message, or when the time ended first and the rest was
            notified anew; 401 for what the verifier refused; 405 and 413 for what is no notification; 489 for a body
            that no retry can mend, and where all is done but a reaction that a reactor has stopped at; else 500,
            without detail, so that the sender tries again. It never raises.
        """
        return run(self.flow.handle(request))


def _position(told: int | str) -> int:
    """The position in a notification. A number is told as one. Raises `ValueError` for what is none."""
    if isinstance(told, int):
        return told
    with suppress(Misuse):
        position = read_position(told)
        if isinstance(position, Vector):
            return position
    raise ValueError(told)


def _folded(result: CatchUp) -> Response:
    return Response(
        200,
        {"content-type": "application/json"},
        msgspec.json.encode(
            {"applied": result.applied, "position": plain(result.position), "head": plain(result.head)}
        ),
    )


def problem(status: int, title: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as problem details (RFC 9457): words for the caller, nothing from the inside."""
    return Response(
        status,
        {"content-type": "application/problem+json", "cache-control": "no-store", **(headers or {})},
        msgspec.json.encode({"status": status, "title": title}),
    )


def with_length(response: Response) -> dict[str, str]:
    """The headers of an answer, with its length where that is not said already; a 304 has none."""
    length = {} if response.status == 304 else {"content-length": str(len(response.body))}
    return {**length, **response.headers}
