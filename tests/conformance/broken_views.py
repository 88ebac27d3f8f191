"""Views that break a rule each. Those of `broken_log` do it in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from eventsource_upstash import Memory, Receipt
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.projections import NO_NOTES, Notes, ProjectionId
from eventsource_upstash.ports import (
    Backend,
    Commit,
    Committed,
    Counted,
    Got,
    Listed,
    Log,
    Outcome,
    Progress,
    Pull,
    Pulled,
    Span,
    Stored,
    Views,
    Wanted,
)
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper

ALL = 2**40


class BrokenViews(BackendWrapper):
    """A backend with broken views."""

    def __init__(self, broken: Callable[[Views], Views], inner: Backend | None = None) -> None:
        super().__init__(inner or Memory())
        self._broken = broken

    def wrap_views(self, views: Views) -> Views:
        return self._broken(views)

    def views(self, port: Port, log: Log) -> Views:
        views = super().views(port, log)
        if isinstance(views, Waiting):
            views.port = port
        return views


class Waiting(ViewsWrapper):
    """Views that wait within a call, as those over a network do."""

    port: Port

    async def wait(self) -> None:
        await self.port.call(lambda: None)


class Rewriting(ViewsWrapper):
    """Views that commit something else than they are told."""

    async def rewrite(self, commit: Commit) -> Commit:
        return commit

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        return await self.inner.commit([await self.rewrite(commit) for commit in commits], then)

    async def now(self, projection: ProjectionId) -> Progress:
        return (await self.inner.progress([projection]))[0][0]


class IgnoresTheCheckpoint(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        now = await self.now(commit.projection)
        return commit._replace(expected=now.checkpoint, edition=now.edition)


class IgnoresTheGeneration(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(generation=(await self.now(commit.projection)).generation)


class NeverDeletes(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(documents={key: each for key, each in commit.documents.items() if each is not None})


class DropsADocument(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(documents=dict(list(commit.documents.items())[:1_000]))


class DeletesByWritingNothing(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(documents={key: each or b"" for key, each in commit.documents.items()})


class TakesDocumentsForText(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        documents = {key: each and each.decode("utf-8", "replace").encode() for key, each in commit.documents.items()}
        return commit._replace(documents=documents)


class ForgetsNotes(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(notes=NO_NOTES)


class KeepsOldNotes(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        if commit.notes != NO_NOTES:
            return commit
        return commit._replace(notes=(await self.now(commit.projection)).notes)


class OneViewForAllVersions(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(projection=_one(commit.projection))

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        progress, head, receipt = await self.inner.progress([_one(each) for each in projections])
        named = [replace(each, projection=name) for name, each in zip(projections, progress, strict=True)]
        return tuple(named), head, receipt

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        return await self.inner.items(_one(projection), after, limit, max_bytes, now_us)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        return await self.inner.count(_one(projection), span, now_us, primary=primary)


def _one(projection: ProjectionId) -> ProjectionId:
    return projection._replace(version=1)


async def here(
    views: Views, projection: ProjectionId, documents: Mapping[str, bytes | None], notes: Notes | None = None
) -> None:
    """Write to the build that serves, wherever it is."""
    now = (await views.progress([projection]))[0][0]
    at = now.checkpoint
    await views.commit(
        [Commit(projection, now.generation, at, at, documents, notes or now.notes, edition=now.edition)], None
    )


class SkipsACommitWithoutDocuments(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        worth = [commit for commit in commits if commit.documents]
        committed = await self.inner.commit(worth, then)
        won = [Outcome.COMMITTED] * (len(commits) - len(worth))
        return committed._replace(outcomes=(*committed.outcomes, *won))


class SaysCommittedAndDoesNothing(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        pulled = None if then is None else await self.inner.pull(then)
        return Committed((Outcome.COMMITTED,) * len(commits), pulled)


class SaysCommittedToLosers(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, then)
        return committed._replace(outcomes=(Outcome.COMMITTED,) * len(commits))


class KnowsOneWayToLose(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, then)
        outcomes = [each if each is Outcome.COMMITTED else Outcome.MISMATCH for each in committed.outcomes]
        return committed._replace(outcomes=tuple(outcomes))


class LeaksTheDocumentsOfLosers(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, None)
        for commit, outcome in zip(commits, committed.outcomes, strict=True):
            if outcome is not Outcome.COMMITTED:
                await here(self.inner, commit.projection, commit.documents)
        # Pulled after that, or whoever lost once would lose for ever.
        return committed if then is None else committed._replace(pulled=await self.inner.pull(then))


class LeaksTheNotesOfLosers(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, then)
        for commit, outcome in zip(commits, committed.outcomes, strict=True):
            if outcome is not Outcome.COMMITTED and commit.notes != NO_NOTES:
                await here(self.inner, commit.projection, {}, commit.notes)
        return committed


class OneLoserHoldsUpAll(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        for commit in commits:
            now = (await self.inner.progress([commit.projection]))[0][0]
            if (now.generation, now.checkpoint) != (commit.generation, commit.expected):
                lost = Outcome.ALREADY if now.checkpoint == commit.checkpoint else Outcome.MISMATCH
                return Committed((lost,) * len(commits), None if then is None else await self.inner.pull(then))
        return await self.inner.commit(commits, then)


class PullsBeforeItCommits(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        pulled = None if then is None else await self.inner.pull(then)
        return (await self.inner.commit(commits, None))._replace(pulled=pulled)


class ForgetsWhoIsToPull(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        return await self.inner.commit(commits, None)


class PullsWhatNobodyAskedFor(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        return await self.inner.commit(commits, then or Pull([commits[0].projection], 1, 1))


class KnowsTheFrontOnly(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        return await self.inner.pull(pull._replace(rear=False))


class PullsAPageTooEarly(ViewsWrapper):
    """Its page begins with the event that was folded last."""

    async def pull(self, pull: Pull) -> Pulled:
        pulled = await self.inner.pull(pull)
        if not pulled.after:
            return pulled
        before = Pull([ProjectionId("nobody", 1)], ALL, ALL)
        rows = (await self.inner.pull(before)).events
        return pulled._replace(events=[row for row in rows if row[0] >= pulled.after])


class PullsWithoutBounds(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        return await self.inner.pull(pull._replace(limit=ALL, max_bytes=ALL))


class BeginsAtTheHead(ViewsWrapper):
    """A projection that it has never seen need not see what is old."""

    async def pull(self, pull: Pull) -> Pulled:
        pulled = await self.inner.pull(pull)
        if any(each.checkpoint for each in pulled.progress):
            return pulled
        return pulled._replace(after=pulled.head, events=[])


class NamesNoPositionBeforeTheFirst(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        pulled = await self.inner.pull(pull)
        return pulled._replace(after=pulled.after or -1)


class AnswersInOrderOfNames(ViewsWrapper):
    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        return await self.inner.progress(sorted(projections))


class LeavesOutTheUnseen(ViewsWrapper):
    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        progress, head, receipt = await self.inner.progress(projections)
        return tuple(each for each in progress if each.checkpoint), head, receipt


class FindsEverything(ViewsWrapper):
    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        got = await self.inner.get_many(projection, keys, now_us, primary=primary)
        return got._replace(documents={key: got.documents.get(key, b"{}") for key in keys})


class FindsAHundred(ViewsWrapper):
    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        return await self.inner.get_many(projection, keys[:100], now_us, primary=primary)


class LoadsForTheFirst(ViewsWrapper):
    """Whatever projection is asked for, it looks among the documents of the first."""

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        return await self.inner.load([each._replace(projection=wanted[0].projection) for each in wanted])


class TakesTheLastOfAProjection(ViewsWrapper):
    """Of several commits of one projection it does the last one only."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        last = {commit.projection: commit for commit in commits}
        committed = await self.inner.commit(list(last.values()), then)
        outcomes = dict(zip(last, committed.outcomes, strict=True))
        return committed._replace(outcomes=tuple(outcomes[commit.projection] for commit in commits))


