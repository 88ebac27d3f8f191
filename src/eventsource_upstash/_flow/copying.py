"""Log -> another log: every event as it is, in its order, and once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from .._io.port import Port, Signal
from ..domain.events import ANY, FREE, Appended, Receipt, StoredEvent
from ..domain.names import check_stream
from ..domain.positions import join
from ..domain.queries import AppendCondition, Query
from ..errors import LogsDiffer, OutcomeUnknown, Refused, TooLarge
from ..ports import MAX_PAGE_EVENTS, Append, Backend, Conflict, KeyReused, Unmet
from .comparing import Compared, Pairing, Reading, Side, compare, what
from .running import check_poll_interval

_log: Final = logging.getLogger("eventsource_upstash.copy")

MAX_APPEND_BYTES: Final = 1024 * 1024
"""Events that were appended together are appended together again, up to so many bytes of payload."""

EVERY: Final = 0.1
"""Seconds between two tellings of how far it is."""

ATTEMPTS: Final = 3
"""How often an append is sent whose answer is lost."""

_EVERYTHING: Final = Query.all()

Phase = Literal["looking", "copying", "comparing"]


class Copying(msgspec.Struct, frozen=True):
    """How far a copy is.

    Attributes:
        phase: "looking" at what the destination holds already, "copying", or "comparing" both.
        done: Events, in this phase.
        total: How many there will be, about: a log's positions may have gaps.
        elapsed: Seconds since this phase began.
    """

    phase: Phase
    done: int
    total: int
    elapsed: float

    @property
    def fraction(self) -> float:
        """How much of the phase is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def rate(self) -> float:
        """Events in a second."""
        return self.done / self.elapsed if self.elapsed else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that this phase will go on at its pace, about; None before it has any."""
        return max(0, self.total - self.done) / self.rate if self.rate else None


class Copied(msgspec.Struct, frozen=True):
    """What a copy did.

    Attributes:
        found: Events that the destination held already, from an earlier run.
        copied: Events that were copied; in a dry run, those that would be.
        position: Position of the source up to which the destination holds everything.
        head: The destination's last position.
        compared: What both hold, read again after the copy; None where that was not asked for.
        receipt: What it cost, of both logs.
    """

    found: int
    copied: int
    position: int
    head: int
    compared: Compared | None = None
    receipt: Receipt = FREE


class LogCopying:
    """Copies one log to another, or compares the two.

    Args:
        source: Where the events are.
        destination: Where they go.
        port: What waits.
    """

    def __init__(self, source: Backend, destination: Backend, port: Port) -> None:
        self._port = port
        self._source = Side(source, port, "the source")
        self._destination = Side(destination, port, "the destination")
        can = self._destination.capabilities
        # Whoever else writes to the destination meanwhile makes a condition fail, where it can have one.
        self._alone = can.conditions
        self._foreign = self._source.capabilities.partitions  # somebody else may have written there, under any name
        self._counts = can.expected_revisions and self._source.capabilities.expected_revisions
        self._at_once = MAX_PAGE_EVENTS if can.atomic_appends else 1
        self._widest = MAX_PAGE_EVENTS if self._destination.many else 1
        self._width = self._widest
        # Where the destination is, and what is told of a phase: set where they begin.
        self._head: int
        self._tell: Callable[[Copying], None] | None
        self._phase: Phase
        self._began: float
        self._done: int
        self._total: int
        self._told: float

    async def run(
        self,
        *,
        verify: bool,
        dry_run: bool,
        follow: Signal | None,
        poll_interval: float,
        progress: Callable[[Copying], None] | None,
    ) -> Copied:
        """See `LogCopy.run`."""
        check_poll_interval(poll_interval)
        self._tell = progress
        reading = Reading(self._source)
        pairing = await self._look(reading)
        left = [row for row, _ in pairing.left.values()]
        self._begin("copying", int(await self._source.head()) - int(reading.after) + len(left))
        groups = _Groups(self._at_once)
        copied = await self._copy(groups.of(left), dry_run=dry_run)
        seen = 0
        while True:
            rows = await reading.page()
            self._total = max(self._total, self._done + int(reading.head) - int(reading.after) + len(rows))
            # What was appended together may go on in the next page.
            copied += await self._copy(groups.of(rows) if rows else groups.rest(), dry_run=dry_run)
            if not reading.ended:
                continue
            if follow is None or dry_run or (follow.raised and seen == follow.count):
                break
            if not follow.raised:
                await self._port.sleep(poll_interval, follow, 0)
            seen = follow.count  # set meanwhile: what was written before that is read once more
        _log.info("copied %d events, after %d that were there", copied, pairing.paired)
        compared = None
        if verify and not dry_run:
            compared = await self.compare(progress, reading.after)
            if compared.difference is not None:
                raise LogsDiffer(compared.difference)
        receipt = self._source.receipt + self._destination.receipt
        return Copied(pairing.paired, copied, reading.after, self._head, compared, receipt)

    async def compare(self, progress: Callable[[Copying], None] | None, until: int | None = None) -> Compared:
        """See `LogCopy.compare`."""
        self._tell = progress
        self._begin("comparing", 2 * int(await self._source.head() if until is None else until))
        return await compare(self._source, self._destination, until, self._count)

    async def _look(self, reading: Reading) -> Pairing:
        """Find out how far an earlier run has come: by what the destination holds, and by nothing else."""
        pairing = Pairing(reading, Reading(self._destination))
        self._head = await self._destination.head()
        if not self._head:
            return pairing
        self._begin("looking", int(self._head))
        trouble = await pairing.pair(self._count)
        if trouble is not None:
            raise Refused(
                f"{trouble}; nothing was written. A copy goes to an empty log, or goes on with what an earlier copy of "
                "the same source has left. Choose another file, namespace or topic, or empty this one"
            )
        self._head = pairing.destination.after
        return pairing

    async def _copy(self, groups: Sequence[list[StoredEvent]], *, dry_run: bool) -> int:
        """Append groups of events. Answers how many events that were."""
        left = await self._destination.arranged(groups)
        while left and not dry_run:
            left = await self._append(left)
        if dry_run:
            self._count(sum(map(len, groups)))
        return sum(map(len, groups))

    async def _append(self, groups: list[list[StoredEvent]]) -> list[list[StoredEvent]]:
        """Append some groups of events, at least one. Answers what is left."""
        some = groups[: self._width]
        try:
            answers = await self._answers(self._appends(some))
        except TooLarge:
            rows = groups[0]
            if len(some) > 1:
                self._width = max(1, len(some) // 2)
                return groups
            if len(rows) == 1:
                raise
            half = len(rows) // 2  # the source may take more at once than the destination
            return [rows[:half], rows[half:], *groups[1:]]
        # So many at a time as it takes, and now and then more.
        self._width = len(answers) if len(answers) < len(some) else min(self._widest, 2 * self._width)
        for rows, answer in zip(groups, answers, strict=False):
            if not isinstance(answer, Appended):
                moved = isinstance(answer, Unmet)
                where = "its log has moved on" if moved else f"stream {rows[0][1]!r} is elsewhere than it was here"
                raise Refused(
                    f"somebody else writes to the destination: {where}. {what(rows[0])} was not copied, nor was "
                    "anything after it. Stop whoever writes there, empty it, and copy again"
                )
            self._head = join(self._head, answer.position)
            self._count(len(rows))
        return groups[len(answers) :]

    def _appends(self, groups: Sequence[list[StoredEvent]]) -> list[Append]:
        """Groups of events as they are appended, one after the other."""
        appends: list[Append] = []
        head = self._head
        for rows in groups:
            _, stream, revision, recorded_us, number, _, _, metadata, tags, _ = rows[0]
            if self._foreign:
                check_stream(stream)
            each = [row[8] for row in rows]
            append = Append(
                stream,
                revision - 1 if self._counts else ANY,
                [(row[5], row[6], row[9]) for row in rows],
                recorded_us,
                number,
                metadata,
                tags if each.count(tags) == len(each) else each,
                condition=AppendCondition(_EVERYTHING, head) if self._alone else None,
            )
            appends.append(append)
            head += len(rows)  # a log that takes several at once counts without gaps
        return appends

    async def _answers(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        """Send appends; again where the answer is lost, and the destination knows them again."""
        for _ in range(ATTEMPTS - 1 if self._alone else 0):
            try:
                return await self._destination.append(appends)
            except OutcomeUnknown:  # noqa: PERF203  # to try again is what it does
                continue
        return await self._destination.append(appends)

    def _begin(self, phase: Phase, total: int) -> None:
        """Begin a phase."""
        self._phase, self._began, self._done, self._total, self._told = phase, time.monotonic(), 0, total, 0.0
        self._count(0)

    def _count(self, events: int) -> None:
        """Count events, and tell how far it is: not more often than anybody can see, but at the end."""
        self._done += events
        now = time.monotonic()
        if self._tell is not None and (self._done >= self._total or now - self._told >= EVERY):
            self._told = now
            self._tell(Copying(self._phase, self._done, self._total, now - self._began))


class _Groups:
    """Puts together what was appended together: one stream, time and metadata, and numbers that count on.

    Args:
        at_once: Most events that the destination takes in one append.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._open: list[StoredEvent] = []
        self._size = 0

    def of(self, rows: Sequence[StoredEvent]) -> list[list[StoredEvent]]:
        """The groups that are whole after further events. The last one may go on, and is kept."""
        groups: list[list[StoredEvent]] = []
        for row in rows:
            if self._open and not self._goes_on(row):
                groups += self.rest()
            self._open.append(row)
            self._size += len(row[9])
        return groups

    def rest(self) -> list[list[StoredEvent]]:
        """The group that was kept, if there is one."""
        groups = [self._open] if self._open else []
        self._open, self._size = [], 0
        return groups

    def _goes_on(self, row: StoredEvent) -> bool:
        last = self._open[-1]
        return (
            row[4] == last[4] + 1
            and row[3] == last[3]
            and row[1] == last[1]
            and row[7] == last[7]
            and len(self._open) < self._at_once
            and self._size + len(row[9]) <= MAX_APPEND_BYTES
        )
