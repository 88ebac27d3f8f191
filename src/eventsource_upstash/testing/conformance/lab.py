"""The `Lab` of each test: a backend on storage of its own, and what is done with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from msgspec.structs import replace
from typing_extensions import Self

from ...domain.events import ANY, Appended, Expectation, Receipt, StoredEvent
from ...domain.projections import ProjectionId
from ...domain.registry import Registry
from ...ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    Append,
    AppendCondition,
    Backend,
    Conflict,
    KeyReused,
    Log,
    NoticeTransport,
    Query,
    Snapshot,
    Unmet,
    Views,
)
from ..colours import Colour, Face
from .fuse import Fused
from .viewing import NOW_US, ViewsLab

T = TypeVar("T")


class Lab(ViewsLab):
    """What a test works with: a backend on storage of its own, opened in one colour.

    Attributes:
        colour: The colour that the test runs in.
        backend: The backend under test.
        log: Its log.
        views: Its views.
        reopens: Whether the storage outlives the backend object.
        beside: Whether the views are in one place with the log.
    """

    def __init__(
        self,
        colour: Colour,
        opened: Callable[[], Backend],
        *,
        reopens: bool,
        whole_pages: bool = True,
        beside: bool = True,
    ) -> None:
        self.colour = colour
        self._whole_pages = whole_pages
        self.reopens = reopens
        self.beside = beside
        self._opened = opened
        self._backends: list[Backend] = []
        self._numbers = itertools.count(1)
        self._projections = itertools.count(1)
        self.backend: Backend
        self.log: Log
        self.views: Views
        self._use(opened())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for backend in self._backends:
            backend.close()

    def _use(self, backend: Backend) -> None:
        self._backends.append(backend)
        self.backend = backend
        self.log = backend.log(self.colour.port)
        self.views = backend.views(self.colour.port, self.log)

    def reopen(self) -> None:
        """Close the backend, and open what it has stored: with a new object where the storage outlives the old one."""
        self.backend.close()
        self._use(self.another())

    def another(self) -> Backend:
        """Another backend on the same storage, as another process would have; the same one where there can be none."""
        if not self.reopens:
            return self.backend
        backend = self._opened()
        self._backends.append(backend)
        return backend

    def face(
        self, registry: Registry, transport: NoticeTransport | None = None, backend: Backend | None = None
    ) -> Face:
        """An app on the backend, in the test's colour. One that never gets on fails instead of hanging."""
        return Face(self.colour, Fused(backend or self.backend), registry, transport)

    def appending(
        self,
        stream: str,
        *payloads: bytes,
        expected: int | Expectation = ANY,
        key: str | None = None,
        digest: bytes | None = None,
        metadata: bytes | None = None,
        tags: bytes | Sequence[bytes | None] | None = None,
        type: str = "happened",
        version: int = 1,
        condition: AppendCondition | None = None,
    ) -> Append:
        """An append, not sent yet: of one event per payload, with a number and a time that no other one has."""
        number = next(self._numbers)
        return Append(
            stream,
            expected,
            [(type, version, payload) for payload in payloads or (b"{}",)],
            NOW_US + number,
            number << 20,
            metadata,
            tags,
            key,
            digest if digest is not None else b"" if key is None else b"digest of %d" % number,
            condition=condition,
        )

    async def append(
        self, stream: str, *payloads: bytes, expected: int | Expectation = ANY, key: str | None = None
    ) -> Appended:
        """Append an event per payload, and insist that it went well."""
        return await self.write(self.appending(stream, *payloads, expected=expected, key=key))

    async def write(self, append: Append) -> Appended:
        """Send an append, and insist that it went well: event by event where the log cannot write several at once."""
        if self.backend.capabilities.atomic_appends:
            return appended(await self.log.append(append))
        answers = [
            appended(await self.log.append(replace(append, events=[event], number=append.number + at, tags=tags)))
            for at, (event, tags) in enumerate(zip(append.events, _tags_of_each(append), strict=True))
        ]
        return answers[-1]

    async def send(self, face: Face, stream: str, *events: object, **more: Any) -> Appended:
        """Append events by a face: at once, or one by one where the log cannot write several at once."""
        # Any: whatever `Face.append` takes besides.
        if self.backend.capabilities.atomic_appends:
            return await face.append(stream, *events, **more)
        return [await face.append(stream, event, **more) for event in events][-1]

    def several(self, *events: T) -> list[T]:
        """What one append may have of events, or payloads: the first where the log cannot write several at once."""
        return list(events) if self.backend.capabilities.atomic_appends else [events[0]]

    def expect(self, revision: int) -> int | Expectation:
        """What an append may expect that is sent at a revision: any at all where the log compares none."""
        return revision if self.backend.capabilities.expected_revisions else ANY

    def page(self, found: Sequence[object], expected: list[T]) -> list[T]:
        """What a page has to hold: all that is expected, or at least the first of it where pages may end sooner."""
        return expected if self._whole_pages else expected[: max(1, len(found))]

    async def fill(self, count: int, *, stream: str = "filled") -> list[StoredEvent]:
        """Append so many small events one by one. Answers the whole log."""
        for index in range(count):
            await self.append(stream, b"%d" % index)
        return await self.everything()

    async def everything(self, *, after: int = 0, limit: int = MAX_PAGE_EVENTS) -> list[StoredEvent]:
        """The log after a position, page by page."""
        events: list[StoredEvent] = []
        while True:
            page = await self.log.read(after, limit, MAX_PAGE_BYTES)
            events += page.events
            last = page.events[-1][0] if page.events else page.head
            reached = last if page.reached is None else page.reached
            if reached <= after or (page.reached is None and not page.events):
                assert not page.events, "a page does not lead any further in the log"
                return events
            after = reached

    async def find(self, query: Query, *, after: int = 0, limit: int = MAX_PAGE_EVENTS) -> list[StoredEvent]:
        """The events that a query means after a position, page by page."""
        events: list[StoredEvent] = []
        while True:
            page = await self.log.read(after, limit, MAX_PAGE_BYTES, query)
            events += page.events
            last = page.events[-1][0] if page.events else page.head
            reached = last if page.reached is None else page.reached
            if reached >= page.head:
                return events
            assert reached > after, "a page does not lead any further in the log"
            assert not page.events or page.events[-1][0] <= reached, "a page holds events beyond what it reached"
            after = reached

    async def stream(self, stream: str, *, after: int = 0) -> list[StoredEvent]:
        """A stream after a revision, page by page; out of the whole log where streams cannot be read by themselves."""
        if not self.backend.capabilities.streams:
            return [row for row in await self.everything() if row[1] == stream and row[2] > after]
        events: list[StoredEvent] = []
        while True:
            page = await self.log.read_stream(stream, after, MAX_PAGE_EVENTS, MAX_PAGE_BYTES)
            if not page.events:
                return events
            assert page.events[-1][2] > after, "a page does not lead any further in the stream"
            after = page.events[-1][2]
            events += page.events

    async def warm_up(self) -> None:
        """Do everything once."""
        (row,) = await self.fill(1)
        await self.append("filled", key="key")
        await self.log.recall("filled", "key")
        await self.stream("filled")
        await self.warm_up_views(ProjectionId("somebody", 1), row[0])
        if self.backend.capabilities.streams:
            await self.log.keep("filled", Snapshot("n@1", 1, b"1"))
        await self.log.settle((await self.log.head())[0])
        await self.log.withdraw(1, 1)


