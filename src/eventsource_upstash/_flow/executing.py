"""Command -> events: load, decide, append; from a cached state or a snapshot, where there is one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar, cast

from msgspec.structs import replace

from ..domain.aggregates import Aggregate, Executed, Loaded
from ..domain.events import FREE, Appended, NewEvent, Receipt, StoredEvent
from ..domain.names import check_idempotency_key, check_stream
from ..domain.snapshots import Unusable
from ..errors import EventSourceError, InvalidEvent, Misuse, TooLarge
from ..ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    MAX_SNAPSHOT_BYTES,
    Append,
    Conflict,
    KeyReused,
    Snapshot,
    Unmet,
)
from .caching import Cached, Identity, States
from .handling import Handling, key_used

S = TypeVar("S")

_log: Final = logging.getLogger("eventsource_upstash.store")


class Overtaken(Exception):
    """Internal: the command is not to be executed any more. Nothing was appended."""


class Attempt:
    """A command, or an append, that was decided on before, while it is tried.

    Attributes:
        stands: Answers whether it is still to be done.
        spent: What it has cost, also where it fails, as far as that is known then.
    """

    def __init__(self, stands: Callable[[], Awaitable[bool]]) -> None:
        self.stands = stands
        self.spent: Receipt = FREE


class _Held(Generic[S]):
    """A state while it is worked on, and what it can be made of anew.

    Attributes:
        state: The state.
        revision: Revision of the stream that it stands for.
        last: Which event stands there.
        receipt: What was spent so far.
        folded: Events that were read and folded since the beginning, or since the snapshot.
    """

    __slots__ = ("_aggregate", "_base", "_rows", "folded", "last", "receipt", "revision", "state")

    def __init__(self, aggregate: Aggregate[S], receipt: Receipt, cached: Cached | None = None) -> None:
        self._aggregate = aggregate
        self.receipt = receipt
        self.folded = 0
        self.state: S | None = None
        self.revision = 0
        self.last: Identity = (0, 0)
        if cached is not None:
            self.state = cast("S | None", cached.state)  # it was kept for this very aggregate
            self.revision, self.last = cached.revision, cached.last
        # A state that can be changed is not the same any more once a handler has had it. It is made anew of what it was
        # made of: bytes that are here already, where they are no more than a page.
        self._base: bytes | None = None
        self._rows: list[StoredEvent] | None = None if aggregate.immutable else []

    def begin_with(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot. Raises `Unusable`, and then nothing has changed."""
        assert self._aggregate.snapshots is not None
        self.state, self.last = self._aggregate.snapshots.decode(snapshot.state)
        self.revision = snapshot.revision
        self.folded = 0
        self._base = snapshot.state
        self._rows = None if self._aggregate.immutable else []

    def fold(self, rows: list[StoredEvent]) -> None:
        """Fold what a page has of the stream."""
        if not rows:
            return
        if self._rows is not None:
            self._rows = None if self._rows else rows
        self.state = self._aggregate.fold_rows(self.state, rows)
        self.folded += len(rows)
        self.revision, self.last = rows[-1][2], (rows[-1][3], rows[-1][4])

    def fold_missed(self, rows: list[StoredEvent]) -> bool:
        """Fold what a conflict carries, after a handler had the state. False: it cannot be made anew from here."""
        if self._aggregate.immutable:
            self.fold(rows)
            return True
        if self._rows is None:
            return False
        rows = [*self._rows, *rows]
        self.state, self._rows = None, []
        if self._base is not None:
            assert self._aggregate.snapshots is not None
            self.state, _ = self._aggregate.snapshots.decode(self._base)
        self.fold(rows)
        return True


