"""Both colours in one test: a coroutine is stepped over the blocking port, or run by an event loop.

`Colour` runs coroutines, and several of them at once; `Face` is an app of either colour behind one set of coroutines.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from .._flow.statuses import ProjectionStatus
from .._io import blocking, event_loop
from .._io.port import Port
from ..aio import AsyncApp
from ..aio.projector import AsyncProjector
from ..blocking import App
from ..blocking.projector import Projector
from ..domain.aggregates import Aggregate, Executed, Loaded
from ..domain.events import ANY, Appended, CatchUp, Expectation, Recorded
from ..domain.projections import Projection
from ..domain.queries import AppendCondition, Query
from ..domain.registry import Registry
from ..ports import MAX_PAGE_EVENTS, Backend, NoticeTransport

T = TypeVar("T")
S = TypeVar("S")
D = TypeVar("D")


Work = Callable[[], Coroutine[Any, Any, None]]
"""Work of one caller, made anew each time it is called."""


class Colour(enum.Enum):
    """How a coroutine is run."""

    BLOCKING = "blocking"
    """Stepped to its end in the calling thread; several at once in a thread each."""
    EVENT_LOOP = "event loop"
    """By `asyncio.run`; several at once as tasks of one loop."""

    @property
    def port(self) -> Port:
        """The port that coroutines of this colour wait on."""
        return blocking.PORT if self is Colour.BLOCKING else event_loop.PORT

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. Raises what it raises."""
        if self is Colour.BLOCKING:
            return blocking.run(coroutine)
        return asyncio.run(coroutine)

    async def breathe(self) -> None:
        """Let the others go on who run at the same time; threads do by themselves."""
        if self is Colour.EVENT_LOOP:
            await asyncio.sleep(0)

    async def together(self, work: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
        """Run several coroutines at the same time. Answers what they return; raises what the first of them raises."""
        if self is Colour.EVENT_LOOP:
            return await asyncio.gather(*(each() for each in work))
        return _in_threads([_running(each, self) for each in work])

    async def apart(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine to its end in a thread of its own, on an event loop of its own where it needs one."""
        run = _running(work, self)
        if self is Colour.EVENT_LOOP:
            return await asyncio.get_running_loop().run_in_executor(None, run)
        return _in_threads([run])[0]


def _running(work: Callable[[], Coroutine[Any, Any, T]], colour: Colour) -> Callable[[], T]:
    return lambda: colour.run(work())


def _in_threads(work: Sequence[Callable[[], T]]) -> list[T]:
    answers: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    begin = threading.Barrier(len(work))

    def run(index: int) -> None:
        try:
            begin.wait()
            answers[index] = work[index]()
        except BaseException as error:  # raised again in the thread that asked
            errors[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [answers[index] for index in range(len(work))]


async def settled(answer: T | Coroutine[Any, Any, T]) -> T:
    """What a face of either colour answered, awaited if that is what it needs."""
    if isinstance(answer, Coroutine):
        return await cast("Coroutine[Any, Any, T]", answer)
    return answer


class Face:
    """An app of either colour, behind coroutines: `EventStore`, `ProjectionStore` and `Projector` in one.

    Args:
        colour: Which of the faces it stands for.
        backend: The app's backend.
        registry: The app's registry.
        transport: How notifications travel, if they do.
    """

    def __init__(
        self, colour: Colour, backend: Backend, registry: Registry, transport: NoticeTransport | None = None
    ) -> None:
        self.colour = colour
        self.app: App | AsyncApp = (
            App(backend, registry, transport) if colour is Colour.BLOCKING else AsyncApp(backend, registry, transport)
        )

    async def append(
        self,
        stream: str,
        *events: object,
        expected_revision: int | Expectation = ANY,
        condition: AppendCondition | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
    ) -> Appended:
        """See `EventStore.append`."""
        return await settled(
            self.app.event_store.append(
                stream,
                *events,
                expected_revision=expected_revision,
                condition=condition,
                idempotency_key=idempotency_key,
                metadata=metadata,
                tags=tags,
            )
        )

    async def read(
        self, *, after: int = 0, limit: int | None = None, query: Query | None = None
    ) -> list[Recorded[object]]:
        """See `EventStore.read`."""
        recorded = self.app.event_store.read(after=after, limit=limit, query=query)
        return list(recorded) if isinstance(recorded, Iterator) else [each async for each in recorded]

    async def read_stream(
        self, stream: str, *, after_revision: int = 0, limit: int | None = None
    ) -> list[Recorded[object]]:
        """See `EventStore.read_stream`."""
        recorded = self.app.event_store.read_stream(stream, after_revision=after_revision, limit=limit)
        return list(recorded) if isinstance(recorded, Iterator) else [each async for each in recorded]

    async def head(self) -> int:
        """See `EventStore.head`."""
        return await settled(self.app.event_store.head())

    async def load(self, aggregate: Aggregate[S], stream: str) -> Loaded[S]:
        """See `EventStore.load`."""
        return await settled(self.app.event_store.load(aggregate, stream))

    async def execute(
        self, aggregate: Aggregate[S], stream: str, command: object, *, idempotency_key: str | None = None
    ) -> Executed[S]:
        """See `EventStore.execute`."""
        return await settled(self.app.event_store.execute(aggregate, stream, command, idempotency_key=idempotency_key))

    async def notify(self, position: int) -> None:
        """See `Notifier.notify`."""
        await settled(self.app.notifier.notify(position))

    async def catch_up(
        self,
        *,
        until: int | None = None,
        time_budget: float | None = None,
        page_size: int = MAX_PAGE_EVENTS,
    ) -> CatchUp:
        """See `Projector.catch_up`; by a projector of that page size."""
        app = self.app
        if isinstance(app, AsyncApp):
            projector = AsyncProjector(app.event_store, app.projection_store, page_size=page_size)
            return await projector.catch_up(until=until, time_budget=time_budget)
        blocking_projector = Projector(app.event_store, app.projection_store, page_size=page_size)
        return blocking_projector.catch_up(until=until, time_budget=time_budget)

    async def get(
        self, projection: Projection[D], key: str, *, at_least: int | None = None, timeout: float = 5.0
    ) -> D | None:
        """See `View.get`."""
        documents = await self.get_many(projection, [key], at_least=at_least, timeout=timeout)
        single = await settled(self.app.projection_store.view(projection).get(key, at_least=at_least, timeout=timeout))
        assert documents.get(key) == single, "get and get_many answer differently"
        return single

    async def get_many(
        self, projection: Projection[D], keys: Sequence[str], *, at_least: int | None = None, timeout: float = 5.0
    ) -> dict[str, D]:
        """See `View.get_many`."""
        view = self.app.projection_store.view(projection)
        return await settled(view.get_many(keys, at_least=at_least, timeout=timeout))

    async def items(
        self,
        projection: Projection[D],
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: int | None = None,
    ) -> list[tuple[str, D]]:
        """See `View.items`."""
        items = self.app.projection_store.view(projection).items(after=after, limit=limit, at_least=at_least)
        return list(items) if isinstance(items, Iterator) else [each async for each in items]

    async def count(self, projection: Projection[D], *, at_least: int | None = None) -> int:
        """See `View.count`."""
        return await settled(self.app.projection_store.view(projection).count(at_least=at_least))

    async def status(self) -> tuple[ProjectionStatus, ...]:
        """See `ProjectionStore.status`."""
        return await settled(self.app.projection_store.status())

    async def close(self) -> None:
        """See `App.close`."""
        await settled(self.app.close())
