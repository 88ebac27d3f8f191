"""The views in Redis: a key for each document, an index of them, and a record of how far the view is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from ...domain.events import Receipt
from ...domain.projections import ProjectionId, Stopped
from ...errors import EventSourceError, TooLarge
from ...ports import Commit, Committed, Listed, Log, Outcome, Progress, Pull, Pulled
from ..rules import check_commits, judge, pull_apart
from .archives import Archives
from .entries import to_bytes, to_text
from .index import LEAF_NAMES, KeyIndex, Spread
from .keys import Keys
from .log import RedisLog
from .lua import script
from .reading import foreign, run
from .transport import Transport

PULL: Final = script("pull", "page")
COMMIT: Final = script("commit", "page")
LOAD: Final = script("load", reads=True)
# The keys of the documents that it finds are not known beforehand.
ITEMS: Final = script("items", locks_its_keys=False, reads=True)

GENERATION: Final = 1

MAX_DOCUMENTS: Final = 2_000
"""Most documents that one commit may hold: what a call inside a script takes is limited by the engine's stack."""

MAX_TOGETHER: Final = 4_000_000
"""Most bytes of documents of several commits in one request: escaped, they may become twice as many."""

LISTING_PAGE: Final = 250
"""Most documents in a page of a listing, so that what a script holds at once stays small."""

MANY: Final = 1_000
"""Documents asked for in one request."""

