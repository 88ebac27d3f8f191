"""Events as records of a topic, and back: CloudEvents (1.0, structured JSON), which others can read and write too.

    {"specversion":"1.0","id":"0190...","source":"eventsource-upstash","type":"task-created","subject":"task-1",
     "data":{"id":"1","text":"Do the dishes!"}}

The id is made of the time and the number that an event has in every log, and leads back to them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Final, NamedTuple, TypeAlias

import msgspec

from ...domain.events import MAX_VERSION, NewEvent, StoredEvent, event_id, identity_of
from ...domain.names import check_stream, is_name, is_type_name
from ...domain.positions import PLACE_BITS, position_at
from ...errors import Misuse, UndecodableEvent
from ...ports import Append
from .topic import Headers, NewRecord, Record

SOURCE: Final = "eventsource-upstash"
"""The `source` of the CloudEvents that this library writes."""

FOREIGN: Final = "kafka:foreign"
"""Type of the events that stand for records which are no CloudEvents. Declare it ignored, if they do not matter."""

HEADERS: Final[Headers] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)

MAX_MS: Final = 253_402_300_799_999
"""Last millisecond of the year 9999. Anybody may write any number as the time of a record, and none at all as -1."""

Translate: TypeAlias = Callable[[Record], "NewEvent | tuple[str, int, bytes, str] | None"]
"""What makes an event of a record of somebody else: its type, version and payload (JSON), and after them its stream
where that is not the record's key; None leaves it foreign."""


class Keyed(NamedTuple):
    """What stands beside an event that was appended under an idempotency key.

    Attributes:
        key: The key.
        digest: What tells that append from another one under the key; in base64.
        ordinal: The event's place in the append, from 0.
    """

    key: str
    digest: str
    ordinal: int


class Decoded(NamedTuple):
    """The events that records stand for.

    Attributes:
        rows: The events, one for each record, in their order.
        keyed: By their positions, those that were appended under a key.
    """

    rows: list[StoredEvent]
    keyed: Mapping[int, Keyed]


_ABSENT: Final = msgspec.Raw(b"")


class _Ours(msgspec.Struct, omit_defaults=True, gc=False):
    """A CloudEvent of ours. The names of its extension attributes are those of CloudEvents: letters, and no more."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    data: msgspec.Raw = _ABSENT
    data_base64: str = ""
    schemaversion: int = 1
    metadata: str = ""
    tags: str = ""
    metadatabase64: str = ""
    key: str = ""
    keydigest: str = ""
    ordinal: int = 0


class _Theirs(msgspec.Struct, gc=False):
    """What is taken of a CloudEvent of somebody else's."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    data: msgspec.Raw = _ABSENT
    data_base64: str | None = None


class _Foreign(msgspec.Struct, omit_defaults=True):
    """Payload of an event of the type `FOREIGN`: key and value as text, or in base64 where they are none."""

    key: str | None = None
    value: str | None = None
    key_base64: str | None = None
    value_base64: str | None = None


_encode: Final = msgspec.json.Encoder().encode
_ours: Final = msgspec.json.Decoder(_Ours).decode
_theirs: Final = msgspec.json.Decoder(_Theirs).decode
_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_object: Final = msgspec.json.Decoder(dict[str, object]).decode
_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode


