"""A view's change feed as server-sent events: attach, history, live; no framework, no colour."""

from __future__ import annotations

import base64
import binascii
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from .._flow.feeding import Change, Changes, Feeding, feed_place
from .._flow.freshness import Fresh
from .._flow.querying import Querying
from .._io.port import Port, Signal
from ..domain.names import check_key
from ..domain.projections import Projection
from ..errors import EventSourceError, Misuse

D = TypeVar("D")

_log: Final = logging.getLogger("eventsource_upstash.feed")

FEED_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "vary": "accept",
}
"""Headers of a feed: nobody keeps it, and a proxy (nginx) does not hold it back."""

AT_ONCE: Final = 100
"""Documents that are fetched, and held, at once."""

HEARTBEAT: Final = 15.0
"""Seconds of silence after which something is said all the same, so that a dead connection shows."""

SOON: Final = 0.02
"""Seconds until the next look after something has happened: what was appended is folded by then, or soon after."""

_ID: Final = re.compile(r"([0-9-]{1,40})(?::([0-9]{1,9}))?(?:@([A-Za-z0-9_-]*))?")


class Place(NamedTuple):
    """Where a reader is: what it knows as an event's id, and says when it comes back.

    Attributes:
        cursor: The commits that it has been told of.
        done: How many changes of the next commit it has been told of as well.
        told: While it is told the history: the last key of it ("" before the first). Else None.
    """

    cursor: str
    done: int = 0
    told: str | None = None

    def __str__(self) -> str:
        done = f":{self.done}" if self.done else ""
        return self.cursor + done + ("" if self.told is None else f"@{_encode(self.told)}")


def place_of(id: str) -> Place:
    """The place that an id names. Raises `Misuse` if it is none."""
    found = _ID.fullmatch(id)
    if found is None:
        raise Misuse("Last-Event-ID is no place in this feed")
    feed_place(found[1])
    told = found[3]
    try:
        key = None if told is None else base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)).decode()
    except (binascii.Error, UnicodeError):
        raise Misuse("Last-Event-ID is no place in this feed") from None
    if key:
        check_key(key)
    return Place(found[1], int(found[2] or 0), key)


class Pace(NamedTuple):
    """How a feed goes on.

    Attributes:
        interval: Seconds between two looks when nothing wakes its reader.
        soon: Seconds until the first look after something has happened; the next ones wait twice as long each.
        max_duration: Seconds after which it ends, for the reader to come back.
        retry: Milliseconds after which the reader comes back.
    """

    interval: float
    soon: float
    max_duration: float
    retry: int


