"""The record of a view, in which all its builds stand, as the scripts write it."""

from __future__ import annotations

from typing import Final, cast

import msgspec

from ...domain.projections import NO_NOTES, Notes, ProjectionId
from ...ports import Progress, Role
from ..builds import Builds, unseen
from .keys import Keys
from .log import RedisLog
from .reading import foreign

_ROLES: Final = {"S": Role.SERVING, "B": Role.BUILDING, "K": Role.KEPT, "D": Role.DROPPED}
_notes: Final = msgspec.json.Decoder(Notes)


class View(msgspec.Struct, frozen=True):
    """A view's record.

    Attributes:
        builds: Its builds.
        count: How many documents the one that serves has, whether they have ended or not.
        version: Version of the directory of that build's leaves.
        ends: Whether a document of that build ever had an end.
    """

    builds: Builds
    count: int = 0
    version: str = "0"
    ends: bool = False


def read_view(projection: ProjectionId, record: str | None) -> View:
    """Read a view's record; None stands for a view that nothing was ever written to. Raises `ValueError`."""
    if record is None:
        return View(unseen(projection))
    head, *lines = record.removesuffix("\n").split("\n")
    format_, last = head.split(" ")
    if format_ != "1":
        raise ValueError("another format")
    serving: tuple[str, str, str] | None = None
    builds: list[Progress] = []
    for line in lines:
        generation, checkpoint, edition, count, version, role, met, ends, _, notes = line.split(" ", 9)
        builds.append(
            Progress(
                projection,
                int(generation),
                int(checkpoint),
                int(edition),
                _ROLES[role],
                met == "1",
                _notes.decode(notes) if notes else NO_NOTES,
            )
        )
        if role == "S":
            serving = count, version, ends
    if serving is None:
        raise ValueError("no build serves")
    count, version, ends = serving
    return View(Builds(projection, (), int(last)).replaced(*builds), int(count), version, ends == "1")


def text_of_notes(notes: Notes) -> str:
    """Notes as they stand in the record: in one line."""
    return "" if notes == NO_NOTES else msgspec.json.encode(notes).decode()


class Records:
    """The records of all views of a namespace: reads them, and remembers which build was last seen to serve.

    Args:
        keys: The namespace's keys.
        log: The log, where it is beside the views.

    Attributes:
        keys: The same.
        own: The same log.
    """

    def __init__(self, keys: Keys, log: RedisLog | None) -> None:
        self.keys = keys
        self.own = log
        self._seen: dict[ProjectionId, View] = {}

    def seen(self, projection: ProjectionId) -> View:
        """A view's record as it was last seen: a guess, which whoever acts on it has to check."""
        return self._seen.get(projection) or View(unseen(projection))

    def read(self, projection: ProjectionId, record: object) -> View:
        """Read a record that an answer holds. Raises `Refused` for what is none."""
        try:
            view = read_view(projection, cast("str | None", record))
        except (AttributeError, KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
            raise foreign(f"namespace {self.keys.namespace!r}", self.keys.view(projection)) from error
        self._seen[projection] = view
        return view

    def head(self, record: object) -> int | None:
        """The log's last position, of its head record; None where the log is elsewhere."""
        return None if self.own is None else self.own.position_of(record)
