"""Log -> views that are kept elsewhere: every follower is brought up at the end of a catch-up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import msgspec

from .._io.port import Port
from ..domain.events import FREE, CatchUp, Receipt
from ..domain.positions import meet, nearer
from ..errors import Misuse, ProjectionStopped
from ..ports import Follower, Log

_log: Final = logging.getLogger("eventsource_upstash.projector")


class Followers(NamedTuple):
    """What came of a round of all followers.

    Attributes:
        applied: Events that were applied, of all of them.
        position: Position that each of them has reached; None where one of them failed.
        complete: Whether each is where it was to be brought.
        receipt: What it cost.
        failures: What those that failed have raised.
    """

    applied: int = 0
    position: int | None = None
    complete: bool = True
    receipt: Receipt = FREE
    failures: tuple[Exception, ...] = ()

    def added_to(self, result: CatchUp) -> CatchUp:
        """What a catch-up did, with what its followers did."""
        return CatchUp(
            result.applied + self.applied,
            result.position if self.position is None else meet(result.position, self.position),
            result.head,
            result.complete and self.complete,
            result.receipt + self.receipt,
        )

    def raise_failures(self, result: CatchUp) -> None:
        """Raise what the first of those that failed has raised, with what the catch-up did all the same."""
        if not self.failures:
            return
        error = self.failures[0]
        if isinstance(error, ProjectionStopped):
            error.result = result
        raise error


class Following:
    """Brings up what follows the log with a checkpoint of its own.

    Args:
        port: What waits.
        log: The log, with its personal data in clear.
    """

    def __init__(self, port: Port, log: Log) -> None:
        self._port = port
        self._log = log
        self._followers: dict[str, Follower] = {}

    def __bool__(self) -> bool:
        return bool(self._followers)

    def add(self, follower: Follower) -> None:
        """See `Projector.follow`."""
        if not callable(getattr(cast("object", follower), "follow", None)):
            raise Misuse(f"follow({follower!r}): that is no follower; hand over SqlFollower(engine, ...) or its like")
        if follower.name in self._followers:
            raise Misuse(f"follow({follower!r}): a follower is called {follower.name!r} already")
        self._followers[follower.name] = follower

    async def follow(self, head: int, deadline: float | None) -> Followers:
        """Bring each of them up to a position of the log; one that fails holds up nobody else."""
        done = Followers(position=head)
        for name, follower in self._followers.items():
            try:
                followed = await follower.follow(self._port, self._log, head, deadline)
            except Exception as error:  # whatever it is: the others are to be brought up all the same
                _log.warning("%s could not follow the log: %s", name, error)
                done = done._replace(position=None, complete=False, failures=(*done.failures, error))
                continue
            done = done._replace(
                applied=done.applied + followed.applied,
                position=None if done.position is None else meet(done.position, followed.position),
                complete=done.complete and followed.complete,
                receipt=done.receipt + followed.receipt,
            )
        return done

    async def alone(self, until: int | None, late: Callable[[], bool], deadline: float | None) -> CatchUp:
        """Bring them up where there is no projection: then it is they who settle the notification."""
        applied = 0
        head, receipt = await self._log.head()
        while True:
            goal = head if until is None else nearer(until, head)
            done = await self.follow(goal, deadline)
            applied += done.applied
            receipt += done.receipt
            # Where one of them failed, nothing is known to be reached by all.
            result = CatchUp(applied, done.position or 0, head, done.complete and goal >= (until or 0), receipt)
            done.raise_failures(result)
            if until is not None or not done.complete:
                return result
            # What was appended meanwhile owes no notification, as long as the one before is outstanding.
            settled, cost = await self._log.settle(head)
            receipt += cost
            result = msgspec.structs.replace(result, receipt=receipt)
            if settled <= head:
                return result
            if late():
                return msgspec.structs.replace(result, head=settled, complete=False)
            head = settled
