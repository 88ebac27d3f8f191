"""What several clients do to an app at once, recorded; and whether what is left is right."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventsource_upstash import (
    ANY,
    EXISTS,
    App,
    AsyncApp,
    ConcurrencyError,
    Expectation,
    OutcomeUnknown,
    Projection,
    QStash,
    Recorded,
    Refused,
    Registry,
    StaleView,
    Unavailable,
    UpstashRedis,
)
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.history import Entry, History, Recorder, Verdict, View, check, entries


@dataclass(frozen=True)
class Noted:
    """An event; all that is said of it is which one it is."""

    mark: str


@dataclass(frozen=True)
class Tally:
    """What was noted in a stream: how much, and a sum that tells in which order."""

    count: int = 0
    sum: int = 0

    def and_(self, mark: str) -> Tally:
        return Tally(self.count + 1, zlib.crc32(mark.encode(), self.sum))


class Domain(NamedTuple):
    registry: Registry
    tallies: Projection[Tally]


def domain() -> Domain:
    registry = Registry()
    registry.event("noted")(Noted)
    tallies = registry.projection("tallies", Tally)

    @tallies.on(Noted)
    def noted(tally: Tally | None, event: Noted) -> Tally:
        return (tally or Tally()).and_(event.mark)

    return Domain(registry, tallies)


def mark_of(recorded: Recorded[object]) -> str | None:
    return recorded.event.mark if isinstance(recorded.event, Noted) else None


def fold(tally: object, entry: Entry) -> Tally:
    assert isinstance(entry.event, Noted)
    return (tally if isinstance(tally, Tally) else Tally()).and_(entry.event.mark)


class OnALoop:
    """A face for event loops as a blocking one: each call runs to its end on a loop of its caller's."""

    def __init__(self, inner: object, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._called(found) if callable(found) else found

    def _called(self, method: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            answer = method(*arguments, **options)
            if isinstance(answer, AsyncIterator):
                return self._loop.run_until_complete(_all(answer))
            if isinstance(answer, Awaitable):
                return self._loop.run_until_complete(_awaited(answer))
            return OnALoop(answer, self._loop)  # a view

        return call


async def _all(answers: AsyncIterator[object]) -> list[object]:
    return [answer async for answer in answers]


async def _awaited(answer: Awaitable[object]) -> object:
    return await answer


class _Faces(NamedTuple):
    event_store: Any
    projection_store: Any
    projector: Any


class Client:
    """One who appends, reads and folds, by dice. What it meets counts as met, and it goes on.

    Args:
        name: Its name in the history.
        backend: Where to.
        recorder: Its records.
        seed: Of the dice.
        ahead: Seconds that its clock is ahead of the others.
        careless: Whether it sends again what nobody knows the outcome of, without a key.
        colour: Which face it uses.
        notifier: What it notifies with when it has appended. Then it leaves the folding to others.
    """

    STREAMS = ("one", "two", "three")

    def __init__(
        self,
        name: str,
        backend: UpstashRedis,
        recorder: Recorder,
        seed: int,
        *,
        ahead: float = 0.0,
        careless: bool = False,
        notifier: QStash | None = None,
        colour: Colour = Colour.BLOCKING,
    ) -> None:
        self.name = name
        self.domain = domain()
        clock = lambda: time.time_ns() + int(ahead * 1e9)  # noqa: E731
        self.loop: asyncio.AbstractEventLoop | None = None
        app: Any  # of either colour; its faces are blocking ones in the end
        if colour is Colour.BLOCKING:
            app = App(backend, self.domain.registry, notifier, clock=clock)
        else:
            self.loop = asyncio.new_event_loop()
            app = AsyncApp(backend, self.domain.registry, notifier, clock=clock)
            app = _Faces(*(OnALoop(each, self.loop) for each in (app.event_store, app.projection_store, app.projector)))
        self.store = recorder.event_store(app.event_store, mark_of=mark_of)
        self.projections = recorder.projection_store(app.projection_store)
        self.projector = recorder.projector(app.projector)
        self.dice = random.Random(f"{seed}/{name}")
        self.careless = careless
        self.folds = notifier is None
        self.revisions: dict[str, int] = {}
        self.last = 0
        self.met: Counter[str] = Counter()
        self._count = 0

    def close(self) -> None:
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())  # with it the connections
            self.loop.close()

    def step(self) -> None:
        """One operation."""
        acts = (self.append, self.expect, self.append_with_key, self.read, self.look, self.catch_up)
        act = self.dice.choices(acts, (4, 3, 3, 1, 2, 2) if self.folds else (4, 3, 3, 1, 0, 0))[0]
        try:
            act()
            self.met["ok"] += 1
        except (ConcurrencyError, OutcomeUnknown, Unavailable, Refused, StaleView) as error:
            self.met[type(error).__name__] += 1

    def marks(self) -> tuple[str, list[Noted]]:
        self._count += 1
        mark = f"{self.name}-{self._count}"
        many = self.dice.choice((1, 1, 1, 3))
        return mark, [Noted(f"{mark}/{number}") for number in range(1, many + 1)]

    def append(self) -> None:
        stream, (mark, events) = self.dice.choice(self.STREAMS), self.marks()
        expected: Expectation = self.dice.choice((ANY, ANY, EXISTS if self.revisions.get(stream) else ANY))
        try:
            self.appended(stream, self.store.append(stream, *events, expected_revision=expected, mark=mark))
        except OutcomeUnknown:
            if not self.careless:
                raise
            self.appended(stream, self.store.append(stream, *events, expected_revision=expected, mark=mark))

    def expect(self) -> None:
        stream, (mark, events) = self.dice.choice(self.STREAMS), self.marks()
        try:
            expected = self.revisions.get(stream, 0)
            self.appended(stream, self.store.append(stream, *events, expected_revision=expected, mark=mark))
        except ConcurrencyError as error:
            self.revisions[stream] = error.actual
            raise

    def append_with_key(self) -> None:
        """Sent again under its key until somebody knows."""
        stream, (mark, events) = self.dice.choice(self.STREAMS), self.marks()
        for _ in range(20):
            try:
                self.appended(stream, self.store.append(stream, *events, idempotency_key=mark, mark=mark))
                return
            except (OutcomeUnknown, Unavailable) as error:  # noqa: PERF203
                self.met[f"{type(error).__name__}, sent again"] += 1

    def appended(self, stream: str, appended: object) -> None:
        self.last = getattr(appended, "position")  # noqa: B009
        self.revisions[stream] = getattr(appended, "revision")  # noqa: B009

    def read(self) -> None:
        what = self.dice.randrange(3)
        if what == 0:
            stream = self.dice.choice(self.STREAMS)
            self.revisions[stream] = max([0, *(each.revision for each in self.store.read_stream(stream))])
        elif what == 1:
            list(self.store.read(after=max(0, self.last - 20)))
        else:
            self.store.head()

    def look(self) -> None:
        if self.dice.random() < 0.3:
            self.projections.checkpoint(self.domain.tallies)
        else:
            view = self.projections.view(self.domain.tallies)
            view.get(self.dice.choice(self.STREAMS), at_least=self.dice.choice((None, self.last)), timeout=2.0)

    def catch_up(self) -> None:
        self.projector.catch_up()


class Run:
    """Clients in threads of their own, and what they leave.

    Args:
        clients: The clients.
        steps: How many each takes.
    """

    def __init__(self, clients: list[Client], steps: int) -> None:
        self.clients = clients
        self.steps = steps
        self.done = 0
        self._moved = threading.Condition()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(client,)) for client in clients]

    def _work(self, client: Client) -> None:
        try:
            for _ in range(self.steps):
                client.step()
                with self._moved:
                    self.done += 1
                    self._moved.notify_all()
        except BaseException as error:
            self._errors.append(error)
            with self._moved:
                self.done = self.whole  # nobody waits for what does not come
                self._moved.notify_all()

    @property
    def whole(self) -> int:
        return self.steps * len(self.clients)

    @contextmanager
    def __call__(self) -> Iterator[Run]:
        """They work meanwhile; at the end they have ended."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            for thread in self._threads:
                thread.join()
            for client in self.clients:
                client.close()
        if self._errors:
            raise self._errors[0]

    def wait(self, part: float) -> None:
        """Wait until that part of all steps is done."""
        with self._moved:
            self._moved.wait_for(lambda: self.done >= part * self.whole)

    def wait_to_meet(self, *errors: str, times: int = 1) -> None:
        """Wait until one of these errors was met so often from now on, or all is done."""
        before = self._met_of(errors)
        with self._moved:
            self._moved.wait_for(lambda: self._met_of(errors) >= before + times or self.done >= self.whole)
        assert self._met_of(errors) > before, f"nobody met {errors}: {self.met}"

    def _met_of(self, errors: tuple[str, ...]) -> int:
        return sum(times for error, times in self.met.items() if error.startswith(errors))

    @property
    def met(self) -> Counter[str]:
        return sum((client.met for client in self.clients), Counter())


def judge(history: History, backend: UpstashRedis, *, catch_up: Callable[[App], object] | None = None) -> Verdict:
    """Look at the log and the view as they stand, and once more when the view has caught up."""
    found = domain()
    app = App(backend, found.registry, None)

    def view() -> View:
        (status,) = app.projection_store.status()
        assert status.state in ("live", "waiting", "current") or status.checkpoint >= 0
        documents = dict(app.projection_store.view(found.tallies).items())
        return View("tallies", status.checkpoint, documents, fold, lambda entry: [entry.stream])

    log = entries(app.event_store.read(), mark_of)
    verdict = check(history, log, [view()])
    if not verdict.ok:
        return verdict
    assert (catch_up or (lambda app: app.projector.catch_up().complete))(app)
    caught_up = view()
    assert caught_up.checkpoint == (log[-1].position if log else 0)
    return check(history, log, [caught_up])
