"""Logs that break a rule each. Those of `broken_views` do it in the views."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from msgspec.structs import replace

from eventsource_upstash import ANY, EXISTS, Appended, Memory, Receipt
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.events import StoredEvent
from eventsource_upstash.ports import Append, Backend, Conflict, KeyReused, Log, Page, Query, StreamPage, Unmet
from eventsource_upstash.testing import BackendWrapper, LogWrapper

Answer = Appended | Conflict | KeyReused | Unmet
ALL = 2**40


class BrokenLog(BackendWrapper):
    """A backend with a broken log, and with views that read what that log hands out."""

    def __init__(self, broken: Callable[[Log], Log], inner: Backend | None = None) -> None:
        super().__init__(inner or Memory())
        self._broken = broken
        self._log: Log | None = None

    def wrap_log(self, log: Log) -> Log:
        self._log = self._log or self._broken(log)  # one for all who ask, since some remember things
        return self._log

    def log(self, port: Port) -> Log:
        log = super().log(port)
        self._logs.clear()  # the views are to read the broken log
        if isinstance(log, Waiting):
            log.port = port
        return log


class Waiting(LogWrapper):
    """A log that waits within a call, as one over a network does."""

    port: Port

    async def wait(self) -> None:
        await self.port.call(lambda: None)


class DropsTheLastOfSeveral(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, events=append.events[:-1] or append.events))


class AnswersWithoutWriting(LogWrapper):
    async def append(self, append: Append) -> Answer:
        if append.events[0][2] != b"{}" and len(append.events) == 1:
            revision = (await self.inner.read_stream(append.stream, 0, 1, 1)).revision
            return Appended((await self.inner.head())[0] + 1, revision + 1)
        return await self.inner.append(append)


class WritesHalfOfALoser(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Conflict):
            half = append.events[: (len(append.events) + 1) // 2]
            await self.inner.append(replace(append, expected=ANY, events=half, key=None))
        return answer


class Reorders(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, events=append.events[::-1]))


class NeverGetsThrough(LogWrapper):
    """The first append to a stream is written, and from then on each one is told that it is too late."""

    async def append(self, append: Append) -> Answer:
        if append.expected is ANY and append.key is None:
            append = replace(append, expected=0)
        return await self.inner.append(replace(append, expected=EXISTS if append.expected is EXISTS else 0))


class IgnoresTheExpectedRevision(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, expected=ANY))


class TakesAnyRevisionForExisting(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, expected=ANY if append.expected is EXISTS else append.expected))


class ChecksTheRevisionOfTheLog(LogWrapper):
    async def append(self, append: Append) -> Answer:
        expected = append.expected
        head = (await self.inner.head())[0]
        if isinstance(expected, int) and expected and expected != head:
            return Conflict(head, [], complete=True)
        return await self.inner.append(replace(append, expected=ANY if expected else expected))


class AnswersTheFirstPosition(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and not answer.repeated:
            return replace(answer, position=answer.position - len(append.events) + 1)
        return answer


class HandsOutAPositionTwice(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, max_bytes, query)
        return page._replace(events=[(row[0] - (row[0] % 4 == 0), *row[1:]) for row in page.events])


class CountsRevisionsOfTheLog(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, max_bytes, query)
        return page._replace(events=[(*row[:2], row[0], *row[3:]) for row in page.events])


class ReadsInclusively(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        return await self.inner.read(max(0, after - 1), limit, max_bytes, query)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        return await self.inner.read_stream(stream, max(0, after_revision - 1), limit, max_bytes, snapshot)


class IgnoresTheLimit(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        return await self.inner.read(after, ALL, max_bytes, query)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        return await self.inner.read_stream(stream, after_revision, ALL, max_bytes, snapshot)


class IgnoresMaxBytes(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        return await self.inner.read(after, limit, ALL, query)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        return await self.inner.read_stream(stream, after_revision, limit, ALL, snapshot)


class LeavesOutWhatIsTooLarge(LogWrapper):
    """It stops before the event that would exceed the bytes, even if that is the first."""

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, ALL, query)
        return page._replace(events=_fitting(page.events, max_bytes))

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        page = await self.inner.read_stream(stream, after_revision, limit, ALL, snapshot)
        return page._replace(events=_fitting(page.events, max_bytes))


def _fitting(rows: list[StoredEvent], max_bytes: int) -> list[StoredEvent]:
    sizes = [sum(len(row[9]) for row in rows[: index + 1]) for index in range(len(rows))]
    return [row for row, size in zip(rows, sizes, strict=True) if size <= max_bytes]


class EndsAtAThousand(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, max_bytes, query)
        return page._replace(events=[row for row in page.events if row[0] <= 1_000])


class SkipsAnEventBetweenPages(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        return await self.inner.read(after + 1 if after else 0, limit, max_bytes, query)


class TellsAnOldHead(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, max_bytes, query)
        return page._replace(head=max(0, page.head - 1))

    async def head(self) -> tuple[int, Receipt]:
        head, receipt = await self.inner.head()
        return max(0, head - 1), receipt


class BeginsAtOne(LogWrapper):
    """An empty log says that it has something."""

    async def head(self) -> tuple[int, Receipt]:
        head, receipt = await self.inner.head()
        return max(1, head), receipt


class RaisesAtAnUnknownStream(LogWrapper):
    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        page = await self.inner.read_stream(stream, after_revision, limit, max_bytes, snapshot)
        if not page.revision:
            raise KeyError(stream)
        return page


class TakesPayloadsForText(LogWrapper):
    async def append(self, append: Append) -> Answer:
        events = [(type_, version, _text(payload)) for type_, version, payload in append.events]
        return await self.inner.append(replace(append, events=events))


class TakesMetadataForText(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, metadata=_text(append.metadata or b"")))


def _text(contents: bytes) -> bytes:
    return contents.decode("utf-8", "replace").replace("\r\n", "\n").encode()


class KeepsMilliseconds(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, recorded_us=append.recorded_us // 1000 * 1000))


class KeepsNumbersAsFloats(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, number=int(float(append.number))))


class FoldsNames(LogWrapper):
    """Streams whose names look the same are the same."""

    async def append(self, append: Append) -> Answer:
        return await self.inner.append(
            replace(append, stream=folded(append.stream), key=folded(append.key or "") or None)
        )

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        return await self.inner.recall(folded(stream), folded(key))

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        return await self.inner.read_stream(folded(stream), after_revision, limit, max_bytes, snapshot)


def folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()[:200]


class CostsSomething(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        return replace(answer, receipt=Receipt(requests=1)) if isinstance(answer, Appended) else answer


class LooksAndThenWrites(Waiting):
    """Another caller may come in between."""

    async def append(self, append: Append) -> Answer:
        revision = (await self.inner.read_stream(append.stream, 0, 1, 1)).revision
        await self.wait()
        return await self.inner.append(replace(append, expected=ANY) if append.expected == revision else append)


class ShowsALaterOneFirst(Waiting):
    """It hands out a position, and shows the event only after another wait: somebody else's may be seen before."""

    hidden: set[int]

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.hidden = set()

    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended):
            self.hidden.add(answer.position)
            await self.wait()
            self.hidden.discard(answer.position)
        return answer

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, max_bytes, query)
        return page._replace(events=[row for row in page.events if row[0] not in self.hidden])
