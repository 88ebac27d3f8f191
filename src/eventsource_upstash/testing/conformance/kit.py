"""What the contracts are made of: `Contract`, which a backend's test class inherits, and the `Lab` of each test."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Collection, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import pytest
from msgspec.structs import replace
from typing_extensions import Self

from ..._io import blocking
from ...domain.events import ANY, FREE, Appended, Expectation, Receipt, StoredEvent
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
from ..pausing import pausing
from .fuse import Fused
from .viewing import NOW_US, ViewsLab

C = TypeVar("C", bound="Contract")
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


class Stepping:
    """What a test works with that runs its callers in every order of steps."""

    def __init__(self, make: Callable[[str], Lab], *, waits: bool, anew: bool) -> None:
        self._make = make
        self._waits = waits
        self._anew = anew
        self._names = itertools.count()
        self._lab: Lab | None = None

    def __enter__(self) -> Self:
        # What a backend does once only, such as sending a server its scripts, belongs to no schedule.
        blocking.run(self.fresh().warm_up())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lab is not None:
            self._lab.__exit__(kind, error, trace)

    def fresh(self) -> Lab:
        """The lab for the next schedule: on empty storage, or on the same as before, with what is in it."""
        if self._lab is not None:
            if not self._anew:
                return self._lab
            self._lab.__exit__(None, None, None)
        self._lab = self._make(f"schedule-{next(self._names)}")
        return self._lab

    def log(self, *, after: bool = False) -> Log:
        """The log of the present lab, stopping at each wait."""
        assert self._lab is not None
        return self._pausing(self._lab, after=after).log(self._lab.colour.port)

    def views(self, *, after: bool = False) -> Views:
        """The views of the present lab, stopping at each wait."""
        assert self._lab is not None
        backend, port = self._pausing(self._lab, after=after), self._lab.colour.port
        return backend.views(port, backend.log(port))

    def _pausing(self, lab: Lab, *, after: bool) -> Backend:
        return pausing(lab.backend, after=after, inside=True, outside=not self._waits)


class Contract:
    """Base of the contracts. A backend's test class inherits one or several of them, and says how it is opened.

    Attributes:
        reopens: Whether the storage outlives the backend object. False for a backend that keeps everything in itself:
            its tests then close it and go on with the same object.
        waits: Whether all that the backend does, it does by waits of its port: a server's, a file's. The tests in any
            order of steps then pause it there, and need not pause it around its calls, which are far fewer schedules.
        anew: Whether those tests open empty storage for each schedule. For a backend that takes other steps when more
            is stored, or to which an empty storage costs nothing.
        whole_pages: Whether a page holds all that its bounds let in. False for a log in several parts, of which a page
            ends where a part ends.
        beside: Whether the views are in one place with the log, and read both in one step. False for views of another
            backend than the log's, or over a log that is wrapped.
    """

    reopens: ClassVar[bool] = True
    waits: ClassVar[bool] = False
    anew: ClassVar[bool] = False
    whole_pages: ClassVar[bool] = True
    beside: ClassVar[bool] = True

    def open_backend(self, folder: Path) -> Backend:
        """Open the backend on the storage that belongs to a folder, and make that storage if it is not there.

        Called with the same folder again, it opens the same storage again. Each test has an empty folder of its own; a
        backend that is reached over a network makes a namespace of its path.
        """
        raise NotImplementedError

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        """Check what an action cost. An embedded backend costs nothing; replace this where each request is billed.

        Args:
            action: "append", "load", "execute", "catch up" or "catch up with nothing to do".
            receipt: What it cost.
        """
        assert receipt == FREE, f"{action} cost {receipt}, and an embedded backend costs nothing"

    @pytest.fixture(params=list(Colour), ids=["blocking", "event-loop"])
    def lab(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
        """The backend, opened in one colour and then in the other."""
        with self._lab(request.param, tmp_path) as lab:
            yield lab

    def _lab(self, colour: Colour, folder: Path) -> Lab:
        folder.mkdir(parents=True, exist_ok=True)
        return Lab(
            colour,
            lambda: self.open_backend(folder),
            reopens=self.reopens,
            whole_pages=self.whole_pages,
            beside=self.beside,
        )

    def stepped(self, folder: Path) -> Lab:
        """The backend, for a test that runs its callers itself."""
        return self._lab(Colour.BLOCKING, folder)

    @contextmanager
    def stepping(self, folder: Path) -> Generator[Stepping]:
        """For a test that steps its callers itself."""
        make = partial(self._lab, Colour.BLOCKING)
        with Stepping(lambda name: make(folder / name), waits=self.waits, anew=self.anew) as stepping:
            yield stepping

    def run_tests(
        self, folder: Path, colour: Colour = Colour.BLOCKING, *, only: Collection[str] | None = None
    ) -> dict[str, BaseException]:
        """Run the tests of this contract without pytest's runner, and answer which of them failed, and with what.

        To prove that the tests can fail: a backend that breaks a rule has to be caught by the test that holds it.

        Args:
            folder: An empty folder.
            colour: The colour that they run in.
            only: The names of the tests to run, where it need not be all of them.
        """
        failures: dict[str, BaseException] = {}
        for name, test in inspect.getmembers(self, inspect.ismethod):
            if not name.startswith("test_") or (only is not None and name not in only):
                continue
            own = folder / name
            own.mkdir(parents=True)
            try:
                if "lab" in inspect.signature(test).parameters:
                    with self._lab(colour, own) as lab:
                        test(lab)
                else:
                    test(own)
            except (Exception, pytest.fail.Exception) as error:
                failures[name] = error
        return failures


def in_colour(test: Callable[[C, Lab], Coroutine[Any, Any, None]]) -> Callable[[C, Lab], None]:
    """A coroutine test as a plain one, run in the colour of its lab."""

    @functools.wraps(test)
    def run(contract: C, lab: Lab) -> None:
        lab.colour.run(test(contract, lab))

    return run
