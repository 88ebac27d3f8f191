"""View -> query: which build answers a read, and how fresh it has to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from ..domain.positions import further, is_position
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import LogRewound, Misuse, StaleView
from ..ports import Progress, Role, Views
from .catching_up import CatchingUp
from .passes import Reach

VERSIONS_BACK: Final = 100
"""So many versions before that of a view are looked at, and all that are registered, for one that answers meanwhile."""


class Fresh(msgspec.Struct, frozen=True):
    """How fresh an answer has to be.

    Attributes:
        at_least: A position that it has to have reached, or None.
        timeout: Seconds that bringing the view there may take.
        strong: Whether it has to be at the head, as of the moment of the read.
    """

    at_least: int | None = None
    timeout: float = 5.0
    strong: bool = False


class Answer(Protocol):
    """What every read of a view answers, whatever else it does."""

    @property
    def progress(self) -> Progress:
        """How far the build is that it is from."""
        ...

    @property
    def head(self) -> int | None:
        """The log's last position, where it is known."""
        ...


A = TypeVar("A", bound=Answer)


class Freshness:
    """Answers reads from the right build, at least as fresh as the caller asks."""

    def __init__(self, views: Views, registry: Registry, catching_up: CatchingUp) -> None:
        self._views = views
        self._registry = registry
        self._catching_up = catching_up

    async def read(
        self,
        projection: Projection[object],
        fresh: Fresh,
        ask: Callable[[ProjectionId, bool], Awaitable[A]],
        keys: Sequence[str] = (),
    ) -> A:
        """Ask, and bring the view up first where it has to be fresher than it is.

        While the view of a new version has never been at the head, the newest version before it that has been there
        answers: it is brought up where its folds are still registered, and else answers as it is. Where that is not
        fresh enough, the new view itself is brought up.

        Args:
            projection: Whose view.
            fresh: How fresh.
            ask: Asks the view of a projection; past copies that lag behind, where that is said.
            keys: What is asked for, where that is documents by their keys: of a view in parts only theirs matter.

        Raises:
            StaleView: It did not get there in time.
            LogRewound: It is beyond the log's head, or the position that is asked for is.
            ProjectionStopped: It cannot get there, because a fold fails.
        """
        at_least = fresh.at_least
        if at_least is not None and not is_position(at_least):
            raise Misuse(f"at_least={at_least!r}: it is a position, as append answers it, or a Vector")
        if not fresh.timeout >= 0:  # NaN is not either
            raise Misuse(f"timeout={fresh.timeout!r}: it is a number of seconds from 0")
        answer = await ask(projection.id, fresh.strong)
        wanted = at_least
        head: int | None = None
        if fresh.strong:
            head = await self._head(projection.id, answer)
            wanted = further(at_least or 0, head)
        asked = wanted
        wanted = await self._needed(projection.id, keys, asked)
        if not answer.progress.met and projection.version > 1 and not (wanted and _is_at(answer, wanted, head)):
            older = await self._older(projection.id)
            if older is not None:
                known = self._registered(older.projection)
                needed = await self._needed(older.projection, keys, asked)
                if needed is None or needed <= older.checkpoint or known is not None:
                    projection, wanted = known or projection, needed
                    answer = await ask(older.projection, fresh.strong)
        if wanted is None or _is_at(answer, wanted, head):
            return answer
        result = await self._catching_up.catch_up(wanted, fresh.timeout, Reach((projection,)))
        if not wanted <= result.head:
            raise LogRewound(projection=projection.name, checkpoint=wanted, head=result.head, asked=True)
        if not wanted <= result.position:
            raise StaleView(projection=projection.name, wanted=wanted, reached=result.position, head=result.head)
        return await ask(projection.id, True)

    async def _needed(self, projection: ProjectionId, keys: Sequence[str], wanted: int | None) -> int | None:
        """What of a position matters to what is asked for."""
        parting = self._catching_up.parting
        if wanted is None or not keys or parting is None:
            return wanted
        return await parting.partitions.needed(projection, keys, wanted)

    async def _head(self, projection: ProjectionId, answer: Answer) -> int:
        if answer.head is not None:
            return answer.head
        return (await self._views.progress((projection,)))[1]

    async def _older(self, projection: ProjectionId) -> Progress | None:
        """How far the newest version before this one is that has ever been at the head."""
        near = range(max(1, projection.version - VERSIONS_BACK), projection.version)
        known = [each.version for each in self._registry.projections if each.name == projection.name]
        versions = sorted({*near, *[version for version in known if version < projection.version]})
        builds, _, _ = await self._views.progress([ProjectionId(projection.name, each) for each in versions])
        live = [each for each in builds if each.role is Role.SERVING and each.met]
        return max(live, key=lambda each: each.projection.version, default=None)

    def _registered(self, projection: ProjectionId) -> Projection[object] | None:
        return next((each for each in self._registry.projections if each.id == projection), None)


def _is_at(answer: Answer, wanted: int, head: int | None) -> bool:
    """Whether an answer is fresh enough, and from a view that is not beyond the log, as far as its head is known."""
    checkpoint = answer.progress.checkpoint
    head = answer.head if answer.head is not None else head
    return wanted <= checkpoint and (head is None or checkpoint <= head)
