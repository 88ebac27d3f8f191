"""Reactors -> how they are: what is still to be carried out, and what could not be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import cast

import msgspec

from ..domain.events import FREE, Receipt, to_datetime
from ..domain.names import check_key
from ..domain.outgoing import Kind
from ..domain.reactors import Outbox, OutboxProjection, Reactor
from ..domain.registry import Registry
from ..errors import Misuse
from ..ports import Listed, Views
from .parking import Parking, Retried
from .reacting import AT_ONCE, MAX_BATCH_BYTES, Reacting
from .statuses import Failure, State, status_of
from .wiring import any_of


class ReactorStatus(msgspec.Struct, frozen=True):
    """How a reactor is.

    Attributes:
        name: Its name.
        checkpoint: Position up to which events are decided on.
        head: The log's last position.
        lag: Head minus checkpoint.
        pending: Keys under which something is still to be carried out.
        failed: Those of them whose first reaction could not be carried out, whatever is tried.
        parked: Events set aside because their handler failed, or because one before them of the same key did.
        skipped: Events and reactions that were passed over, ever.
        state: "stopped" at an event or a reaction, "behind" the head or with something to carry out, "current", or
            "rewound" when the log ends before the checkpoint.
        stopped: Why it is stopped, if it is.
    """

    name: str
    checkpoint: int
    head: int
    lag: int
    pending: int
    failed: int
    parked: int
    skipped: int
    state: State
    stopped: Failure | None = None


class PendingReaction(msgspec.Struct, frozen=True):
    """A reaction that was decided and is still to be carried out.

    Attributes:
        reactor: The reactor's name.
        key: The key that keeps it in order.
        id: Its id: idempotency key of an append or a command, id of a message.
        kind: "append", "execute" or "send".
        target: The stream, or the URL.
        position: Position of the event that it is the reaction to.
        due: When a message is due (UTC); None for at once.
        error: Why it could not be carried out, whatever is tried; empty where it was not tried, or only waits.
        attempts: How often it was tried since then; 0 likewise.
        since: When it failed first (UTC); None likewise.
    """

    reactor: str
    key: str
    id: str
    kind: Kind
    target: str
    position: int
    due: datetime | None = None
    error: str = ""
    attempts: int = 0
    since: datetime | None = None


class Reactions:
    """What reactors have decided and not yet carried out."""

    def __init__(self, views: Views, reacting: Reacting, parking: Parking) -> None:
        self._views = views
        self._reacting = reacting
        self._parking = parking

    async def status(self, outbox: OutboxProjection) -> ReactorStatus:
        """See `Reactions.status`."""
        (serving, *_), head, _ = await self._views.progress((outbox.id,))
        notes = serving.notes
        stops = outbox.on_error == "stop"
        if not stops and notes.stopped is not None and notes.stopped.position <= serving.checkpoint:
            # It had stopped at a reaction, under another `on_error`: that is set aside by now, and it goes on.
            serving = msgspec.structs.replace(serving, notes=msgspec.structs.replace(notes, stopped=None))
        known = status_of([serving], head)
        state = known.state
        if state != "rewound" and stops and notes.failed:
            state = "stopped"
        elif state == "current" and notes.pending:
            state = "behind"
        return ReactorStatus(
            name=outbox.reactor,
            checkpoint=known.checkpoint,
            head=head,
            lag=known.lag,
            pending=notes.pending,
            failed=notes.failed,
            parked=known.parked,
            skipped=known.skipped,
            state=state,
            stopped=known.stopped,
        )

    async def pending(self, outbox: OutboxProjection) -> AsyncGenerator[Sequence[PendingReaction], None]:
        """Pages of what is still to be carried out. See `Reactions.pending`."""
        after: str | None = None
        while True:
            listed, documents, _ = await self._listed(outbox, after)
            yield [each for key, document in documents for each in _told(outbox, key, document)]
            if not listed.more or listed.last is None:
                return
            after = listed.last[1]

    async def retry(self, outbox: OutboxProjection, key: str | None) -> Retried:
        """See `Reactions.retry`."""
        decided = await self._parking.retry(any_of(outbox), key)
        carried = await self._each_failed(outbox, key, gives_up=False)
        return _both(decided, carried)

    async def discard(self, outbox: OutboxProjection, key: str | None) -> Retried:
        """See `Reactions.discard`."""
        decided = await self._parking.discard(any_of(outbox), key)
        carried = await self._each_failed(outbox, key, gives_up=True)
        return _both(decided, carried)

    async def _each_failed(self, outbox: OutboxProjection, key: str | None, *, gives_up: bool) -> Retried:
        if key is not None:
            check_key(key)
        builds, head, receipt = await self._views.progress((outbox.id,))
        left = builds[0].notes.failed
        keys: Sequence[str] = ()
        if key is not None:
            keys = [key] if left or (gives_up and builds[0].notes.pending) else ()
        elif left:
            keys, cost = await self._failed(outbox)
            receipt += cost
        done = 0
        failed: list[str] = []
        for one in keys:
            count, again, cost = await self._settle(outbox, one, head, gives_up=gives_up, asked=key is not None)
            receipt += cost
            done += count
            failed += again
        if left:
            builds, _, cost = await self._views.progress((outbox.id,))
            left, receipt = builds[0].notes.failed, receipt + cost
        return Retried(done, left, tuple(failed), receipt)

    async def _failed(self, outbox: OutboxProjection) -> tuple[list[str], Receipt]:
        """The keys under which the first reaction could not be carried out."""
        found: list[str] = []
        receipt = FREE
        after: str | None = None
        while True:
            listed, documents, cost = await self._listed(outbox, after)
            receipt += cost
            found += [key for key, document in documents if document.failed is not None]
            if not listed.more or listed.last is None:
                return found, receipt
            after = listed.last[1]

    async def _settle(
        self, outbox: OutboxProjection, key: str, head: int, *, gives_up: bool, asked: bool
    ) -> tuple[int, tuple[str, ...], Receipt]:
        """Carry out what stands under a key, or give up what has failed there; `asked` for by name."""
        outboxes = self._reacting.alone(outbox)
        work = await outboxes.load(outbox, [key])
        document = work.stored.get(key)
        if document is None:
            return 0, (), outboxes.receipt
        if document.failed is None and not (asked and gives_up and self._is_nobodys(document)):
            return 0, (), outboxes.receipt
        if gives_up:
            work.drop(key, document.reactions[0])
            await outboxes.settle([work], head, None)
            return 1, (), outboxes.receipt
        await outboxes.carry_out([work], head)
        await outboxes.settle([work], head, None)
        if outboxes.error is not None:
            raise outboxes.error
        return work.done, work.failed, outboxes.receipt

    def _is_nobodys(self, document: Outbox) -> bool:
        return not self._reacting.carrying.is_here(document.reactions[0])

    async def _listed(
        self, outbox: OutboxProjection, after: str | None
    ) -> tuple[Listed, list[tuple[str, Outbox]], Receipt]:
        now_us = self._reacting.noting.now_us
        listed = await self._views.items(outbox.id, after, AT_ONCE, MAX_BATCH_BYTES, now_us)
        return listed, outbox.documents(listed.documents), listed.receipt


def _told(outbox: OutboxProjection, key: str, document: Outbox) -> list[PendingReaction]:
    found: list[PendingReaction] = []
    for index, each in enumerate(document.reactions):
        failed = document.failed if index == 0 else None
        found.append(
            PendingReaction(
                outbox.reactor,
                key,
                each.id,
                each.kind,
                each.target,
                each.position,
                to_datetime(each.due_us) if each.due_us else None,
                "" if failed is None else failed.error,
                0 if failed is None else failed.attempts,
                None if failed is None else to_datetime(failed.first_us),
            )
        )
    return found


def _both(decided: Retried, carried: Retried) -> Retried:
    return Retried(
        decided.done + carried.done,
        decided.left + carried.left,
        (*decided.failed, *carried.failed),
        decided.receipt + carried.receipt,
    )


def outbox_of(registry: Registry, reactor: object) -> OutboxProjection:
    """The outbox of a reactor of that registry. Raises `Misuse`."""
    if not isinstance(reactor, Reactor):
        raise Misuse(f"{reactor!r} is no reactor; hand over what registry.reactor(...) answered")
    if not any(reactor is known for known in registry.reactors):
        raise Misuse(f"reactor {reactor.name!r} belongs to another registry than this app")
    return cast("OutboxProjection", reactor.outbox)
