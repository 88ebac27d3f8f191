"""The log in memory."""

from __future__ import annotations

from itertools import islice

from ...domain.events import ANY, EXISTS, FREE, Appended, Receipt, StoredEvent
from ...ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    Append,
    AppendCondition,
    Conflict,
    KeyReused,
    Page,
    Query,
    Snapshot,
    StreamPage,
    Unmet,
)
from ..rules import bounded
from .state import Kind, State


class MemoryLog:
    """Events in a list, positions counted from 1 without gaps."""

    def __init__(self, state: State) -> None:
        self._state = state

    def shares(self, state: State) -> bool:
        """Whether it is held there."""
        return self._state is state

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`."""
        stream = append.stream
        expected = append.expected
        recorded_us = append.recorded_us
        number = append.number
        key = append.key
        state = self._state
        # `with` would cost as much as encoding the event does.
        state.lock.acquire()
        try:
            if key is not None and (known := state.keys.get(key)) is not None:
                return _repeated(known[2]) if known[:2] == (append.digest, stream) else KeyReused()
            places = state.streams.get(stream)
            revision = 0 if places is None else len(places)
            if expected is not ANY and expected != revision and (expected is not EXISTS or not revision):
                return self._conflict(append, places or [])
            condition = append.condition
            if condition is not None and (unmet := self._unmet(append, condition)) is not None:
                return unmet
            rows = state.rows
            if places is None:
                places = state.streams[stream] = []
            position = len(rows)
            tags = append.tags
            plain = append.metadata is None and tags is None
            for type_, version, payload in append.events:
                kind = state.kinds.get(type_)
                if kind is None or kind[1] != version or not plain:
                    own = tags if tags is None or isinstance(tags, bytes) else tags[number - append.number]
                    kind = self._kind(type_, version, append.metadata, own)
                position += 1
                revision += 1
                rows.append((stream, revision, recorded_us, number, kind, payload))
                places.append(position)
                number += 1
            appended = Appended(position, revision)
            if key is not None:
                state.keys[key] = (append.digest, stream, appended)
            if append.snapshot is not None:
                state.snapshots[stream, append.snapshot.name] = append.snapshot
            if condition is not None and not isinstance(expected, int):  # else the stream tells a repeat
                state.conditional[append.number, append.recorded_us] = appended
            return appended
        finally:
            state.lock.release()

    def _kind(self, type_: str, version: int, metadata: bytes | None, tags: bytes | None) -> Kind:
        """What rows of a type have in common; kept once for the rows without metadata and tags, which most are."""
        kind = (type_, version, metadata, tags)
        if metadata is None and tags is None:
            self._state.kinds[type_] = kind
        return kind

    def _unmet(self, append: Append, condition: AppendCondition) -> Appended | Unmet | None:
        """What keeps an append from being written now: an event that its condition excludes; None for nothing."""
        state = self._state
        found = next(state.index.find(state.rows, condition.query, condition.after), None)
        if found is None:
            return None
        known = state.conditional.get((append.number, append.recorded_us))
        if known is not None and self._is_there(append, known.revision - len(append.events)):
            return _repeated(known)
        return Unmet(found)

    def _is_there(self, append: Append, after: int) -> bool:
        """Whether this very append stands in its stream after a revision: its first and its last event do."""
        places = self._state.streams.get(append.stream, [])
        last = len(append.events) - 1
        if not 0 <= after <= len(places) - last - 1:
            return False
        ends = [(index, self._state.rows[places[after + index] - 1]) for index in (0, last)]
        return all(row[2:4] == (append.recorded_us, append.number + index) for index, row in ends)

    def _conflict(self, append: Append, places: list[int]) -> Appended | Conflict:
        actual = len(places)
        after = append.expected if isinstance(append.expected, int) else actual
        if self._is_there(append, after):  # not in a page of what was missed, which may be shorter
            revision = after + len(append.events)
            return Appended(places[revision - 1], revision, repeated=True)
        missed = [
            row for place in places[after : after + MAX_PAGE_EVENTS] for row in self._state.stored(place - 1, place)
        ]
        missed = bounded(missed, MAX_PAGE_BYTES)
        return Conflict(actual, missed, complete=len(missed) == max(0, actual - after))

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`."""
        known = self._state.keys.get(key)
        if known is None:
            return FREE
        return _repeated(known[2]) if known[1] == stream else KeyReused()

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`."""
        state = self._state
        with state.lock:
            head = len(state.rows)
            if query is not None:
                found = list(islice(state.index.find(state.rows, query, after), limit))
                events = bounded([row for place in found for row in state.stored(place - 1, place)], max_bytes)
                complete = len(events) == len(found) < limit
                return Page(events, head, reached=max(after, head) if complete else events[-1][0])
            return Page(bounded(state.stored(after, min(head, after + limit)), max_bytes), head)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """See `Log.read_stream`."""
        state = self._state
        with state.lock:
            rows = state.rows
            places = state.streams.get(stream, [])
            kept = None if snapshot is None else state.snapshots.get((stream, snapshot))
            if kept is not None and after_revision < kept.revision <= len(places):
                after_revision = kept.revision
            else:
                kept = None
            chosen = places[after_revision : after_revision + limit]
            stored = [rows[place - 1] for place in chosen]
            events: list[StoredEvent] = [
                (place, stream, revision, recorded_us, number, type_, version, metadata, tags, payload)
                for place, (_, revision, recorded_us, number, (type_, version, metadata, tags), payload) in zip(
                    chosen, stored, strict=True
                )
            ]
            return StreamPage(bounded(events, max_bytes), len(places), snapshot=kept)

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """See `Log.keep`."""
        state = self._state
        with state.lock:
            kept = state.snapshots.get((stream, snapshot.name))
            if kept is None or not snapshot.revision < kept.revision <= len(state.streams.get(stream, ())):
                state.snapshots[stream, snapshot.name] = snapshot
        return FREE

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`."""
        return len(self._state.rows), FREE

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`. A notification within the process costs nothing, so each append sends its own."""
        return await self.head()

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`."""
        return FREE


def _repeated(appended: Appended) -> Appended:
    return Appended(appended.position, appended.revision, repeated=True)
