"""The live event log: what is told of an event, and how a reader follows the log over server-sent events.

A reader's place is a position. A connection that breaks is taken up again after the last position that the reader
saw, so nothing is missed and nothing told twice. Appends of this process, and notifications that it is sent, ring a
bell; what other processes append is found by looking at the log: once a second, or rarely where each look is billed.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping

import msgspec

from eventsource_upstash import EventSourceError, Recorded

from .app import AsyncTodo, LogPage, Todo

PAGE = 200
"""Events told at once, at most."""

LOOK = 1.0
"""Seconds between two looks at a log that nobody rang for."""

LOOK_BEHIND = 0.1
"""The same while the view is behind, to tell soon that it is not any more."""

LOOK_BILLED = 5.0
"""The same where each look costs money: behind or not, for it is a notification that rings when the view is level."""

HEARTBEAT = 10.0
"""Seconds after which something is said in any case, so that a dead connection shows."""

HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


def record(recorded: Recorded[object]) -> dict[str, object]:
    """A recorded event as the page is told it."""
    told: dict[str, object] = {
        "position": recorded.position,
        "stream": recorded.stream,
        "revision": recorded.revision,
        "id": recorded.id,
        "type": recorded.type,
        "version": recorded.version,
        "recorded_at": recorded.recorded_at.isoformat().replace("+00:00", "Z"),
        "data": msgspec.to_builtins(recorded.event),
    }
    return told


def status(page: LogPage) -> dict[str, object]:
    """How far log and view are."""
    view = page.status
    return {
        "head": page.head,
        "checkpoint": view.checkpoint,
        "lag": page.lag,
        "state": view.state,
        "stopped": view.stopped and f"at position {view.stopped.position}, {view.stopped.reason}",
    }


def pause(page: LogPage) -> float:
    """Seconds until the next look."""
    if page.billed:
        return LOOK_BILLED
    return LOOK_BEHIND if page.lag and not page.status.stopped else LOOK


class Place:
    """Where one reader is in the log, and what it has been told. Knows nothing of waiting.

    Attributes:
        after: The last position told; None before the first look, which then shows the most recent events.
        limit: How many events to read at most in the next look.
        pause: Seconds to wait before it.
    """

    def __init__(self, after: int | None, recent: int) -> None:
        self.after = after
        self.limit = PAGE if after is not None else recent
        self.pause = 0.0
        self._status: dict[str, object] = {}
        self._spoke = time.monotonic()

    def take(self, page: LogPage) -> bytes:
        """What to tell the reader of a look at the log; nothing, if there is nothing new."""
        told: list[bytes] = []
        if page.rewound:
            self.after = 0
            told.append(_message("reset", {}))
        told.extend(_message("recorded", record(each), each.position) for each in page.events)
        if page.events:
            self.after = page.events[-1].position
        elif self.after is None:
            self.after = page.head
        now = status(page)
        silent = time.monotonic() - self._spoke > HEARTBEAT
        more = self.after < page.head and bool(page.events)
        if not more and (now != self._status or silent):
            self._status = now
            told.append(_message("status", now))
        if told:
            self._spoke = time.monotonic()
        self.limit = PAGE
        self.pause = 0.0 if more else pause(page)
        return b"".join(told)


def follow(todo: Todo, place: Place) -> Iterator[bytes]:
    """Tell a reader what happens, for as long as it listens. Blocking."""
    yield b"retry: 1000\n\n"
    while not todo.bell.closed:
        rings = todo.bell.rings
        try:
            told = place.take(todo.log(place.after, place.limit))
        except EventSourceError:
            return  # the reader comes back, and is answered in words if it still cannot be read
        if told:
            yield told
        todo.bell.wait(rings, place.pause)


async def follow_async(todo: AsyncTodo, place: Place) -> AsyncIterator[bytes]:
    """The same for event loops."""
    yield b"retry: 1000\n\n"
    while not todo.bell.closed:
        rings = todo.bell.rings
        try:
            told = place.take(await todo.log(place.after, place.limit))
        except EventSourceError:
            return  # the reader comes back, and is answered in words if it still cannot be read
        if told:
            yield told
        await todo.bell.wait(rings, place.pause)


def _message(event: str, data: Mapping[str, object], id: int | None = None) -> bytes:
    number = "" if id is None else f"id: {id}\n"
    return f"{number}event: {event}\ndata: {json.dumps(data)}\n\n".encode()
