"""A workload that any backend can be put under: appends, reads, folds, by several processes on a few streams."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from ...blocking import App, EventStore
from ...blocking.projector import Projector
from ...domain.events import ANY, EXISTS, Expectation, Recorded
from ...domain.projections import Projection
from ...domain.queries import AppendCondition, Query
from ...domain.registry import Registry
from ...errors import ConcurrencyError, ConditionFailed, OutcomeUnknown, Refused, StaleView, Unavailable
from ...ports import Backend
from .faces import RecordedEventStore, RecordedProjector, RecordedView
from .histories import History
from .recorder import Recorder
from .records import AppendCall, Entry
from .view_checks import View

EXPECTED_ERRORS: Final = (ConcurrencyError, ConditionFailed, OutcomeUnknown, Refused, StaleView, Unavailable)
"""What may happen to a caller on a bad day. Anything else ends the process, and is a finding."""

PAUSE: Final = 0.02
"""Most seconds that a process waits after a bad answer."""

TAGS: Final = 3
"""Tags by which appends have conditions."""

KEYS: Final = 5
"""Documents of the view that all streams share."""


@dataclass(frozen=True)
class Noted:
    """The event of the workload.

    Attributes:
        mark: Its append's mark.
        place: Its place in the append, from 1.
    """

    mark: str
    place: int


class Tally(msgspec.Struct, frozen=True):
    """A document: what was folded into it, and in which order.

    Attributes:
        count: How many events.
        digest: A checksum over their marks, one after another.
    """

    count: int = 0
    digest: int = 0


class Workload(NamedTuple):
    """The registry of the workload, and its projections."""

    registry: Registry
    streams: Projection[Tally]
    shared: Projection[Tally]


def workload() -> Workload:
    """What the processes register: an event, a view by stream, and one whose documents come and go."""
    registry = Registry()
    registry.event("noted")(Noted)
    streams = registry.projection("streams", Tally)
    shared = registry.projection("shared", Tally)

    @streams.on(Noted)
    def in_stream(tally: Tally | None, event: Noted) -> Tally | None:
        return _tallied(tally, f"{event.mark}/{event.place}")

    @shared.on(Noted, key=lambda event: _key(f"{event.mark}/{event.place}"))
    def in_all(tally: Tally | None, event: Noted) -> Tally | None:
        return None if _ends(f"{event.mark}/{event.place}") else _tallied(tally, f"{event.mark}/{event.place}")

    assert callable(in_stream)
    assert callable(in_all)
    return Workload(registry, streams, shared)


def mark_of(recorded: Recorded[object]) -> str | None:
    """The mark of an event of the workload."""
    return f"{recorded.event.mark}/{recorded.event.place}" if isinstance(recorded.event, Noted) else None


def tags_of(mark: str) -> tuple[str, ...]:
    """The tags of an append's events, the same however often it is tried: none, one or several."""
    drawn = zlib.crc32(mark.encode())
    return tuple(f"tag:{number}" for number in range(TAGS) if drawn >> number & 1)


def condition_on(tag: int, after: int) -> AppendCondition:
    """That nothing with a tag has come after a position."""
    return AppendCondition(Query.of(tags=[f"tag:{tag}"]), after)


def views(app: App, the: Workload) -> list[View]:
    """The views of the workload as they are now, with what they come from."""
    checkpoints = {status.name: status.checkpoint for status in app.projection_store.status()}

    def fold(document: object, entry: Entry) -> object:
        return _tallied(document if isinstance(document, Tally) else None, entry.mark or "")

    def fold_shared(document: object, entry: Entry) -> object:
        return None if _ends(entry.mark or "") else fold(document, entry)

    def stream(entry: Entry) -> list[str]:
        return [entry.stream]

    def key(entry: Entry) -> list[str]:
        return [_key(entry.mark or "")]

    streams = dict(app.projection_store.view(the.streams).items())
    shared = dict(app.projection_store.view(the.shared).items())
    return [
        View("streams", checkpoints["streams"], streams, fold, stream),
        View("shared", checkpoints["shared"], shared, fold_shared, key),
    ]


def _tallied(tally: Tally | None, mark: str) -> Tally:
    before = tally or Tally()
    return Tally(before.count + 1, zlib.crc32(f"{before.digest}:{mark}".encode()))


def _key(mark: str) -> str:
    return f"{zlib.crc32(mark.encode()) % KEYS}"


def _ends(mark: str) -> bool:
    return zlib.crc32(mark.encode()) % 23 == 0


