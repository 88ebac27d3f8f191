"""Command -> events -> log: append, load, execute; and reading the log back."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar, cast

from ..domain.aggregates import Aggregate, Executed, Loaded
from ..domain.codec import encode_metadata, encode_tags
from ..domain.events import (
    FREE,
    MAX_POSITION,
    NUMBER_BITS,
    Appended,
    Expectation,
    NewEvent,
    Receipt,
    Recorded,
    StoredEvent,
)
from ..domain.names import check_idempotency_key as _check_key
from ..domain.names import check_stream, check_tags
from ..domain.registry import Registry
from ..errors import ConcurrencyError, EventSourceError, IdempotencyKeyReused, Misuse
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Append, Conflict, KeyReused, Log
from .notifying import Notifying

S = TypeVar("S")

_log: Final = logging.getLogger("eventsource_upstash.store")

_random = random.Random()  # noqa: S311  # to tell appends apart, not to keep a secret
_draw = _random.getrandbits
if hasattr(os, "register_at_fork"):
    # Parent and child would draw the same numbers. The microsecond in an event's id tells them apart almost always;
    # almost is not enough.
    os.register_at_fork(after_in_child=_random.seed)


class Handling:
    """Appends and reads, over a log."""

    def __init__(self, log: Log, registry: Registry, notifying: Notifying, clock: Callable[[], int]) -> None:
        self._log = log
        self._types = registry.types
        self._by_class = registry.types.by_class
        self._notifying = notifying
        self._clock = clock

    async def append(
        self,
        stream: str,
        events: Sequence[object],
        expected: int | Expectation,
        key: str | None,
        metadata: Mapping[str, object] | None,
        tags: Sequence[str],
    ) -> Appended:
        """See `EventStore.append`."""
        check_stream(stream)
        if type(expected) is not int or expected < 0:
            _check_expected(stream, expected)
        by_class = self._by_class
        new: list[NewEvent] = []
        for event in events:
            known = by_class.get(event.__class__)
            if known is None:
                known = self._types.of(event)
            new.append((known.name, known.version, known.encode(event)))
        if not new:
            raise Misuse(f"append to stream {stream!r} without an event; hand it at least one")
        notices = self._notifying.notices
        recorded_us = self._clock() // 1000
        answer = await self._log.append(
            Append(
                stream,
                expected,
                new,
                recorded_us,
                _draw(NUMBER_BITS),
                encode_metadata(metadata) if metadata else None,
                _encode_tags(tags) if tags else None,
                key,
                b"" if key is None else _digest(key, stream, new),
                notices is not None,
            )
        )
        if answer.__class__ is not Appended:
            raise self._refusal(stream, expected, key, answer)
        assert isinstance(answer, Appended)
        if _log.isEnabledFor(logging.INFO):
            _log.info(
                "appended %s to %s: revision %d, position %d%s",
                ", ".join(event[0] for event in new),
                stream,
                answer.revision,
                answer.position,
                " (it was there already)" if answer.repeated else "",
            )
        if notices is None or not answer.owes_notification:
            return answer
        try:
            receipt = await notices.send(answer.position, recorded_us)
        except Exception as error:  # whatever the carrier raises, the append has succeeded
            receipt = await self._notifying.failed(self._log, answer.position, recorded_us, error)
        return answer if receipt is FREE else self._notifying.billed(answer, receipt)

    def _refusal(
        self, stream: str, expected: int | Expectation, key: str | None, answer: Appended | Conflict | KeyReused
    ) -> Exception:
        if isinstance(answer, Conflict):
            missed, error = self._decode(answer.missed)
            return ConcurrencyError(
                stream=stream,
                expected=expected if isinstance(expected, int) else expected.value,
                actual=answer.actual,
                events=missed,
                complete=answer.complete and error is None,
                receipt=answer.receipt,
            )
        return _key_used(key, stream)

    async def read(self, after: int, limit: int | None) -> AsyncGenerator[list[Recorded[object]], None]:
        """Pages of the log. See `EventStore.read`."""
        _check_bounds(after, limit, "after")
        after = min(after, MAX_POSITION)
        while limit is None or limit > 0:
            page = await self._log.read(after, _page_size(limit), MAX_PAGE_BYTES)
            if not page.events:
                return
            after = page.events[-1][0]
            recorded, error = self._decode(page.events)
            limit = None if limit is None else limit - len(recorded)
            if recorded:
                yield recorded
            if error is not None:
                raise error
            if after >= page.head:
                return

    async def read_stream(
        self, stream: str, after: int, limit: int | None
    ) -> AsyncGenerator[list[Recorded[object]], None]:
        """Pages of one stream. See `EventStore.read_stream`."""
        check_stream(stream)
        _check_bounds(after, limit, "after_revision")
        after = min(after, MAX_POSITION)
        while limit is None or limit > 0:
            page = await self._log.read_stream(stream, after, _page_size(limit), MAX_PAGE_BYTES)
            if not page.events:
                return
            after = page.events[-1][2]
            recorded, error = self._decode(page.events)
            limit = None if limit is None else limit - len(recorded)
            if recorded:
                yield recorded
            if error is not None:
                raise error
            if after >= page.revision:
                return

    def _decode(self, rows: list[StoredEvent]) -> tuple[list[Recorded[object]], EventSourceError | None]:
        """The recorded events in rows, up to the first that cannot be decoded, and why it cannot."""
        recorded: list[Recorded[object]] = []
        try:
            recorded.extend(self._types.recorded(rows))
        except EventSourceError as error:
            return recorded, error
        return recorded, None

    async def head(self) -> int:
        """See `EventStore.head`."""
        return (await self._log.head())[0]

    async def load(self, aggregate: Aggregate[S], stream: str) -> Loaded[S]:
        """See `EventStore.load`."""
        _check_aggregate(aggregate)
        check_stream(stream)
        return await self._load(aggregate, stream, None, 0)

    async def _load(self, aggregate: Aggregate[S], stream: str, state: S | None, revision: int) -> Loaded[S]:
        receipt = FREE
        while True:
            page = await self._log.read_stream(stream, revision, MAX_PAGE_EVENTS, MAX_PAGE_BYTES)
            receipt += page.receipt
            state = aggregate.fold_rows(state, page.events)
            if page.events:
                revision = page.events[-1][2]
            if not page.events or revision >= page.revision:
                return Loaded(state, revision, receipt)

    async def execute(
        self,
        aggregate: Aggregate[S],
        stream: str,
        command: object,
        retries: int,
        key: str | None,
        metadata: Mapping[str, object] | None,
        tags: Sequence[str],
    ) -> Executed[S]:
        """See `EventStore.execute`."""
        _check_aggregate(aggregate)
        check_stream(stream)
        if type(retries) is not int or retries < 0:
            raise Misuse(f"retries={retries!r}: it is a whole number from 0")
        loaded = await self._load(aggregate, stream, None, 0)
        receipt = loaded.receipt
        while True:
            # After the load, not before it: whoever executed under this key in between has changed what was loaded.
            if key is not None:
                known = await self._recall(stream, key)
                if isinstance(known, Appended):
                    return await self._executed_before(aggregate, stream, known, receipt)
                receipt += known
            events = aggregate.decide_on(loaded.state, command)
            if not events:
                return Executed(loaded.state, loaded.revision, None, (), receipt)
            # Folded before it is appended: what the aggregate itself cannot take is no event of its stream.
            state = aggregate.fold_events(loaded.state, events)
            try:
                appended = await self.append(stream, events, loaded.revision, key, metadata, tags)
            except ConcurrencyError as conflict:
                if retries <= 0:
                    raise
                retries -= 1
                loaded = await self._refresh(aggregate, stream, loaded, conflict)
                receipt += (conflict.receipt or FREE) + loaded.receipt
                continue
            except IdempotencyKeyReused:
                # Somebody executed under this key between our look and our append, and decided otherwise.
                known = await self._recall(stream, cast("str", key))
                if not isinstance(known, Appended):
                    raise
                return await self._executed_before(aggregate, stream, known, receipt)
            if appended.repeated:
                return await self._executed_before(aggregate, stream, appended, receipt)
            return Executed(state, appended.revision, appended.position, events, receipt + appended.receipt)

    async def _recall(self, stream: str, key: str) -> Appended | Receipt:
        _check_key(key)
        answer = await self._log.recall(stream, key)
        if isinstance(answer, KeyReused):
            raise _key_used(key, stream)
        return answer

    async def _executed_before(
        self, aggregate: Aggregate[S], stream: str, known: Appended, receipt: Receipt
    ) -> Executed[S]:
        """What an earlier call under the same key did: the state is what the stream says, not what we would decide."""
        loaded = await self._load(aggregate, stream, None, 0)
        return Executed(
            loaded.state, loaded.revision, known.position, (), receipt + known.receipt + loaded.receipt, repeated=True
        )

    async def _refresh(
        self, aggregate: Aggregate[S], stream: str, loaded: Loaded[S], conflict: ConcurrencyError
    ) -> Loaded[S]:
        """The state with what was missed: from the conflict itself where that holds it all, and costs no read."""
        if not aggregate.immutable or not conflict.complete:
            return await self._load(aggregate, stream, None, 0)
        return Loaded(aggregate.fold_recorded(loaded.state, conflict.events), conflict.actual)


def _check_aggregate(aggregate: object) -> None:
    if not isinstance(aggregate, Aggregate):
        raise Misuse(f"{aggregate!r} is no aggregate; hand over what registry.aggregate(...) answered")


def _page_size(limit: int | None) -> int:
    return MAX_PAGE_EVENTS if limit is None else min(limit, MAX_PAGE_EVENTS)


def _check_bounds(after: int, limit: int | None, name: str) -> None:
    if type(after) is not int or after < 0:
        raise Misuse(f"{name}={after!r}: it is a whole number from 0")
    if limit is not None and (type(limit) is not int or limit < 0):
        raise Misuse(f"limit={limit!r}: it is a whole number from 0, or None")


def _check_expected(stream: str, expected: object) -> None:
    if isinstance(expected, Expectation):
        return
    raise Misuse(
        f"expected_revision={expected!r} for stream {stream!r}: it is a revision from 1, NO_STREAM (0), EXISTS or ANY"
    )


def _encode_tags(tags: Sequence[str]) -> bytes | None:
    if isinstance(cast("object", tags), (str, bytes)) or not isinstance(cast("object", tags), Iterable):
        raise Misuse(f"tags={tags!r}: tags are several strings, as in tags=({tags!r},)")
    given = tuple(tags)
    check_tags(given)
    return encode_tags(tuple(dict.fromkeys(given)))


def _key_used(key: str | None, stream: str) -> IdempotencyKeyReused:
    return IdempotencyKeyReused(
        f"idempotency key {key!r} was used before for another append than this one to stream {stream!r}; nothing was "
        "written. Use a new key for each new append"
    )


def _digest(key: str, stream: str, events: Sequence[NewEvent]) -> bytes:
    _check_key(key)
    # Metadata is left out: a retry may well carry another trace id. So is the expected revision: whoever asks again
    # after loading again means the same append.
    from hashlib import blake2b  # brings OpenSSL along: only for those who use keys

    digest = blake2b(stream.encode(), digest_size=16)
    for name, version, payload in events:
        digest.update(b"\0%s\0%d\0%d\0" % (name.encode(), version, len(payload)))
        digest.update(payload)
    return digest.digest()
