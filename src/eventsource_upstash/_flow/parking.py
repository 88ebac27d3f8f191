"""Parked events -> folds -> view: what was set aside is looked at, tried again, or given up."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple, TypeAlias

import msgspec

from ..domain.events import FREE, Receipt, StoredEvent, to_datetime
from ..domain.indexes import NO_ENTRIES
from ..domain.names import check_key
from ..domain.positions import Vector, partition_of, place_of, vector
from ..domain.projections import Projection
from ..errors import CorruptLog, Unavailable, told_position
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Commit, Log, Outcome, Progress, Role, Stored, Views, Wanted
from .catching_up import reshaped
from .noting import (
    PARKED,
    SKIPPED_KEPT,
    Directory,
    Noting,
    ParkedRecord,
    SkippedRecord,
    counted,
    directory_of,
    parked_record,
    skipped_record,
    staying,
    told,
    with_changes,
)

_log: Final = logging.getLogger("eventsource_upstash.projector")

TRIES: Final = 10
"""How often it is tried to commit what was folded again, while others move the view meanwhile."""

AT_ONCE: Final = 200
"""Parked events that are loaded, or folded again, in one step."""

_parked: Final = msgspec.json.Decoder(ParkedRecord)
_skipped: Final = msgspec.json.Decoder(SkippedRecord)


class ParkedEvent(msgspec.Struct, frozen=True):
    """An event that was set aside because its fold failed, or because one before it of the same document did.

    Attributes:
        projection: The projection's name.
        key: The document's key.
        position: The event's position in the log.
        stream: Its stream.
        type: Its type name as recorded.
        error: What its fold raised, in a line; empty where it only waits behind another one.
        traceback: Where it was raised; empty likewise.
        attempts: How often its fold was tried; 0 where it only waits.
        first: When it was set aside (UTC).
        last: When its fold was tried last (UTC).
    """

    projection: str
    key: str
    position: int
    stream: str
    type: str
    error: str
    traceback: str
    attempts: int
    first: datetime
    last: datetime


class SkippedEvent(msgspec.Struct, frozen=True):
    """An event that was passed over because its fold failed.

    Attributes:
        projection: The projection's name.
        number: How many were skipped up to this one, ever.
        position: The event's position in the log.
        stream: Its stream.
        type: Its type name as recorded.
        key: The document's key; None where the event did not even decode.
        error: What was raised, in a line.
        at: When (UTC).
    """

    projection: str
    number: int
    position: int
    stream: str
    type: str
    key: str | None
    error: str
    at: datetime


class Retried(msgspec.Struct, frozen=True):
    """What became of parked events that were tried again, or given up.

    Attributes:
        done: Events that were folded, or given up.
        left: Events that are still parked.
        failed: Keys whose first parked event failed again.
        receipt: What it cost.
    """

    done: int
    left: int
    failed: tuple[str, ...] = ()
    receipt: Receipt = FREE


class _Waiting(NamedTuple):
    """Parked events of one key that are to be dealt with, and all that was loaded for it."""

    progress: Progress
    directory: Directory
    key: str
    records: Sequence[ParkedRecord]
    stored: Stored


class _Dealt(NamedTuple):
    """What is to be written about parked events: how many are done with, and why the next one is not."""

    commit: Commit
    done: int
    error: BaseException | None = None
    receipt: Receipt = FREE


_Work: TypeAlias = "Callable[[Projection[object], _Waiting], Awaitable[_Dealt]]"


class Parking:
    """Parked and skipped events of the builds that serve."""

    def __init__(self, views: Views, log: Log, noting: Noting) -> None:
        self._views = views
        self._log = log
        self._noting = noting

    async def parked(
        self, projection: Projection[object], key: str | None
    ) -> AsyncGenerator[Sequence[ParkedEvent], None]:
        """Pages of parked events, key by key. See `Projector.parked`."""
        if key is not None:
            check_key(key)
        progress, directory, _ = await self._directory(projection)
        wanted = [
            (one, position)
            for one, positions in directory.keys.items()
            if key is None or one == key
            for position in positions
        ]
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            names = [parked_record(position, one) for one, position in part]
            stored, _ = await self._load(progress, (), names)
            found = [(one, stored.records.get(name)) for (one, _), name in zip(part, names, strict=True)]
            yield [_told(projection, one, _parked.decode(record)) for one, record in found if record is not None]

    async def skipped(self, projection: Projection[object]) -> tuple[SkippedEvent, ...]:
        """The last skipped events, newest first. See `Projector.skipped`."""
        got = await self._views.records(projection.id, [skipped_record(number) for number in range(SKIPPED_KEPT)])
        found = sorted([_skipped.decode(each) for each in got.documents.values()], key=lambda each: -each.number)
        return tuple(
            SkippedEvent(
                projection.name,
                each.number,
                each.position,
                each.stream,
                each.type,
                each.key,
                each.error,
                to_datetime(each.skipped_us),
            )
            for each in found
        )

    async def retry(self, projection: Projection[object], key: str | None) -> Retried:
        """Fold parked events again, in order. See `Projector.retry_parked`."""
        return await self._each_key(projection, key, self._retry)

    async def discard(self, projection: Projection[object], key: str | None) -> Retried:
        """Give parked events up. See `Projector.discard_parked`."""
        return await self._each_key(projection, key, self._discard)

    async def _each_key(self, projection: Projection[object], key: str | None, work: _Work) -> Retried:
        if key is not None:
            check_key(key)
        progress, directory, receipt = await self._directory(projection)
        keys = list(directory.keys) if key is None else [key]
        # Whoever comes first may go by this look: the commit is compared with it.
        seen: tuple[Progress, Directory] | None = (progress, directory)
        done = 0
        failed: list[str] = []
        left = directory.count
        for one in keys:
            folded, error, left, cost = await self._settle(projection, one, seen, work)
            seen = None
            receipt += cost
            done += folded
            if error is not None:
                failed.append(one)
                _log.warning("projection %r, key %r: a parked event failed again: %s", projection.name, one, error)
        return Retried(done, left, tuple(failed), receipt)

    async def _settle(
        self,
        projection: Projection[object],
        key: str,
        seen: tuple[Progress, Directory] | None,
        work: _Work,
    ) -> tuple[int, BaseException | None, int, Receipt]:
        """Deal with one key, so that it is in before the next is tried. Answers what `_each_key` counts."""
        done = 0
        receipt = FREE
        lost = 0
        while True:
            if seen is not None:
                (progress, directory), seen = seen, None
            else:
                progress, directory, cost = await self._directory(projection)
                receipt += cost
            positions = directory.keys.get(key)
            if not positions:
                return done, None, directory.count, receipt
            names = [parked_record(position, key) for position in positions[:AT_ONCE]]
            stored, cost = await self._load(progress, (key,), names)
            receipt += cost
            waiting = [_parked.decode(stored.records[name]) for name in names if name in stored.records]
            dealt = None
            if len(waiting) == len(names):  # else somebody has dealt with them since the directory was read
                dealt = await work(projection, _Waiting(progress, directory, key, waiting, stored))
                committed = await self._views.commit([dealt.commit], None)
                receipt += dealt.receipt + committed.receipt
                if committed.outcomes[0] is not Outcome.COMMITTED:
                    dealt = None
            if dealt is None:
                lost += 1
                if lost >= TRIES:
                    raise Unavailable(
                        f"projection {projection.name!r}: others moved its view each of {TRIES} times that the parked "
                        f"events of key {key!r} were to be dealt with; nothing of them was lost. Try again later"
                    )
                continue
            done += dealt.done
            if dealt.error is not None or dealt.done >= len(positions):
                return done, dealt.error, directory.count - dealt.done, receipt

    async def _retry(self, projection: Projection[object], waiting: _Waiting) -> _Dealt:
        mistake = reshaped(projection, waiting.progress)
        if mistake is not None:  # code of before would not find what is folded now
            raise mistake
        key = waiting.key
        rows, receipt = await self._rows([each.position for each in waiting.records], waiting.progress.checkpoint)
        entries = waiting.stored.entries.get(key, NO_ENTRIES)
        before = waiting.stored.documents.get(key)
        state, count, error = projection.fold_waiting(rows, key, before, entries)
        commit = _without(waiting, count)
        if error is not None:
            line, frames = told(error)
            failed = waiting.records[count]
            again = msgspec.structs.replace(
                failed, attempts=failed.attempts + 1, last_us=self._noting.now_us, error=line, traceback=frames
            )
            name = parked_record(failed.position, key)
            commit = commit._replace(records={**commit.records, name: msgspec.json.encode(again)})
        if state.document != before:
            commit = commit._replace(
                documents={key: state.document},
                created=() if before is not None or state.document is None else (key,),
                entries={key: state.entries} if state.document is not None and state.entries != NO_ENTRIES else {},
                before={key: entries} if entries != NO_ENTRIES else {},
                notes=counted(projection, commit.notes, before is None),
            )
            if projection.changes:
                commit = with_changes(commit)
        return _Dealt(commit, count, error, receipt)

    async def _discard(self, _: Projection[object], waiting: _Waiting) -> _Dealt:
        count = len(waiting.records)
        return _Dealt(_without(waiting, count), count)

    async def _rows(self, positions: Sequence[int], checkpoint: int) -> tuple[list[StoredEvent], Receipt]:
        """The events at those positions of the log, in order. One step for each page that holds any of them."""
        if isinstance(checkpoint, Vector):
            return await self._rows_of_partitions(positions)
        found: list[StoredEvent] = []
        receipt = FREE
        while len(found) < len(positions):
            wanted = positions[len(found) :]
            near = [position for position in wanted if position < wanted[0] + MAX_PAGE_EVENTS]
            page = await self._log.read(near[0] - 1, near[-1] - near[0] + 1, MAX_PAGE_BYTES)
            receipt += page.receipt
            rows = {row[0]: row for row in page.events}
            # A page may end early, but it leaves out nothing that comes before its end.
            here = [rows[position] for position in takewhile(rows.__contains__, near)]
            if not here:
                raise _not_there(near[0])
            found += here
        return found, receipt

    async def _rows_of_partitions(self, positions: Sequence[int]) -> tuple[list[StoredEvent], Receipt]:
        """The same of a log of several partitions: each read by itself, from where the others are at their ends."""
        head, receipt = await self._log.head()
        rows: dict[int, StoredEvent] = {}
        for position in positions:
            after: int = vector(head).moved({partition_of(position): place_of(position) - 1})
            while position not in rows:
                page = await self._log.read(after, MAX_PAGE_EVENTS, MAX_PAGE_BYTES)
                receipt += page.receipt
                rows.update([(row[0], row) for row in page.events])
                if position in rows:
                    break
                if page.reached is None or page.reached == after or position <= page.reached:
                    raise _not_there(position)
                after = page.reached
        return [rows[position] for position in positions], receipt

    async def _directory(self, projection: Projection[object]) -> tuple[Progress, Directory, Receipt]:
        found, _, receipt = await self._views.progress((projection.id,))
        progress = next(each for each in found if each.role is Role.SERVING)
        if not progress.notes.parked:
            return progress, Directory(), receipt
        stored, cost = await self._load(progress, (), (PARKED,))
        return progress, directory_of(stored), receipt + cost

    async def _load(self, progress: Progress, keys: Sequence[str], records: Sequence[str]) -> tuple[Stored, Receipt]:
        found, receipt = await self._views.load([Wanted(progress.projection, progress.generation, keys, records)])
        return found[0], receipt


def _not_there(position: int) -> CorruptLog:
    return CorruptLog(
        f"the log has no event at position {told_position(position)}, which is parked. Was the log restored? Then "
        "rebuild the projection"
    )


def _without(waiting: _Waiting, gone: int) -> Commit:
    """A commit that takes the first of the events out of the directory."""
    progress, key = waiting.progress, waiting.key
    left = waiting.directory.keys[key][gone:]
    keys = {**waiting.directory.keys, key: left}
    if not left:
        del keys[key]
    changed = Directory(keys)
    records: dict[str, bytes | None] = {parked_record(each.position, key): None for each in waiting.records[:gone]}
    records[PARKED] = msgspec.json.encode(changed) if keys else None
    return staying(progress)._replace(
        notes=msgspec.structs.replace(progress.notes, parked=changed.count), records=records
    )


def _told(projection: Projection[object], key: str, record: ParkedRecord) -> ParkedEvent:
    return ParkedEvent(
        projection.name,
        key,
        record.position,
        record.stream,
        record.type,
        record.error,
        record.traceback,
        record.attempts,
        to_datetime(record.first_us),
        to_datetime(record.last_us),
    )
