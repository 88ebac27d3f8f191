"""Logs that break a rule about queries and conditions."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from eventsource_upstash import AppendCondition, Appended, Query, QueryItem
from eventsource_upstash.domain.codec import decode_tags, encode_tags
from eventsource_upstash.domain.events import StoredEvent
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Conflict, KeyReused, Log, Page, Unmet
from eventsource_upstash.testing import LogWrapper
from tests.conformance.broken_log import ALL, Answer, Waiting, folded


class Looks(LogWrapper):
    """A log that answers queries itself, by looking at every event: what it takes for a match is to be replaced."""

    def matches(self, row: StoredEvent, query: Query) -> bool:
        return query.matches(row[5], decode_tags(row[8]))

    def chosen(self, rows: list[StoredEvent], query: Query) -> Iterable[StoredEvent]:
        return (row for row in rows if self.matches(row, query))

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit if query is None else ALL, max_bytes if query is None else ALL)
        if query is None:
            return page
        found = [*self.chosen(page.events, query)]
        reached = max(after, page.head) if len(found) <= limit else found[limit - 1][0]
        return page._replace(events=found[:limit], reached=reached)


class FindsWhateverIsThere(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        return True


class FindsByTagOnly(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        return any(item.tags.issubset(decode_tags(row[8])) for item in query.items)


class FindsByTypeOnly(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        return any(not item.types or row[5] in item.types for item in query.items)


class FindsAnyOfTheTags(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        tags = set(decode_tags(row[8]))
        return any(
            (not item.types or row[5] in item.types) and (not item.tags or bool(item.tags & tags))
            for item in query.items
        )


class FindsEitherTypeOrTag(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        tags = decode_tags(row[8])
        return any(
            row[5] in item.types or (bool(item.tags) and item.tags.issubset(tags)) or not (item.types or item.tags)
            for item in query.items
        )


class FindsByTheFirstItem(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        return query.items[0].matches(row[5], decode_tags(row[8]))


class FindsOncePerItem(Looks):
    def chosen(self, rows: list[StoredEvent], query: Query) -> Iterable[StoredEvent]:
        return (row for row in rows for item in query.items if item.matches(row[5], decode_tags(row[8])))


class FindsItemByItem(Looks):
    """First what the first item means, then what the second one does."""

    def chosen(self, rows: list[StoredEvent], query: Query) -> Iterable[StoredEvent]:
        return dict.fromkeys(row for item in query.items for row in rows if item.matches(row[5], decode_tags(row[8])))


class FindsNothingForAnEmptyItem(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        return any(item != QueryItem() and item.matches(row[5], decode_tags(row[8])) for item in query.items)


class FindsOneAtLeast(Looks):
    def chosen(self, rows: list[StoredEvent], query: Query) -> Iterable[StoredEvent]:
        return [*super().chosen(rows, query)] or rows[:1]


class FindsUnderOneNameSpace(Looks):
    """A type and a tag of the same name are the same to it."""

    def matches(self, row: StoredEvent, query: Query) -> bool:
        names = {row[5], *decode_tags(row[8])}
        return any((not item.types or bool(item.types & names)) and item.tags.issubset(names) for item in query.items)


class FindsWhatLooksAlike(Looks):
    def matches(self, row: StoredEvent, query: Query) -> bool:
        tags = {folded(tag) for tag in decode_tags(row[8])}
        return any(
            (not item.types or folded(row[5]) in {folded(name) for name in item.types})
            and tags.issuperset(folded(tag) for tag in item.tags)
            for item in query.items
        )


class FindsTheFirstThousand(Looks):
    def chosen(self, rows: list[StoredEvent], query: Query) -> Iterable[StoredEvent]:
        return super().chosen([row for row in rows if row[0] <= 1_000], query)


class FindsInclusively(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        return await self.inner.read(max(0, after - 1) if query else after, limit, max_bytes, query)


class FindsWithoutBounds(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        return await self.inner.read(after, ALL if query else limit, ALL if query else max_bytes, query)


class SaysThatItHasReachedTheHead(LogWrapper):
    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await self.inner.read(after, limit, max_bytes, query)
        return page if query is None else page._replace(reached=page.head)


class TagsAllAlike(LogWrapper):
    """It takes the tags of the first event for those of all."""

    async def append(self, append: Append) -> Answer:
        tags = append.tags
        return await self.inner.append(
            append if tags is None or isinstance(tags, bytes) else replace(append, tags=tags[0])
        )


class RemembersTagsItself(LogWrapper):
    """It finds by the tags that were appended through this object, and not by those in the storage."""

    seen: set[str]

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.seen = set()

    async def append(self, append: Append) -> Answer:
        each = [append.tags] if append.tags is None or isinstance(append.tags, bytes) else append.tags
        self.seen.update(tag for tags in each for tag in decode_tags(tags))
        return await self.inner.append(append)

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        if query is not None:
            known = tuple(item for item in query.items if item.tags <= self.seen)
            query = Query(known or (QueryItem(tags=frozenset({"none"})),))
        return await self.inner.read(after, limit, max_bytes, query)


class DropsTags(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, tags=encode_tags(())))


class IgnoresConditions(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, condition=None))


class Changes(LogWrapper):
    """A log that takes a condition for another one."""

    def changed(self, condition: AppendCondition) -> AppendCondition:
        return condition

    async def append(self, append: Append) -> Answer:
        condition = None if append.condition is None else self.changed(append.condition)
        return await self.inner.append(replace(append, condition=condition))


class ForgetsThePosition(Changes):
    def changed(self, condition: AppendCondition) -> AppendCondition:
        return AppendCondition(condition.query)


class CountsThePositionItself(Changes):
    def changed(self, condition: AppendCondition) -> AppendCondition:
        return AppendCondition(condition.query, max(0, condition.after - 1))


class TakesNoPositionForTheHead(LogWrapper):
    async def append(self, append: Append) -> Answer:
        if append.condition is not None and not append.condition.after:
            append = replace(append, condition=None)
        return await self.inner.append(append)


class TakesAnyEventForExcluded(Changes):
    def changed(self, condition: AppendCondition) -> AppendCondition:
        return AppendCondition(Query.all(), condition.after)


class CountsTheStreamOnly(LogWrapper):
    async def append(self, append: Append) -> Answer:
        revision = (await self.inner.read_stream(append.stream, 0, 1, 1)).revision
        return await self.inner.append(append if revision else replace(append, condition=None))


class NamesTheHead(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        return replace(answer, position=(await self.inner.head())[0] + 1) if isinstance(answer, Unmet) else answer


class LooksAtTheConditionFirst(LogWrapper):
    async def append(self, append: Append) -> Answer:
        if append.condition is not None and append.key is None:
            page = await self.inner.read(append.condition.after, 1, MAX_PAGE_BYTES, append.condition.query)
            if page.events and page.events[0][3:5] != (append.recorded_us, append.number):
                return Unmet(page.events[0][0])
        return await self.inner.append(append)


class LooksAtTheKeyLast(LogWrapper):
    async def append(self, append: Append) -> Answer:
        if append.condition is not None and append.key is not None:
            page = await self.inner.read(append.condition.after, 1, MAX_PAGE_BYTES, append.condition.query)
            if page.events:
                return Unmet(page.events[0][0])
        return await self.inner.append(append)


class WritesTheUnmet(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Unmet):
            await self.inner.append(replace(append, condition=None, key=None))
        return answer


class KeepsTheKeyOfTheUnmet(LogWrapper):
    keys: set[str]

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.keys = set()

    async def append(self, append: Append) -> Answer:
        if append.key in self.keys:
            return KeyReused()
        answer = await self.inner.append(append)
        if isinstance(answer, Unmet) and append.key is not None:
            self.keys.add(append.key)
        return answer


class KnowsNoRepeatOfADecision(LogWrapper):
    """Its own events are others' to it."""

    async def append(self, append: Append) -> Answer:
        if append.condition is not None and append.key is None:
            page = await self.inner.read(append.condition.after, 1, MAX_PAGE_BYTES, append.condition.query)
            if page.events and not isinstance(append.expected, int):
                return Unmet(page.events[0][0])
        return await self.inner.append(append)


class KnowsTheLatestDecisionOnly(LogWrapper):
    """It knows an append again as long as no other one came after it."""

    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and answer.repeated and append.condition is not None and append.key is None:
            head, _ = await self.inner.head()
            return answer if head == answer.position else Unmet(head)
        return answer


class TakesAnyDecisionForARepeat(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Unmet):
            page = await self.inner.read_stream(append.stream, 0, 1_000, MAX_PAGE_BYTES)
            if page.events:
                return Appended(page.events[-1][0], page.revision, repeated=True)
        return answer


class LooksAndThenDecides(Waiting):
    """Another caller may come in between."""

    async def append(self, append: Append) -> Answer:
        if append.condition is None:
            return await self.inner.append(append)
        page = await self.inner.read(append.condition.after, 1, MAX_PAGE_BYTES, append.condition.query)
        await self.wait()
        if page.events:
            return await self.inner.append(append)
        answer = await self.inner.append(replace(append, condition=None))
        assert not isinstance(answer, Conflict)
        return answer
