"""The views in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ...domain.events import FREE, Receipt
from ...domain.projections import ProjectionId
from ...ports import Commit, Committed, Listed, Log, Outcome, Progress, Pull, Pulled
from ..rules import check_commits, judge, pull_apart
from .state import State


class MemoryViews:
    """Documents in a dict per projection."""

    def __init__(self, state: State, log: Log) -> None:
        self._state = state
        self._log = log

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`."""
        return await pull_apart(self, self._log, pull)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`."""
        check_commits(commits)
        with self._state.lock:
            outcomes = tuple(self._commit(commit) for commit in commits)
        pulled = None if then is None else await self.pull(then)
        return Committed(outcomes, pulled, FREE if pulled is None else pulled.receipt)

    def _commit(self, commit: Commit) -> Outcome:
        state = self._state
        outcome = judge(self._progress(commit.projection), commit)
        if outcome is Outcome.COMMITTED:
            documents = state.documents.setdefault(commit.projection, {})
            known = len(documents)
            for key, document in commit.documents.items():
                if document is not None:
                    documents[key] = document
                elif documents.pop(key, None) is not None:
                    state.sorted_keys.pop(commit.projection, None)
            if len(documents) != known:
                state.sorted_keys.pop(commit.projection, None)
            state.progress[commit.projection] = Progress(
                commit.projection, commit.generation, commit.checkpoint, commit.stopped
            )
        return outcome

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`."""
        with self._state.lock:
            progress = tuple(self._progress(projection) for projection in projections)
        head, receipt = await self._log.head()
        return progress, head, receipt

    def _progress(self, projection: ProjectionId) -> Progress:
        return self._state.progress.get(projection) or Progress(projection, 1, 0)

    async def load(
        self, wanted: Sequence[tuple[ProjectionId, Sequence[str]]]
    ) -> tuple[list[dict[str, bytes]], Receipt]:
        """See `Views.load`."""
        with self._state.lock:
            return [self._get(projection, keys) for projection, keys in wanted], FREE

    async def get_many(self, projection: ProjectionId, keys: Sequence[str]) -> tuple[dict[str, bytes], Receipt]:
        """See `Views.get_many`."""
        with self._state.lock:
            return self._get(projection, keys), FREE

    def _get(self, projection: ProjectionId, keys: Sequence[str]) -> dict[str, bytes]:
        documents = self._state.documents.get(projection)
        return {} if documents is None else {key: documents[key] for key in keys if key in documents}

    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        """See `Views.items`."""
        state = self._state
        with state.lock:
            documents = state.documents.get(projection, {})
            keys = state.sorted_keys.get(projection)
            if keys is None:
                keys = state.sorted_keys[projection] = sorted(documents)
            start = 0 if after is None else bisect_right(keys, after)
            found: list[tuple[str, bytes]] = []
            size = 0
            for key in keys[start : start + limit]:
                found.append((key, documents[key]))
                size += len(documents[key])
                if size >= max_bytes:
                    break
            return Listed(found, start + len(found) < len(keys))

    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        """See `Views.count`."""
        return len(self._state.documents.get(projection, {})), FREE