class Life:
    """A process of the workload, from its start to its end or its kill.

    Args:
        backend: What it works on.
        recorder: What it does is recorded there.
        dice: What it does next.
        streams: How many streams there are.
    """

    def __init__(self, backend: Backend, recorder: Recorder, dice: random.Random, streams: int = 4) -> None:
        the = workload()
        self.app: App = App(backend, the.registry, None)
        self.recorder = recorder
        self.dice = dice
        self.streams: list[str] = [f"stream-{number}" for number in range(1, streams + 1)]
        plain: EventStore = self.app.event_store
        self.store: RecordedEventStore = recorder.event_store(plain, mark_of=mark_of)
        self.views: list[RecordedView[Tally]] = [
            recorder.projection_store(self.app.projection_store).view(each) for each in (the.streams, the.shared)
        ]
        # Small pages, so that catch-ups meet in their middle.
        projector = Projector(plain, self.app.projection_store, page_size=dice.choice([3, 20, 1000]))
        self.projector: RecordedProjector = recorder.projector(projector)
        self.known: dict[str, int] = {}
        self.token: int = 0
        self.seen: int = 0
        self._count = 0
        self._moves: list[Callable[[], object]] = []
        for move, weight in (
            (self.append, 50),
            (self.catch_up, 14),
            (self.read_stream, 12),
            (self.read_log, 8),
            (self.read_view, 10),
            (self.read_checkpoint, 4),
            (self.store.head, 4),
        ):
            self._moves += [move] * weight

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Work as long as it is told to go on."""
        self._again_what_was_unknown()
        while goes_on():
            self.move()
        self.app.close()

    def move(self) -> None:
        """Do one thing."""
        try:
            self.dice.choice(self._moves)()
        except ConcurrencyError as conflict:
            self.known[conflict.stream] = conflict.actual
        except ConditionFailed as failed:
            self.seen = max(self.seen, failed.position)
        except EXPECTED_ERRORS:
            time.sleep(self.dice.random() * PAUSE)

    def append(self) -> None:
        """Append to a stream, mostly at the revision that it is thought to be at."""
        dice, stream = self.dice, self.dice.choice(self.streams)
        known = self.known.get(stream)
        unseen: list[int | Expectation] = [ANY, ANY, EXISTS, 0]
        seen: list[int | Expectation] = [] if known is None else [known, known, known, ANY, EXISTS, known + 1]
        expected = dice.choice(seen or unseen)
        self._count += 1
        keyed = dice.random() < 0.5
        mark = f"{self.recorder.process}.{self.recorder.began}.{self._count}{'k' if keyed else ''}"
        condition = condition_on(dice.randrange(TAGS), self.seen) if dice.random() < 0.3 else None
        self._append(stream, mark, dice.choice([1, 1, 1, 2, 3]), expected, keyed=keyed, condition=condition)

    def _append(
        self,
        stream: str,
        mark: str,
        count: int,
        expected: int | Expectation,
        *,
        keyed: bool,
        condition: AppendCondition | None,
    ) -> None:
        events = [Noted(mark, place) for place in range(1, count + 1)]
        key = mark if keyed else None
        for _ in range(3 if keyed else 1):
            try:
                appended = self.store.append(
                    stream,
                    *events,
                    expected_revision=expected,
                    idempotency_key=key,
                    mark=mark,
                    tags=tags_of(mark),
                    condition=condition,
                )
            except OutcomeUnknown:
                continue
            if not appended.repeated:
                self.known[stream] = appended.revision
            self.token = max(self.token, appended.position)
            if condition is not None:
                self.seen = max(self.seen, appended.position)
            return

    def _again_what_was_unknown(self) -> None:
        """What the life before had begun with an idempotency key, and knows no answer of, is tried again."""
        if self.recorder.path is None:
            return
        mine = [each for each in History.of(self.recorder).operations if isinstance(each.call, AppendCall)]
        for operation in mine[-1:]:
            call = operation.call
            if isinstance(call, AppendCall) and operation.answer.outcome == "unknown" and call.mark.endswith("k"):
                words = EXISTS if call.expected == "exists" else ANY
                expected = words if isinstance(call.expected, str) else call.expected
                condition = None if call.condition is None else call.condition.again()
                try:
                    self._append(call.stream, call.mark, call.events, expected, keyed=True, condition=condition)
                except EXPECTED_ERRORS:
                    continue

    def catch_up(self) -> object:
        """Fold what is new, or a part of it."""
        budget = self.dice.choice([None, None, 0.0])
        return self.projector.catch_up(time_budget=budget)

    def read_stream(self) -> Iterator[Recorded[object]]:
        """Read a stream, mostly its end."""
        stream = self.dice.choice(self.streams)
        after = max(0, self.known.get(stream, 0) - self.dice.randrange(6))
        found = list(self.store.read_stream(stream, after_revision=after, limit=self.dice.choice([None, None, 3])))
        if found:
            self.known[stream] = found[-1].revision
        return iter(found)

    def read_log(self) -> object:
        """Read the log's end."""
        return self.store.read(after=max(0, self.token - self.dice.randrange(30)), limit=self.dice.choice([None, 20]))

    def read_view(self) -> object:
        """Read a document, half of the time at what was appended last."""
        view = self.dice.choice(self.views)
        key = self.dice.choice(self.streams) if view is self.views[0] else f"{self.dice.randrange(KEYS)}"
        return view.get(key, at_least=self.dice.choice([None, self.token or None]))

    def read_checkpoint(self) -> object:
        """Ask how far a view is."""
        views = self.recorder.projection_store(self.app.projection_store)
        return views.checkpoint(self.dice.choice(self.views).view.projection)
