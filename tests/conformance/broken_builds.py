"""Views whose builds break a rule each: how they begin, are folded, pulled, switched between, and dropped."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from eventsource_upstash import Memory, Receipt
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.builds import Builds, committed, dropping, served
from eventsource_upstash.backends.memory.indexes import Build
from eventsource_upstash.backends.memory.views import MemoryViews
from eventsource_upstash.backends.rules import check_commits
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.ports import (
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
    Role,
    Span,
    Stored,
    Views,
    Wanted,
)
from eventsource_upstash.testing import ViewsWrapper
from tests.conformance.broken_views import Waiting


class BrokenMemory(Memory):
    """The memory backend with something else in the place of its views."""

    def __init__(self, broken: type[MemoryViews]) -> None:
        super().__init__()
        self._broken = broken

    def views(self, port: Port, log: Log) -> Views:
        views = self._broken(self._state, log)
        if isinstance(views, Stepwise):
            views.port = port
        return views


class Stepwise(MemoryViews):
    """Views that wait within a call, as those over a network do."""

    port: Port

    async def wait(self) -> None:
        await self.port.call(lambda: None)


class Changing(MemoryViews):
    """Views that make something else of the builds with a commit."""

    def _commit(self, commit: Commit) -> Outcome:
        before = self._builds(commit.projection)
        outcome = super()._commit(commit)
        if outcome is Outcome.COMMITTED:
            self._state.builds[commit.projection] = self.change(before, commit, len(self._state.rows))
        return outcome

    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        raise NotImplementedError

    @staticmethod
    def one(builds: Builds, commit: Commit) -> Progress:
        found = builds.of(commit.generation)
        assert found is not None
        return found


class BeginsByItself(MemoryViews):
    """A view that nobody has asked for yet is being built at once."""

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        for projection in projections:
            if projection not in self._state.builds:
                await self.begin(projection)
        return await super().progress(projections)


class CopiesWhatServes(MemoryViews):
    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        new, receipt = await super().begin(projection)
        _, build = self._serving(projection)
        if not new.checkpoint:
            self._build(projection, new.generation).put(dict(build.documents), build.entries)
        return new, receipt


class BeginsWithTheOneThereIs(ViewsWrapper):
    """A build that nothing was written to is as good as another."""

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        serving = (await self.inner.progress([projection]))[0][0]
        return await self.inner.begin(projection) if serving.checkpoint else (serving, FREE)


class AlwaysBeginsAnew(ViewsWrapper):
    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        progress, _, _ = await self.inner.progress([projection])
        for each in progress:
            if each.role is Role.BUILDING:
                while not (await self.inner.drop(projection, each.generation, [], 1_000))[0]:
                    pass
        return await self.inner.begin(projection)


class UsesGenerationsAgain(MemoryViews):
    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        builds = self._builds(projection)
        self._state.builds[projection] = replace(builds, last=max(each.generation for each in builds.all))
        return await super().begin(projection)


class KeepsAllBuildsInOnePlace(MemoryViews):
    def _build(self, projection: ProjectionId, generation: int) -> Build:
        return super()._build(projection, 1)

    def _serving(self, projection: ProjectionId) -> tuple[Progress, Build]:
        progress, _ = super()._serving(projection)
        return progress, super()._build(projection, 1)

    def _load(self, wanted: Wanted) -> Stored:
        return super()._load(wanted._replace(generation=1))


class FoldsWhatIsKept(MemoryViews):
    """Nobody goes back to it but whoever has read it before."""

    def _commit(self, commit: Commit) -> Outcome:
        build = self._builds(commit.projection).of(commit.generation)
        if build is not None and build.role is Role.KEPT:
            self._build(commit.projection, commit.generation).put(commit.documents, commit.entries)
        return super()._commit(commit)


class CountsNoEditions(Changing):
    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        after = self._builds(commit.projection)
        return after.replaced(replace(self.one(after, commit), edition=0))


class CountsEditionsOn(Changing):
    """It does not begin with 0 again where the checkpoint moves."""

    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        after = self._builds(commit.projection)
        return after.replaced(replace(self.one(after, commit), edition=commit.edition + 1))


class ForgetsTheMeeting(Changing):
    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        after = self._builds(commit.projection)
        return after.replaced(replace(self.one(after, commit), met=commit.checkpoint >= head))


class BelievesTheCallersHead(Changing):
    """It does not look at the log that it has beside it."""

    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        return committed(before, commit, commit.head)


class SwitchesTooEarly(Changing):
    """What is building serves as soon as it is ahead of what serves."""

    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        ahead = commit.checkpoint >= before.serving.checkpoint and commit.generation != before.serving.generation
        return committed(before, commit, commit.checkpoint if ahead else head)


class NeverSwitches(Changing):
    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        after = committed(before, commit, head)
        if after.serving.generation == before.serving.generation:
            return after
        moved = replace(after.serving, role=Role.BUILDING)
        return after.replaced(moved, before.serving)


class NeverLetsReadersGoBack(Changing):
    """What is building waits until it is as far as what serves, however far that is."""

    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        return committed(before, commit, max(head, before.serving.checkpoint))


class MeetsTheHeadByMoving(Changing):
    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        return committed(before, commit, head if commit.checkpoint > commit.expected else commit.checkpoint + 1)


class ForgetsWhatWasKept(Changing):
    """What another build has taken the place of is emptied."""

    def change(self, before: Builds, commit: Commit, head: int) -> Builds:
        after = self._builds(commit.projection)
        if after.serving.generation != before.serving.generation:
            self._state.documents.pop((commit.projection, before.serving.generation), None)
        return after


class JudgesAllAtOnce(MemoryViews):
    """Whether a commit takes effect is decided before any of the call is written."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        check_commits(commits)
        before = [self._builds(commit.projection) for commit in commits]
        outcomes: list[Outcome] = []
        for builds, commit in zip(before, commits, strict=True):
            build = builds.of(commit.generation)
            now = self._builds(commit.projection).of(commit.generation)
            if build and now and now.role is Role.KEPT and build.role is Role.SERVING:
                self._build(commit.projection, commit.generation).put(commit.documents, commit.entries)
                outcomes.append(Outcome.COMMITTED)
            else:
                outcomes.append(self._commit(commit))
        return Committed(tuple(outcomes), None if then is None else await self.pull(then))