class SkipsWhatGoesBack(ViewsWrapper):
    """A commit that would take a view back is left out without a word, and the others are done."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        forward = [commit for commit in commits if commit.checkpoint >= commit.expected]
        committed = await self.inner.commit(forward, then)
        outcomes = iter(committed.outcomes)
        answered = [next(outcomes) if commit in forward else Outcome.MISMATCH for commit in commits]
        return committed._replace(outcomes=tuple(answered))


class ListsNewOnesOnly(ViewsWrapper):
    """It takes a document that is not named as new for one that was there before."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        kept = [
            commit._replace(documents={key: each for key, each in commit.documents.items() if key in commit.created})
            if commit.created is not None
            else commit
            for commit in commits
        ]
        return await self.inner.commit(kept, then)


class ItemsInOrderOfUtf16(ViewsWrapper):
    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        page = await self.inner.items(projection, None, ALL, ALL, now_us)
        start = b"" if after is None else after.encode("utf-16-be")
        ordered = sorted(page.documents, key=lambda item: item[0].encode("utf-16-be"))
        found = [item for item in ordered if item[0].encode("utf-16-be") > start]
        return page._replace(documents=found[:limit], more=len(found) > limit)


class ItemsInclusive(ViewsWrapper):
    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        page = await self.inner.items(projection, None, ALL, ALL, now_us)
        found = [item for item in page.documents if after is None or item[0] >= after]
        return page._replace(documents=found[:limit], more=len(found) > limit)


