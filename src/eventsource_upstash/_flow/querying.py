"""View -> query: reading documents, at least as fresh as the caller asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Literal, TypeVar, cast

import msgspec

from ..domain.events import to_datetime
from ..domain.names import check_key
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import Misuse, StaleView
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Progress, Views
from .catching_up import CatchingUp

D = TypeVar("D")


State = Literal["current", "behind", "stopped", "rewound"]


class Failure(msgspec.Struct, frozen=True):
    """Why a projection is stopped.

    Attributes:
        position: Position of the event that it cannot fold.
        reason: What went wrong there.
        since: When it stopped there first (UTC).
    """

    position: int
    reason: str
    since: datetime


class ProjectionStatus(msgspec.Struct, frozen=True):
    """How a projection is.

    Attributes:
        name: Its name.
        version: Its version.
        generation: Which build of its view is being served.
        checkpoint: Position that its view has reached.
        head: The log's last position.
        lag: Head minus checkpoint.
        parked: Events set aside because their fold failed.
        state: "current" at the head, "behind" below it, "stopped" at an event that it cannot fold, "rewound" when the
            log ends before the checkpoint.
        stopped: Why it is stopped, if it is.
    """

    name: str
    version: int
    generation: int
    checkpoint: int
    head: int
    lag: int
    parked: int
    state: State
    stopped: Failure | None = None


class Querying:
    """Reads documents of views."""

    def __init__(self, views: Views, registry: Registry, catching_up: CatchingUp) -> None:
        self._views = views
        self._registry = registry
        self._catching_up = catching_up

    def check(self, projection: Projection[D]) -> None:
        """Refuse a projection of another registry. Raises `Misuse`."""
        if not isinstance(cast("object", projection), Projection):
            raise Misuse(f"view() is given a projection, as registry.projection(...) answers it, not {projection!r}")
        if not any(projection is known for known in self._registry.projections):
            raise Misuse(f"projection {projection.name!r} belongs to another registry than this store")

    async def get_many(
        self, projection: Projection[D], keys: Sequence[str], at_least: int | None, timeout: float
    ) -> dict[str, D]:
        """See `View.get_many`."""
        if isinstance(keys, str):
            raise Misuse(f"get_many({keys!r}): keys are several strings, as in get_many([{keys!r}])")
        for key in keys:
            check_key(key)
        await self._fresh(projection, at_least, timeout)
        stored, _ = await self._views.get_many(projection.id, keys)
        return dict(projection.documents(stored.items()))

    async def get(self, projection: Projection[D], key: str, at_least: int | None, timeout: float) -> D | None:
        """See `View.get`."""
        found = await self.get_many(projection, (key,), at_least, timeout)
        return found.get(key)

    async def items(
        self, projection: Projection[D], after: str | None, limit: int | None, at_least: int | None, timeout: float
    ) -> AsyncGenerator[Sequence[tuple[str, D]], None]:
        """Pages of documents. See `View.items`."""
        if after is not None:
            check_key(after)
        if limit is not None and (type(limit) is not int or limit < 0):
            raise Misuse(f"limit={limit!r}: it is a whole number from 0, or None")
        await self._fresh(projection, at_least, timeout)
        while limit is None or limit > 0:
            size = MAX_PAGE_EVENTS if limit is None else min(limit, MAX_PAGE_EVENTS)
            page = await self._views.items(projection.id, after, size, MAX_PAGE_BYTES)
            if page.documents:
                yield projection.documents(page.documents)
            if not page.more:
                return
            after = page.documents[-1][0]
            limit = None if limit is None else limit - len(page.documents)

    async def count(self, projection: Projection[D], at_least: int | None, timeout: float) -> int:
        """See `View.count`."""
        await self._fresh(projection, at_least, timeout)
        return (await self._views.count(projection.id))[0]

    async def _fresh(self, projection: Projection[D], at_least: int | None, timeout: float) -> None:
        """Bring the view up to a position, by catching up on the spot."""
        if at_least is None:
            return
        if type(at_least) is not int or at_least < 0:
            raise Misuse(f"at_least={at_least!r}: it is a position, as append answers it")
        (progress,), head, _ = await self._views.progress((projection.id,))
        if at_least <= progress.checkpoint <= head:
            return
        # Where the log has no such position, this raises at once: waiting for somebody to append it is not what a read
        # is for.
        only = (cast("Projection[object]", projection),)
        result = await self._catching_up.catch_up(at_least, timeout, only)
        if result.position < at_least:
            raise StaleView(projection=projection.name, wanted=at_least, reached=result.position, head=result.head)

    async def status(self) -> tuple[ProjectionStatus, ...]:
        """See `ProjectionStore.status`."""
        projections = self._registry.projections
        if not projections:
            return ()
        progress, head, _ = await self._views.progress([projection.id for projection in projections])
        return tuple(_status(each, head) for each in progress)


def _status(progress: Progress, head: int) -> ProjectionStatus:
    lag = max(0, head - progress.checkpoint)
    stopped = progress.stopped
    state: State = "behind" if lag else "current"
    if stopped is not None:
        state = "stopped"
    if progress.checkpoint > head:
        state = "rewound"
    return ProjectionStatus(
        name=progress.projection.name,
        version=progress.projection.version,
        generation=progress.generation,
        checkpoint=progress.checkpoint,
        head=head,
        lag=lag,
        parked=0,
        state=state,
        stopped=None if stopped is None else Failure(stopped.position, stopped.reason, to_datetime(stopped.since_us)),
    )