class Executing:
    """Loads aggregates, and executes commands on them."""

    def __init__(self, handling: Handling, cache: int) -> None:
        self._handling = handling
        self._states = States(cache)
        self._told: set[str] = set()

    async def load(self, aggregate: Aggregate[S], stream: str) -> Loaded[S]:
        """See `EventStore.load`."""
        _check_aggregate(aggregate)
        check_stream(stream)
        self._handling.check_readable(stream, "load")
        held = await self._load(aggregate, stream, FREE)
        return Loaded(held.state, held.revision, held.receipt)

    async def execute(
        self,
        aggregate: Aggregate[S],
        stream: str,
        command: object,
        retries: int,
        key: str | None,
        metadata: Mapping[str, object] | None,
        tags: Sequence[str],
        attempt: Attempt | None = None,
    ) -> Executed[S]:
        """See `EventStore.execute`.

        Args:
            aggregate: The aggregate.
            stream: Its stream.
            command: The command.
            retries: How often it is decided again where others write the stream at the same time.
            key: The idempotency key, or None.
            metadata: Goes with the events.
            tags: Likewise.
            attempt: Asked before each append, after the state was read, whether the command is still to be executed;
                told what was spent where it fails.

        Raises:
            Overtaken: It is not.
        """
        _check_aggregate(aggregate)
        check_stream(stream)
        if type(retries) is not int or retries < 0:
            raise Misuse(f"retries={retries!r}: it is a whole number from 0")
        self._handling.check_readable(stream, "execute")
        held = await self._load(aggregate, stream, FREE)
        while True:
            # After the load, not before it: whoever executed under this key in between has changed what was loaded.
            if key is not None:
                known = await self._recall(stream, key)
                if isinstance(known, Appended):
                    return await self._executed_before(aggregate, stream, known, held.receipt)
                held.receipt += known
            if attempt is not None:
                attempt.spent = held.receipt
            events = aggregate.decide_on(held.state, command)
            if not events:
                return Executed(held.state, held.revision, None, (), held.receipt)
            new = self._handling.encode(events)
            # Folded before it is appended: what the aggregate itself cannot take is no event of its stream. And folded
            # as it will be read back, so that this state is what every load makes.
            state = aggregate.fold_new(held.state, new)
            append = self._handling.prepare(
                stream, new, held.revision, key, metadata, self._handling.encode_tags(events, tags)
            )
            if attempt is not None and not await attempt.stands():
                raise Overtaken
            revision = held.revision + len(new)
            last = (append.recorded_us, append.number + len(new) - 1)
            snapshots = aggregate.snapshots
            if snapshots is not None and revision // snapshots.every > held.revision // snapshots.every:
                append = replace(append, snapshot=self._after(aggregate, stream, held, new, state, last))
            answer = await self._submit(append)
            if isinstance(answer, Appended) and not answer.repeated:
                self._states.put(aggregate, stream, Cached(state, revision, last))
                return Executed(state, answer.revision, answer.position, events, held.receipt + answer.receipt)
            if isinstance(answer, Appended):
                return await self._executed_before(aggregate, stream, answer, held.receipt)
            held.receipt += answer.receipt
            if isinstance(answer, Conflict) and retries > 0:
                retries -= 1
                held = await self._refresh(aggregate, stream, held, answer)
                continue
            if isinstance(answer, KeyReused) and key is not None:
                # Somebody executed under this key between our look and our append, and decided otherwise.
                known = await self._recall(stream, key)
                if isinstance(known, Appended):
                    return await self._executed_before(aggregate, stream, known, held.receipt)
            raise self._handling.refusal(append, answer)

    async def _submit(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        try:
            return await self._handling.submit(append)
        except TooLarge as error:
            if append.snapshot is None:
                raise
            _log.warning("no snapshot of stream %s is kept: with it, %s", append.stream, error)
        # Nothing was written, so it is the same append still.
        return await self._handling.submit(replace(append, snapshot=None))

    async def _recall(self, stream: str, key: str) -> Appended | Receipt:
        check_idempotency_key(key)
        answer = await self._handling.log.recall(stream, key)
        if isinstance(answer, KeyReused):
            raise key_used(key, stream)
        return answer

    async def _executed_before(
        self, aggregate: Aggregate[S], stream: str, known: Appended, receipt: Receipt
    ) -> Executed[S]:
        """What an earlier call under the same key did: the state is what the stream says, not what we would decide."""
        held = await self._load(aggregate, stream, receipt + known.receipt)
        return Executed(held.state, held.revision, known.position, (), held.receipt, repeated=True)

    async def _load(self, aggregate: Aggregate[S], stream: str, receipt: Receipt) -> _Held[S]:
        """The state as the stream makes it now."""
        held = _Held(aggregate, receipt)
        cached = self._states.get(aggregate, stream)
        if cached is not None:
            # From the event that it was cached after: where that is another one, or gone, the log was taken back.
            page = await self._handling.log.read_stream(stream, cached.revision - 1, MAX_PAGE_EVENTS, MAX_PAGE_BYTES)
            receipt += page.receipt
            held = _Held(aggregate, receipt)
            if page.events and (page.events[0][3], page.events[0][4]) == cached.last:
                held = _Held(aggregate, receipt, cached)
                held.fold(page.events[1:])
                if held.revision >= page.revision:
                    self._cache(aggregate, stream, held)
                    return held
            else:
                self._states.drop(aggregate, stream)
        await self._read_on(aggregate, stream, held)
        return held

    async def _refresh(self, aggregate: Aggregate[S], stream: str, held: _Held[S], conflict: Conflict) -> _Held[S]:
        """The state with what was missed. That came with the conflict: only what it left out is read."""
        if conflict.actual < held.revision or not held.fold_missed(conflict.missed):
            return await self._load(aggregate, stream, held.receipt)
        if not conflict.complete:
            await self._read_on(aggregate, stream, held)
        return held

    async def _read_on(self, aggregate: Aggregate[S], stream: str, held: _Held[S]) -> None:
        """Fold what comes after a state, page by page, or from a snapshot on if there is a later one."""
        snapshots = aggregate.snapshots
        name = None if snapshots is None else snapshots.name
        unusable = False
        while True:
            page = await self._handling.log.read_stream(stream, held.revision, MAX_PAGE_EVENTS, MAX_PAGE_BYTES, name)
            held.receipt += page.receipt
            name = None
            if page.snapshot is not None:
                try:
                    held.begin_with(page.snapshot)
                except Unusable as why:
                    self._tell_unusable(page.snapshot.name, stream, why)
                    unusable = True
                    continue
            held.fold(page.events)
            if not page.events or held.revision >= page.revision:
                break
        if snapshots is not None and (unusable or held.folded > snapshots.every):
            await self._keep(aggregate, stream, held)
        self._cache(aggregate, stream, held)

    def _cache(self, aggregate: Aggregate[S], stream: str, held: _Held[S]) -> None:
        if held.revision:
            self._states.put(aggregate, stream, Cached(held.state, held.revision, held.last))

    async def _keep(self, aggregate: Aggregate[S], stream: str, held: _Held[S]) -> None:
        """Keep a snapshot after a long load. What becomes of it is no matter of the load's."""
        snapshot = self._snapshot(aggregate, stream, held.state, held.revision, held.last)
        if snapshot is None:
            return
        try:
            held.receipt += await self._handling.log.keep(stream, snapshot)
        except EventSourceError as error:
            _log.warning("the snapshot %s of stream %s is not kept: %s", snapshot.name, stream, error)

    def _after(
        self, aggregate: Aggregate[S], stream: str, held: _Held[S], new: list[NewEvent], state: S | None, last: Identity
    ) -> Snapshot | None:
        """A snapshot of the state after new events.

        A decide handler may have changed its state in place. What others go on from is made of events alone: where it
        cannot be from here, there is none, and a load keeps one in time.
        """
        revision = held.revision + len(new)
        if not aggregate.immutable:
            if not held.fold_missed([]):
                return None
            state = aggregate.fold_new(held.state, new)
        return self._snapshot(aggregate, stream, state, revision, last)

    def _snapshot(
        self, aggregate: Aggregate[S], stream: str, state: S | None, revision: int, last: Identity
    ) -> Snapshot | None:
        """A snapshot of a state, or None where it can be none."""
        assert aggregate.snapshots is not None
        name = aggregate.snapshots.name
        try:
            encoded = aggregate.snapshots.encode(state, last)
        except Exception as error:  # whatever a class of the user's raises: the command itself is in order
            # Only our own errors are known to tell no data.
            why = str(error) if isinstance(error, InvalidEvent) else type(error).__name__
            _log.warning("no snapshot %s of stream %s is kept: %s", name, stream, why)
            return None
        if len(encoded) > MAX_SNAPSHOT_BYTES:
            _log.warning(
                "no snapshot %s of stream %s is kept: the state has %d bytes, at most %d are kept",
                name,
                stream,
                len(encoded),
                MAX_SNAPSHOT_BYTES,
            )
            return None
        return Snapshot(name, revision, encoded)

    def _tell_unusable(self, name: str, stream: str, why: Unusable) -> None:
        if name not in self._told:
            self._told.add(name)
            _log.warning(
                "the snapshot %s of stream %s is not used, and replaced: %s. Others of that name may be found alike; "
                "this is logged once",
                name,
                stream,
                why,
            )


def _check_aggregate(aggregate: object) -> None:
    if not isinstance(aggregate, Aggregate):
        raise Misuse(f"{aggregate!r} is no aggregate; hand over what registry.aggregate(...) answered")
