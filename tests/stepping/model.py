"""The reference model of an outstanding notification: a log in memory that remembers it, in as few lines as can be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from eventsource_upstash import Appended, Memory, Receipt
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import Append, Conflict, KeyReused, Log, Unmet, Views
from eventsource_upstash.testing import BackendWrapper, LogWrapper, PausingBackend
from eventsource_upstash.testing.pausing import Pauses
from tests.conformance.separate import SeparateViews

T = TypeVar("T")

LOST_AFTER_US = 60_000_000


@dataclass
class Outstanding:
    """The notification that was raised and is not settled: its position and when, or 0 and 0."""

    position: int = 0
    raised_us: int = 0
    lost_after_us: float = LOST_AFTER_US

    def owed_by(self, append: Append, answer: Appended) -> bool:
        if not append.notifies:
            return False
        if answer.repeated:
            return self.position == answer.position
        if self.position and abs(append.recorded_us - self.raised_us) <= self.lost_after_us:
            return False
        self.position, self.raised_us = answer.position, append.recorded_us
        return True

    def lower(self) -> None:
        self.position = self.raised_us = 0


class OwingLog(LogWrapper):
    """A log in memory whose notifications cost something. Each call is one step."""

    def __init__(self, inner: Log, outstanding: Outstanding) -> None:
        super().__init__(inner)
        self.outstanding = outstanding

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended):
            return replace(answer, owes_notification=self.outstanding.owed_by(append, answer))
        return answer

    async def settle(self, position: int) -> tuple[int, Receipt]:
        head, _ = await self.inner.head()
        if position == head:
            self.outstanding.lower()
        return head, FREE

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        if self.outstanding.position == position:
            self.outstanding.lower()
        return FREE


class OwingMemory(BackendWrapper):
    """`Memory`, with notifications that cost something."""

    def __init__(self, lost_after_us: float = LOST_AFTER_US) -> None:
        super().__init__(Memory())
        self.outstanding = Outstanding(lost_after_us=lost_after_us)

    def wrap_log(self, log: Log) -> Log:
        return OwingLog(log, self.outstanding)

    def log(self, port: Port) -> Log:
        log = super().log(port)
        self._logs.clear()  # the views settle in the log that remembers
        return log


class Watched(BackendWrapper):
    """Sees whether a notification is owed while another one is outstanding, by looking at the views themselves.

    Attributes:
        too_many: What it has seen of that.
        everybody: How many projections there are.
    """

    def __init__(self, inner: OwingMemory) -> None:
        super().__init__(inner)
        memory = inner.inner
        assert isinstance(memory, Memory)
        self._state = memory._state
        self._raised_us = 0
        self._settled = True
        self.too_many: list[str] = []
        self.everybody = 0

    def seen(self) -> object:
        """All that it holds, and what it has seen."""
        assert isinstance(self.inner, OwingMemory)
        return self._state, self.inner.outstanding, self._raised_us, self._settled, self.too_many

    def wrap_log(self, log: Log) -> Log:
        return WatchedLog(log, self)

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        answer = await step()
        progress = [each for builds in self._state.builds.values() for each in builds.active]
        head = len(self._state.rows)
        if len(progress) == self.everybody and all(each.checkpoint >= head or each.stopped for each in progress):
            self._settled = True
        return answer

    def owed(self, append: Append, answer: Appended) -> None:
        if not self._settled and abs(append.recorded_us - self._raised_us) <= LOST_AFTER_US:
            self.too_many.append(f"the append of position {answer.position} owes one while another is outstanding")
        self._settled = False
        self._raised_us = append.recorded_us

    def withdrawn(self) -> None:
        self._settled = True


class WatchedLog(LogWrapper):
    def __init__(self, inner: Log, watched: Watched) -> None:
        super().__init__(inner)
        self.watched = watched

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and answer.owes_notification and not answer.repeated:
            self.watched.owed(append, answer)
        return answer

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        self.watched.withdrawn()
        return await self.inner.withdraw(position, raised_us)


class PausingApart(PausingBackend):
    """A log here and views elsewhere: what a call to the views asks of the log is a step of its own."""

    def __init__(self, inner: BackendWrapper, beside: Memory) -> None:
        super().__init__(inner, Pauses(after=False, inside=False))
        self.beside = beside

    def views(self, port: Port, log: Log) -> Views:
        return self.wrap_views(self.beside.views(port, log))

    def still(self) -> BackendWrapper:
        """The same without the pauses."""
        return SeparateViews(self.inner, self.beside)
