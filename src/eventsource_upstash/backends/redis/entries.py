"""Appends as entries of Redis streams, and back.

An entry holds a whole append: what its events have in common, then type and payload of each. Everything in it is text,
since what travels over REST is JSON; bytes that are no text travel as base64 behind a mark.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Final, cast

import msgspec

from ...domain.events import StoredEvent
from ...errors import CorruptLog
from ...ports import Append, Snapshot

_MARK: Final = "\0"
_EACH: Final = "\1"
_DAMAGE: Final = "Was something deleted or evicted? Restore a backup, and switch eviction off"

LOG_FIELDS: Final = 10
"""Words before the first event of an entry of the log: s stream, r revision, i identity, m metadata, t tags."""

STREAM_FIELDS: Final = 8
"""The same in a stream's own entries: p position, i identity, m metadata, t tags."""


def to_text(content: bytes) -> str:
    """Bytes as text that JSON can carry."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _MARK + b64encode(content).decode()
    return _MARK + b64encode(content).decode() if text.startswith(_MARK) else text


def to_bytes(text: str) -> bytes:
    """The bytes that were made text."""
    return b64decode(text[1:]) if text.startswith(_MARK) else text.encode()


def identity_of(append: Append) -> str:
    """What tells this append from every other one."""
    return f"{append.recorded_us}-{append.number}"


def arguments_of(append: Append) -> list[str]:
    """Type and payload of each event, in turns."""
    arguments: list[str] = []
    for type_, version, payload in append.events:
        arguments.append(f"{version}:{type_}")
        arguments.append(to_text(payload))
    return arguments


def optional(content: bytes | None) -> str:
    """Metadata as an argument."""
    return "" if content is None else to_text(content)


def text_of_tags(tags: bytes | Sequence[bytes | None] | None) -> str:
    """Tags as an argument: of all events alike, or behind another mark a list of those of each."""
    if tags is None or isinstance(tags, bytes):
        text = optional(tags)
        return _MARK + b64encode(tags or b"").decode() if text.startswith(_EACH) else text
    if all(each == tags[0] for each in tags):
        return text_of_tags(tags[0])
    return _EACH + msgspec.json.encode([None if each is None else to_text(each) for each in tags]).decode()


def snapshot_record(snapshot: Snapshot) -> str:
    """A snapshot as it is kept."""
    return f"{snapshot.revision} {to_text(snapshot.state)}"


def read_snapshot(name: str, record: str) -> Snapshot:
    """A snapshot that was kept under a name."""
    revision, _, state = record.partition(" ")
    return Snapshot(name, int(revision), to_bytes(state))


def read_log(entries: object, after: int, where: str) -> list[StoredEvent]:
    """The events in entries of the log that come after a position.

    Raises:
        CorruptLog: Entries are missing, or are not what was written.
    """
    rows: list[StoredEvent] = []
    try:
        for id_, fields in cast("Iterable[tuple[str, Sequence[str]]]", entries):
            last = int(id_.partition("-")[0])
            events = _events(fields, LOG_FIELDS, 5, fields[1], last, int(fields[3]))
            if not _follows(events[0][0], after, first=not rows):
                break
            rows += events if events[0][0] == after + 1 else [row for row in events if row[0] > after]
            after = last
    except (TypeError, ValueError, IndexError) as error:
        raise CorruptLog(f"{where}: the entry after position {after} is not what was written") from error
    if not rows:
        raise CorruptLog(f"{where}: the log has no event after position {after}, though its head is beyond. {_DAMAGE}")
    return rows  # up to a gap, if there is one: the next page begins with it


def read_stream(entries: object, stream: str, after: int, where: str) -> list[StoredEvent]:
    """The events in entries of a stream that come after a revision.

    Raises:
        CorruptLog: Entries are missing, or are not what was written.
    """
    rows: list[StoredEvent] = []
    try:
        for id_, fields in cast("Iterable[tuple[str, Sequence[str]]]", entries):
            revision = int(id_.partition("-")[0])
            events = _events(fields, STREAM_FIELDS, 3, stream, int(fields[1]), revision)
            if not _follows(events[0][2], after, first=not rows):
                break
            rows += events if events[0][2] == after + 1 else [row for row in events if row[2] > after]
            after = revision
    except (TypeError, ValueError, IndexError) as error:
        raise CorruptLog(f"{where}: the entry of {stream!r} after revision {after} is not what was written") from error
    if not rows:
        raise CorruptLog(
            f"{where}: stream {stream!r} has no event after revision {after}, though it goes on. {_DAMAGE}"
        )
    return rows


def _follows(begin: int, after: int, *, first: bool) -> bool:
    """Whether an entry that begins there goes on after a number, without a gap. The first one may begin before it."""
    if begin <= after and not first:
        raise ValueError("two entries overlap")
    return begin <= after + 1


def read_found(entries: object, where: str) -> list[StoredEvent]:
    """The events that a query found.

    Args:
        entries: Of each entry its id, its number of events, the words before the first one, and offset, type and
            payload of each event that was found.
        where: What messages call the log.

    Raises:
        CorruptLog: They are not what was written.
    """
    rows: list[StoredEvent] = []
    try:
        for id_, total, fields, found in cast("Iterable[tuple[str, str, Sequence[str], Sequence[str]]]", entries):
            count = int(total)
            recorded_us, number, metadata, tags = _common(fields, LOG_FIELDS, 5, count)
            for index in range(0, len(found), 3):
                offset = int(found[index])
                version, _, type_ = found[index + 1].partition(":")
                rows.append(
                    (
                        int(id_.partition("-")[0]) - count + 1 + offset,
                        fields[1],
                        int(fields[3]) - count + 1 + offset,
                        recorded_us,
                        number + offset,
                        type_,
                        int(version),
                        metadata,
                        tags if tags is None or isinstance(tags, bytes) else tags[offset],
                        to_bytes(found[index + 2]),
                    )
                )
    except (TypeError, ValueError, IndexError) as error:
        reached = rows[-1][0] if rows else 0
        raise CorruptLog(f"{where}: an entry after position {reached} is not what was written") from error
    return rows


def lost_event(position: int, where: str) -> CorruptLog:
    """The error for an event that is to be found, and is not there."""
    return CorruptLog(f"{where}: the log has no event at position {position}, though it is marked there. {_DAMAGE}")


def _events(
    fields: Sequence[str], start: int, identity: int, stream: str, position: int, revision: int
) -> list[StoredEvent]:
    """The events of an entry, whose last one has that position and revision."""
    count, odd = divmod(len(fields) - start, 2)
    if odd or not count:
        raise ValueError("an entry without events, or with half of one")
    recorded_us, number, metadata, tags = _common(fields, start, identity, count)
    position -= count
    revision -= count
    events: list[StoredEvent] = []
    for index in range(start, len(fields), 2):
        version, _, type_ = fields[index].partition(":")
        position += 1
        revision += 1
        events.append(
            (
                position,
                stream,
                revision,
                recorded_us,
                number,
                type_,
                int(version),
                metadata,
                tags if tags is None or isinstance(tags, bytes) else tags[len(events)],
                to_bytes(fields[index + 1]),
            )
        )
        number += 1
    return events


def _common(
    fields: Sequence[str], start: int, identity: int, count: int
) -> tuple[int, int, bytes | None, bytes | list[bytes | None] | None]:
    """What an entry's events have in common: recorded time, first number, metadata, and tags (or those of each)."""
    recorded, _, number = fields[identity].partition("-")
    metadata = to_bytes(fields[start - 3]) if fields[start - 3] else None
    text = fields[start - 1]
    if not text:
        return int(recorded), int(number), metadata, None
    if not text.startswith(_EACH):
        return int(recorded), int(number), metadata, to_bytes(text)
    each = msgspec.json.decode(text[1:], type=list[str | None])
    if len(each) != count:
        raise ValueError("tags of other events than there are")
    return int(recorded), int(number), metadata, [None if tags is None else to_bytes(tags) for tags in each]
