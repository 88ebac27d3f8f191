"""The folder of a run: lines of JSON, written as they come, read again by the verdict and the plot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

R = TypeVar("R")


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command of a writer, with all that was tried for it.

    Attributes:
        process: Whose.
        stream: Of the task.
        mark: Stands in the event, and in no other; for a deletion, `deleted`.
        began: `time.monotonic_ns` before it was first sent.
        ended: The same when its answer was there; None where the run was over before.
        outcome: `ok`, `refused` (surely nothing was written) or `unknown`.
        position: What the answer told; 0 where nothing had to happen.
        tries: How often it was sent.
        again: What a further request under the same key was told afterwards, where there was one.
    """

    process: str
    stream: str
    mark: str
    action: str
    began: int
    ended: int | None = None
    outcome: str = "unknown"
    position: int = 0
    tries: int = 1
    again: int | None = None


class Doc(msgspec.Struct, frozen=True, array_like=True):
    """A task as a reader saw it."""

    text: str
    done: bool


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one reader saw of the list, or of one task of it.

    Attributes:
        process: Whose.
        began: `time.monotonic_ns` before it was sent.
        ended: The same when its answer was there.
        at_least: The position that it asked for; 0 for none.
        seen: Tasks by id; None where there is none.
        whole: Whether it is the list, so that what is not in it is not there.
    """

    process: str
    began: int
    ended: int
    at_least: int
    seen: dict[str, Doc | None]
    whole: bool = False


class Look(msgspec.Struct, frozen=True):
    """How far log and view were, as the watcher saw it.

    Attributes:
        began: `time.monotonic_ns` before it asked.
        ended: The same when its answer was there.
        head: The log's last position.
        checkpoint: The view's.
    """

    began: int
    ended: int
    head: int
    checkpoint: int


class Fact(msgspec.Struct, frozen=True):
    """An event of the log, read at the end.

    Attributes:
        deleted: Whether it is a deletion.
    """

    position: int
    stream: str
    revision: int
    text: str
    done: bool = False
    deleted: bool = False


class Trouble(msgspec.Struct, frozen=True):
    """Something that was done to a process.

    Attributes:
        at: Minutes since the beginning.
        what: What was done, to which.
        seconds: How long it lasted.
    """

    at: float
    what: str
    seconds: float = 0.0


class Sample(msgspec.Struct, frozen=True):
    """Numbers of a few seconds.

    Attributes:
        at: Minutes since the beginning.
        acknowledged: Commands, since the beginning.
        folded: The view's checkpoint, which is the number of events folded since the beginning.
        lag: Of what was acknowledged since the last sample: see `Histogram.told`.
        held: What each process holds, by its name and pid.
        keys: Of Valkey.
    """

    at: float
    acknowledged: int
    folded: int
    lag: dict[str, float]
    held: dict[str, dict[str, float]]
    keys: int


class Writing:
    """Appends lines to one file of the folder; each is in the kernel's hands when `add` returns."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = (folder / f"{name}.jsonl").open("ab", buffering=0)

    def add(self, record: msgspec.Struct) -> None:
        """Write one."""
        self._file.write(msgspec.json.encode(record) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def lines(folder: Path, name: str, kind: type[R]) -> Iterator[R]:
    """The lines of one file of the folder."""
    decoder = msgspec.json.Decoder(kind)
    with (folder / f"{name}.jsonl").open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def now() -> int:
    """The clock of all that is recorded."""
    return time.monotonic_ns()
