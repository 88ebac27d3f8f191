"""The event-loop face of catch-up: folding, rebuilding, and what was set aside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import Self

from .._flow.catching_up import CatchingUp
from .._flow.wiring import any_of, check_keys, check_views, check_wiring, parking_of, rebuild_of, retired_version
from .._io.event_loop import PORT, iterate
from .._io.port import Signal
from ..domain.events import CatchUp
from ..domain.projections import Projection
from ..ports import MAX_PAGE_EVENTS
from .views import AsyncProjectionStore

if TYPE_CHECKING:
    from .._flow.parking import ParkedEvent, Parking, Retried, SkippedEvent
    from .._flow.reacting import Reacting
    from .._flow.rebuilding import Dropped, Rebuild, Rebuilding, Rebuilt
    from ..ports import Follower
    from ..ports import Messages as Carrier
    from . import AsyncEventStore
    from .messages import AsyncMessages

D = TypeVar("D")


class AsyncProjector:
    """Runs catch-up: reads what is new in the log, folds it, commits it.

    Any number of projectors may work on the same views: whoever loses writes nothing.

    Args:
        event_store: The log, and the notifier that wakes it.
        projection_store: The views.
        page_size: Most events folded in one step, up to 1,000.
        clock: Nanoseconds since 1970 (UTC), as `time.time_ns` tells them, for when a projection stopped.
        messages: What carries the messages of reactors. Without it the notifier's transport does, or the backend.

    Raises:
        Misuse: The views are folded from another log than the event store's, or with another registry.
    """

    def __init__(
        self,
        event_store: AsyncEventStore,
        projection_store: AsyncProjectionStore,
        *,
        page_size: int = MAX_PAGE_EVENTS,
        clock: Callable[[], int] = time.time_ns,
        messages: AsyncMessages | None = None,
    ) -> None:
        check_wiring(event_store.backend, projection_store.log_backend, event_store.registry, projection_store.registry)
        check_keys(event_store.keys, projection_store.keys)
        self.event_store = event_store
        self.projection_store = projection_store
        self.flow: CatchingUp = CatchingUp(
            projection_store.views, projection_store.registry, clock, page_size, projection_store.partitions
        )
        self.flow.reacts = lambda: self.reacting
        self._clock = clock
        self._messages = messages

    def __repr__(self) -> str:
        return f"AsyncProjector({self.projection_store!r})"

    async def catch_up(self, *, until: int | None = None, time_budget: float | None = None) -> CatchUp:
        """Fold what is new into every view, page by page, until the head is met.

        Args:
            until: A position to stop at, instead of the head; in a log of several partitions with the page that reaches
                it.
            time_budget: Seconds after which no further page is begun. At least one page is folded; where views are at
                different positions, one for the foremost and one for the rearmost.

        Raises:
            ProjectionStopped: A fold handler failed, or an event's type is not known. The other projections were folded
                all the same, and this one up to that event. What is parked or skipped stops nothing.
            ReactorStopped: What a reactor decided cannot be carried out. Everything else was done all the same.
            LogRewound: A view is beyond the log's head.
            Unavailable: A step failed; what was committed before stays. Or a reaction could not be carried out now: it
                stays in its outbox, and everything else was done.

        Cost: one step when there is nothing to do; else per page a load and a commit for each projection.
        """
        return await self.flow.catch_up(until, time_budget)

    def follow(self, follower: Follower) -> None:
        """Let something else follow the log, with a checkpoint of its own: tables of a SQL database, for one.

        It is brought up at the end of each catch-up of this projector, after the views, which wait for nothing of it.
        A catch-up is `complete` only when all that follow are at the head as well, and raises what they raise, after
        all of them were tried.

        Args:
            follower: What follows, such as `eventsource_upstash.sql.SqlFollower`. Its name tells it from others.

        Raises:
            Misuse: It is none, or another one of that name follows already.
        """
        self.flow.follow(follower, PORT, self.projection_store.log)

    async def rebuild(
        self,
        projection: Projection[D],
        *,
        progress: Callable[[Rebuilding], None] | None = None,
        time_budget: float | None = None,
    ) -> Rebuilt:
        """Build the view of a projection anew, beside the one that serves, which goes on serving and is kept up.

        When the new build has met the head, it takes the place of the old one in one step; the old one is kept, for
        `go_back`, until `drop_generations`. A rebuild that was begun and not ended goes on: by this call again, or by
        whoever catches up. Any number of them may work on it at once.

        For folds that have changed, raise the projection's version instead: old code and new code then never write
        into one view.

        Args:
            projection: Which.
            progress: Called after each page, with how far it is and how long it may take.
            time_budget: Seconds after which no further page is begun; the rest is left to whoever catches up, who is
                notified. At least one page is folded.

        Raises:
            ProjectionStopped: A fold failed in the new build. The old one goes on serving.
            Misuse: The projection is of another registry; somebody gave the rebuild up meanwhile.
            Unavailable: A step failed; what was committed before stays, and the same call goes on there.

        Cost: as a catch-up over the whole log.
        """
        check_views(projection)
        self.projection_store.flow.check(projection, "eventual")
        return await self.rebuilding.rebuild(any_of(projection), progress, time_budget)

    async def go_back(self, projection: Projection[D], *, generation: int | None = None) -> int:
        """Let a kept build of a view serve again, as far as it is; catch-up brings it to the head from there.

        Args:
            projection: Which.
            generation: Which build; the newest kept one without it.

        Returns:
            The generation that serves now.

        Raises:
            Misuse: There is no such build.

        Cost: two steps.
        """
        check_views(projection)
        self.projection_store.flow.check(projection, "eventual")
        return (await self.rebuilding.go_back(any_of(projection), generation))[0]

    async def drop_generations(self, projection: Projection[D], *, generation: int | None = None) -> Dropped:
        """Delete kept builds of a view, or give up a rebuild.

        Args:
            projection: Which.
            generation: The build to delete, kept or being built; without it all that are kept.

        Raises:
            Misuse: It is the one that serves.

        Cost: one step for each 1,000 documents, and two more.
        """
        check_views(projection)
        self.projection_store.flow.check(projection, "eventual")
        return await self.rebuilding.drop(projection.id, generation, version=False)

    async def drop_version(self, name: str, version: int) -> Dropped:
        """Delete the view of a version of a projection that is no longer registered, with all its builds.

        Args:
            name: The projection's name.
            version: The version that is not needed any more.

        Raises:
            Misuse: That version is registered here.

        Cost: as for `drop_generations`.
        """
        retired = retired_version(self.projection_store.registry, name, version)
        return await self.rebuilding.drop(retired, None, version=True)

    def parked(self, projection: Projection[D], *, key: str | None = None) -> AsyncIterator[ParkedEvent]:
        """The parked events of a projection with `on_error="park"`: key by key, in their order, lazily, in pages.

        Args:
            projection: Which.
            key: Those of one document only.

        Cost: two steps, and one for each 200 events.
        """
        self.projection_store.flow.check(projection, "eventual")
        return iterate(self.parking.parked(any_of(projection), key))

    async def retry_parked(self, projection: Projection[D], *, key: str | None = None) -> Retried:
        """Fold parked events again, in order, each key for itself, until one of the key fails again.

        What was folded is in the view then, and no longer parked; one that failed stays at the front of its key.

        Args:
            projection: Which.
            key: Those of one document only.

        Raises:
            Unavailable: A step failed, or others moved the view again and again; nothing was lost.
            Misuse: The projection has other indexes now than the view was built with; nothing was folded.

        Cost: five steps for the first key, and as many for each further one.
        """
        self.projection_store.flow.check(projection, "eventual")
        return await self.parking.retry(any_of(projection), key)

    async def discard_parked(self, projection: Projection[D], *, key: str | None = None) -> Retried:
        """Give parked events up: they stay in the log, and are never folded into this view.

        Arguments, errors and cost as for `retry_parked`.
        """
        self.projection_store.flow.check(projection, "eventual")
        return await self.parking.discard(any_of(projection), key)

    async def skipped(self, projection: Projection[D]) -> tuple[SkippedEvent, ...]:
        """The last hundred events that a projection with `on_error="skip"` has passed over, newest first.

        Cost: one step.
        """
        self.projection_store.flow.check(projection, "eventual")
        return await self.parking.skipped(any_of(projection))

    async def run(self, *, poll_interval: float = 1.0, stop: Signal | None = None) -> None:
        """Catch up again and again, for a process that stays up: after each append of this process, and every so often.

        A failure is logged, and tried again after a pause that grows up to 30 seconds. Of a log in partitions it folds
        those that are its own, as it agrees with other workers beside the views; when it stops it hands them over.

        Args:
            poll_interval: Seconds between looks at the log when nobody notifies.
            stop: Ends the run when it is raised. Without one it runs for ever.
        """
        await self.flow.run(PORT, self.wake_signal(), stop or Signal(), poll_interval)

    def wake_signal(self) -> Signal:
        """What wakes it: the notifier's signal, where notifications stay in this process."""
        transport = self.event_store.notifier.transport
        return (transport.signal if transport else None) or Signal()

    @property
    def rebuilding(self) -> Rebuild:
        """What makes builds of views anew."""
        return rebuild_of(self.projection_store.views, self.flow, self.event_store.notifier.flow)

    @property
    def parking(self) -> Parking:
        """What looks after parked and skipped events."""
        return parking_of(self.projection_store.views, self.projection_store.log, self.flow)

    @property
    def reacting(self) -> Reacting:
        """What carries out what reactors decided."""
        from .._flow.carrying import Carrying
        from .._flow.reacting import Reacting

        store, registry = self.event_store, self.projection_store.registry
        carrying = Carrying(store.flow, store.executing, registry, self._carrier)
        return Reacting(self.projection_store.views, registry, self.flow.noting, carrying)

    def _carrier(self) -> Carrier | None:
        if self._messages is not None:
            return self._messages.flow.carrier()
        from .._flow.carrying import carrier

        return carrier(self.event_store.backend, self.event_store.notifier.transport, PORT, self._clock)


