"""Personal data on its way into the log and out of it: encrypted, decrypted, or gone with its key.

Between the rest of the flow and a backend, so that neither knows of it: what is handed to the log is sealed, what
comes back is opened. Whoever has no key store has none of this in between.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from ..domain.codec import reason
from ..domain.event_types import EventType, EventTypes
from ..domain.events import FREE, Appended, NewEvent, Receipt, StoredEvent
from ..domain.personal import SEALED, UNOPENED, Sealed, SealedPayload, SealedValue, begins, subject_text
from ..domain.queries import Query
from ..errors import InvalidEvent, Misuse, SubjectForgotten
from ..ports import (
    Append,
    Commit,
    Committed,
    Conflict,
    KeyReused,
    Keys,
    Log,
    Page,
    Pull,
    Pulled,
    Snapshot,
    StreamPage,
    SubjectKey,
    Unmet,
    Views,
)
from .cipher import DoesNotFit, decrypt, encrypt, new_key

_log: Final = logging.getLogger("eventsource_upstash.keys")

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE: Final = msgspec.json.Decoder(SealedValue)
_HEADERS: Final = msgspec.json.Decoder(SealedPayload)
_NULL: Final = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode


class _Whose(NamedTuple):
    """An event's personal data: whose it is, all of the event's fields, and which of them are to be sealed."""

    subject: str
    fields: dict[str, msgspec.Raw]
    sealed: tuple[str, ...]


class Sealing:
    """Seals what is appended, opens what is read, and forgets."""

    def __init__(self, keys: Keys, types: EventTypes) -> None:
        self._keys = keys
        self._types = types

    async def forget(self, subject: object) -> Receipt:
        """See `EventStore.forget`."""
        receipt = await self._keys.forget(_check_subject(subject))
        _log.info("the key of a subject was destroyed")
        return receipt

    async def readmit(self, subject: object) -> Receipt:
        """See `EventStore.readmit`."""
        return await self._keys.readmit(_check_subject(subject))

    async def seal(self, append: Append) -> tuple[Append, Receipt]:
        """An append with its personal data encrypted, and what the keys cost; the same append where it has none.

        The digest under which a repeat is known is made over the plain payloads, so that it does not depend on the
        nonces; keyed, so that nobody can try values against it once the keys are gone.

        Raises:
            SubjectForgotten: A subject was forgotten.
            InvalidEvent: It cannot be told whose the data is.
        """
        by_name = self._types.by_name
        found = [self._personal(by_name[name], payload) for name, _, payload in append.events]
        subjects = sorted({each.subject for each in found if each is not None})
        if not subjects:
            return append, FREE
        keys, receipt = await self._keys.create_many({subject: new_key() for subject in subjects})
        given: dict[str, SubjectKey] = {}
        for subject in subjects:
            key = keys.get(subject)
            if key is None:
                raise SubjectForgotten(stream=append.stream, subject=subject)
            given[subject] = key
        events = [
            event if whose is None else _sealed(append.stream, event, whose, given[whose.subject])
            for event, whose in zip(append.events, found, strict=True)
        ]
        digest = append.digest
        if digest:
            from hashlib import blake2b  # brings OpenSSL along: only for those who use keys

            for subject in subjects:
                digest = blake2b(digest, digest_size=16, key=given[subject].secret).digest()
        return replace(append, events=events, digest=digest), receipt

    @staticmethod
    def _personal(known: EventType, payload: bytes) -> _Whose | None:
        """Whose data an event holds, and its fields; None where there is nothing to seal."""
        personal = known.personal
        if personal is None:
            return None
        fields = _FIELDS.decode(payload)
        sealed = tuple(name for name in personal.fields if bytes(fields.get(name, _NULL)) != b"null")
        if not sealed:
            return None
        try:
            answer = personal.subject_of(known.decode(payload))
        except Exception as error:
            raise InvalidEvent(f"event type {known.name!r}: its subject cannot be told: {reason(error)}") from error
        subject = subject_text(answer)
        if subject is None:
            raise InvalidEvent(
                f"event type {known.name!r}: its subject is a {type(answer).__name__} that cannot be one; a subject is "
                "a printable text of 1 to 255 characters, a whole number or a UUID"
            )
        return _Whose(subject, fields, sealed)

    async def open(self, rows: list[StoredEvent]) -> tuple[list[StoredEvent], Receipt]:
        """Rows with their personal data decrypted, or null where the key is gone; and what the keys cost.

        One look at the key store for all of them. A row whose data does not fit its place, or whose subject the store
        does not know, is made one that does not decode, so that it is told where it is met.
        """
        headers = {index: _header(row) for index, row in enumerate(rows) if begins(row[9], SEALED)}
        if not headers:
            return rows, FREE
        subjects = sorted({header.subject for header in headers.values() if header is not None})
        keys: Mapping[str, SubjectKey | None] = {}
        receipt = FREE
        if subjects:
            keys, receipt = await self._keys.get_many(subjects)
        opened = list(rows)
        for index, header in headers.items():
            opened[index] = (*rows[index][:9], _opened(rows[index], header, keys))
        return opened, receipt


class SealedLog:
    """A log whose personal data is encrypted: what goes in is sealed, what comes out is opened."""

    def __init__(self, inner: Log, sealing: Sealing) -> None:
        self._inner = inner
        self._sealing = sealing

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`."""
        sealed, receipt = await self._sealing.seal(append)
        answer = await self._inner.append(sealed)
        if isinstance(answer, Conflict):
            missed, cost = await self._sealing.open(answer.missed)
            answer = replace(answer, missed=missed)
            receipt += cost
        return replace(answer, receipt=answer.receipt + receipt)

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`."""
        return await self._inner.recall(stream, key)

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`."""
        page = await self._inner.read(after, limit, max_bytes, query)
        events, receipt = await self._sealing.open(page.events)
        return page._replace(events=events, receipt=page.receipt + receipt)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """See `Log.read_stream`."""
        page = await self._inner.read_stream(stream, after_revision, limit, max_bytes, snapshot)
        events, receipt = await self._sealing.open(page.events)
        return page._replace(events=events, receipt=page.receipt + receipt)

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """See `Log.keep`. No aggregate that folds personal data has snapshots."""
        return await self._inner.keep(stream, snapshot)

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`."""
        return await self._inner.head()

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`."""
        return await self._inner.settle(position)

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`."""
        return await self._inner.withdraw(position, raised_us)


class OpenedViews:
    """Views whose pages of events are opened. Their documents are in clear, and are handed through."""

    def __init__(self, inner: Views, sealing: Sealing) -> None:
        self._inner = inner
        self._sealing = sealing

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`."""
        pulled = await self._inner.pull(pull)
        events, cost = await self._sealing.open(pulled.events)
        return pulled._replace(events=events, receipt=pulled.receipt + cost)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`. What its page cost is in its receipt already: what the keys cost is added to that."""
        committed = await self._inner.commit(commits, then)
        pulled = committed.pulled
        if pulled is None:
            return committed
        events, cost = await self._sealing.open(pulled.events)
        return committed._replace(pulled=pulled._replace(events=events), receipt=committed.receipt + cost)


def _check_subject(subject: object) -> str:
    text = subject_text(subject)
    if text is None:
        raise Misuse("a subject is a printable text of 1 to 255 characters, a whole number or a UUID")
    return text


def _sealed(stream: str, event: NewEvent, whose: _Whose, key: SubjectKey) -> NewEvent:
    """An event with its personal fields encrypted."""
    name, version, _ = event
    fields = dict(whose.fields)
    header = Sealed(whose.subject, key.id, whose.sealed)
    for field in whose.sealed:
        place = _place(stream, name, version, whose.subject, field)
        fields[field] = msgspec.Raw(_encode(SealedValue(encrypt(key, bytes(fields[field]), place))))
    return (name, version, _encode({"$sealed": header, **fields}))


def _place(stream: str, name: str, version: int, subject: str, field: str) -> tuple[str, ...]:
    """What a ciphertext is bound to: moved anywhere else, it does not decrypt."""
    return (stream, name, str(version), subject, field)


def _header(row: StoredEvent) -> Sealed | None:
    """Whose data a sealed row holds; None where the header is none."""
    try:
        return _HEADERS.decode(row[9]).header
    except (ValueError, RecursionError):
        return None


def _opened(row: StoredEvent, header: Sealed | None, keys: Mapping[str, SubjectKey | None]) -> bytes:
    """The payload of a sealed row as it was before it was sealed, with null where the key is gone."""
    if header is None:
        return UNOPENED + b"its header is none"
    if header.subject not in keys:
        return UNOPENED + b"the key store has never known its subject; is it the one that it was written with?"
    key = keys[header.subject]
    fields = _FIELDS.decode(row[9])
    del fields["$sealed"]
    for field in header.fields:
        if key is None or key.id != header.key:
            fields[field] = _NULL
            continue
        place = _place(row[1], row[5], row[6], header.subject, field)
        try:
            fields[field] = msgspec.Raw(decrypt(key, _VALUE.decode(fields[field]).data, place))
        except (DoesNotFit, KeyError, ValueError, RecursionError):
            return UNOPENED + b"its ciphertext was changed, or is not of this place"
    return _encode(fields)