_log: Final = logging.getLogger("eventsource_upstash.view")


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
        self._index = KeyIndex(transport, keys, leaf_names)
        self._own = log if isinstance(log, RedisLog) and log.archives is archives else None

    @property
    def _where(self) -> str:
        return f"namespace {self._keys.namespace!r}"

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`. Cost: 1 request, 3 commands."""
        if self._own is None:
            return await pull_apart(self, self._log, pull)
        receipt = Receipt()
        own = self._own
        while True:
            archive = own.archives.reading  # looked at once: other threads read elsewhere
            size = min(pull.max_bytes, own.archives.page_bytes)
            keys = [*self._log_keys(own, archive), *[self._keys.view(each) for each in pull.projections]]
            try:
                answer, cost = await run(self._transport, PULL, keys, self._pull_arguments(pull, archive, size))
            except TooLarge:
                if own.archives.shrink(size):
                    continue
                raise
            receipt += cost
            if (pulled := self._pulled(own, pull, answer[2:], receipt)) is not None:
                return pulled

    def _log_keys(self, own: RedisLog, archive: int) -> list[str]:
        return [own.keys.head, own.keys.notice, own.keys.log, own.keys.log_archive(archive)]

    @staticmethod
    def _pull_arguments(pull: Pull, archive: int, size: int) -> list[str | int]:
        return [pull.limit, size, int(pull.rear), int(pull.settle), archive]

    def _pulled(self, own: RedisLog, pull: Pull, answer: Sequence[object], receipt: Receipt) -> Pulled | None:
        """What a script answered; None when it has to be asked again for another archive of the log."""
        head, records, after, entries, wanted = answer
        if wanted:
            own.archives.reading = int(cast("str", wanted))
            return None
        progress = tuple(
            self._progress(projection, record)
            for projection, record in zip(pull.projections, cast("Sequence[str | None]", records), strict=True)
        )
        position, place = int(cast("str", head)), int(cast("str", after))
        return Pulled(
            progress, position, place, own.page(entries, place, position, pull.limit, pull.max_bytes), receipt
        )

    def _progress(self, projection: ProjectionId, record: str | None) -> Progress:
        if not record:
            return Progress(projection, GENERATION, 0)
        try:
            generation, checkpoint, _, _, rest = record.split(" ", 4)
            stopped = msgspec.json.decode(rest, type=Stopped) if rest else None
            return Progress(projection, int(generation), int(checkpoint), stopped)
        except ValueError as error:
            raise foreign(self._where, self._keys.view(projection)) from error

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`. All commits are one step, where they fit into a request together.

        Cost: 1 request; 3 commands, 1 more to pull what is next, and for each commit 1 where documents are new, 2 where
        some are deleted. A view that has had more than some 50,000 documents has several leaves of names: instead, 1
        command for each leaf in which names are new, 1 for each in which some are deleted. A split of a leaf costs what
        `KeyIndex.split` says; and in each other process, with the next names that are new or gone, 1 request and 3
        commands. So does the first such commit of a process to a view that has several leaves.
        """
        check_commits(commits)
        *groups, last = self._grouped(commits)
        outcomes: list[Outcome] = []
        receipt = Receipt()
        for group in groups:
            committed = await self._commit(group, None)
            outcomes += committed.outcomes
            receipt += committed.receipt
        committed = await self._commit(last, then)
        return Committed((*outcomes, *committed.outcomes), committed.pulled, receipt + committed.receipt)

    def _grouped(self, commits: Sequence[Commit]) -> list[list[Commit]]:
        """Commits in groups that fit into one request each, no two of one projection together.

        Raises `TooLarge` for one that does not fit at all.
        """
        groups: list[list[Commit]] = [[]]
        documents = size = 0
        for commit in commits:
            count = len(commit.documents)
            if count > MAX_DOCUMENTS:
                raise TooLarge(
                    what=f"a commit to the view of projection {commit.projection.name!r}",
                    size=count,
                    limit=MAX_DOCUMENTS,
                    unit="documents",
                )
            bytes_ = sum([len(document) for document in commit.documents.values() if document is not None])
            again = any(each.projection == commit.projection for each in groups[-1])
            if groups[-1] and (again or documents + count > MAX_DOCUMENTS or size + bytes_ > MAX_TOGETHER):
                groups.append([])
                documents = size = 0
            groups[-1].append(commit)
            documents += count
            size += bytes_
        return groups

    async def _commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        own = self._own
        receipt = Receipt()
        while True:
            keys: list[str] = []
            arguments: list[str | int] = []
            spreads = [self._add(commit, keys, arguments) for commit in commits]
            if own is not None and then is not None:
                views = [self._keys.view(each) for each in then.projections]
                archive = own.archives.reading
                size = min(then.max_bytes, own.archives.page_bytes)
                keys = [*self._log_keys(own, archive), *views, *keys]
                arguments = [*self._pull_arguments(then, archive, size), len(views), len(commits), *arguments]
            else:
                of = self._keys
                keys = [of.head, of.notice, of.log, of.log_archive(0), *keys]
                arguments = ["", "", "", "", "", 0, len(commits), *arguments]
            try:
                answer, cost = await run(self._transport, COMMIT, keys, arguments)
            except TooLarge as error:
                if error.size is None and then is not None:
                    # The server found the request too large, or the page in the reply to it: then it is in.
                    committed = await self._commit(commits, None)
                    behind = await self.pull(then)
                    return Committed(committed.outcomes, behind, receipt + committed.receipt + behind.receipt)
                names = ", ".join(repr(commit.projection.name) for commit in commits)
                raise TooLarge(
                    what=f"a commit to the view of projection {names}", size=error.size, limit=error.limit
                ) from error
            receipt += cost
            if answer[0] != "again":
                break
            for commit, stale in zip(commits, cast("Sequence[tuple[str, str | None] | None]", answer[2]), strict=True):
                if stale:
                    self._index.learn(commit.projection, commit.generation, *stale)
        outcomes = tuple(
            Outcome.COMMITTED if not record else judge(self._progress(commit.projection, record), commit)
            for commit, record in zip(commits, cast("Sequence[str | None]", answer[2]), strict=True)
        )
        pulled = None
        if then is not None:
            if own is not None:
                pulled = self._pulled(own, then, answer[4:], receipt)
            if pulled is None:
                pulled = await self.pull(then)
                receipt += pulled.receipt
        for number, leaf in cast("Sequence[tuple[str, str]]", answer[3]):
            receipt += await self._split(commits[int(number) - 1], spreads[int(number) - 1], int(leaf) - 1)
        return Committed(outcomes, pulled, receipt)

    async def _split(self, commit: Commit, spread: Spread, leaf: int) -> Receipt:
        """Split a leaf of the index that has become too large. The commit is in: no failure here may deny that."""
        try:
            number = spread.leaves[leaf].number
            return await self._index.split(commit.projection, commit.generation, number, spread.largest)
        except EventSourceError as error:
            _log.warning("%s: its key index was not split; a later commit tries again: %s", commit.projection, error)
            return Receipt()

    def _add(self, commit: Commit, keys: list[str], arguments: list[str | int]) -> Spread:
        """Add a commit to what the script is given."""
        of = self._keys
        start = of.documents(commit.projection, commit.generation)
        documents = commit.documents
        put = {key: document for key, document in documents.items() if document is not None}
        deleted = [key for key, document in documents.items() if document is None]
        created = list(put)
        if commit.created is not None:
            new = set(commit.created)
            created = [key for key in put if key in new]
            deleted = [key for key in deleted if key not in new]
        stopped = "" if commit.stopped is None else msgspec.json.encode(commit.stopped).decode()
        spread = self._index.spread(commit.projection, commit.generation, created, deleted)
        keys += [of.view(commit.projection), of.leaves(commit.projection, commit.generation)]
        keys += [start + key for key in put]
        keys += [start + key for key in deleted]
        keys += [of.index(commit.projection, commit.generation, leaf.number) for leaf in spread.leaves]
        arguments += [
            commit.generation,
            commit.expected,
            f"{commit.generation} {commit.checkpoint}",
            stopped,
            len(put),
            "" if commit.created is None else len(created),
            len(deleted),
            spread.version,
            spread.largest,
            len(spread.leaves),
        ]
        for leaf in spread.leaves:
            arguments += [len(leaf.created), len(leaf.deleted), int(leaf.look)]
        arguments += [to_text(document) for document in put.values()]
        for leaf in spread.leaves:
            arguments += leaf.created
        for leaf in spread.leaves:
            arguments += leaf.deleted
        return spread

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`. Asked of the primary. Cost: 1 request, 2 commands."""
        own = self._own
        if own is None:
            records, receipt = await self._load([self._keys.view(each) for each in projections])
            progress = tuple(self._progress(each, record) for each, record in zip(projections, records, strict=True))
            head, cost = await self._log.head()
            return progress, head, receipt + cost
        keys = [own.keys.head, *[self._keys.view(each) for each in projections]]
        records, receipt = await self._load(keys)
        progress = tuple(self._progress(each, record) for each, record in zip(projections, records[1:], strict=True))
        return progress, own.position_of(records[0]), receipt

    async def load(
        self, wanted: Sequence[tuple[ProjectionId, Sequence[str]]]
    ) -> tuple[list[dict[str, bytes]], Receipt]:
        """See `Views.load`. Cost: 1 request, 2 commands; more of them for more documents than fit in a reply."""
        keys: list[str] = []
        for projection, names in wanted:
            start = self._keys.documents(projection, GENERATION)
            keys += [start + name for name in names]
        found, receipt = await self._load(keys)
        documents = iter(found)
        return [
            {name: to_bytes(document) for name in names if (document := next(documents)) is not None}
            for _, names in wanted
        ], receipt

    async def _load(self, keys: Sequence[str]) -> tuple[list[str | None], Receipt]:
        found: list[str | None] = []
        receipt = Receipt()
        while len(found) < len(keys):
            answer, cost = await run(self._transport, LOAD, keys[len(found) : len(found) + MANY], [])
            found += cast("Sequence[str | None]", answer[2])
            receipt += cost
        return found, receipt

    async def get_many(self, projection: ProjectionId, keys: Sequence[str]) -> tuple[dict[str, bytes], Receipt]:
        """See `Views.get_many`. Cost: 1 request, 1 command; more for more than fit in a reply."""
        start = self._keys.documents(projection, GENERATION)
        found: dict[str, bytes] = {}
        receipt = Receipt()
        first, size = 0, MANY
        while first < len(keys):
            names = keys[first : first + size]
            try:
                result, cost = await self._transport.command("MGET", *[start + name for name in names])
            except TooLarge:
                if len(names) == 1:
                    raise
                size = max(1, len(names) // 2)
                continue
            receipt += cost
            for name, document in zip(names, cast("Sequence[str | None]", result), strict=True):
                if document is not None:
                    found[name] = to_bytes(document)
            first += len(names)
        return found, receipt

    async def items(self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int) -> Listed:
        """See `Views.items`.

        Cost: 1 request, 3 commands. Where the key index has several leaves, 2 more beyond the first one; and for each
        leaf that ends within the page 2, or 1 if it has nothing to list.
        """
        of = self._keys
        answer, receipt = await run(
            self._transport,
            ITEMS,
            [of.index(projection, GENERATION), of.view(projection), of.leaves(projection, GENERATION)],
            [of.documents(projection, GENERATION), after or "", min(limit, LISTING_PAGE), max_bytes],
        )
        if answer[0] == "lost":
            raise self._index.lost(projection, GENERATION)
        names, documents, more = cast("tuple[Sequence[str], Sequence[str], str]", answer[2:])
        listed = [(name, to_bytes(document)) for name, document in zip(names, documents, strict=True)]
        return Listed(listed, more == "1", receipt)

    async def count(self, projection: ProjectionId) -> tuple[int, Receipt]:
        """See `Views.count`. Cost: 1 request, 1 command."""
        record, receipt = await self._transport.command("GET", self._keys.view(projection))
        if not isinstance(record, str):
            return 0, receipt
        self._progress(projection, record)
        return int(record.split(" ", 3)[2]), receipt