class Feed(Generic[D]):
    """Tells readers of a view what changes in it.

    Args:
        querying: Reads the view.
        feeding: Reads its change feed.
        port: What waits.
        projection: Which view.
        signal: What wakes readers.
        pace: How it goes on.
        strong: Whether each look folds first.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        querying: Querying,
        feeding: Feeding,
        port: Port,
        projection: Projection[D],
        signal: Signal,
        pace: Pace,
        *,
        strong: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._querying = querying
        self._feeding = feeding
        self._port = port
        self._projection = projection
        self._signal = signal
        self._pace = pace
        self._strong = strong
        self._clock = clock
        self.closed = False

    async def look(self, place: Place | None) -> Changes:
        """What has changed since; without a place, where to begin."""
        return await self._feeding.changes(
            self._projection, None if place is None else place.cursor, AT_ONCE, Fresh(strong=self._strong)
        )

    async def follow(
        self, place: Place | None, first: Changes, *, history: bool, once: bool = False
    ) -> AsyncGenerator[Sequence[bytes], None]:
        """Tell a reader, from its place on, until the time is over. Each part is what one look has found.

        Args:
            place: Where the reader is; None for one that is new.
            first: What `look` answered for that place.
            history: Whether a reader that knows nothing is told all documents.
            once: Whether it ends as soon as the reader knows everything.
        """
        begin = spoke = self._clock()
        start = "" if history else None
        yield [f"retry: {self._pace.retry}\n\n".encode()]
        pause = 0.0
        changes: Changes | None = first
        while True:
            seen = self._signal.count
            told: list[bytes] = []
            try:
                if changes is None:
                    changes = await self.look(place)
                if place is None or changes.reset:
                    place = Place(changes.cursor, 0, start)
                    told.append(message("reset", place, {}))
                    if start is None:
                        told.append(message("level", place, {}))
                else:
                    due = _due(place, changes)
                    for at in range(0, len(due), AT_ONCE):
                        yield await self._news(due[at : at + AT_ONCE])
                        spoke, pause = self._clock(), 0.0
                    place = Place(changes.cursor, place.done if changes.cursor == place.cursor else 0, place.told)
                if place.told is not None and not changes.more:  # first what has changed: not all of it is kept
                    page, place = await self._history(place)
                    told += page
            except EventSourceError:
                _log.warning("a feed of projection %r ends early", self._projection.name, exc_info=True)
                return  # the reader comes back, and is answered in words if it still cannot be read
            if told:
                spoke, pause = self._clock(), 0.0
                yield told
            now = self._clock()
            rest = self._pace.max_duration - (now - begin)
            more = place.told is not None or changes.more
            if self.closed or rest <= 0 or (once and not more):
                return
            wait = not more or (place.told is None and not changes.changes)
            changes = None
            if not wait:
                continue
            pause = min(max(self._pace.soon, 2 * pause), self._pace.interval)
            quiet = spoke + HEARTBEAT - now
            if quiet <= 0:
                spoke, quiet = now, HEARTBEAT
                yield [b":\n\n"]
            await self._port.sleep(min(pause, rest, quiet), self._signal, seen)
            if self._signal.count != seen:
                pause = 0.0

    async def _history(self, place: Place) -> tuple[list[bytes], Place]:
        """A page of the documents behind the place; at the end of them, that the reader is level."""
        fresh = Fresh(strong=self._strong)
        listed = await self._querying.listed(self._projection, fresh, None, place.told or None, AT_ONCE)
        told: list[bytes] = []
        for key, document in self._querying.decode(self._projection, listed, listed.documents):
            place = place._replace(told=key)
            told.append(self._put(place, key, document))
        if listed.more and listed.last is not None:
            return told, place._replace(told=listed.last[1])
        place = place._replace(told=None)
        return [*told, message("level", place, {})], place

    async def _news(self, due: Sequence[tuple[Change, Place]]) -> list[bytes]:
        """What has become of the documents that have changed, as it is now, in the order of their last changes."""
        keys = [change.key for change, _ in due]
        # Not from a copy that lags behind: it might not have the change yet that is told of.
        got = await self._querying.got(self._projection, keys, Fresh(), latest=True)
        documents = dict(self._querying.decode(self._projection, got, got.documents.items()))
        told: list[bytes] = []
        for change, place in due:
            document = documents.get(change.key)
            if document is None:
                told.append(message("delete", place, {"key": change.key}))
            else:
                told.append(self._put(place, change.key, document))
        return told

    def _put(self, place: Place, key: str, document: D) -> bytes:
        content = msgspec.Raw(self._projection.codec.encode(document))
        return message("put", place, {"key": key, "document": content})


def _due(place: Place, changes: Changes) -> list[tuple[Change, Place]]:
    """The last change of each document that the reader was not told of, and where it is after each.

    Of the history that is still to be told nothing is told before.
    """
    steps: list[tuple[Change, Place]] = []
    found = changes.changes
    before, done = place.cursor, 0
    for number, change in enumerate(found):
        done += 1
        if before != place.cursor or done > place.done:
            whole = number + 1 == len(found) or found[number + 1].cursor != change.cursor
            after = Place(change.cursor, 0, place.told) if whole else Place(before, done, place.told)
            steps.append((change, after))
        if number + 1 < len(found) and found[number + 1].cursor != change.cursor:
            before, done = change.cursor, 0
    last = {change.key: number for number, (change, _) in enumerate(steps)}
    return [
        (change, after)
        for number, (change, after) in enumerate(steps)
        if last[change.key] == number and (place.told is None or change.key <= place.told)
    ]


def message(event: str, place: Place, data: object) -> bytes:
    """A server-sent event. Its data is one line: JSON has no others."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(place).encode(), event.encode(), msgspec.json.encode(data))


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
