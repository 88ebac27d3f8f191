"""Views of a log in partitions: another backend's, which keep how far they are as a vector.

The other backend compares and moves a number: how many places of the log lie behind a build in all. Each commit moves
that number up, or makes another edition at it, so along the history of a build the two name one state, and with it one
vector: a commit that was folded from another vector has read another number or edition, and loses. The vector itself
stands in the notes, which are written in the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec

from ..._io.port import Port
from ...domain.events import FREE, Receipt
from ...domain.positions import Vector, past, read_position, vector
from ...domain.progress import ProjectionId
from ...errors import LogTrimmed, Misuse
from ...ports import (
    Backend,
    Commit,
    Committed,
    Counted,
    Ended,
    Got,
    Listed,
    Log,
    Outcome,
    Progress,
    Pull,
    Pulled,
    Role,
    Span,
    Stored,
    Views,
    Wanted,
)
from ..rules import counting, next_after

ACTIVE: Final = (Role.SERVING, Role.BUILDING)


class _Elsewhere:
    """What the other backend's views are told of the log: nothing. How far it is, is asked of it here."""

    async def head(self) -> tuple[int, Receipt]:
        """No position, for nothing."""
        return 0, FREE


def open_views(backend: Backend, port: Port, log: Log) -> KafkaViews:
    """The views of a backend, over a port, folded from a log in partitions."""
    # Nothing but its head is asked for by views that are apart from their log: they are never asked to pull.
    return KafkaViews(backend.views(port, cast("Log", _Elsewhere())), log)


