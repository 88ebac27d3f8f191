"""Appends as entries of Redis streams, and back.

An entry holds a whole append: what its events have in common, then type and payload of each. Everything in it is text,
since what travels over REST is JSON; bytes that are no text travel as base64 behind a mark.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Final, cast

from ...domain.events import StoredEvent
from ...errors import CorruptLog
from ...ports import Append

_MARK: Final = "\0"
_DAMAGE: Final = "Was something deleted or evicted? Restore a backup, and switch eviction off"

LOG_FIELDS: Final = 10
"""Words before the first event of an entry of the log: s stream, r revision, i identity, m metadata, t tags."""

STREAM_FIELDS: Final = 12
"""The same in a stream's own entries: p position, i identity, b bytes, a cuts, m metadata, t tags."""


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
    """Metadata or tags as an argument."""
    return "" if content is None else to_text(content)


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


def _events(
    fields: Sequence[str], start: int, identity: int, stream: str, position: int, revision: int
) -> list[StoredEvent]:
    """The events of an entry, whose last one has that position and revision."""
    recorded, _, first_number = fields[identity].partition("-")
    recorded_us, number = int(recorded), int(first_number)
    metadata = to_bytes(fields[start - 3]) if fields[start - 3] else None
    tags = to_bytes(fields[start - 1]) if fields[start - 1] else None
    count, odd = divmod(len(fields) - start, 2)
    if odd or not count:
        raise ValueError("an entry without events, or with half of one")
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
                tags,
                to_bytes(fields[index + 1]),
            )
        )
        number += 1
    return events
