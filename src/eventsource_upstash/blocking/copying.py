"""Copying a log to another one, blocking."""

from __future__ import annotations

from collections.abc import Callable

from .._flow.comparing import Compared
from .._flow.copying import Copied, Copying, LogCopying
from .._flow.wiring import check_backends
from .._io.blocking import PORT, run
from ..ports import Backend, Signal

__all__ = ["LogCopy"]


class LogCopy:
    """Copies a log to another one, on whatever backend: each event as it is, in its order, and once.

    Streams, ids, recorded times, types, versions, metadata, tags and payloads stay as they are, byte by byte; revisions
    too, where both logs count them. What is not in the log is not copied: idempotency keys, snapshots, views.

    How far an earlier copy has come is told by what the destination holds, so it can be ended at any point and run
    again. Meanwhile nobody else may write to the destination; to the source anybody may.

    Args:
        source: Where the events are.
        destination: Where they go: an empty log, or what an earlier copy of the same source has left.

    Raises:
        Misuse: What is handed over is no backend.
    """

    def __init__(self, source: Backend, destination: Backend) -> None:
        check_backends(source, destination)
        self.source = source
        self.destination = destination

    def __repr__(self) -> str:
        return f"LogCopy({self.source!r}, {self.destination!r})"

    def run(
        self,
        *,
        verify: bool = True,
        dry_run: bool = False,
        follow: Signal | None = None,
        poll_interval: float = 1.0,
        progress: Callable[[Copying], None] | None = None,
    ) -> Copied:
        """Copy what the destination lacks, up to the source's head.

        Args:
            verify: Whether to read both again afterwards and compare them, as `compare` does.
            dry_run: Look at both, and write nothing.
            follow: Keep up with a source that is written to, until this is set and the source's head is reached.
            poll_interval: Seconds between two looks at the source, while nothing comes.
            progress: Told now and then how far it is, some ten times a second at most, and at the end of each phase.

        Raises:
            Refused: The destination holds something else, or somebody else writes to it. Or quota, rights, size, space.
            LogsDiffer: Compared afterwards, the destination is not what the source is.
            Unavailable: One of the two could not be reached, for half a minute. Run it again: it goes on.
            OutcomeUnknown: An answer was lost. Run it again: it goes on, and nothing is doubled.

        Cost: one step of the source for each 1,000 events. Of the destination one step for each append that the events
        came from; for many of them where it can take many at once: SQLite 1,000, Redis 100 in two requests, a topic
        500 events of a partition, but over REST one event. What is there already costs one step of both for each 1,000
        events, and so does comparing.
        """
        return run(
            LogCopying(self.source, self.destination, PORT).run(
                verify=verify, dry_run=dry_run, follow=follow, poll_interval=poll_interval, progress=progress
            )
        )

    def compare(self, *, progress: Callable[[Copying], None] | None = None) -> Compared:
        """Read both logs, and tell whether they hold the same: by count, digest, and where they begin to differ.

        Args:
            progress: As for `run`.

        Raises:
            Unavailable: One of the two could not be reached, for half a minute.

        Cost: one step of both for each 1,000 events; as much again where they differ.
        """
        return run(LogCopying(self.source, self.destination, PORT).compare(progress))