class AsyncWorker:
    """Runs a projector in a task of its own, from `start` to `stop`, or within an `async with` block.

    What delivers messages runs in another one.

    Args:
        projector: What to run.
        poll_interval: Seconds between looks at the log when nobody notifies, and at the mailbox for what other
            processes have put there: one read of an index, a write only where something is due.
        messages: What to deliver as well, where the app does so itself: `app.messages`.

    Raises:
        Misuse: The interval is none.
    """

    def __init__(
        self, projector: AsyncProjector, *, poll_interval: float = 1.0, messages: AsyncMessages | None = None
    ) -> None:
        from .._flow.running import check_poll_interval  # for a process that stays up

        self.projector = projector
        check_poll_interval(poll_interval)  # here, where the caller sees it, and not where it runs
        self.poll_interval = poll_interval
        self._wake = projector.wake_signal()
        self._stop = Signal()
        self._messages = messages.flow if messages is not None else None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start folding and delivering, on the running loop. Does nothing when it is started already."""
        if any(not task.done() for task in self._tasks):
            return
        self._stop = Signal()
        flows = {"worker": self.projector.flow.run(PORT, self._wake, self._stop, self.poll_interval)}
        if self._messages is not None and (delivering := self._messages.delivering) is not None:
            flows["deliverer"] = delivering.run(PORT, self._messages.wake, self._stop, self.poll_interval)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(flow, name=f"eventsource-upstash-{name}") for name, flow in flows.items()]

    async def stop(self) -> None:
        """Stop, after the page that is being folded and the message that is being delivered.

        What is not folded yet stays in the log, and what is not delivered yet in the mailbox.
        """
        tasks, self._tasks = self._tasks, []
        self._stop.set()
        if waiting := [task for task in tasks if not task.done()]:
            await asyncio.wait(waiting)  # somebody may have cancelled one, which is no business of the caller's

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
