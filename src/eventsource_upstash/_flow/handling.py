"""Events -> log: append; and reading the log back."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, cast, overload

from ..domain.codec import encode_metadata, encode_tags
from ..domain.events import (
    FREE,
    MAX_POSITION,
    NUMBER_BITS,
    Appended,
    Expectation,
    NewEvent,
    Recorded,
    StoredEvent,
)
from ..domain.names import check_idempotency_key as _check_key
from ..domain.names import check_stream, check_tags
from ..domain.positions import is_position
from ..domain.queries import AppendCondition, Query
from ..domain.registry import Registry
from ..errors import ConcurrencyError, ConditionFailed, EventSourceError, IdempotencyKeyReused, Misuse
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Append, Conflict, KeyReused, Log, Unmet
from .notifying import Notifying

if TYPE_CHECKING:
    from .abilities import Abilities

_log: Final = logging.getLogger("eventsource_upstash.store")

_random = random.Random()  # noqa: S311  # to tell appends apart, not to keep a secret
_draw = _random.getrandbits
if hasattr(os, "register_at_fork"):
    # Parent and child would draw the same numbers. The microsecond in an event's id tells them apart almost always;
    # almost is not enough.
    os.register_at_fork(after_in_child=_random.seed)


class Handling:
    """Appends and reads, over a log.

    Args:
        log: The log.
        registry: The event types.
        notifying: Who is told.
        clock: Nanoseconds since 1970 (UTC).
        abilities: What the log can do, where that is not everything.

    Attributes:
        log: The log.
    """

    def __init__(
        self,
        log: Log,
        registry: Registry,
        notifying: Notifying,
        clock: Callable[[], int],
        abilities: Abilities | None = None,
    ) -> None:
        self.log: Log = log
        self._abilities = abilities
        self._types = registry.types
        self._by_class = registry.types.by_class
        self._notifying = notifying
        self._clock = clock

    def append(
        self,
        stream: str,
        events: Sequence[object],
        expected: int | Expectation,
        key: str | None,
        metadata: Mapping[str, object] | None,
        tags: Sequence[str],
        condition: AppendCondition | None = None,
    ) -> Coroutine[object, None, Appended]:
        """See `EventStore.append`. What is refused without a look at the log is refused before it is awaited."""
        check_stream(stream)
        if type(expected) is not int or expected < 0:
            _check_expected(stream, expected)
        if self._abilities is not None:
            self._abilities.check_append(stream, len(events), expected, condition)
        if not events:
            raise Misuse(f"append to stream {stream!r} without an event; hand it at least one")
        new = self.encode(events)
        append = self.prepare(stream, new, expected, key, metadata, self.encode_tags(events, tags), condition)
        # Handed on, not awaited here: a coroutine more would be seen in the time of an append in memory.
        return self.submit(append, raises=True)

    def encode(self, events: Sequence[object]) -> list[NewEvent]:
        """Events as they are stored. Raises `Misuse` and `InvalidEvent`."""
        by_class = self._by_class
        new: list[NewEvent] = []
        for event in events:
            known = by_class.get(event.__class__)
            if known is None:
                known = self._types.of(event)
            new.append((known.name, known.version, known.encode(event)))
        return new

    def prepare(
        self,
        stream: str,
        new: list[NewEvent],
        expected: int | Expectation,
        key: str | None,
        metadata: Mapping[str, object] | None,
        tags: bytes | list[bytes | None] | None,
        condition: AppendCondition | None = None,
    ) -> Append:
        """An append of encoded events, with a time and a number of its own. Raises `Misuse` and `InvalidEvent`."""
        return Append(
            stream,
            expected,
            new,
            self._clock() // 1000,
            _draw(NUMBER_BITS),
            encode_metadata(metadata) if metadata else None,
            tags,
            key,
            b"" if key is None else _digest(key, stream, new),
            self._notifying.notices is not None,
            condition if condition is None else self._resolve(condition),
        )

    @overload
    async def submit(self, append: Append) -> Appended | Conflict | KeyReused | Unmet: ...

    @overload
    async def submit(self, append: Append, *, raises: Literal[True]) -> Appended: ...

    async def submit(self, append: Append, *, raises: bool = False) -> Appended | Conflict | KeyReused | Unmet:
        """Send an append to the log, and the notification that it owes.

        Args:
            append: The append.
            raises: Whether an answer that is no success is raised, as what it means to the caller.
        """
        answer = await self.log.append(append)
        if answer.__class__ is not Appended:
            if raises:
                raise self.refusal(append, answer)
            return answer
        assert isinstance(answer, Appended)
        if _log.isEnabledFor(logging.INFO):
            _log.info(
                "appended %s to %s: revision %d, position %s%s",
                ", ".join(event[0] for event in append.events),
                append.stream,
                answer.revision,
                answer.position,
                " (it was there already)" if answer.repeated else "",
            )
        notices = self._notifying.notices
        if notices is None or not answer.owes_notification:
            return answer
        try:
            receipt = await notices.send(answer.position, append.recorded_us)
        except Exception as error:  # whatever the carrier raises, the append has succeeded
            receipt = await self._notifying.failed(self.log, answer.position, append.recorded_us, error)
        return answer if receipt is FREE else self._notifying.billed(answer, receipt)

    def encode_tags(self, events: Sequence[object], tags: Sequence[str]) -> bytes | list[bytes | None] | None:
        """The tags of each event: those that its type declares, and then those of the append.

        Raises `Misuse` and `InvalidEvent`.
        """
        if not tags and not self._types.tagging:
            return None
        common = _checked(tags)
        if not self._types.tagging:
            return encode_tags(common)
        each = [encode_tags(self._types.of(event).tags_of(event, common)) for event in events]
        return each[0] if each.count(each[0]) == len(each) else each

    def _resolve(self, condition: AppendCondition) -> AppendCondition:
        """A condition as a log takes it."""
        if not isinstance(cast("object", condition), AppendCondition):
            raise Misuse(f"condition={condition!r}: it is an AppendCondition(query, after)")
        _check_after(condition.after, "after")
        return AppendCondition(self._types.resolve(condition.query), min(condition.after, MAX_POSITION))

    def refusal(self, append: Append, answer: Appended | Conflict | KeyReused | Unmet) -> Exception:
        """What an answer that is no success means to the caller."""
        if isinstance(answer, Unmet):
            after = 0 if append.condition is None else append.condition.after
            return ConditionFailed(stream=append.stream, after=after, position=answer.position, receipt=answer.receipt)
        if isinstance(answer, Conflict):
            missed, error = self._decode(answer.missed)
            return ConcurrencyError(
                stream=append.stream,
                expected=append.expected if isinstance(append.expected, int) else append.expected.value,
                actual=answer.actual,
                events=missed,
                complete=answer.complete and error is None,
                receipt=answer.receipt,
            )
        return key_used(append.key, append.stream)

    async def read(
        self, after: int, limit: int | None, query: Query | None = None
    ) -> AsyncGenerator[list[Recorded[object]], None]:
        """Pages of the log. See `EventStore.read`."""
        _check_limit(limit)
        if not is_position(after):
            raise Misuse(f"after={after!r}: it is a whole number from 0, or a Vector")
        after = min(after, MAX_POSITION)  # which no vector is beyond
        query = None if query is None else self._types.resolve(query)
        while limit is None or limit > 0:
            page = await self.log.read(after, _page_size(limit), MAX_PAGE_BYTES, query)
            if page.reached is not None:
                if page.reached == after and not page.events:
                    return
                after = page.reached
            elif page.events:
                after = page.events[-1][0]
            else:
                return
            recorded, error = self._decode(page.events)
            limit = None if limit is None else limit - len(recorded)
            if recorded:
                yield recorded
            if error is not None:
                raise error
            if page.head <= after:
                return

    async def read_stream(
        self, stream: str, after: int, limit: int | None
    ) -> AsyncGenerator[list[Recorded[object]], None]:
        """Pages of one stream. See `EventStore.read_stream`."""
        check_stream(stream)
        self.check_readable(stream, "read_stream")
        _check_after(after, "after_revision")
        _check_limit(limit)
        after = min(after, MAX_POSITION)
        while limit is None or limit > 0:
            page = await self.log.read_stream(stream, after, _page_size(limit), MAX_PAGE_BYTES)
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

    def check_readable(self, stream: str, what: str) -> None:
        """Refuse what reads a stream by itself where the log cannot. Raises `Misuse`."""
        if self._abilities is not None:
            self._abilities.check_stream(stream, what)

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
        return (await self.log.head())[0]


def _page_size(limit: int | None) -> int:
    return MAX_PAGE_EVENTS if limit is None else min(limit, MAX_PAGE_EVENTS)


def _check_limit(limit: int | None) -> None:
    if limit is not None and (type(limit) is not int or limit < 0):
        raise Misuse(f"limit={limit!r}: it is a whole number from 0, or None")


def _check_after(after: int, name: str) -> None:
    if type(after) is not int or after < 0:
        raise Misuse(f"{name}={after!r}: it is a whole number from 0")


def _check_expected(stream: str, expected: object) -> None:
    if isinstance(expected, Expectation):
        return
    raise Misuse(
        f"expected_revision={expected!r} for stream {stream!r}: it is a revision from 1, NO_STREAM (0), EXISTS or ANY"
    )


def _checked(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags, each once."""
    if isinstance(cast("object", tags), (str, bytes)) or not isinstance(cast("object", tags), Iterable):
        raise Misuse(f"tags={tags!r}: tags are several strings, as in tags=({tags!r},)")
    given = tuple(tags)
    check_tags(given)
    return tuple(dict.fromkeys(given))


def key_used(key: str | None, stream: str) -> IdempotencyKeyReused:
    """The error for a key that stands for another append."""
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
