"""Logs to be copied, and what they hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from eventsource_upstash import AsyncLogCopy, Copied, LogCopy, TooLarge
from eventsource_upstash.domain.events import ANY, Appended, StoredEvent
from eventsource_upstash.ports import Append, Backend, Capabilities, Conflict, KeyReused, Log, Unmet
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper

T = TypeVar("T")


def written(
    stream: str,
    *payloads: bytes,
    number: int,
    recorded_us: int = 1_700_000_000_000_000,
    type_: str = "paid",
    metadata: bytes | None = None,
    tags: bytes | Sequence[bytes | None] | None = None,
) -> Append:
    """An append of events, as a log takes it."""
    events = [(type_, 1 + index % 2, payload) for index, payload in enumerate(payloads)]
    return Append(stream, ANY, events, recorded_us, number, metadata, tags)


HISTORY = [
    written("a", b'{"amount":1}', number=10),
    written("b", b'{"amount":2}', b'{"amount":3}', b'{"amount":4}', number=20, metadata=b'{"who":"Ada \xe2\x80\x9c"}'),
    written("a", b"\x00\xff not JSON", b"", number=30, tags=b'["x","y"]'),
    written("c", b"{}", b"{}", number=40, recorded_us=1_600_000_000_000_001, tags=[b'["x"]', None]),
    written("a", b'{"amount":5}', number=50, type_="debt:forgiven/in.full", metadata=b"{}"),
    written("b", b'{"amount":6}', number=2**61 - 5),
    # The same numbers once more, at another time; and the same time and numbers that go on, in another stream.
    written("b", b'{"amount":7}', number=20, recorded_us=1_700_000_000_000_001),
    written("c", b'{"amount":8}', number=21, recorded_us=1_700_000_000_000_001),
]


def fill(backend: Backend, appends: Sequence[Append] = HISTORY) -> None:
    """Append what is given."""

    async def append() -> None:
        log = backend.log(Colour.BLOCKING.port)
        for each in appends:
            assert isinstance(await log.append(each), Appended)

    Colour.BLOCKING.run(append())


def rows_of(backend: Backend) -> list[StoredEvent]:
    """All that a log holds."""

    async def read() -> list[StoredEvent]:
        log = backend.log(Colour.BLOCKING.port)
        rows: list[StoredEvent] = []
        while page := (await log.read(rows[-1][0] if rows else 0, 7, 10**6)).events:
            rows += page
        return rows

    return Colour.BLOCKING.run(read())


def copied(colour: Colour, source: Backend, destination: Backend, **options: Any) -> Copied:
    """Copy a log."""
    if colour is Colour.BLOCKING:
        return LogCopy(source, destination).run(**options)
    return colour.run(AsyncLogCopy(source, destination).run(**options))


class Counting(BackendWrapper):
    """A backend that counts the calls to it, and does something before one of them."""

    def __init__(self, inner: Backend, call: str = "", number: int = 0, do: Callable[[], None] | None = None) -> None:
        super().__init__(inner)
        self.calls: dict[str, int] = {}
        self._call = call
        self._number = number
        self._do = do

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls[call] = self.calls.get(call, 0) + 1
        if call == self._call and self.calls[call] == self._number and self._do is not None:
            self._do()
        return await step()


class Narrow(LogWrapper):
    """A log that takes so many events at once, and no payload of more than 100 bytes."""

    def __init__(self, inner: Log, most: int, tried: list[int]) -> None:
        super().__init__(inner)
        self._most = most
        self._tried = tried

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        self._tried.append(len(append.events))
        if len(append.events) > self._most:
            raise TooLarge(what="the append", size=len(append.events), limit=self._most, unit="events")
        if len(append.events[0][2]) > 100:
            raise TooLarge(what="the event", size=len(append.events[0][2]), limit=100)
        return await super().append(append)


class NarrowBackend(BackendWrapper):
    """A backend of one.

    Attributes:
        tried: How many events each append had.
    """

    def __init__(self, inner: Backend, most: int = 3) -> None:
        super().__init__(inner)
        self.most = most
        self.tried: list[int] = []

    def wrap_log(self, log: Log) -> Log:
        return Narrow(log, self.most, self.tried)


class AtOnce(LogWrapper):
    """A log that takes several appends at once: up to a number of them, and those behind are another step's."""

    def __init__(self, inner: Log, backend: TakesSeveral) -> None:
        super().__init__(inner, backend.around)
        self._backend = backend

    async def append_many(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        self._backend.taken.append([None if each.condition is None else int(each.condition.after) for each in appends])
        if len(appends) > self._backend.most:
            raise TooLarge(what="the request", size=len(appends), limit=self._backend.most)
        answers: list[Appended | Conflict | KeyReused | Unmet] = []
        for each in appends[: self._backend.room]:
            answers.append(await self.append(each))
            if not isinstance(answers[-1], Appended):
                break
        return answers


class TakesSeveral(BackendWrapper):
    """A backend of one.

    Attributes:
        most: Of so many appends it takes any at all.
        room: So many of them it takes.
        taken: How many appends came in each step, and on which conditions.
    """

    def __init__(self, inner: Backend, most: int = 1000, room: int = 1000) -> None:
        super().__init__(inner)
        self.most = most
        self.room = room
        self.taken: list[list[int | None]] = []

    def wrap_log(self, log: Log) -> Log:
        return AtOnce(log, self)


class InParts(BackendWrapper):
    """A backend whose log says that it is in partitions."""

    capabilities = Capabilities(expected_revisions=False, conditions=False, partitions=True)