class LoadsWhatServes(MemoryViews):
    def _load(self, wanted: Wanted) -> Stored:
        serving, _ = self._serving(wanted.projection)
        return super()._load(wanted._replace(generation=serving.generation))


class PullsForThoseThatServe(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        return await self.inner.pull(pull._replace(serving=True))


class PullsForAll(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        return await self.inner.pull(pull._replace(serving=False))


class PutsNobodyAside(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        return await self.inner.pull(pull._replace(aside={}))

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        return await self.inner.commit(commits, then and then._replace(aside={}))


class AnswersTheNewestFirst(ViewsWrapper):
    async def pull(self, pull: Pull) -> Pulled:
        pulled = await self.inner.pull(pull)
        ordered = sorted(pulled.progress, key=lambda each: (pull.projections.index(each.projection), -each.generation))
        return pulled._replace(progress=tuple(ordered))


class KnowsTwoBuilds(ViewsWrapper):
    """Of the builds that are kept it tells nothing."""

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        progress, head, receipt = await self.inner.progress(projections)
        folded = (Role.SERVING, Role.BUILDING)
        return tuple(each for each in progress if each.role in folded), head, receipt


class TellsNothingOfWhatIsRead(ViewsWrapper):
    """It answers how far the build is that was there first."""

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        got = await self.inner.get_many(projection, keys, now_us, primary=primary)
        return got._replace(progress=Progress(projection, 1, got.progress.checkpoint))


class CannotGoBack(ViewsWrapper):
    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        return False, FREE


class GoesBackOnce(ViewsWrapper):
    """A second call is answered as if it were a first one that came too late."""

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        serving = (await self.inner.progress([projection]))[0][0]
        if serving.generation == wanted:
            return False, FREE
        return await self.inner.serve(projection, present, wanted)


class GoesBackWhateverServes(ViewsWrapper):
    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        serving = (await self.inner.progress([projection]))[0][0]
        return await self.inner.serve(projection, serving.generation, wanted)


class FreezesWhatServesAgain(ViewsWrapper):
    def __init__(self, inner: Views) -> None:
        super().__init__(inner)
        self._frozen = set[tuple[ProjectionId, int]]()

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        self._frozen.add((projection, wanted))
        return await self.inner.serve(projection, present, wanted)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        aimed = [
            each._replace(generation=0) if (each.projection, each.generation) in self._frozen else each
            for each in commits
        ]
        return await self.inner.commit(aimed, then)


class GoesBackWithoutWhatIsBuilding(MemoryViews):
    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        answer = await super().serve(projection, present, wanted)
        builds = self._builds(projection)
        kept = tuple(each for each in builds.all if each.role is not Role.BUILDING)
        self._state.builds[projection] = replace(builds, all=kept)
        return answer


class DropsWithoutBounds(ViewsWrapper):
    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        return await self.inner.drop(projection, generation, records, 2**40, serving=serving)


class DropsByTheEnd(MemoryViews):
    """A build is what it was until its last document is deleted."""

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        before = self._builds(projection)
        gone, receipt = await super().drop(projection, generation, records, limit, serving=serving)
        if not gone:
            self._state.builds[projection] = before
        return gone, receipt


class DropsWhateverItIsTold(ViewsWrapper):
    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        return await self.inner.drop(projection, generation, records, limit, serving=True)


class BeginsAnewWhereItWas(MemoryViews):
    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        before = self._builds(projection).serving
        answer = await super().drop(projection, generation, records, limit, serving=serving)
        builds = self._builds(projection)
        if builds.serving.generation != before.generation:
            anew = replace(builds.serving, checkpoint=before.checkpoint)
            self._state.builds[projection] = builds.replaced(anew)
        return answer


class MissesWhatIsGone(ViewsWrapper):
    """To drop what is not there has not gone well."""

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        progress, _, _ = await self.inner.progress([projection])
        if generation not in {each.generation for each in progress}:
            return False, FREE
        return await self.inner.drop(projection, generation, records, limit, serving=serving)


class LeavesRecords(MemoryViews):
    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        build = self._state.documents.get((projection, generation))
        left = {} if build is None else dict(build.records)
        answer = await super().drop(projection, generation, records, limit, serving=serving)
        if left:
            self._build(projection, generation).keep(dict(left))
        return answer


class ReadsInTwoSteps(Waiting):
    """How far a view is, it looks up before it reads."""

    async def _now(self, projection: ProjectionId) -> Progress:
        progress = (await self.inner.progress([projection]))[0][0]
        await self.wait()
        return progress

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        now = await self._now(projection)
        return (await self.inner.get_many(projection, keys, now_us, primary=primary))._replace(progress=now)

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        now = await self._now(projection)
        return (await self.inner.items(projection, after, limit, max_bytes, now_us))._replace(progress=now)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        now = await self._now(projection)
        return (await self.inner.count(projection, span, now_us, primary=primary))._replace(progress=now)


class LooksAndThenBegins(Stepwise):
    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        before = self._builds(projection)
        await self.wait()
        if any(each.role is Role.BUILDING for each in before.all):
            return await super().begin(projection)
        new = Progress(projection, self._builds(projection).last + 1, 0, role=Role.BUILDING)
        self._state.builds[projection] = before.replaced(new)
        return new, FREE


class LooksAndThenGoesBack(Stepwise):
    """What became of the builds since it looked at them, it overwrites."""

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        builds = served(self._builds(projection), present, wanted)
        await self.wait()
        if builds is not None:
            self._state.builds[projection] = builds
        return builds is not None, FREE


class JudgesAndThenWrites(Stepwise):
    """A commit that has taken effect is written afterwards, wherever its build is by then."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        decided = await super().commit([each._replace(documents={}, records={}) for each in commits], None)
        await self.wait()
        for each, outcome in zip(commits, decided.outcomes, strict=True):
            if outcome is Outcome.COMMITTED:
                build = self._build(each.projection, each.generation)
                build.put(each.documents, each.entries)
                build.keep(each.records)
        return decided._replace(pulled=None if then is None else await self.pull(then))


class LooksAndThenDrops(Stepwise):
    """It marks what it has found, whatever has become of it."""

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        builds = dropping(self._builds(projection), generation, serving=serving)
        await self.wait()
        self._state.builds[projection] = builds
        return await super().drop(projection, generation, records, limit, serving=serving)