def encode(append: Append) -> list[NewRecord]:
    """The records of an append.

    Raises:
        Misuse: An event is of a type that nobody can register: it would be read as somebody else's record.
    """
    stream, recorded_us = append.stream, append.recorded_us
    metadata, metadata_base64 = _metadata(append.metadata)
    tags = append.tags
    key = append.key or ""
    digest = digest_of(append) if key else ""
    records: list[NewRecord] = []
    record_key = stream.encode()
    for ordinal, (type_, version, payload) in enumerate(append.events):
        if not is_type_name(type_):
            raise Misuse(
                f"append to stream {stream!r}: {type_!r} can be no event type's name, so a topic cannot hold it"
            )
        own = tags if tags is None or isinstance(tags, bytes) else tags[ordinal]
        is_json = _is_json(payload)
        event = _Ours(
            "1.0",
            event_id(recorded_us, append.number + ordinal),
            SOURCE,
            type_,
            stream,
            msgspec.Raw(payload) if is_json else _ABSENT,
            "" if is_json else base64.b64encode(payload).decode(),
            version,
            metadata,
            "" if own is None else own.decode(),
            metadata_base64,
            key,
            digest,
            ordinal,
        )
        records.append(NewRecord(record_key, _encode(event), recorded_us // 1000, HEADERS))
    return records


def digest_of(append: Append) -> str:
    """What tells an append from another one under its key, as records have it."""
    return base64.b64encode(append.digest).decode()


def _metadata(metadata: bytes | None) -> tuple[str, str]:
    """Metadata as a text, or in base64 where it is none."""
    text = _text(metadata)
    if metadata is None or text is not None:
        return text or "", ""
    return "", base64.b64encode(metadata).decode()


class Records:
    """Decodes the records of a topic.

    Args:
        topic: The topic's name.
        translate: What makes events of the records of others, or None.
    """

    def __init__(self, topic: str, translate: Translate | None = None) -> None:
        self._topic = topic
        self._translate = translate

    def decode(self, records: Iterable[Record]) -> tuple[Decoded, dict[int, UndecodableEvent]]:
        """The events that records stand for: of each partition up to one that the app's own function fails at.

        Answers those failures as well, by partition.
        """
        return self._decode(records, self._translate)

    def look(self, records: Iterable[Record]) -> Decoded:
        """The same, only to be compared with others: what the app's function would make of a record is not asked."""
        return self._decode(records, None)[0]

    def _decode(
        self, records: Iterable[Record], translate: Translate | None
    ) -> tuple[Decoded, dict[int, UndecodableEvent]]:
        rows: list[StoredEvent] = []
        keyed: dict[int, Keyed] = {}
        failed: dict[int, UndecodableEvent] = {}
        for record in records:
            if failed and record[0] in failed:
                continue
            value = record[4]
            try:
                event = None if value is None else _ours(value)
            except (ValueError, RecursionError):
                event = None
            identity = None if event is None or event.source != SOURCE else identity_of(event.id)
            payload = None
            if event is not None and identity is not None and event.specversion == "1.0" and _is_sound(event):
                payload = bytes(event.data) if not event.data_base64 else _payload(event.data, event.data_base64)
            if event is None or identity is None or payload is None:
                try:
                    rows.append(self._others(record, translate))
                except UndecodableEvent as error:
                    failed[record[0]] = error
                continue
            place = record[1] + 1
            position = record[0] << PLACE_BITS | place
            metadata = None
            if event.metadata or event.metadatabase64:
                metadata = _payload(_ABSENT, event.metadatabase64) or event.metadata.encode()
            tags = event.tags.encode() if event.tags else None
            rows.append(
                (position, event.subject, place, *identity, event.type, event.schemaversion, metadata, tags, payload)
            )
            if event.key:
                keyed[position] = Keyed(event.key, event.keydigest, event.ordinal)
        return Decoded(rows, keyed), failed

    def _others(self, record: Record, translate: Translate | None) -> StoredEvent:
        """The event that a record of somebody else's stands for."""
        place = record.offset + 1
        position = position_at(record.partition, place)
        recorded_us, number = min(max(record.timestamp_ms, 0), MAX_MS) * 1000, position
        stream = _text(record.key) or FOREIGN
        stream = stream if is_name(stream) else FOREIGN
        made: NewEvent | None = None
        known = _cloud_event(record.value)
        if known is not None:
            event, payload = known
            stream = event.subject if event.subject and is_name(event.subject) else stream
            made = (event.type, 1, payload)
            recorded_us = _moment(event.time, recorded_us)
            recorded_us, number = identity_of(event.id) or (recorded_us, _number(event.source, event.id))
        elif translate is not None:
            try:
                told = translate(record)
                if told is not None and len(told) > 3:
                    *_, stream = told
                    check_stream(stream)
                made = _checked(told)
            except Exception as error:  # whatever the app's function raises
                raise UndecodableEvent(
                    type=FOREIGN,
                    stream=stream,
                    position=position,
                    reason=f"the function handed over as foreign= raised {type(error).__name__} at it (topic "
                    f"{self._topic!r}, partition {record.partition}, offset {record.offset})",
                ) from error
        if made is None:
            made = (FOREIGN, 1, _encode(_told(record)))
        type_, version, payload = made
        return (position, stream, place, recorded_us, number, type_, version, None, None, payload)


def _checked(told: NewEvent | tuple[str, int, bytes, str] | None) -> NewEvent | None:
    """What an app's function answered, if it is an event. Raises `TypeError` where it is none."""
    if told is None:
        return None
    type_, version, payload = told[:3]
    if not (type(type_) is str and type(version) is int and type(payload) is bytes):
        raise TypeError("it answers (type, version, payload): a text, a whole number and bytes")
    return type_, version, payload


def _is_sound(event: _Ours) -> bool:
    """Whether this library can have written it. Anybody may write its name as the source, and then anything."""
    if not (is_type_name(event.type) and is_name(event.subject) and 0 < event.schemaversion <= MAX_VERSION):
        return False
    try:
        if event.tags:
            _tags(event.tags)
        if event.metadata:
            _object(event.metadata)
    except (ValueError, RecursionError):
        return False
    return True


def _is_json(payload: bytes) -> bool:
    """Whether a payload can stand in JSON as it is, to be read back as it is."""
    try:
        payload.decode()
        return bytes(_raw(payload)) == payload
    except (ValueError, RecursionError):
        return False


def _payload(data: msgspec.Raw, encoded: str | None) -> bytes | None:
    """The payload of a CloudEvent; None where it is not what it says."""
    if not encoded:
        return bytes(data)
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return None


def _cloud_event(value: bytes | None) -> tuple[_Theirs, bytes] | None:
    """Somebody's CloudEvent, and its payload as JSON; None for anything else."""
    if value is None:
        return None
    try:
        event = _theirs(value)
    except (ValueError, RecursionError):
        return None
    payload = _payload(event.data, event.data_base64)
    # A type that nobody could register could not be ignored either: it would stop every reader for good.
    if not event.specversion.startswith("1.") or not is_type_name(event.type) or payload is None:
        return None
    return event, payload or b"null"


def _moment(time: str | None, otherwise: int) -> int:
    """The time of a CloudEvent in microseconds since 1970, if it tells one."""
    if time is None:
        return otherwise
    try:
        moment = msgspec.convert(time, datetime)
    except msgspec.ValidationError:
        return otherwise
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return max(0, round(moment.timestamp() * 1_000_000))


def _number(source: str, id: str) -> int:
    """A number for an event that has another id than ours have: the same whenever it is read, and sent again."""
    from hashlib import blake2b  # brings OpenSSL along: only for those who read what others write

    return int.from_bytes(blake2b(f"{source}\0{id}".encode(), digest_size=8).digest(), "big") >> 3


def _text(content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _told(record: Record) -> _Foreign:
    """A foreign record as a payload."""
    key, value = _text(record.key), _text(record.value)
    return _Foreign(
        key,
        value,
        base64.b64encode(record.key).decode() if key is None and record.key is not None else None,
        base64.b64encode(record.value).decode() if value is None and record.value is not None else None,
    )
