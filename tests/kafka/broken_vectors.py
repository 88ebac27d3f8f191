"""Views over partitions that are wrong, each in one way: what the tests of every order have to find."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventsource_upstash.backends.kafka.views import KafkaViews
from eventsource_upstash.domain.positions import join
from eventsource_upstash.ports import Commit, Committed, Log, Port, Progress, Pull, Pulled, Views
from tests.kafka.partitioned import Partitioned


class _Forced(KafkaViews):
    """Takes commits that were folded from something else."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        found, _, _ = await self.progress([each.projection for each in commits])
        now = {(each.projection, each.generation): each for each in found}
        forced = [self.forced(each, now.get((each.projection, each.generation))) for each in commits]
        return await super().commit(forced, then)

    def forced(self, commit: Commit, now: Progress | None) -> Commit:
        raise NotImplementedError


class TakesTheMax(_Forced):
    """Moves each partition up by itself, as offsets of consumer groups are: nothing is compared."""

    def forced(self, commit: Commit, now: Progress | None) -> Commit:
        if now is None or now.checkpoint == commit.expected:
            return commit
        moved = join(now.checkpoint, commit.checkpoint)
        return commit._replace(expected=now.checkpoint, edition=now.edition, checkpoint=moved)


class TheHigherSumWins(_Forced):
    """Compares only how many places lie behind in all."""

    def forced(self, commit: Commit, now: Progress | None) -> Commit:
        if now is None or int(now.checkpoint) >= int(commit.checkpoint) or not now.checkpoint <= commit.checkpoint:
            return commit
        return commit._replace(expected=now.checkpoint, edition=now.edition)


class ForgetsEditions(_Forced):
    """Compares where a view is, and not what was committed there besides."""

    def forced(self, commit: Commit, now: Progress | None) -> Commit:
        if now is None or now.checkpoint != commit.expected:
            return commit
        return commit._replace(edition=now.edition)


class KeepsTheSum(KafkaViews):
    """Keeps a number, and takes it for places of the first partition."""

    async def pull(self, pull: Pull) -> Pulled:
        pulled = await super().pull(pull)
        progress = tuple([msgspec.structs.replace(each, checkpoint=int(each.checkpoint)) for each in pulled.progress])
        after = min([each.checkpoint for each in progress], default=0)
        page = await self.log.read(after, pull.limit, pull.max_bytes)
        return Pulled(progress, page.head, after, page.events, reached=page.reached)


class Broken(Partitioned):
    """A backend with such views."""

    def __init__(self, count: int, kind: type[KafkaViews]) -> None:
        super().__init__(count)
        self.kind = kind

    def views(self, port: Port, log: Log) -> Views:
        opened = super().views(port, log)
        assert isinstance(opened, KafkaViews)
        return self.kind(opened.inner, log)
