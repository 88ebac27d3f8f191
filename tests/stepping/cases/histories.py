"""What two callers asked and were answered, as a history that the shipped checker judges."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import partial
from typing import Any, Final

from eventsource_upstash import Appended, Recorded
from eventsource_upstash.testing.history import History, Recorder, check, entries

Call = Callable[[], Coroutine[Any, Any, Appended]]


@types.coroutine
def beginning(actor: Coroutine[Any, Any, Any], begin: Callable[[], object]) -> Generator[Any, None, Any]:
    """An actor, and `begin` called as late as it can be: when its first call is about to be done, or is refused.

    A schedule has everybody begin at once, since nobody could tell that from any other order. A checker can: whoever
    begins after another one has returned comes after it.
    """
    step: Callable[[], object] = partial(actor.send, None)
    while True:
        try:
            reached = step()
        except StopIteration as stop:
            return stop.value
        try:
            yield reached
            step = partial(actor.send, None)
        except Exception as error:
            step = partial(actor.throw, error)
        begin()


class Judged:
    """The history of a few appends."""

    def __init__(self) -> None:
        self.ticks: Final = itertools.count(1)
        self.recorders: list[Recorder] = []

    def append(self, name: str, mark: str, events: int, stream: str, expected: Any, call: Call) -> Any:
        """An append that is recorded.

        Args:
            name: Of who does it.
            mark: What its events are known by.
            events: How many it has.
            stream: Where to.
            expected: What it expects of the stream.
            call: Does it.
        """
        recorder = Recorder(name, clock=lambda: next(self.ticks))
        self.recorders.append(recorder)
        opened = recorder.append(stream, mark, expected_revision=expected, events=events)

        async def appending() -> Appended:
            try:
                appended = await call()
            except Exception as error:
                opened.__exit__(type(error), error, None)
                raise
            opened.ok(position=appended.position, revision=appended.revision)
            return appended

        begun: list[object] = []
        return beginning(appending(), lambda: begun or begun.append(opened.__enter__()))

    @property
    def records(self) -> list[object]:
        """What was recorded so far, to tell two states apart."""
        return [each.records for each in self.recorders]

    def check(self, rows: Iterable[Recorded[object]], mark_of: Callable[[Recorded[object]], str | None]) -> None:
        """Raises `AssertionError` if no order of the appends explains what was answered and is in the log."""
        verdict = check(History.of(*self.recorders), entries(rows, mark_of))
        assert not verdict.violations, str(verdict)
