"""The views in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice

from ...domain.events import FREE, Receipt
from ...domain.projections import ProjectionId
from ...ports import (
    Commit,
    Committed,
    Counted,
    Ended,
    Got,
    Listed,
    Log,
    Outcome,
    Progress,
    Pull,
    Pulled,
    Span,
    Stored,
    Wanted,
)
from ..builds import Builds, begun, committed, dropping, gone, judge, served, unseen
from ..rules import check_commits, pull_apart
from .indexes import Build
from .log import MemoryLog
from .state import State


class MemoryViews:
    """Documents in a dict for each build."""

    def __init__(self, state: State, log: Log) -> None:
        self._state = state
        self._log = log
        self._beside = isinstance(log, MemoryLog) and log.shares(state)

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`."""
        pulled = await pull_apart(self, self._log, pull)
        return pulled._replace(mark=None) if self._beside else pulled

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`."""
        check_commits(commits)
        with self._state.lock:
            outcomes = tuple(self._commit(commit) for commit in commits)
        pulled = None if then is None else await self.pull(then)
        return Committed(outcomes, pulled, FREE if pulled is None else pulled.receipt)

    def _commit(self, commit: Commit) -> Outcome:
        builds = self._builds(commit.projection)
        outcome = judge(builds, commit)
        if outcome is Outcome.COMMITTED:
            build = self._build(commit.projection, commit.generation)
            build.put(commit.documents, commit.entries)
            build.keep(commit.records)
            self._state.builds[commit.projection] = committed(builds, commit, self._head)
        return outcome

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`."""
        with self._state.lock:
            progress = tuple([each for projection in projections for each in self._builds(projection).all])
        head, receipt = await self._log.head()
        return progress, head, receipt

    @property
    def _head(self) -> int | None:
        return len(self._state.rows) if self._beside else None

    def _builds(self, projection: ProjectionId) -> Builds:
        return self._state.builds.get(projection) or unseen(projection)

    def _build(self, projection: ProjectionId, generation: int) -> Build:
        return self._state.documents.setdefault((projection, generation), Build())

    def _serving(self, projection: ProjectionId) -> tuple[Progress, Build]:
        progress = self._builds(projection).serving
        return progress, self._state.documents.get((projection, progress.generation)) or Build()

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        """See `Views.load`."""
        with self._state.lock:
            return [self._load(each) for each in wanted], FREE

    def _load(self, wanted: Wanted) -> Stored:
        build = self._state.documents.get((wanted.projection, wanted.generation))
        if build is None:
            return Stored({}, {}, {})
        documents, entries, records = build.documents, build.entries, build.records
        return Stored(
            {key: documents[key] for key in wanted.keys if key in documents},
            {key: entries[key] for key in wanted.keys if key in entries} if entries else {},
            {name: records[name] for name in wanted.records if name in records},
        )

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """See `Views.get_many`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            documents = build.documents
            found = {key: documents[key] for key in keys if key in documents and not build.ended(key, now_us)}
            return Got(found, progress, self._head)

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        """See `Views.records`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            return Got({name: build.records[name] for name in names if name in build.records}, progress, self._head)

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `Views.items`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            return self._page(progress, build, build.keys_after(after), limit, max_bytes, now_us)

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        """See `Views.find`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            return self._page(progress, build, build.places(span, after, reverse=reverse), limit, max_bytes, now_us)

    def _page(
        self,
        progress: Progress,
        build: Build,
        places: Iterator[tuple[str, str]],
        limit: int,
        max_bytes: int,
        now_us: int,
    ) -> Listed:
        found: list[tuple[str, bytes]] = []
        last: tuple[str, str] | None = None
        size = 0
        for place in islice(places, limit):
            last = place
            key = place[1]
            if not build.ended(key, now_us):
                found.append((key, build.documents[key]))
                size += len(build.documents[key])
            if size >= max_bytes:
                break
        return Listed(found, next(places, None) is not None, progress, self._head, last)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """See `Views.count`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            if span is None:
                count = len(build.documents)
                if build.ends:
                    count -= sum([build.ended(key, now_us) for key in build.entries])
            else:
                index, start, end = build.span(span)
                count = self._alive(build, index, start, end, now_us)
            return Counted(count, count, progress, self._head)

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `Views.rank`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            index, start, end = build.span(span)
            total = self._alive(build, index, start, end, now_us)
            place = build.place_of(span.index, key)
            at = None if place is None else bisect_left(index, place)
            if at is None or not start <= at < end or build.ended(key, now_us):
                return Counted(None, total, progress, self._head)
            return Counted(self._alive(build, index, start, at, now_us), total, progress, self._head)

    @staticmethod
    def _alive(build: Build, places: Sequence[tuple[str, str]], start: int, end: int, now_us: int) -> int:
        """How many of the places from one to another are of documents that have not ended."""
        if not build.ends:
            return max(0, end - start)
        return sum([not build.ended(key, now_us) for _, key in places[start:end]])

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """See `Views.ended`."""
        with self._state.lock:
            progress, build = self._serving(projection)
            found = sorted(
                [(each.expires_us or 0, key) for key, each in build.entries.items() if build.ended(key, now_us)]
            )
            return Ended({key: build.entries[key] for _, key in found[:limit]}, progress)

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        """See `Views.begin`."""
        with self._state.lock:
            self._state.builds[projection], new = begun(self._builds(projection))
            return new, FREE

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        """See `Views.serve`."""
        with self._state.lock:
            builds = served(self._builds(projection), present, wanted)
            if builds is not None:
                self._state.builds[projection] = builds
            return builds is not None, FREE

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        """See `Views.drop`."""
        with self._state.lock:
            builds = dropping(self._builds(projection), generation, serving=serving)
            build = self._state.documents.get((projection, generation))
            if builds.of(generation) is not None and build is not None:
                build.keep(dict.fromkeys(records))
                build.put(dict.fromkeys(list(islice(build.documents, limit))), {})
                if build.documents:
                    self._state.builds[projection] = builds
                    return False, FREE
                del self._state.documents[projection, generation]
            self._state.builds[projection] = gone(builds, generation)
            return True, FREE