class ItemsWithoutBounds(ViewsWrapper):
    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        return await self.inner.items(projection, after, ALL, ALL, now_us)


class ItemsInOnePage(ViewsWrapper):
    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        page = await self.inner.items(projection, after, limit, max_bytes, now_us)
        return page._replace(more=False)


class ItemsWithoutEnd(ViewsWrapper):
    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        page = await self.inner.items(projection, after, limit, max_bytes, now_us)
        return page._replace(more=True)


class CountsWhatWasWritten(ViewsWrapper):
    def __init__(self, inner: Views) -> None:
        super().__init__(inner)
        self._written = 0

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        self._written += sum(each is not None for commit in commits for each in commit.documents.values())
        return await self.inner.commit(commits, then)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        counted = await self.inner.count(projection, span, now_us, primary=primary)
        return msgspec.structs.replace(counted, count=self._written or counted.count)


class NeverEmpty(ViewsWrapper):
    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        counted = await self.inner.count(projection, span, now_us, primary=primary)
        return msgspec.structs.replace(counted, count=counted.count or 1)


class LooksAndThenCommits(Waiting):
    """Another caller may come in between."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        ready = [each for each in commits if await self._fits(each)]
        await self.wait()
        forced: list[Commit] = []
        for each in commits:
            now = (await self.inner.progress([each.projection]))[0][0]
            forced.append(each._replace(expected=now.checkpoint, edition=now.edition) if each in ready else each)
        return await self.inner.commit(forced, then)

    async def _fits(self, commit: Commit) -> bool:
        now = (await self.inner.progress([commit.projection]))[0][0]
        return (now.generation, now.checkpoint) == (commit.generation, commit.expected)


class CommitsInTwoSteps(Waiting):
    """First the checkpoints, and then the documents: whoever crashes in between has lost them."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit([each._replace(documents={}) for each in commits], then)
        await self.wait()
        for each, outcome in zip(commits, committed.outcomes, strict=True):
            if outcome is Outcome.COMMITTED:
                now = (await self.inner.progress([each.projection]))[0][0]
                again = each._replace(expected=each.checkpoint, edition=now.edition)
                await self.inner.commit([again], None)
        return committed


class WritesDocumentsOneByOne(Waiting):
    """A reader may see half of them."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        now = dict[ProjectionId, int]()
        for each in commits:
            progress = (await self.inner.progress([each.projection]))[0][0]
            now[each.projection] = progress.edition
            if (progress.generation, progress.checkpoint) != (each.generation, each.expected):
                continue
            for key, document in each.documents.items():
                await here(self.inner, each.projection, {key: document})
                now[each.projection] += 1
                await self.wait()
        return await self.inner.commit([each._replace(edition=now[each.projection]) for each in commits], then)


class SendsAgainByItself(ViewsWrapper):
    """It does each commit twice, and answers what became of the second."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        await self.inner.commit(commits, None)
        return await self.inner.commit(commits, then)
