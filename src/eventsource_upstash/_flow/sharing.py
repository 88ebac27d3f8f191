"""Workers -> partitions: who folds which, agreed on beside the views, so that nobody does another one's work.

It only saves work. What makes it right is the commit, which is compared with what was read: if everybody folded
everything, the same views would come of it. So nothing here is relied on, and what fails here fails nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from ..domain.progress import ProjectionId
from ..errors import OutcomeUnknown
from ..ports import Outcome, Progress, Views
from .noting import staying

LEASE: Final = 30.0
"""Seconds after which a worker that was not heard of has its shares taken by others."""

RENEWED: Final = LEASE / 3
"""Seconds after which a worker says again that it is there."""

WHOLE: Final = "*"
"""The share that is all that is not kept in parts."""

TRIES: Final = 4
"""How often it is tried to change the table, while others change it. Who stays comes again anyway."""

LEAVING_TRIES: Final = 100
"""How often who leaves tries: what is not given back nobody folds until the lease ends. All may leave at one time, and
each try that fails is one more of them who has left."""

SHARES: Final = ProjectionId("~shares", 1)
"""Where the table is kept: as a record beside the views. No projection's name begins so."""

TABLE: Final = "table"


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is there, and who has what.

    Attributes:
        workers: Who stays: until when each counts as there, in microseconds since 1970.
        visitors: Who only passes by, to catch up once; likewise.
        held: Of each share who has it.
    """

    workers: dict[str, int] = {}
    visitors: dict[str, int] = {}
    held: dict[str, str] = {}

    def at(self, now_us: int) -> Table:
        """Without those who are there no more, and what they had."""
        workers = {name: until for name, until in self.workers.items() if until > now_us}
        visitors = {name: until for name, until in self.visitors.items() if until > now_us}
        return Table(workers, visitors, {share: by for share, by in self.held.items() if by in workers | visitors})

    def of(self, name: str) -> set[str]:
        """What somebody has."""
        return {share for share, by in self.held.items() if by == name}

    def without(self, name: str) -> Table:
        """When somebody has gone."""
        return Table(
            {each: until for each, until in self.workers.items() if each != name},
            {each: until for each, until in self.visitors.items() if each != name},
            {share: by for share, by in self.held.items() if by != name},
        )

    def fair(self, name: str, shares: Sequence[str]) -> Table:
        """With the fair part of some shares in the hands of a worker: it gives up what is more, and takes what is free.

        Everybody's part is a matter of the table alone, and all parts together are all shares: once each worker has
        given up what is more, and then taken what is free, each share has a holder and no worker two more than another.
        """
        order = sorted(self.workers)
        each, more = divmod(len(shares), len(order))
        part = each + (order.index(name) < more)
        mine = [share for share in shares if self.held.get(share) == name]
        free = [share for share in shares if share not in self.held]
        held = {share: by for share, by in self.held.items() if share not in mine[part:]}
        held.update(dict.fromkeys(free[: max(0, part - len(mine))], name))
        return Table(self.workers, self.visitors, held)


_decode: Final = msgspec.json.Decoder(Table).decode


class Sharing:
    """One worker's, or visitor's, dealings with the table.

    Args:
        views: Where the table is kept.
        clock: Nanoseconds since 1970 (UTC).
        name: What it goes by; drawn at random without one.
    """

    def __init__(self, views: Views, clock: Callable[[], int], name: str | None = None) -> None:
        self._views = views
        self._clock = clock
        self.name: str = name or secrets.token_hex(8)

    async def tend(self, shares: Sequence[str]) -> frozenset[str]:
        """Say that this worker is there, and answer which of some shares are its own from now on.

        Cost: a step; another one where something has changed, or the lease is to be renewed.
        """
        now_us = self._clock() // 1000
        until = now_us + round(LEASE * 1e6)
        renewed = until - round(RENEWED * 1e6)

        def tended(table: Table) -> Table:
            known = table.at(now_us)
            last = known.workers.get(self.name, 0)
            workers = {**known.workers, self.name: last if last > renewed else until}
            return Table(workers, known.visitors, known.held).fair(self.name, shares)

        return frozenset((await self._change(tended)).of(self.name))

    async def visit(self, shares: Iterable[str]) -> frozenset[str]:
        """Take those of some shares that nobody has, for one catch-up; answers which. Cost: one step, or two."""
        now_us = self._clock() // 1000

        def taken(table: Table) -> Table:
            known = table.at(now_us)
            free = [share for share in shares if share not in known.held]
            if not free:
                return known
            visitors = {**known.visitors, self.name: now_us + round(LEASE * 1e6)}
            return Table(known.workers, visitors, {**known.held, **dict.fromkeys(free, self.name)})

        return frozenset((await self._change(taken)).of(self.name))

    async def leave(self) -> None:
        """Give all back at once. Cost: two steps, and two for each other one that was quicker to change the table."""
        await self._change(lambda table: table.without(self.name), LEAVING_TRIES)

    async def _change(self, changed: Callable[[Table], Table], tries: int = TRIES) -> Table:
        """Change the table, as it is when nobody else does, and answer it.

        Raises what the views raise; and where others change it each time, nothing: then it is as it was read.
        """
        table = Table()
        for _ in range(tries):
            table, progress = await self._read()
            new = changed(table)
            if new == table:
                return table
            try:
                if await self._write(progress, new):
                    return new
            except OutcomeUnknown:  # read again: whether it was written is seen there
                continue
        return table

    async def _read(self) -> tuple[Table, Progress]:
        got = await self._views.records(SHARES, (TABLE,))
        kept = got.documents.get(TABLE)
        return Table() if kept is None else _decode(kept), got.progress

    async def _write(self, progress: Progress, table: Table) -> bool:
        commit = staying(progress)._replace(records={TABLE: msgspec.json.encode(table)})
        committed = await self._views.commit([commit], None)
        return committed.outcomes[0] is Outcome.COMMITTED
