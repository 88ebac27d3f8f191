"""The event-loop face of reactors: how they are, what they have still to do, and what could not be done."""

from __future__ import annotations

from collections.abc import AsyncIterator

from .._flow.parking import Retried
from .._flow.reactions import PendingReaction, ReactorStatus, outbox_of
from .._flow.reactions import Reactions as Flow
from .._io.event_loop import iterate
from ..domain.reactors import Reactor
from .projector import AsyncProjector


class AsyncReactions:
    """What reactors have decided, and not yet carried out. `app.reactions`.

    Args:
        projector: What folds their events, and carries out what they decide.
    """

    def __init__(self, projector: AsyncProjector) -> None:
        self.projector = projector
        views = projector.projection_store.views
        self.flow: Flow = Flow(views, projector.reacting, projector.parking)

    def __repr__(self) -> str:
        return f"AsyncReactions({self.projector!r})"

    async def status(self, reactor: Reactor) -> ReactorStatus:
        """How a reactor is: how far, whether anything is left to be carried out, and why it is stopped.

        Raises:
            Misuse: The reactor is of another registry.

        Cost: one step.
        """
        return await self.flow.status(outbox_of(self.projector.projection_store.registry, reactor))

    def pending(self, reactor: Reactor) -> AsyncIterator[PendingReaction]:
        """What is still to be carried out: key by key, in order, lazily, in pages.

        Cost: one step for each 100 keys.
        """
        return iterate(self.flow.pending(outbox_of(self.projector.projection_store.registry, reactor)))

    async def retry(self, reactor: Reactor, *, key: str | None = None) -> Retried:
        """Decide parked events anew, and carry out what could not be carried out; each key in order.

        What is decided now is carried out by the next catch-up. What comes after a failed reaction under its key is
        carried out here with it.

        Args:
            reactor: Which.
            key: That of one key only.

        Returns:
            How many events and reactions were done, and how many parked events and failed keys are left.

        Raises:
            Misuse: The reactor is of another registry.
            Unavailable: A step failed, or a reaction could not be carried out now; nothing was lost.

        Cost: for parked events as `Projector.retry_parked`; three steps for each failed key, and what its reactions
        cost.
        """
        return await self.flow.retry(outbox_of(self.projector.projection_store.registry, reactor), key)

    async def discard(self, reactor: Reactor, *, key: str | None = None) -> Retried:
        """Give up parked events, and reactions that could not be carried out: they are never done.

        Of a key whose first reaction failed, that one is given up; those after it go on with the next catch-up. With
        `key=`, also where it only waits for what this process has not: a command whose class or aggregate is gone from
        the code. Arguments and errors as for `retry`.
        """
        return await self.flow.discard(outbox_of(self.projector.projection_store.registry, reactor), key)
