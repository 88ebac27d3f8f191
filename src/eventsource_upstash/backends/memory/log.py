"""The log in memory."""

from __future__ import annotations

from ...domain.events import ANY, EXISTS, FREE, Appended, Receipt, StoredEvent
from ...ports import MAX_PAGE_EVENTS, Append, Conflict, KeyReused, Page, StreamPage
from ..rules import bounded, is_repeat
from .state import State


class MemoryLog:
    """Events in a list, positions counted from 1 without gaps."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def append(self, append: Append) -> Appended | Conflict | KeyReused:
        """See `Log.append`."""
        stream, expected, events, recorded_us, number, metadata, tags, key, digest = append
        state = self._state
        with state.lock:
            if key is not None and (known := state.keys.get(key)) is not None:
                return _repeated(known[2]) if known[:2] == (digest, stream) else KeyReused()
            places = state.streams.get(stream)
            revision = 0 if places is None else len(places)
            if expected is not ANY and expected != revision and (expected is not EXISTS or not revision):
                return self._conflict(append, places or [])
            rows = state.rows
            if places is None:
                places = state.streams[stream] = []
            position = len(rows)
            for type_, version, payload in events:
                kind = (type_, version, metadata, tags)
                kind = state.kinds.setdefault(kind, kind) if metadata is None else kind
                position += 1
                revision += 1
                rows.append((stream, revision, recorded_us, number, kind, payload))
                places.append(position)
                number += 1
            appended = Appended(position, revision)
            if key is not None:
                state.keys[key] = (digest, stream, appended)
            return appended

    def _conflict(self, append: Append, places: list[int]) -> Appended | Conflict:
        actual = len(places)
        after = append.expected if isinstance(append.expected, int) else actual
        missed = [
            row for place in places[after : after + MAX_PAGE_EVENTS] for row in self._state.stored(place - 1, place)
        ]
        if is_repeat(append, missed):
            last = missed[len(append.events) - 1]
            return Appended(last[0], last[2], repeated=True)
        return Conflict(actual, missed, complete=len(missed) == max(0, actual - after))

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | None:
        """See `Log.recall`."""
        known = self._state.keys.get(key)
        if known is None:
            return None
        return _repeated(known[2]) if known[1] == stream else KeyReused()

    async def read(self, after: int, limit: int, max_bytes: int) -> Page:
        """See `Log.read`."""
        state = self._state
        with state.lock:
            head = len(state.rows)
            return Page(bounded(state.stored(after, min(head, after + limit)), max_bytes), head)

    async def read_stream(self, stream: str, after_revision: int, limit: int, max_bytes: int) -> StreamPage:
        """See `Log.read_stream`."""
        state = self._state
        with state.lock:
            rows = state.rows
            places = state.streams.get(stream, [])
            events: list[StoredEvent] = []
            for place in places[after_revision : after_revision + limit]:
                name, revision, recorded_us, number, kind, payload = rows[place - 1]
                events.append((place, name, revision, recorded_us, number, *kind, payload))
            return StreamPage(bounded(events, max_bytes), len(places))

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`."""
        return len(self._state.rows), FREE


def _repeated(appended: Appended) -> Appended:
    return Appended(appended.position, appended.revision, repeated=True)
