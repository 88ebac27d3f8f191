"""Views that break a rule each about what documents are found by, about their ends, and about records."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from eventsource_upstash.backends.memory.views import MemoryViews
from eventsource_upstash.domain.indexes import NUMBERS, Entries
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.ports import (
    Commit,
    Committed,
    Counted,
    Ended,
    Got,
    Listed,
    Outcome,
    Pull,
    Receipt,
    Span,
    Stored,
    Views,
    Wanted,
)
from eventsource_upstash.testing import ViewsWrapper
from tests.conformance.broken_views import ALL, Rewriting

Place = tuple[str, str]


class Indexing(Rewriting):
    """Views that keep other entries than they are told."""

    async def rewrite(self, commit: Commit) -> Commit:
        entries = {key: self.entry(key, entries, commit) for key, entries in commit.entries.items()}
        return commit._replace(entries=entries)

    def entry(self, key: str, entries: Entries, commit: Commit) -> Entries:
        return entries


class LoadsNoEntries(ViewsWrapper):
    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        stored, receipt = await self.inner.load(wanted)
        return [each._replace(entries={}) for each in stored], receipt


class LoadsEmptyEntries(ViewsWrapper):
    """A document that is found by nothing has entries all the same."""

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        stored, receipt = await self.inner.load(wanted)
        return [
            each._replace(entries={key: each.entries.get(key, Entries()) for key in each.documents}) for each in stored
        ], receipt


class NeverTakesFromAnIndex(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        kept = {key: each for key, each in commit.before.items() if commit.documents.get(key) is not None}
        return commit._replace(entries={**kept, **commit.entries})


class SkipsWhatStaysTheSame(Rewriting):
    """A document whose bytes have not changed is not written."""

    async def rewrite(self, commit: Commit) -> Commit:
        wanted = Wanted(commit.projection, commit.generation, list(commit.documents))
        (stored,), _ = await self.inner.load([wanted])
        changed = {key: each for key, each in commit.documents.items() if each != stored.documents.get(key)}
        return commit._replace(documents=changed)


class LeaksTheEntriesOfLosers(MemoryViews):
    def _commit(self, commit: Commit) -> Outcome:
        outcome = super()._commit(commit)
        if outcome is not Outcome.COMMITTED:
            build = self._build(commit.projection, 1)
            for key, entries in commit.entries.items():
                if key in build.documents:
                    build.put({key: build.documents[key]}, {key: entries})
        return outcome


class TakesWhatWasBeforeTheCall(MemoryViews):
    """Of several commits of one call, each is taken to meet what was there before the first."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await super().commit(commits, then)
        for commit in commits[:-1]:
            build = self._build(commit.projection, commit.generation)
            late = {key: each for key, each in commit.entries.items() if key in build.documents}
            build.put({key: build.documents[key] for key in late}, late)
        return committed


class KnowsOneIndex(Indexing):
    def entry(self, key: str, entries: Entries, commit: Commit) -> Entries:
        return entries._replace(values=entries.values[:1])


