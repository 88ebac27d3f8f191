"""Event types: a class, the name and schema version it is recorded under, and the upcasters that lead to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from ..errors import Misuse, SealedEvent, UndecodableEvent, UnknownEventType
from .codec import Codec, decode_metadata, decode_tags, reason
from .events import Recorded, StoredEvent
from .personal import SEALED, UNOPENED, PersonalData, begins, personal_data
from .queries import Query, QueryItem

Upcaster = Callable[[dict[str, object]], dict[str, object]]

_PLAIN: Final = msgspec.json.Decoder(dict[str, object])


class EventType:
    """One registered event type.

    Attributes:
        name: The name it is recorded under.
        names: That name, and those that it was recorded under before.
        version: The schema version that its class stands for.
        cls: The class.
        encode: Instance to bytes that are known to read back. Raises `InvalidEvent`.
        decode: Bytes of the present version to an instance. Raises whatever the decoder does.
        personal: What is personal in its events; None where nothing is.
        shareable: Whether one instance may be handed to several handlers, because nothing in it can be changed.
    """

    __slots__ = ("_codec", "_upcasters", "cls", "decode", "encode", "name", "names", "personal", "shareable", "version")

    def __init__(
        self,
        name: str,
        version: int,
        cls: type,
        upcasters: Mapping[int, Upcaster],
        formerly: tuple[str, ...] = (),
        subject: object = None,
    ) -> None:
        self._codec: Codec[object] = Codec(cls, f"event type {name!r}")
        self._upcasters = dict(upcasters)
        self.name: str = name
        self.names: tuple[str, ...] = (name, *formerly)
        self.version: int = version
        self.cls: type = cls
        self.encode: Callable[[object], bytes] = self._codec.encode_checked
        self.decode: Callable[[bytes], object] = self._codec.decode
        self.personal: PersonalData | None = personal_data(cls, self._codec.schema, subject, f"event type {name!r}")
        self.shareable: bool = self._codec.schema.immutable

    def decode_version(self, version: int, payload: bytes) -> object:
        """Bytes of any version up to the present one to an instance, by way of the upcasters."""
        if version == self.version:
            return self.decode(payload)
        data = _PLAIN.decode(payload)
        step = version
        try:
            for step in range(version, self.version):
                data = self._upcasters[step](data)
        except Exception as error:
            raise ValueError(f"the upcaster from version {step}: {reason(error)}") from error
        return self._codec.convert(data)


class EventTypes:
    """The event types that one registry knows: by name to read, by class to append.

    Attributes:
        by_name: By each name that an event may be recorded under: the present one, and the former ones.
        by_class: By the class of the event.
        ignored: Names of types that are passed over.
        unsealed: Whether a part was made of them that has no key store, so that no type may hold personal data.
    """

    __slots__ = ("by_class", "by_name", "ignored", "unsealed")

    def __init__(self) -> None:
        self.by_name: dict[str, EventType] = {}
        self.by_class: dict[type, EventType] = {}
        self.ignored: set[str] = set()
        self.unsealed: bool = False

    def of(self, event: object) -> EventType:
        """The registered type of an event. Raises `Misuse` when its class is not registered."""
        known = self.by_class.get(type(event))
        if known is None:
            if isinstance(event, type):
                raise Misuse(f"{event.__name__} is the class of an event; hand over an instance: {event.__name__}(...)")
            if isinstance(event, (list, tuple)):
                raise Misuse("events are handed over one by one, not in a list: append(stream, *events)")
            raise Misuse(
                f"{type(event).__name__} is not registered as an event type; put @registry.event(...) on the class"
            )
        return known

    def under_all_names(self, query: Query) -> Query:
        """A query that means its types under every name that their events are recorded under.

        Whichever of its names a type is asked for by, all of its events are meant. Names that are not registered stay
        as they are: the log may hold other apps' events.
        """
        by_name = self.by_name
        if not any(len(by_name[name].names) > 1 for item in query.items for name in item.types if name in by_name):
            return query
        items: list[QueryItem] = []
        for item in query.items:
            names = [by_name[name].names if name in by_name else (name,) for name in item.types]
            items.append(QueryItem(frozenset(name for each in names for name in each), item.tags))
        return Query(tuple(items))

    def decode(self, row: StoredEvent) -> object:
        """The event in a stored row.

        Raises:
            UnknownEventType: Its type is not registered, or its version is newer than the registered one.
            UndecodableEvent: Its payload does not fit its class.
        """
        known = self.by_name.get(row[5])
        if known is None or row[6] > known.version:
            raise self.unknown(row)
        try:
            return known.decode(row[9]) if row[6] == known.version else known.decode_version(row[6], row[9])
        except Exception as error:
            raise undecodable(row, error) from error

    def unknown(self, row: StoredEvent) -> UnknownEventType:
        """The error for a row whose type or version is not known."""
        known = self.by_name.get(row[5])
        return UnknownEventType(
            type=row[5],
            version=row[6],
            known=known.version if known else None,
            stream=row[1],
            position=row[0],
        )

    def recorded(self, rows: list[StoredEvent]) -> Iterator[Recorded[object]]:
        """The recorded events in stored rows, those of ignored types left out. Raises as `decode` does."""
        by_name = self.by_name
        for row in rows:
            position, stream, revision, recorded_us, number, name, version, metadata, tags, payload = row
            known = by_name.get(name)
            if known is None and name in self.ignored:
                continue
            if known is None or version != known.version:
                event = self.decode(row)
            else:
                try:
                    event = known.decode(payload)
                except Exception as error:
                    raise undecodable(row, error) from error
            if metadata is None and tags is None:
                yield Recorded(position, stream, revision, name, version, event, recorded_us=recorded_us, number=number)
            else:
                yield recorded_of(row, event)


def recorded_of(row: StoredEvent, event: object) -> Recorded[object]:
    """The recorded event of a row whose event is decoded already.

    Raises:
        UndecodableEvent: Its metadata or tags are not what was written.
    """
    position, stream, revision, recorded_us, number, name, version, encoded_metadata, encoded_tags, _ = row
    try:
        metadata = decode_metadata(encoded_metadata)
        tags = decode_tags(encoded_tags)
    except Exception as error:
        raise undecodable(row, error) from error
    return Recorded(position, stream, revision, name, version, event, metadata, tags, recorded_us, number)


def undecodable(row: StoredEvent, error: Exception) -> UndecodableEvent:
    """The error for a row whose payload does not decode."""
    told = reason(error)
    if begins(row[9], SEALED):
        return SealedEvent(type=row[5], stream=row[1], position=row[0])
    if begins(row[9], UNOPENED):
        told = "its personal data cannot be opened: " + row[9][len(UNOPENED) :].decode()
    return UndecodableEvent(type=row[5], stream=row[1], position=row[0], reason=told)
