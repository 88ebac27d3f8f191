"""What a folded page leaves beside its documents: why it stopped, what was parked or skipped, what changed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ..domain.events import StoredEvent, stored_id
from ..domain.folding import Aside, Folded
from ..domain.positions import plain
from ..domain.progress import Notes, Stopped
from ..domain.projections import Projection
from ..ports import Commit, Progress, Pulled, Role, Stored

MAX_PARKED: Final = 1_000
"""Most events that may be parked for a projection. Beyond it stops: a fold that always fails would park the log."""

SKIPPED_KEPT: Final = 100
"""Of so many skipped events it is kept which they were: the last ones."""

CHANGES_KEPT: Final = 256
"""Of so many commits it is kept what they changed: the last ones. Who has fallen behind further reads the view anew."""

PARKED: Final = "parked"
"""The record that tells which events are parked."""

_MAX_TRACEBACK: Final = 4_000


class Directory(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which events are parked.

    Attributes:
        keys: For each document key the positions of its events, in order.
    """

    keys: dict[str, list[int]] = msgspec.field(default_factory=dict[str, "list[int]"])

    @property
    def count(self) -> int:
        """How many events are parked; one that concerns two documents counts twice."""
        return sum([len(positions) for positions in self.keys.values()])


class ParkedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a parked event. The event itself is in the log, and what is personal in it only there.

    Attributes:
        position: Its position.
        stream: Its stream.
        type: Its type name as recorded.
        first_us: When it was set aside.
        last_us: When its fold was tried last.
        attempts: How often its fold was tried; 0 while it only waits behind another one.
        error: What its fold raised, in a line.
        traceback: Where.
    """

    position: int
    stream: str
    type: str
    first_us: int
    last_us: int
    attempts: int = 0
    error: str = ""
    traceback: str = ""


class SkippedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A skipped event, as it is kept."""

    number: int
    position: int
    stream: str
    type: str
    key: str | None
    error: str
    skipped_us: int


class ChangesRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one commit changed, as it is kept.

    Attributes:
        number: Its number among the commits of the build that changed anything, from 1.
        position: The checkpoint that the view reached with it; the text of a vector.
        put: Keys of documents that are there, or have changed.
        deleted: Keys of documents that are gone.
    """

    number: int
    position: int | str
    put: list[str] = []
    deleted: list[str] = []


_directory: Final = msgspec.json.Decoder(Directory)


def parked_record(position: int, key: str) -> str:
    """Name of the record of a parked event."""
    return f"parked:{position}:{key}"


def skipped_record(number: int) -> str:
    """Name of the record of a skipped event."""
    return f"skipped:{number % SKIPPED_KEPT}"


def changes_record(number: int) -> str:
    """Name of the record of what a commit changed."""
    return f"changes:{number % CHANGES_KEPT}"


def directory_of(stored: Stored) -> Directory:
    """Which events are parked, as loaded."""
    found = stored.records.get(PARKED)
    return Directory() if found is None else _directory.decode(found)


def told(error: BaseException | None) -> tuple[str, str]:
    """An error in a line, and where it was raised."""
    if error is None:
        return "", ""
    raised = error if error.__cause__ is None else error.__cause__
    # The frames alone: the text of the exception is in the line, and what lies below it may be anything.
    frames = "".join(traceback.format_tb(raised.__traceback__))
    return str(error), frames[-_MAX_TRACEBACK:]


def to_be_parked(projection: Projection[object], aside: Sequence[Aside]) -> Sequence[Aside]:
    """Those of the events set aside that are parked. What waits behind a parked event is, whatever `on_error` says."""
    return aside if projection.on_error == "park" else [each for each in aside if each.error is None]


def mark_of(pulled: Pulled, rows: Sequence[StoredEvent], checkpoint: int) -> str | None:
    """The id of the event at the checkpoint that a page is folded up to, where that is to be noted."""
    if pulled.mark is None or checkpoint == pulled.after:
        return pulled.mark
    return next((stored_id(row) for row in reversed(rows) if row[0] == checkpoint), "")


def fits(directory: Directory, aside: Sequence[Aside]) -> int | None:
    """Which of the events set aside is the first that is too much to be parked, if any is."""
    room = MAX_PARKED - directory.count
    return room if len(aside) > room else None


class Noting:
    """Makes commits of folded pages.

    Args:
        clock: Nanoseconds since 1970 (UTC).
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    @property
    def now_us(self) -> int:
        """The time, in microseconds since 1970."""
        return self._clock() // 1000

    def commit(
        self,
        projection: Projection[object],
        progress: Progress,
        folded: Folded,
        stored: Stored,
        head: int,
        mark: str | None = None,
    ) -> Commit | None:
        """What is to be written, or None when it would change nothing: the same stop at the same event again.

        Args:
            projection: Whose fold it was.
            progress: How far the build is.
            folded: What the page became.
            stored: What there was before.
            head: The log's last position.
            mark: Id of the event at the new checkpoint, where the view is kept elsewhere than the log.
        """
        before = progress.notes
        stopped = folded.stopped
        if stopped is not None:
            if before.stopped is not None and _same(before.stopped, stopped):
                stopped = before.stopped
            else:
                stopped = Stopped(stopped.position, stopped.reason, self.now_us)
            if folded.checkpoint == progress.checkpoint and stopped == before.stopped:
                return None
        elif before.stopped is not None and before.stopped.position <= progress.checkpoint:
            stopped = before.stopped  # a reactor, at a reaction to an event that is folded: no fold changes that
        records: dict[str, bytes | None] = {}
        notes = Notes(
            stopped=stopped,
            parked=before.parked,
            skipped=before.skipped,
            changes=before.changes,
            shape=before.shape if folded.checkpoint == progress.checkpoint else projection.shape,
            pending=before.pending,
            failed=before.failed,
            mark=before.mark if mark is None else mark,
        )
        if folded.aside:
            waiting = to_be_parked(projection, folded.aside)
            if waiting:
                notes = self._park(notes, waiting, stored, records)
            if len(waiting) < len(folded.aside):
                notes = self._skip(notes, [each for each in folded.aside if each.error is not None], records)
        if projection.changes and progress.role is Role.SERVING and folded.documents:
            notes = _changed(notes, folded.checkpoint, folded.documents, records)
        created = [key for key in folded.documents if key not in stored.documents]
        return Commit(
            progress.projection,
            progress.generation,
            progress.checkpoint,
            folded.checkpoint,
            folded.documents,
            counted(projection, notes, len(created)),
            created,
            progress.edition,
            folded.entries,
            {key: stored.entries[key] for key in folded.documents if key in stored.entries} if stored.entries else {},
            records,
            head,
        )

    def _park(self, notes: Notes, aside: Sequence[Aside], stored: Stored, records: dict[str, bytes | None]) -> Notes:
        directory = directory_of(stored)
        keys = {key: list(positions) for key, positions in directory.keys.items()}
        now_us = self.now_us
        for row, key, error in aside:
            assert key is not None
            keys.setdefault(key, []).append(row[0])
            line, frames = told(error)
            kept = ParkedRecord(row[0], row[1], row[5], now_us, now_us, 0 if error is None else 1, line, frames)
            records[parked_record(row[0], key)] = msgspec.json.encode(kept)
        changed = Directory(keys)
        records[PARKED] = msgspec.json.encode(changed)
        return msgspec.structs.replace(notes, parked=changed.count)

    def _skip(self, notes: Notes, aside: Sequence[Aside], records: dict[str, bytes | None]) -> Notes:
        number = notes.skipped
        now_us = self.now_us
        for row, key, error in aside:
            number += 1
            kept = SkippedRecord(number, row[0], row[1], row[5], key, told(error)[0], now_us)
            records[skipped_record(number)] = msgspec.json.encode(kept)
        return msgspec.structs.replace(notes, skipped=number)


def counted(projection: Projection[object], notes: Notes, created: int) -> Notes:
    """Notes with the documents counted that came into a reactor's outbox."""
    if not created or not projection.outbox:
        return notes
    return msgspec.structs.replace(notes, pending=notes.pending + created)


def _changed(
    notes: Notes, checkpoint: int, documents: Mapping[str, bytes | None], records: dict[str, bytes | None]
) -> Notes:
    number = notes.changes + 1
    put = [key for key, document in documents.items() if document is not None]
    deleted = [key for key, document in documents.items() if document is None]
    records[changes_record(number)] = msgspec.json.encode(ChangesRecord(number, plain(checkpoint), put, deleted))
    return msgspec.structs.replace(notes, changes=number)


def staying(progress: Progress) -> Commit:
    """A commit that leaves a build where it is, and changes nothing yet: `_replace` says what."""
    return Commit(
        progress.projection,
        progress.generation,
        progress.checkpoint,
        progress.checkpoint,
        {},
        progress.notes,
        (),
        progress.edition,
    )


def with_changes(commit: Commit) -> Commit:
    """A commit that does not come from a page, with what it changes noted in the feed as well."""
    records = dict(commit.records)
    notes = _changed(commit.notes, commit.checkpoint, commit.documents, records)
    return commit._replace(notes=notes, records=records)


def _same(one: Stopped, other: Stopped) -> bool:
    return (one.position, one.reason) == (other.position, other.reason)
