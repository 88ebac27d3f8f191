"""What the page is told of the event log."""

from __future__ import annotations

import msgspec

from eventsource_upstash import Recorded

from .app import LogPage

PAGE = 200
"""Events told at once, at most."""

ASK = 1.5
"""Seconds after which a page asks again if nothing tells it to: it is not streamed to, or the view is behind."""

ASK_BILLED = 5.0
"""The same where asking costs money."""


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
