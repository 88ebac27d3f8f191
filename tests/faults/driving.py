"""An app of either colour behind blocking methods, so that one test runs in both.

The event-loop face is driven by one `asyncio.run()` per call: the same object is used on many loops, one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, Literal, TypeVar

from eventsource_upstash import (
    Aggregate,
    App,
    Appended,
    AsyncApp,
    CatchUp,
    Executed,
    InProcess,
    Loaded,
    Projection,
    ProjectionStatus,
    Recorded,
    Registry,
)
from eventsource_upstash.ports import Backend

T = TypeVar("T")
S = TypeVar("S")
D = TypeVar("D")

Colour = Literal["blocking", "event loop"]
COLOURS: tuple[Colour, ...] = ("blocking", "event loop")


class Driver:
    """Takes what the faces take. `Any` where it only hands keyword arguments on."""

    def __init__(self, backend: Backend, registry: Registry, colour: Colour, **options: Any) -> None:
        self.backend = backend
        self.colour = colour
        self.app = (App if colour == "blocking" else AsyncApp)(backend, registry, InProcess(), **options)

    @property
    def blocking(self) -> App:
        assert isinstance(self.app, App)
        return self.app

    def append(self, stream: Any, *events: object, **options: Any) -> Appended:
        return _settled(self.app.event_store.append(stream, *events, **options))

    def read(self, **options: Any) -> list[Recorded[object]]:
        return _gathered(self.app.event_store.read(**options))

    def read_stream(self, stream: str, **options: Any) -> list[Recorded[object]]:
        return _gathered(self.app.event_store.read_stream(stream, **options))

    def head(self) -> int:
        return _settled(self.app.event_store.head())

    def load(self, aggregate: Aggregate[S], stream: str) -> Loaded[S]:
        return _settled(self.app.event_store.load(aggregate, stream))

    def execute(self, aggregate: Aggregate[S], stream: str, command: object, **options: Any) -> Executed[S]:
        return _settled(self.app.event_store.execute(aggregate, stream, command, **options))

    def catch_up(self, **options: Any) -> CatchUp:
        return _settled(self.app.projector.catch_up(**options))

    def get(self, projection: Projection[D], key: Any, **options: Any) -> D | None:
        return _settled(self.app.projection_store.view(projection).get(key, **options))

    def items(self, projection: Projection[D], **options: Any) -> dict[str, D]:
        return dict(_gathered(self.app.projection_store.view(projection).items(**options)))

    def count(self, projection: Projection[D], **options: Any) -> int:
        return _settled(self.app.projection_store.view(projection).count(**options))

    def status(self) -> dict[str, ProjectionStatus]:
        return {each.name: each for each in _settled(self.app.projection_store.status())}


def _settled(answer: T | Awaitable[T]) -> T:
    return asyncio.run(_awaited(answer)) if isinstance(answer, Awaitable) else answer


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


def _gathered(answers: Iterator[T] | AsyncIterator[T]) -> list[T]:
    return asyncio.run(_all(answers)) if isinstance(answers, AsyncIterator) else list(answers)


async def _all(answers: AsyncIterator[T]) -> list[T]:
    return [answer async for answer in answers]
