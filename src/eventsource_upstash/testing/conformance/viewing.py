"""What tests ask of the views of their lab, and tell them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...domain.indexes import NUMBERS, STRINGS, encode_value
from ...domain.projections import ProjectionId
from ...ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    NO_ENTRIES_OF,
    NO_NOTES,
    NO_RECORDS,
    Commit,
    Entries,
    Log,
    Notes,
    Outcome,
    Progress,
    Pull,
    Role,
    Span,
    Stored,
    Views,
    Wanted,
)

NOW_US = 1_700_000_000_000_000
"""The time of each test, in microseconds: it began in 2023, for whoever looks at another clock by mistake."""


TASKS = ProjectionId("tasks", 1)
LISTS = ProjectionId("lists", 1)


class ViewsLab:
    """The half of a `Lab` that has to do with views.

    Attributes:
        log: The log of the backend under test.
        views: Its views.
        beside: Whether they are in one place with the log.
    """

    log: Log
    views: Views
    beside: bool
    _projections: Iterator[int]

    def unseen(self) -> ProjectionId:
        """A projection that nobody has asked for yet."""
        return ProjectionId(f"unseen-{next(self._projections)}", 1)

    async def builds(self, projection: ProjectionId) -> tuple[Progress, ...]:
        """How far each build of a view is. It is well-formed: one serves and comes first, at most one is building."""
        progress, _, _ = await self.views.progress([projection])
        roles = [each.role for each in progress]
        assert roles[0] is Role.SERVING, f"the builds are {roles}"
        assert roles.count(Role.SERVING) == 1, f"the builds are {roles}"
        assert Role.BUILDING not in roles[2:], f"the builds are {roles}"
        assert {each.projection for each in progress} == {projection}
        generations = [each.generation for each in progress]
        assert len(set(generations)) == len(generations), f"a generation comes twice: {generations}"
        return progress

    async def build(self, projection: ProjectionId, generation: int) -> Progress | None:
        """How far a build of a view is; None where it is not there."""
        found = [each for each in await self.builds(projection) if each.generation == generation]
        return found[0] if found else None

    async def progress(self, projection: ProjectionId) -> Progress:
        """How far the build is that serves."""
        return (await self.builds(projection))[0]

    async def begin(self, projection: ProjectionId) -> int:
        """Begin another build of a view. Answers its generation."""
        return (await self.views.begin(projection))[0].generation

    async def committing(
        self,
        projection: ProjectionId,
        checkpoint: int,
        documents: Mapping[str, bytes | None] | None = None,
        *,
        generation: int | None = None,
        notes: Notes = NO_NOTES,
        entries: Mapping[str, Entries] = NO_ENTRIES_OF,
        records: Mapping[str, bytes | None] = NO_RECORDS,
    ) -> Commit:
        """A commit from where a build is, the one that serves unless another is named; not sent yet."""
        documents = documents or {}
        now = await self.progress(projection) if generation is None else await self.build(projection, generation)
        assert now is not None, f"there is no build {generation} of {projection}"
        before = (await self.stored(projection, now.generation, list(documents))).entries if documents else {}
        head, _ = await self.log.head()
        return Commit(
            projection, now.generation, now.checkpoint, checkpoint, documents, notes, None, now.edition, entries,
            before, records, head,
        )  # fmt: skip

    async def commit(
        self,
        projection: ProjectionId,
        checkpoint: int,
        documents: Mapping[str, bytes | None] | None = None,
        *,
        generation: int | None = None,
        notes: Notes = NO_NOTES,
        entries: Mapping[str, Entries] = NO_ENTRIES_OF,
        records: Mapping[str, bytes | None] = NO_RECORDS,
    ) -> Commit:
        """Commit from where a build is, and insist that it went well."""
        commit = await self.committing(
            projection, checkpoint, documents, generation=generation, notes=notes, entries=entries, records=records
        )
        assert await self.outcome(commit) is Outcome.COMMITTED
        return commit

    async def outcome(self, commit: Commit) -> Outcome:
        """What becomes of a commit that is sent alone."""
        committed = await self.views.commit([commit], None)
        assert len(committed.outcomes) == 1
        assert committed.pulled is None, "something was pulled that was not asked for"
        return committed.outcomes[0]

    async def rebuild(self, projection: ProjectionId, documents: Mapping[str, bytes | None] | None = None) -> int:
        """Build a view anew up to the head, so that the new build serves. Answers its generation."""
        generation = await self.begin(projection)
        await self.commit(projection, (await self.log.head())[0], documents, generation=generation)
        serving = await self.progress(projection)
        assert serving.generation == generation, f"build {generation} has met the head, and does not serve"
        return generation

    async def drop(self, projection: ProjectionId, generation: int, *, serving: bool = False) -> None:
        """Drop a build until it is gone."""
        for _ in range(100):
            if (await self.views.drop(projection, generation, [], 100, serving=serving))[0]:
                return
        raise AssertionError("dropping a build does not come to an end")

    async def stored(
        self, projection: ProjectionId, generation: int, keys: Sequence[str], records: Sequence[str] = ()
    ) -> Stored:
        """What is loaded of a build."""
        stored, _ = await self.views.load([Wanted(projection, generation, keys, records)])
        assert len(stored) == 1
        return stored[0]

    async def get(self, projection: ProjectionId, keys: Sequence[str], now_us: int = NOW_US) -> dict[str, bytes]:
        """The documents of those keys."""
        return (await self.views.get_many(projection, keys, now_us)).documents

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> dict[str, bytes]:
        """The records of those names."""
        return (await self.views.records(projection, names)).documents

    async def count(self, projection: ProjectionId, span: Span | None = None, now_us: int = NOW_US) -> int:
        """How many documents there are, or stand in a span of an index."""
        count = (await self.views.count(projection, span, now_us)).count
        assert count is not None
        return count

    async def rank(
        self, projection: ProjectionId, span: Span, key: str, now_us: int = NOW_US
    ) -> tuple[int | None, int]:
        """Where a document stands in a span of an index, and how many stand there."""
        counted = await self.views.rank(projection, span, key, now_us)
        return counted.count, counted.total

    async def documents(
        self,
        projection: ProjectionId,
        now_us: int = NOW_US,
        *,
        limit: int = MAX_PAGE_EVENTS,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> dict[str, bytes]:
        """All documents of a view, page by page."""
        found: dict[str, bytes] = {}
        after: str | None = None
        while True:
            page = await self.views.items(projection, after, limit, max_bytes, now_us)
            assert not found.keys() & dict(page.documents).keys(), "a document is handed out twice"
            found.update(page.documents)
            if not page.more:
                return found
            assert page.last is not None, "a page says that there is more, and not where it goes on"
            assert page.last[0] == "", "the order of keys has no index value"
            assert after is None or page.last[1] > after, "a page does not lead any further in the view"
            after = page.last[1]

    async def found(
        self,
        projection: ProjectionId,
        span: Span,
        now_us: int = NOW_US,
        *,
        limit: int = MAX_PAGE_EVENTS,
        max_bytes: int = MAX_PAGE_BYTES,
        reverse: bool = False,
    ) -> list[str]:
        """Keys of the documents in a span of an index, page by page."""
        found: list[str] = []
        after: tuple[str, str] | None = None
        while True:
            page = await self.views.find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)
            found += [key for key, _ in page.documents]
            if not page.more:
                return found
            assert page.last is not None, "a page says that there is more, and not where it goes on"
            assert after is None or (page.last < after if reverse else page.last > after), "a page leads no further"
            after = page.last

    async def warm_up_views(self, projection: ProjectionId, checkpoint: int) -> None:
        """Do everything once that views can be asked for, with a projection that is not seen again."""
        span = Span("by", "n", "n~")
        by = Entries((("by", "n" + "8" * 16),), 2 * NOW_US)
        commit = await self.committing(projection, checkpoint, {"a": b"1"}, entries={"a": by}, records={"r": b"1"})
        await self.views.commit([commit], Pull((projection,), 1, 1, settle=True))
        await self.views.pull(Pull((projection,), 1, 1))
        await self.stored(projection, commit.generation, ["a"], ["r"])
        await self.get(projection, ["a"])
        await self.records(projection, ["r"])
        await self.count(projection)
        await self.count(projection, span)
        await self.rank(projection, span, "a")
        await self.documents(projection)
        for reverse in (False, True):
            await self.found(projection, span, reverse=reverse)
        again = await self.rebuild(projection, {"b": b"1"})
        await self.views.serve(projection, again, commit.generation)
        await self.views.drop(projection, again, ["r"], 10)
        await self.views.drop(projection, commit.generation, ["r"], 10, serving=True)


def found_by(ends: int | None = None, **values: float | str) -> Entries:
    """What a document is found by: its value in each index that it stands in, and when it ends."""
    return Entries(tuple((index, encode_value(value, index)) for index, value in values.items()), ends)


def numbers(index: str, low: float | None = None, high: float | None = None) -> Span:
    """The numbers of an index from one to another, both inclusive."""
    return Span(
        index,
        NUMBERS[0] if low is None else encode_value(low, index),
        NUMBERS[1] if high is None else encode_value(high, index),
    )


def strings(index: str, value: str | None = None) -> Span:
    """The strings of an index, or those that equal one."""
    return Span(index, *(STRINGS if value is None else [encode_value(value, index)] * 2))