class IndexesAThousand(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(entries=dict(list(commit.entries.items())[:1_000]))


class Ordering(MemoryViews):
    """Views that have another order, or find something else in a span."""

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: Place | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        progress, build = self._serving(projection)
        places = [
            (value, key)
            for key, entries in build.entries.items()
            for index, value in entries.values
            if index == span.index and self.inside((value, key), span)
        ]
        places.sort(key=self.order, reverse=reverse)
        if after is not None:
            places = [
                place
                for place in places
                if (self.order(place) < self.order(after) if reverse else self.order(place) > self.order(after))
            ]
        return self._page(progress, build, iter(places), limit, max_bytes, now_us)

    def inside(self, place: Place, span: Span) -> bool:
        return span.low <= place[0] <= span.high

    def order(self, place: Place) -> tuple[object, ...]:
        return place


class OrdersNumbersByTheirDigits(Ordering):
    def order(self, place: Place) -> tuple[object, ...]:
        value = place[0]
        if value.startswith("s"):
            return (value[1:], place[1])
        bits = int(value[1:], 16)
        bits ^= 1 << 63 if bits & 1 << 63 else (1 << 64) - 1
        return (str(struct.unpack(">d", struct.pack(">Q", bits))[0]), place[1])


class OrdersByUtf16(Ordering):
    def order(self, place: Place) -> tuple[object, ...]:
        return (place[0].encode("utf-16-be"), place[1])


class OrdersKeysByUtf16(Ordering):
    def order(self, place: Place) -> tuple[object, ...]:
        return (place[0], place[1].encode("utf-16-be"))


class JoinsValueAndKey(Ordering):
    """It looks for a value by the beginning of an entry, which is value and key in one text."""

    def inside(self, place: Place, span: Span) -> bool:
        return span.low <= "".join(place) <= f"{span.high}\U0010ffff"


class LeavesOutTheBounds(Ordering):
    def inside(self, place: Place, span: Span) -> bool:
        return span.low < place[0] < span.high


class TakesStringsForNumbers(Ordering):
    def inside(self, place: Place, span: Span) -> bool:
        return super().inside(place, span) or (span.high == NUMBERS[1] and place[0][1:].lstrip("-").isdigit())


class CountsWithoutBounds(ViewsWrapper):
    """It counts all that stands in the index."""

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        span = span and msgspec.structs.replace(span, low="n", high="t")
        return await self.inner.count(projection, span, now_us, primary=primary)


class CountsTheKeyItself(ViewsWrapper):
    """It counts the entry as well that it is to count up to."""

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        span = span and msgspec.structs.replace(span, before=span.before and span.before + "!")
        return await self.inner.count(projection, span, now_us, primary=primary)


class RanksFromOne(ViewsWrapper):
    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        counted = await self.inner.rank(projection, span, key, now_us)
        return msgspec.structs.replace(counted, count=None if counted.count is None else counted.count + 1)


class RanksEverybody(ViewsWrapper):
    """Who does not stand there comes last."""

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        counted = await self.inner.rank(projection, span, key, now_us)
        return msgspec.structs.replace(counted, count=counted.total if counted.count is None else counted.count)


class Finding(ViewsWrapper):
    """Views that answer something else for a span."""

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: Place | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        after = self.place(after)
        limit, max_bytes = self.bounds(limit, max_bytes)
        page = await self.inner.find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)
        return self.answer(page)

    def place(self, after: Place | None) -> Place | None:
        return after

    def bounds(self, limit: int, max_bytes: int) -> tuple[int, int]:
        return limit, max_bytes

    def answer(self, page: Listed) -> Listed:
        return page


class FindsDocumentsWithoutBounds(Finding):
    def bounds(self, limit: int, max_bytes: int) -> tuple[int, int]:
        return ALL, ALL


class FindsOnePage(Finding):
    def answer(self, page: Listed) -> Listed:
        return page._replace(more=False)


class FindsWithoutEnd(Finding):
    def answer(self, page: Listed) -> Listed:
        return page._replace(more=True)


class NamesTheLastDocumentOnly(Finding):
    """Its place is that of a key, whatever the value was."""

    def answer(self, page: Listed) -> Listed:
        return page._replace(last=page.last and ("n", page.last[1]))


class GoesOnWithTheSameValue(Finding):
    def place(self, after: Place | None) -> Place | None:
        return after and (after[0], "")


class LooksForThePlace(MemoryViews):
    """A page goes on behind the document where the last one ended, if that is still there; else at the end."""

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: Place | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        _, build = self._serving(projection)
        if after is not None and after not in build.span(span)[0]:
            limit = 0
        return await super().find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)


class EndsTooLate(MemoryViews):
    """At the moment itself a document is still there."""

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        return await super().get_many(projection, keys, now_us - 1, primary=primary)


class CountsTheEnded(ViewsWrapper):
    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        return await self.inner.count(projection, span, 0, primary=primary)


class RanksTheEnded(ViewsWrapper):
    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        return await self.inner.rank(projection, span, key, 0)


class GivesNoEndInThePast(Indexing):
    def entry(self, key: str, entries: Entries, commit: Commit) -> Entries:
        past = entries.expires_us is not None and entries.expires_us < 1_700_000_000_000_001
        return entries._replace(expires_us=None) if past else entries


