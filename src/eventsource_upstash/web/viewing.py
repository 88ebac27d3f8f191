"""What is answered to those who read a view over HTTP: no framework, no colour."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, cast
from urllib.parse import parse_qs

import msgspec

from .._flow.feeding import Feeding
from .._flow.freshness import Fresh
from .._flow.querying import Querying, cursor_of, place_of, span_of, state_of
from .._io.port import Port, Signal
from ..domain.events import MAX_POSITION
from ..domain.names import check_key
from ..domain.positions import Vector, read_position
from ..domain.projections import Projection
from ..errors import (
    EventSourceError,
    LogRewound,
    Misuse,
    OutcomeUnknown,
    ProjectionStopped,
    StaleView,
    Unavailable,
)
from ..ports import Backend, Listed, NoticeTransport, Span
from . import feed as feeds
from .conditional import check_cache_control, not_modified, validators
from .endpoint import Request, Response, problem
from .feed import SOON, Feed, Pace
from .paths import path_and_query

D = TypeVar("D")

_log: Final = logging.getLogger("eventsource_upstash.views")

MAX_LIMIT: Final = 1_000
"""Most documents in one answer."""

DEFAULT_LIMIT: Final = 50
"""Documents in an answer to a caller who does not say how many."""

LOOK: Final = 1.0
"""Seconds between two looks at a feed that nothing woke its reader for."""

LOOK_BILLED: Final = 5.0
"""The same where each look costs money."""

_RETRY_AFTER: Final = {"retry-after": "1"}


class Opened(NamedTuple):
    """A feed that is open, before it has a colour."""

    parts: AsyncGenerator[Sequence[bytes], None]


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Page(msgspec.Struct, frozen=True):
    """A listing, as it is sent."""

    items: list[dict[str, object]]
    cursor: str | None


class Viewing(Generic[D]):
    """Answers requests for a view, over the flows."""

    def __init__(
        self,
        querying: Querying,
        feeding: Feeding,
        port: Port,
        projection: Projection[D],
        backend: Backend,
        transport: NoticeTransport | None,
        *,
        consistency: str,
        timeout: float,
        pace: tuple[float | None, float, int],
        cache_control: str,
    ) -> None:
        querying.check(projection, consistency)
        check_cache_control(cache_control)
        interval, max_duration, retry = pace
        for name, value in (("interval", interval), ("max_duration", max_duration), ("timeout", timeout)):
            if value is not None and not value > 0:  # NaN is not either
                raise Misuse(f"{name}={value!r}: it is a number of seconds above 0")
        if type(retry) is not int or retry < 0:
            raise Misuse(f"retry={retry!r}: it is a whole number of milliseconds from 0")
        self._querying = querying
        self._projection = projection
        self._strong = consistency == "strong"
        self._timeout = timeout
        self._cache_control = cache_control
        self.signal: Signal = (transport.signal if transport else None) or Signal()
        interval = interval or (LOOK_BILLED if backend.public else LOOK)
        self.feed: Feed[D] = Feed(
            querying,
            feeding,
            port,
            projection,
            self.signal,
            Pace(interval, interval if backend.public else min(SOON, interval), max_duration, retry),
            strong=self._strong,
        )

    def wants_feed(self, request: Request, key: str) -> bool:
        """Whether it is the feed that is asked for."""
        return request.method == "GET" and not key and "text/event-stream" in request.headers.get("accept", "")

    async def handle(self, request: Request, key: str) -> Response:
        """See `ViewEndpoint.handle`."""
        try:
            query = _query(request, "GET", "HEAD")
            if_none_match = request.headers.get("if-none-match")
            fresh = self._fresh(query)
            version = None
            if if_none_match is not None and not self._projection.ends and "*" not in if_none_match:
                # The version alone is the cheapest look. A view whose documents end changes with the time, too.
                version = await self._querying.version(self._projection, fresh)
                if not_modified(if_none_match, version):
                    return self._answer(request, version, None, key)
            if key:
                version, body = await self._document(key, fresh)
            else:
                version, body = await self._listing(query, fresh)
            if self._projection.ends:
                version += f".{hashlib.blake2b(body, digest_size=8).hexdigest()}"
            return self._answer(request, version, None if not_modified(if_none_match, version) else body, key)
        except Exception as error:
            return _bare(request, self._failure(error))

    async def open(self, request: Request, *, once: bool = False) -> Response | Opened:
        """See `ViewEndpoint.feed`."""
        try:
            query = _query(request, "GET")
            place = self._place(request)
            history = _yes(query, "history", default="yes")
            first = await self.feed.look(place)
        except Exception as error:
            return _bare(request, self._failure(error))
        return Opened(self.feed.follow(place, first, history=history, once=once))

    def wake(self) -> None:
        """See `ViewEndpoint.wake`."""
        self.signal.set()

    def close(self) -> None:
        """See `ViewEndpoint.close`."""
        self.feed.closed = True
        self.signal.set()

    def _place(self, request: Request) -> feeds.Place | None:
        if not self._projection.changes:
            raise _Refused(problem(406, "this view has no feed"))
        last = request.headers.get("last-event-id")
        try:
            return feeds.place_of(last) if last else None
        except Misuse:
            raise _Refused(problem(400, "Last-Event-ID is no place in this feed")) from None

    def _fresh(self, query: Mapping[str, list[str]]) -> Fresh:
        text = _one(query, "at_least")
        at_least = None if text is None else _position(text)
        return Fresh(at_least, self._timeout, self._strong)

    async def _document(self, key: str, fresh: Fresh) -> tuple[str, bytes]:
        try:
            check_key(key)
        except Misuse:
            raise _Refused(problem(404, "there is no such document")) from None
        got = await self._querying.got(self._projection, (key,), fresh)
        found = self._querying.decode(self._projection, got, got.documents.items())
        if not found:
            raise _Refused(problem(404, "there is no such document"))
        return state_of(got.progress), self._projection.codec.encode(found[0][1])

    async def _listing(self, query: Mapping[str, list[str]], fresh: Fresh) -> tuple[str, bytes]:
        text = _one(query, "limit")
        limit = DEFAULT_LIMIT if text is None else _number("limit", text, f"a whole number from 1 to {MAX_LIMIT}")
        if not 1 <= limit <= MAX_LIMIT:
            raise _Refused(problem(400, f"limit is a whole number from 1 to {MAX_LIMIT}"))
        after = _one(query, "after") or None
        span, place, reverse = self._span(query, after)
        if span is None:
            listed = await self._querying.listed(self._projection, fresh, None, after, limit)
        else:
            listed = await self._querying.found(self._projection, fresh, None, span, place, limit, reverse=reverse)
        return state_of(listed.progress), self._page(listed, None if span is None else span.index)

    def _span(
        self, query: Mapping[str, list[str]], after: str | None
    ) -> tuple[Span | None, tuple[str, str] | None, bool]:
        """What part of an index is asked for, if any is."""
        index = _one(query, "index")
        if index is None:
            if after is not None:
                try:
                    check_key(after)
                except Misuse:
                    raise _Refused(problem(400, "after is a key")) from None
            if beside := [name for name in ("low", "high", "equal", "reverse") if name in query]:
                raise _Refused(problem(400, f"{beside[0]} needs an index"))
            return None, None, False
        if index not in self._projection.indexes:
            raise _Refused(problem(400, "there is no such index"))
        reverse = _yes(query, "reverse", default="no")
        equal = _one(query, "equal")
        low, high = (_one(query, "low"), _one(query, "high")) if equal is None else (equal, equal)
        try:
            span = span_of(self._projection, index, _value(low), _value(high))
            return span, None if after is None else place_of(after, index), reverse
        except Misuse:
            raise _Refused(
                problem(400, "low, high and equal are numbers or strings, and after is the cursor of the page before")
            ) from None

    def _page(self, listed: Listed, index: str | None) -> bytes:
        encode = self._projection.codec.encode
        items: list[dict[str, object]] = [
            {"key": key, "document": msgspec.Raw(encode(document))}
            for key, document in self._querying.decode(self._projection, listed, listed.documents)
        ]
        cursor = None
        if listed.more and listed.last is not None:
            cursor = cursor_of(index, listed.last) if index is not None else listed.last[1]
        return msgspec.json.encode(Page(items, cursor))

    def _answer(self, request: Request, version: str, body: bytes | None, key: str) -> Response:
        headers = validators(version, cache_control=self._cache_control)
        if not key:
            headers["vary"] = "accept"  # the feed is at the same URL
        if body is None:
            return Response(304, headers, b"")
        return _bare(request, Response(200, {"content-type": "application/json", **headers}, body))

    def _failure(self, error: Exception) -> Response:
        name = self._projection.name
        match error:
            case _Refused():
                return error.response
            case StaleView():
                _log.info("the view of projection %r could not be read yet", name)
                return problem(503, "this is not as far as was asked for yet; try again", _RETRY_AFTER)
            case ProjectionStopped():
                _log.error("the view of projection %r has stopped", name, exc_info=error)
                return problem(503, "this does not go on at the moment; read it without at_least")
            case LogRewound(asked=True):
                # Anybody can ask for a position that there never was: that is no operator's work.
                _log.warning("a read of projection %r: %s", name, error)
                return problem(409, "at_least is beyond the end of the log: forget it, and read again")
            case LogRewound():
                _log.error("a read of projection %r met a log that is older than it", name, exc_info=error)
                return problem(409, "at_least is beyond the end of the log: forget it, and read again")
            case Unavailable() | OutcomeUnknown():
                _log.warning("the view of projection %r could not be read", name, exc_info=error)
                return problem(503, "this cannot be read at the moment; try again", _RETRY_AFTER)
            case EventSourceError():
                _log.error("the view of projection %r could not be read", name, exc_info=error)
            case _:
                _log.error("the view of projection %r could not be read: unexpected", name, exc_info=error)
        return problem(500, "this cannot be read")


def _one(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    return None if values is None else values[-1]


def _query(request: Request, *methods: str) -> Mapping[str, list[str]]:
    if request.method not in methods:
        raise _Refused(problem(405, "this can only be read", {"allow": ", ".join(methods)}))
    return parse_qs(path_and_query(request.url)[1], keep_blank_values=True)


def _yes(query: Mapping[str, list[str]], name: str, *, default: str) -> bool:
    text = _one(query, name) or default
    if text not in ("yes", "no"):
        raise _Refused(problem(400, f"{name} is yes or no"))
    return text == "yes"


def _number(name: str, text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise _Refused(problem(400, f"{name} is {what}"))
    return int(text)


def _position(text: str) -> int:
    try:
        position = read_position(text)
    except Misuse:
        position = MAX_POSITION + 1
    if not isinstance(position, Vector) and position > MAX_POSITION:
        raise _Refused(problem(400, "at_least is a position, as a whole number or as in 0:17,3:4"))
    return position


def _value(text: str | None) -> float | str | None:
    """A value of an index, as a URL has it."""
    if text is None:
        return None
    try:
        value: object = msgspec.json.decode(text)
    except (ValueError, RecursionError):  # too many digits, too many brackets: that is no number
        return text
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return cast("float | str", value) if number or isinstance(value, str) else text


def _bare(request: Request, response: Response) -> Response:
    """For HEAD the same without its body."""
    if request.method != "HEAD":
        return response
    return Response(response.status, {**response.headers, "content-length": str(len(response.body))}, b"")