def _tags_of_each(append: Append) -> list[bytes | None]:
    tags = append.tags
    return [tags] * len(append.events) if tags is None or isinstance(tags, bytes) else list(tags)


def appended(answer: Appended | Conflict | KeyReused | Unmet) -> Appended:
    """The answer of an append that went well, and was written now."""
    assert isinstance(answer, Appended), f"the append was answered with {answer!r}"
    assert not answer.repeated, "the append was answered as if it had been written before"
    return answer


def repeats(answer: Appended | Conflict | KeyReused | Unmet | Receipt, first: Appended) -> bool:
    """Whether an answer is what the append answered that was written before."""
    return isinstance(answer, Appended) and (answer.position, answer.revision, answer.repeated) == (
        first.position,
        first.revision,
        True,
    )


def conflict(answer: Appended | Conflict | KeyReused | Unmet) -> Conflict:
    """The answer of an append that met another revision than it expected."""
    assert isinstance(answer, Conflict), f"the append was answered with {answer!r}, and not with a conflict"
    return answer


def unmet(answer: Appended | Conflict | KeyReused | Unmet) -> Unmet:
    """The answer of an append whose condition an event stands against."""
    assert isinstance(answer, Unmet), f"the append was answered with {answer!r}, and not that its condition is unmet"
    return answer