class LoadsNoneThatHasEnded(MemoryViews):
    def _load(self, wanted: Wanted) -> Stored:
        build = self._build(wanted.projection, wanted.generation)
        return super()._load(wanted._replace(keys=[key for key in wanted.keys if not build.ended(key, 1_000)]))


class KeepsTheFirstEnd(Indexing):
    def entry(self, key: str, entries: Entries, commit: Commit) -> Entries:
        before = commit.before.get(key, Entries()).expires_us
        return entries._replace(expires_us=before) if before is not None else entries


class EndsWhatIsIndexed(Indexing):
    def entry(self, key: str, entries: Entries, commit: Commit) -> Entries:
        return entries if entries.values else Entries()


class StopsWhereAllHaveEnded(ViewsWrapper):
    """An empty page is the last one."""

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        page = await self.inner.items(projection, after, limit, max_bytes, now_us)
        return page._replace(more=page.more and bool(page.documents))


class ListsTheEndedByKey(ViewsWrapper):
    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        ended = await self.inner.ended(projection, now_us, limit)
        return ended._replace(documents=dict(sorted(ended.documents.items())))


class ListsWhatEndedOnce(ViewsWrapper):
    """It keeps a list of ends, and not of the documents that have them."""

    def __init__(self, inner: Views) -> None:
        super().__init__(inner)
        self._ends: dict[ProjectionId, dict[str, Entries]] = {}

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        for commit in commits:
            ends = self._ends.setdefault(commit.projection, {})
            ends |= {key: each for key, each in commit.entries.items() if each.expires_us}
        return await self.inner.commit(commits, then)

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        ended = await self.inner.ended(projection, now_us, limit)
        ends = self._ends.get(projection, {})
        late = {key: each for key, each in ends.items() if (each.expires_us or 0) <= now_us}
        return ended._replace(documents=dict(list((ended.documents | late).items())[:limit]))


class KeepsRecordsOfDocumentsOnly(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit if commit.documents else commit._replace(records={})


class TakesRecordsForText(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        records = {name: each and each.decode("utf-8", "replace").encode() for name, each in commit.records.items()}
        return commit._replace(records=records)


class TakesRecordsForDocuments(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(documents={**commit.records, **commit.documents})


class LeaksTheRecordsOfLosers(MemoryViews):
    def _commit(self, commit: Commit) -> Outcome:
        self._build(commit.projection, commit.generation).keep(commit.records)
        return super()._commit(commit)


class KeepsAllRecordsInOnePlace(ViewsWrapper):
    def __init__(self, inner: Views) -> None:
        super().__init__(inner)
        self._records: dict[str, bytes | None] = {}

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        for commit in commits:
            self._records |= commit.records
        return await self.inner.commit(commits, then)

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        got = await self.inner.records(projection, names)
        found = {name: self._records.get(name) for name in names}
        return got._replace(documents={name: each for name, each in found.items() if each is not None})


class WritesRecordsBackwards(MemoryViews):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await super().commit([each._replace(records={}) for each in commits], then)
        for commit, outcome in reversed(list(zip(commits, committed.outcomes, strict=True))):
            if outcome is Outcome.COMMITTED:
                self._build(commit.projection, commit.generation).keep(commit.records)
        return committed


class EndsRecordsToo(ViewsWrapper):
    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        got = await self.inner.records(projection, names)
        ended = (await self.inner.ended(projection, 1_700_000_000_000_000, ALL)).documents
        return got._replace(documents={name: each for name, each in got.documents.items() if name not in ended})


class ReadsOldWhenItHasToBeFresh(ViewsWrapper):
    """What has to be as of the last commit is taken from the copy that lags behind, and the other way round."""

    def __init__(self, inner: Views) -> None:
        super().__init__(inner)
        self._lags: dict[ProjectionId, dict[str, bytes]] = {}

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        for commit in commits:
            page = await self.inner.items(commit.projection, None, ALL, ALL, 0)
            self._lags[commit.projection] = dict(page.documents)
        return await self.inner.commit(commits, then)

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        got = await self.inner.get_many(projection, keys, now_us, primary=primary)
        if not primary:
            return got
        old = self._lags.get(projection, {})
        return got._replace(documents={key: old[key] for key in keys if key in old})
