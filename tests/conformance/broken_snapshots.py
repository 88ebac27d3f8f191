"""Logs that break a rule of snapshots each."""

from __future__ import annotations

from msgspec.structs import replace

from eventsource_upstash import Appended, Receipt
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import Append, Conflict, KeyReused, Log, Snapshot, StreamPage, Unmet
from eventsource_upstash.testing import LogWrapper
from tests.conformance.broken_log import Waiting

Answer = Appended | Conflict | KeyReused | Unmet


class Keeping(LogWrapper):
    """Keeps snapshots itself, by the rules: what breaks one of them replaces a line."""

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.kept: dict[tuple[str, str], Snapshot] = {}

    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(replace(append, snapshot=None))
        if append.snapshot is not None and isinstance(answer, Appended) and not answer.repeated:
            self.put(append.stream, append.snapshot)
        return answer

    def put(self, stream: str, snapshot: Snapshot) -> None:
        self.kept[stream, snapshot.name] = snapshot

    def fits(self, snapshot: Snapshot, after: int, revision: int) -> bool:
        return after < snapshot.revision <= revision

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        revision = (await self.inner.read_stream(stream, 0, 1, 1)).revision
        kept = None if snapshot is None else self.kept.get((stream, snapshot))
        if kept is None or not self.fits(kept, after_revision, revision):
            return await self.inner.read_stream(stream, after_revision, limit, max_bytes)
        return await self.after(kept, stream, limit, max_bytes)

    async def after(self, kept: Snapshot, stream: str, limit: int, max_bytes: int) -> StreamPage:
        page = await self.inner.read_stream(stream, kept.revision, limit, max_bytes)
        return page._replace(snapshot=kept)

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        revision = (await self.inner.read_stream(stream, 0, 1, 1)).revision
        kept = self.kept.get((stream, snapshot.name))
        if kept is None or not snapshot.revision < kept.revision <= revision:
            self.put(stream, snapshot)
        return FREE


class KeepsNone(Keeping):
    def put(self, stream: str, snapshot: Snapshot) -> None:
        pass


class KeepsOnePerStream(Keeping):
    def put(self, stream: str, snapshot: Snapshot) -> None:
        for name in ("n@1", "n@2", "n@11", "n", "N@1", "m@1"):
            self.kept[stream, name] = snapshot


class KeepsOnePerName(Keeping):
    def put(self, stream: str, snapshot: Snapshot) -> None:
        super().put(stream.casefold(), snapshot)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        if snapshot is not None and (kept := self.kept.get((stream.casefold(), snapshot))) is not None:
            self.kept[stream, snapshot] = kept
        return await super().read_stream(stream, after_revision, limit, max_bytes, snapshot)


class TakesSnapshotsForText(Keeping):
    def put(self, stream: str, snapshot: Snapshot) -> None:
        super().put(stream, snapshot._replace(state=snapshot.state.decode("utf-8", "replace").encode()))


class KeepsTheSnapshotOfALoser(Keeping):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(replace(append, snapshot=None))
        if append.snapshot is not None:
            self.put(append.stream, append.snapshot)
        return answer


class KeepsTheLaterOneOnAppend(Keeping):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(replace(append, snapshot=None))
        if append.snapshot is not None and isinstance(answer, Appended) and not answer.repeated:
            kept = self.kept.get((append.stream, append.snapshot.name))
            if kept is None or kept.revision < append.snapshot.revision:
                self.put(append.stream, append.snapshot)
        return answer


class AnswersASnapshotAlways(Keeping):
    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        return await super().read_stream(stream, after_revision, limit, max_bytes, snapshot or "n@1")


class GoesBackToTheSnapshot(Keeping):
    def fits(self, snapshot: Snapshot, after: int, revision: int) -> bool:
        return snapshot.revision <= revision


class FindsSnapshotsBeyondTheStream(Keeping):
    def fits(self, snapshot: Snapshot, after: int, revision: int) -> bool:
        return after < snapshot.revision


class ReadsTheSnapshotsEventsToo(Keeping):
    async def after(self, kept: Snapshot, stream: str, limit: int, max_bytes: int) -> StreamPage:
        page = await self.inner.read_stream(stream, kept.revision - 1, limit, max_bytes)
        return page._replace(snapshot=kept)


class CountsTheSnapshotToThePage(Keeping):
    async def after(self, kept: Snapshot, stream: str, limit: int, max_bytes: int) -> StreamPage:
        page = await self.inner.read_stream(stream, kept.revision, limit, max(1, max_bytes - len(kept.state)))
        return page._replace(snapshot=kept)


class KeepsTheLastOne(Keeping):
    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        self.put(stream, snapshot)
        return FREE


class IsHeldUpByOneBeyondTheStream(Keeping):
    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        kept = self.kept.get((stream, snapshot.name))
        if kept is None or kept.revision <= snapshot.revision:
            self.put(stream, snapshot)
        return FREE


class KeepsItAfterwards(Waiting):
    """Whoever reads in between finds the events without the snapshot."""

    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(replace(append, snapshot=None))
        if append.snapshot is not None and isinstance(answer, Appended):
            await self.wait()
            await self.inner.keep(append.stream, append.snapshot)
        return answer
