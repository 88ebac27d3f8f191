"""The views in Redis: a key for each document, sets of their names, and a record of how far each view is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from ...domain.events import Receipt
from ...domain.indexes import NO_ENTRIES
from ...domain.projections import ProjectionId
from ...errors import TooLarge
from ...ports import (
    Commit,
    Committed,
    Counted,
    Ended,
    Got,
    Listed,
    Log,
    Progress,
    Pull,
    Pulled,
    Span,
    Stored,
    Wanted,
)
from ..builds import dropping
from ..rules import check_commits, pull_apart
from .answered import Turns, checked
from .archives import Archives
from .commits import Commits
from .documents import has_ended, read_entries
from .entries import to_bytes
from .finding import Finder
from .index import LEAF_NAMES, Names
from .keys import Keys
from .log import RedisLog
from .lua import script
from .pulling import pull_beside
from .reading import run
from .records import Records, View
from .transport import Transport

LOAD: Final = script("load", reads=True)
BEGIN: Final = script("begin", "view")
SERVE: Final = script("serve", "view")
# The keys of the documents that it deletes are not known beforehand.
DROP: Final = script("drop", "view", "leaves", locks_its_keys=False)

MANY: Final = 1_000
"""Documents asked for in one request."""

DROPPED_AT_ONCE: Final = 10_000
"""Most documents that one request deletes, so that it does not hold up others for long."""


@checked("commit", "begin", "serve", "drop")
class RedisViews:
    """Documents in keys of their own. The log may be in the same database and namespace, or anywhere else.

    Args:
        transport: Carries the scripts.
        keys: The namespace's keys.
        log: The log that they are folded from.
        archives: The backend's: the log of the same backend has the same.
        leaf_names: Most names in a leaf of a view's key index.
    """

    def __init__(
        self, transport: Transport, keys: Keys, log: Log, archives: Archives, *, leaf_names: int = LEAF_NAMES
    ) -> None:
        self._transport = transport
        self._keys = keys
        self._log = log
        self._own = log if isinstance(log, RedisLog) and log.archives is archives else None
        self._records = Records(keys, self._own)
        self._names = Names(transport, keys, leaf_names)
        self._commits = Commits(transport, self._records, self._names, self.pull)
        self._finder = Finder(transport, self._records, self._names)

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`. Cost: 1 request, 3 commands."""
        if self._own is None:
            return await pull_apart(self, self._log, pull)
        return await pull_beside(self._transport, self._records, self._own, pull)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`. All commits are one step, where they fit into a request together.

        Cost: 1 request; 3 commands, 1 more to pull what is next, and for each commit 1 where something is deleted, and
        for each set of names (the keys, each index, the ends) 1 where names are new in it and 1 where some are gone. A
        set of more than some 50,000 names has several leaves: instead, 1 command for each leaf in which names are new,
        1 for each in which some are gone. A split of a leaf costs what `Names.split` says; and in each other process,
        with the next names that are new or gone, 1 request and 3 commands. So does the first such commit of a process
        to a build of which a set has several leaves. Where `created` is not known, 1 command more for documents that
        are put and 1 for those that are deleted. Each thousand begun of documents or names is a command of its own.
        """
        check_commits(commits)
        return await self._commits.commit(commits, then)

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`. Asked of the primary. Cost: 1 request, 2 commands."""
        keys = [self._keys.view(each) for each in projections]
        if self._own is None:
            found, receipt = await self._load(keys)
            head, cost = await self._log.head()
            receipt += cost
        else:
            (record, *found), receipt = await self._load([self._keys.head, *keys])
            head = self._own.position_of(record)
        views = [self._records.read(each, record) for each, record in zip(projections, found, strict=True)]
        return tuple([build for view in views for build in view.builds.all]), head, receipt

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        """See `Views.load`. Cost: 1 request, 2 commands; more of them for more than fit in a reply."""
        keys: list[str] = []
        for each in wanted:
            documents = self._keys.documents(each.projection, each.generation)
            keys += [documents + key for key in each.keys]
            records = self._keys.records(each.projection, each.generation)
            keys += [records + name for name in each.records]
        found, receipt = await self._load(keys)
        contents = iter(found)
        return [self._stored(each, contents.__next__) for each in wanted], receipt

    @staticmethod
    def _stored(wanted: Wanted, following: Callable[[], str | None]) -> Stored:
        stored = Stored({}, {}, {})
        for key in wanted.keys:
            if (text := following()) is not None:
                entries, content = read_entries(text)
                stored.documents[key] = to_bytes(content)
                if entries != NO_ENTRIES:
                    stored.entries[key] = entries
        for name in wanted.records:
            if (text := following()) is not None:
                stored.records[name] = to_bytes(text)
        return stored

    async def _load(self, keys: Sequence[str]) -> tuple[list[str | None], Receipt]:
        found: list[str | None] = []
        receipt = Receipt()
        while len(found) < len(keys):
            part, cost = await self._get(keys[len(found) : len(found) + MANY], primary=True)
            if not part:
                raise ValueError("no contents of keys")
            found += part
            receipt += cost
        return found, receipt

    async def _get(self, keys: Sequence[str], *, primary: bool) -> tuple[Sequence[str | None], Receipt]:
        """The contents of keys; from the primary those of the first keys, as many as fit in a reply."""
        if primary:
            answer, receipt = await run(self._transport, LOAD, keys, [])
            return cast("Sequence[str | None]", answer[2]), receipt
        result, receipt = await self._transport.command("MGET", *keys)
        return cast("Sequence[str | None]", result), receipt

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """See `Views.get_many`.

        Cost: 1 request, 1 command; 2 commands from the primary. More for more than fit in a reply, and once more the
        first time after another build has begun to serve.
        """
        found, view, head, receipt = await self._of_serving(projection, self._keys.documents, keys, primary=primary)
        documents: dict[str, bytes] = {}
        for key, text in found.items():
            entries, content = read_entries(text)
            if not has_ended(entries, now_us):
                documents[key] = to_bytes(content)
        return Got(documents, view.builds.serving, head, receipt)

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        """See `Views.records`. Cost: as `get_many`."""
        found, view, head, receipt = await self._of_serving(projection, self._keys.records, names, primary=False)
        return Got({name: to_bytes(text) for name, text in found.items()}, view.builds.serving, head, receipt)

    async def _of_serving(
        self,
        projection: ProjectionId,
        start_of: Callable[[ProjectionId, int], str],
        names: Sequence[str],
        *,
        primary: bool,
    ) -> tuple[dict[str, str], View, int | None, Receipt]:
        """What stands under names of the build that serves, with the view's record and the head of the first look."""
        receipt = Receipt()
        beside = [self._keys.head, self._keys.view(projection)][self._own is None :]
        generation = self._records.seen(projection).builds.serving.generation
        found: dict[str, str] = {}
        first: tuple[View, int | None] | None = None
        done, size = 0, MANY - len(beside)
        turns = Turns()
        while first is None or done < len(names):
            part = names[done : done + size]
            start = start_of(projection, generation)
            try:
                got, cost = await self._get([*beside, *[start + name for name in part]], primary=primary)
            except TooLarge:
                if len(part) <= 1:
                    raise
                size = max(1, len(part) // 2)
                continue
            receipt += cost
            view = self._records.read(projection, got[len(beside) - 1])
            if view.builds.serving.generation != generation:
                # What was found before is of the build that served before.
                turns.another()
                generation = view.builds.serving.generation
                found, first, done = {}, None, 0
                continue
            first = first or (view, self._records.head(got[0]))
            contents = got[len(beside) :]
            if part and not contents:
                raise ValueError("no contents of keys")
            found.update([(name, text) for name, text in zip(part, contents, strict=False) if text is not None])
            done += len(contents)
        return found, *first, receipt

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `Views.items`.

        Cost: 1 request, 3 commands; 2 more, or 3, where this process does not know yet which build serves, or the leaf
        that the page begins in. Where the keys have several leaves, 2 more for each leaf that ends within the page, or
        1 if it has nothing to list; where documents have ended, 2 more to look at what comes behind them.
        """
        return await self._finder.items(projection, after, limit, max_bytes, now_us)

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
        """See `Views.find`. Cost: as `items`."""
        return await self._finder.find(projection, span, after, limit, max_bytes, now_us, reverse=reverse)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """See `Views.count`.

        Cost: 1 request. Of all documents 1 command, 2 from the primary; where documents have ends 3, and the first time
        in a process 1 request and 1 command more. Of a span 3 commands, and 1 for each further leaf that it reaches
        into; where documents have ends 1 more, and 1 or 2 for each 1,000 that have ended and are still stored.
        """
        if span is not None or self._records.seen(projection).ends:
            return await self._finder.count(projection, span, now_us)
        _, view, head, receipt = await self._of_serving(projection, self._keys.documents, (), primary=primary)
        if not view.ends:
            return Counted(view.count, view.count, view.builds.serving, head, receipt)
        counted = await self._finder.count(projection, None, now_us)
        return msgspec.structs.replace(counted, receipt=receipt + counted.receipt)

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `Views.rank`. Cost: as `count` of a span, and 1 command more; 1 more again where there are leaves."""
        return await self._finder.rank(projection, span, key, now_us)

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """See `Views.ended`. Cost: 1 request, 2 commands; 3 where documents have ends, 4 where some have ended."""
        return await self._finder.ended(projection, now_us, limit)

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        """See `Views.begin`. Cost: 1 request, 3 commands."""
        answer, receipt = await run(self._transport, BEGIN, [self._keys.view(projection)], [])
        return self._records.read(projection, answer[2]).builds.active[1], receipt

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        """See `Views.serve`. Cost: 1 request, 3 commands."""
        answer, receipt = await run(self._transport, SERVE, [self._keys.view(projection)], [present, wanted])
        self._records.read(projection, answer[3])
        return answer[2] == "1", receipt

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        """See `Views.drop`.

        Cost: 1 request, 2 commands; 1 more where it begins, 3 for each 1,000 documents, 2 more where it is gone then.
        """
        start = self._keys.records(projection, generation)
        keys = [self._keys.view(projection), self._keys.leaves(projection, generation)]
        keys += [start + name for name in records]
        place = [self._keys.prefix, f"{projection.name}@{projection.version}"]
        arguments: list[str | int] = [*place, generation, max(1, min(limit, DROPPED_AT_ONCE)), int(serving)]
        answer, receipt = await run(self._transport, DROP, keys, arguments)
        if answer[0] == "serves":
            dropping(self._records.read(projection, answer[2]).builds, generation, serving=False)
        self._records.read(projection, answer[3])
        return answer[2] == "1", receipt
