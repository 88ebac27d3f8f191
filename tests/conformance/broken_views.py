"""Views that break a rule each. Those of `broken_log` do it in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eventsource_upstash import Memory, Receipt
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.ports import Backend, Commit, Committed, Listed, Log, Outcome, Progress, Pull, Pulled, Views
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
        return commit._replace(expected=(await self.now(commit.projection)).checkpoint)


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


class ForgetsStops(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(stopped=None)


class StaysStopped(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(stopped=commit.stopped or (await self.now(commit.projection)).stopped)


class OneViewForAllVersions(Rewriting):
    async def rewrite(self, commit: Commit) -> Commit:
        return commit._replace(projection=_one(commit.projection))

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        progress, head, receipt = await self.inner.progress([_one(each) for each in projections])
        named = [
            Progress(name, each.generation, each.checkpoint, each.stopped)
            for name, each in zip(projections, progress, strict=True)
        ]
        return tuple(named), head, receipt

    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        return await self.inner.items(_one(projection), after, limit, max_bytes)

    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        return await self.inner.count(_one(projection))


def _one(projection: ProjectionId) -> ProjectionId:
    return projection._replace(version=1)


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
        committed = await self.inner.commit(commits, then)
        for commit, outcome in zip(commits, committed.outcomes, strict=True):
            if outcome is not Outcome.COMMITTED:
                (now,), _, _ = await self.inner.progress([commit.projection])
                at = now.checkpoint
                here = Commit(commit.projection, now.generation, at, at, commit.documents, now.stopped)
                await self.inner.commit([here], None)
        return committed


class LeaksTheStopsOfLosers(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, then)
        for commit, outcome in zip(commits, committed.outcomes, strict=True):
            if outcome is not Outcome.COMMITTED and commit.stopped:
                (now,), _, _ = await self.inner.progress([commit.projection])
                here = Commit(commit.projection, now.generation, now.checkpoint, now.checkpoint, {}, commit.stopped)
                await self.inner.commit([here], None)
        return committed


class OneLoserHoldsUpAll(ViewsWrapper):
    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        for commit in commits:
            (now,), _, _ = await self.inner.progress([commit.projection])
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
    async def get_many(self, projection: ProjectionId, keys: Sequence[str]) -> tuple[dict[str, bytes], Receipt]:
        found, receipt = await self.inner.get_many(projection, keys)
        return {key: found.get(key, b"{}") for key in keys}, receipt


class FindsAHundred(ViewsWrapper):
    async def get_many(self, projection: ProjectionId, keys: Sequence[str]) -> tuple[dict[str, bytes], Receipt]:
        return await self.inner.get_many(projection, keys[:100])


class LoadsForTheFirst(ViewsWrapper):
    """Whatever projection is asked for, it looks among the documents of the first."""

    async def load(
        self, wanted: Sequence[tuple[ProjectionId, Sequence[str]]]
    ) -> tuple[list[dict[str, bytes]], Receipt]:
        return await self.inner.load([(wanted[0][0], keys) for _, keys in wanted])


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
    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        items, _, receipt = await self.inner.items(projection, None, ALL, ALL)
        start = b"" if after is None else after.encode("utf-16-be")
        ordered = sorted(items, key=lambda item: item[0].encode("utf-16-be"))
        found = [item for item in ordered if item[0].encode("utf-16-be") > start]
        return Listed(found[:limit], len(found) > limit, receipt)


class ItemsInclusive(ViewsWrapper):
    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        items, _, receipt = await self.inner.items(projection, None, ALL, ALL)
        found = [item for item in items if after is None or item[0] >= after]
        return Listed(found[:limit], len(found) > limit, receipt)


class ItemsWithoutBounds(ViewsWrapper):
    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        return await self.inner.items(projection, after, ALL, ALL)


class ItemsInOnePage(ViewsWrapper):
    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        page = await self.inner.items(projection, after, limit, max_bytes)
        return page._replace(more=False)


class ItemsWithoutEnd(ViewsWrapper):
    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        page = await self.inner.items(projection, after, limit, max_bytes)
        return page._replace(more=True)


class CountsWhatWasWritten(ViewsWrapper):
    def __init__(self, inner: Views) -> None:
        super().__init__(inner)
        self._written = 0

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        self._written += sum(each is not None for commit in commits for each in commit.documents.values())
        return await self.inner.commit(commits, then)

    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        return (self._written, Receipt()) if self._written else await self.inner.count(projection)


class NeverEmpty(ViewsWrapper):
    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        count, receipt = await self.inner.count(projection)
        return max(1, count), receipt


class LooksAndThenCommits(Waiting):
    """Another caller may come in between."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        ready = [each for each in commits if await self._fits(each)]
        await self.wait()
        forced: list[Commit] = []
        for each in commits:
            (now,), _, _ = await self.inner.progress([each.projection])
            forced.append(each._replace(expected=now.checkpoint) if each in ready else each)
        return await self.inner.commit(forced, then)

    async def _fits(self, commit: Commit) -> bool:
        (now,), _, _ = await self.inner.progress([commit.projection])
        return (now.generation, now.checkpoint) == (commit.generation, commit.expected)


class CommitsInTwoSteps(Waiting):
    """First the checkpoints, and then the documents: whoever crashes in between has lost them."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit([each._replace(documents={}) for each in commits], then)
        await self.wait()
        for each, outcome in zip(commits, committed.outcomes, strict=True):
            if outcome is Outcome.COMMITTED:
                await self.inner.commit([each._replace(expected=each.checkpoint)], None)
        return committed


class WritesDocumentsOneByOne(Waiting):
    """A reader may see half of them."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        for each in commits:
            (now,), _, _ = await self.inner.progress([each.projection])
            if (now.generation, now.checkpoint) != (each.generation, each.expected):
                continue
            for key, document in each.documents.items():
                one = Commit(
                    each.projection, each.generation, each.expected, each.expected, {key: document}, now.stopped
                )
                await self.inner.commit([one], None)
                await self.wait()
        return await self.inner.commit(commits, then)


class SendsAgainByItself(ViewsWrapper):
    """It does each commit twice, and answers what became of the second."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        await self.inner.commit(commits, None)
        return await self.inner.commit(commits, then)
