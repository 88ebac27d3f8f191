"""Event types: a class, the name and schema version it is recorded under, and the upcasters that lead to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from ..errors import InvalidEvent, Misuse, SealedEvent, UndecodableEvent, UnknownEventType
from .codec import Codec, decode_metadata, decode_tags, reason
from .events import Recorded, StoredEvent
from .names import check_tags
from .personal import SEALED, UNOPENED, PersonalData, begins, personal_data
from .queries import Query, QueryItem

Tagger = Callable[[Any], Iterable[str]]
"""What tells the tags of an event. Any event: a function in a class's decorator cannot name that class."""

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
        tagger: What tells the tags of an event, or None where the type declares none.
    """

    __slots__ = (
        "_codec",
        "_upcasters",
        "cls",
        "decode",
        "encode",
        "name",
        "names",
        "personal",
        "shareable",
        "tagger",
        "version",
    )

    def __init__(
        self,
        name: str,
        version: int,
        cls: type,
        upcasters: Mapping[int, Upcaster],
        formerly: tuple[str, ...] = (),
        subject: object = None,
        tagger: Tagger | None = None,
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
        self.tagger: Tagger | None = tagger

    def tags_of(self, event: object, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The tags that its type declares for an event, and then others, each once.

        Raises:
            InvalidEvent: What tells them failed, or told something else than several tags.
        """
        if self.tagger is None:
            return more
        try:
            tags = _several(self.tagger(event))
        except Exception as error:
            raise InvalidEvent(f"event type {self.name!r}: its tags cannot be told: {reason(error)}") from error
        return tuple(dict.fromkeys((*tags, *more)))

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


def _several(told: object) -> tuple[str, ...]:
    """What a function told to be tags, if it is."""
    if isinstance(told, (str, bytes)):
        raise TypeError("it answers one string; tags are several, as in (tag,)")
    tags = tuple(cast("Iterable[str]", told))
    check_tags(tags)
    return tags


class EventTypes:
    """The event types that one registry knows: by name to read, by class to append.

    Attributes:
        by_name: By each name that an event may be recorded under: the present one, and the former ones.
        by_class: By the class of the event.
        ignored: Names of types that are passed over.
        tagging: Whether any type declares tags.
        unsealed: Whether a part was made of them that has no key store, so that no type may hold personal data.
    """

    __slots__ = ("by_class", "by_name", "ignored", "tagging", "unsealed")

    def __init__(self) -> None:
        self.tagging: bool = False
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

    def resolve(self, query: Query) -> Query:
        """A query as a log takes it: each type under every name that its events are recorded under.

        A name has to be known here, be it to be ignored: a condition on a name that is misspelt would never fail.

        Raises:
            Misuse: A class or a name that is not known; something that is no query, or a query of nothing.
        """
        if not isinstance(cast("object", query), Query) or not query.items:
            raise Misuse(f"{query!r} is no query; Query.of(types=[...], tags=[...]) makes one, and Query.all()")
        return Query(tuple(self._resolve(item) for item in query.items))

    def _resolve(self, item: QueryItem) -> QueryItem:
        if not item.classes and not item.types:
            return item
        names: set[str] = set()
        for cls in item.classes:
            if cls not in self.by_class:
                raise Misuse(
                    f"{cls.__name__} is not registered as an event type, so no query can mean it; put "
                    "@registry.event(...) on the class"
                )
            names.update(self.by_class[cls].names)
        for name in item.types:
            if name in self.by_name:
                names.update(self.by_name[name].names)
            elif name in self.ignored:
                names.add(name)
            else:
                raise Misuse(
                    f"a query means event type {name!r}, which is not registered; correct the name, or declare "
                    f"registry.ignore({name!r}) if it is another app's"
                )
        return QueryItem(frozenset(names), item.tags)

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
            return known.decode_version(row[6], row[9])
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