class KafkaViews:
    """Views whose checkpoints are vectors, or numbers as long as the topic has one partition.

    Every call costs what it costs the other backend; only `pull`, and what follows a commit, read the log besides.

    A rebuild takes the place of what serves once it has met the head that its worker knew, and has no fewer places
    behind it in all. In a partition it may be behind then, where what serves was stopped in another one: until the next
    page; reads with `at_least=` wait for theirs all the same.

    Args:
        inner: The other backend's.
        log: The log that they are folded from.
    """

    def __init__(self, inner: Views, log: Log) -> None:
        self.inner: Views = inner
        self.log: Log = log
        self._seen: dict[ProjectionId, list[Progress]] = {}  # the builds that are folded, as the other backend has them

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`. No mark: a topic may drop what was read, so that an event that is gone tells nothing.

        Nothing is settled: a topic does not know of notifications, so each append sends its own.

        Cost: a look at how far all are, and a page of the log; a look at its head where they are at several places.
        """
        found, _, receipt = await self.inner.progress(pull.projections)
        active = [each for each in found if each.role in ACTIVE]
        for projection in pull.projections:
            self._seen[projection] = [each for each in active if each.projection == projection]
        return await self._pull(pull, active, receipt)

    async def _pull(self, pull: Pull, active: Sequence[Progress], receipt: Receipt) -> Pulled:
        """Choose what comes next for builds, and read it."""
        places = {_of(each).checkpoint for each in counting(active, pull)}
        if len(places) == 1:  # nearly always: then the page tells the head as well
            head: int | None = None
            after = places.pop()
        else:
            head, cost = await self.log.head()
            receipt += cost
            after = next_after([_of(each, head) for each in active], head, pull)
        if head is None or after != head:
            try:
                page = await self.log.read(after, pull.limit, pull.max_bytes)
            except LogTrimmed as lost:
                if head is None:
                    head, cost = await self.log.head()
                    receipt += cost
                progress = tuple([_of(each, head) for each in active])
                after = vector(after) if isinstance(head, Vector) else after
                return Pulled(progress, head, after, [], receipt, lost=lost)
            receipt += page.receipt
            head = page.head
            progress = tuple([_of(each, head) for each in active])
            after = vector(after) if isinstance(head, Vector) else after
            reached = past(after, [row[0] for row in page.events]) if page.reached is None else page.reached
            if page.events or reached != after:
                return Pulled(progress, head, after, page.events, receipt, None, reached)
        return Pulled(tuple([_of(each, head) for each in active]), head, head, [], receipt)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`.

        Cost: as of the other backend; where something is to be pulled, as `pull`, without the look at how far all are
        where these commits say it.
        """
        kept = [_kept(commit) for commit in commits]
        committed = await self.inner.commit(kept, None)
        if then is None:
            return committed
        active = self._moved(kept, committed.outcomes, then)
        pulled = await (self.pull(then) if active is None else self._pull(then, active, FREE))
        return committed._replace(pulled=pulled, receipt=committed.receipt + pulled.receipt)

    def _moved(self, commits: Sequence[Commit], outcomes: Sequence[Outcome], then: Pull) -> list[Progress] | None:
        """How far all are right after commits; None where that has to be asked.

        A commit that took effect says it of its build, whoever else is at work. A build that somebody has begun
        meanwhile beside one that serves is found by whoever looks next.
        """
        by_projection = {each.projection: each for each in commits}
        if len(by_projection) < len(commits) or any(outcome is not Outcome.COMMITTED for outcome in outcomes):
            return None
        active: list[Progress] = []
        for projection in then.projections:
            commit, seen = by_projection.get(projection), self._seen.get(projection, [])
            if commit is None or len(seen) != 1 or seen[0].role is not Role.SERVING:
                return None
            before = seen[0]
            if (before.generation, before.checkpoint, before.edition) != (
                commit.generation,
                commit.expected,
                commit.edition,
            ):
                return None
            after = msgspec.structs.replace(
                before,
                checkpoint=commit.checkpoint,
                edition=0 if commit.checkpoint > commit.expected else commit.edition + 1,
                met=before.met or (commit.head is not None and commit.checkpoint >= commit.head),
                notes=commit.notes,
            )
            self._seen[projection] = [after]
            active.append(after)
        return active

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`. Cost: as of the other backend, and a look at the log's head."""
        found, _, receipt = await self.inner.progress(projections)
        head, cost = await self.log.head()
        return tuple([_of(each, head) for each in found]), head, receipt + cost

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        """See `Views.load`."""
        return await self.inner.load(wanted)

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """See `Views.get_many`."""
        got = await self.inner.get_many(projection, keys, now_us, primary=primary)
        return got._replace(progress=_of(got.progress))

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `Views.items`."""
        listed = await self.inner.items(projection, after, limit, max_bytes, now_us)
        return listed._replace(progress=_of(listed.progress))

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        """See `Views.find`."""
        listed = await self.inner.find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)
        return listed._replace(progress=_of(listed.progress))

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """See `Views.count`."""
        counted = await self.inner.count(projection, span, now_us, primary=primary)
        return msgspec.structs.replace(counted, progress=_of(counted.progress))

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `Views.rank`."""
        counted = await self.inner.rank(projection, span, key, now_us)
        return msgspec.structs.replace(counted, progress=_of(counted.progress))

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """See `Views.ended`."""
        ended = await self.inner.ended(projection, now_us, limit)
        return ended._replace(progress=_of(ended.progress))

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        """See `Views.records`."""
        got = await self.inner.records(projection, names)
        return got._replace(progress=_of(got.progress))

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        """See `Views.begin`."""
        begun, receipt = await self.inner.begin(projection)
        return _of(begun), receipt

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        """See `Views.serve`."""
        return await self.inner.serve(projection, present, wanted)

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        """See `Views.drop`."""
        return await self.inner.drop(projection, generation, records, limit, serving=serving)


def _of(progress: Progress, head: int = 0) -> Progress:
    """How far a build is that the other backend tells of: a vector where one was kept, or where the head is one."""
    places = progress.notes.places
    if places:
        return msgspec.structs.replace(progress, checkpoint=vector(read_position(places)))
    if isinstance(head, Vector):
        return msgspec.structs.replace(progress, checkpoint=vector(progress.checkpoint))
    return progress


def _kept(commit: Commit) -> Commit:
    """A commit as the other backend takes it. Raises `Misuse` for one that would take a view back in any partition."""
    if not commit.expected <= commit.checkpoint:
        raise Misuse(
            f"projection {commit.projection.name!r}: a commit from position {commit.expected} to {commit.checkpoint} "
            "would take its view back; nothing was written"
        )
    places = str(commit.checkpoint) if isinstance(commit.checkpoint, Vector) else ""
    return commit._replace(
        expected=int(commit.expected),
        checkpoint=int(commit.checkpoint),
        notes=msgspec.structs.replace(commit.notes, places=places),
        head=None if commit.head is None else int(commit.head),
    )
