"""Commits to views: what goes into one request, what the script is given, and what follows from its answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, cast

import msgspec

from ...domain.events import Receipt
from ...domain.indexes import NO_ENTRIES
from ...errors import EventSourceError, TooLarge
from ...ports import Commit, Committed, Outcome, Pull, Pulled
from ..builds import judge
from .answered import Turns
from .documents import names_of, stored
from .entries import to_text
from .index import Leaf, Names, Spread
from .keys import ENDS, KEYS
from .lua import script
from .pulling import asking, log_keys, pulled_of
from .reading import run
from .records import Records, text_of_notes
from .replies import MAX_REQUEST_BYTES
from .transport import Transport

COMMIT: Final = script("commit", "view", "page")

MAX_DOCUMENTS: Final = 2_000
"""Most documents and records in one commit: what a call inside a script takes is limited by the engine's stack."""

MAX_TOGETHER: Final = 4_000_000
"""Most bytes of documents of several commits in one request: escaped, they may become twice as many."""

_NOT_SPLIT: Final = "%s: a leaf of its %s was not split; a later commit tries again: %s"

_log: Final = logging.getLogger("eventsource_upstash.view")


class _Given(NamedTuple):
    """What a script is given for some commits."""

    keys: list[str]
    arguments: list[str | int]
    spreads: list[Spread]


class Commits:
    """Commits to the views of a namespace.

    Args:
        transport: Carries the scripts.
        records: The views' records.
        names: The directories of the sets of names.
        pull: Pulls what is next, by itself.
    """

    def __init__(
        self, transport: Transport, records: Records, names: Names, pull: Callable[[Pull], Awaitable[Pulled]]
    ) -> None:
        self._transport = transport
        self._records = records
        self._names = names
        self._pull = pull

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `RedisViews.commit`."""
        groups = self._grouped(commits)
        if len(groups) > 1:
            # Before the first one is written: none of them may turn out to be too large when others are in.
            for group in groups:
                self._check_size(group)
        outcomes: list[Outcome] = []
        receipt = Receipt()
        for group in groups[:-1]:
            committed = await self._commit(group, None)
            outcomes += committed.outcomes
            receipt += committed.receipt
        committed = await self._commit(groups[-1], then)
        return Committed((*outcomes, *committed.outcomes), committed.pulled, receipt + committed.receipt)

    def _grouped(self, commits: Sequence[Commit]) -> list[list[Commit]]:
        """Commits in groups that fit into one request each, no two of one build together.

        Raises `TooLarge` for one that does not fit at all.
        """
        groups: list[list[Commit]] = [[]]
        documents = size = 0
        for commit in commits:
            count = len(commit.documents) + len(commit.records)
            if count > MAX_DOCUMENTS:
                raise TooLarge(what=_named([commit]), size=count, limit=MAX_DOCUMENTS, unit="documents")
            bytes_ = _size(commit)
            build = commit[:2]
            again = any(each[:2] == build for each in groups[-1])
            if groups[-1] and (again or documents + count > MAX_DOCUMENTS or size + bytes_ > MAX_TOGETHER):
                groups.append([])
                documents = size = 0
            groups[-1].append(commit)
            documents += count
            size += bytes_
        return groups

    def _check_size(self, commits: Sequence[Commit]) -> None:
        if sum(map(_size, commits)) > MAX_TOGETHER // 4:  # six bytes, at most, become of one that is escaped
            given = self._given(commits)
            size = len(msgspec.json.encode((given.keys, [str(each) for each in given.arguments]))) + 10_000
            if size > MAX_REQUEST_BYTES:
                raise TooLarge(what=_named(commits), size=size, limit=MAX_REQUEST_BYTES)

    async def _commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        records, own = self._records, self._records.own
        receipt = Receipt()
        turns = Turns()
        while True:
            turns.another()
            given = self._given(commits)
            if own is not None and then is not None:
                asked = asking(records, own, then)
                keys, arguments, views = asked.keys, asked.arguments, len(then.projections)
            else:
                keys, arguments, views = log_keys(records), [""] * 7, 0
            try:
                answer, cost = await run(
                    self._transport,
                    COMMIT,
                    [*keys, *given.keys],
                    [*arguments, views, len(commits), *given.arguments],
                )
            except TooLarge as error:
                if error.size is None and then is not None:
                    # The server found the request too large, or the page in the reply to it: then it is in.
                    committed = await self._commit(commits, None)
                    behind = await self._pull(then)
                    return Committed(committed.outcomes, behind, receipt + committed.receipt + behind.receipt)
                raise TooLarge(what=_named(commits), size=error.size, limit=error.limit) from error
            receipt += cost
            if answer[0] != "again":
                break
            for commit, stale in zip(commits, cast("Sequence[tuple[str, str | None] | None]", answer[2]), strict=True):
                if stale:
                    self._names.learn(commit.projection, commit.generation, *stale)
        outcomes = tuple(
            [
                judge(records.read(commit.projection, record).builds, commit) if record else Outcome.COMMITTED
                for commit, record in zip(commits, cast("Sequence[str | None]", answer[2]), strict=True)
            ]
        )
        pulled = None
        if then is not None:
            if own is not None:
                pulled = pulled_of(records, own, then, answer[4:], receipt)
            if pulled is None:
                pulled = await self._pull(then)
                receipt += pulled.receipt
        for number, place in cast("Sequence[tuple[str, str]]", answer[3]):
            at = int(number) - 1
            receipt += await self._split(commits[at], given.spreads[at].leaves[int(place) - 1])
        return Committed(outcomes, pulled, receipt)

    async def _split(self, commit: Commit, leaf: Leaf) -> Receipt:
        """Split a leaf that has become too large. The commit is in: no failure here may deny that."""
        try:
            return await self._names.split(commit.projection, commit.generation, leaf)
        except EventSourceError as error:
            _log.warning(_NOT_SPLIT, commit.projection, leaf.set, error)
            return Receipt()

    def _given(self, commits: Sequence[Commit]) -> _Given:
        given = _Given([], [], [])
        for commit in commits:
            self._give(commit, given)
        return given

    def _give(self, commit: Commit, given: _Given) -> None:
        """Add a commit to what the script is given."""
        of, build = self._records.keys, (commit.projection, commit.generation)
        documents, records = of.documents(*build), of.records(*build)
        put = {key: document for key, document in commit.documents.items() if document is not None}
        deleted = [key for key, document in commit.documents.items() if document is None]
        created = list(put)
        if commit.created is not None:
            new = set(commit.created)
            created = [key for key in put if key in new]
            deleted = [key for key in deleted if key not in new]
        changes = {KEYS: (created, deleted)}
        entries, before = commit.entries, commit.before
        if entries or before:
            _note_entries(commit, changes)
        spread = self._names.spread(*build, changes)
        given.spreads.append(spread)
        leaves = spread.leaves
        kept = {name: content for name, content in commit.records.items() if content is not None}
        gone = [name for name, content in commit.records.items() if content is None]
        given.keys.extend([of.view(commit.projection), of.leaves(*build)])
        given.keys.extend([documents + key for key in put])
        given.keys.extend([records + name for name in kept])
        given.keys.extend([documents + key for key in deleted])
        given.keys.extend([records + name for name in gone])
        given.keys.extend([of.leaf(*build, leaf.set, leaf.number) for leaf in leaves])
        given.arguments.extend(
            [
                commit.generation,
                commit.expected,
                commit.edition,
                commit.checkpoint,
                "" if self._records.own is not None else "-" if commit.head is None else commit.head,
                text_of_notes(commit.notes),
                len(put) + len(kept),
                len(deleted) + len(gone),
                "" if commit.created is None else len(created),
                len(deleted),
                int(ENDS in changes),
                ",".join([set_.partition("-")[2] for set_ in changes if set_ not in (KEYS, ENDS)]),
                spread.version,
                len(leaves),
            ]
        )
        for leaf in leaves:
            sizes = [len(leaf.created), len(leaf.deleted), leaf.largest, int(leaf.look), int(leaf.set == KEYS)]
            given.arguments.extend(sizes)
        if entries:
            given.arguments.extend([stored(each, entries.get(key, NO_ENTRIES)) for key, each in put.items()])
        else:
            given.arguments.extend([stored(each, NO_ENTRIES) for each in put.values()])
        given.arguments.extend([to_text(content) for content in kept.values()])
        for leaf in leaves:
            given.arguments.extend(leaf.created)
        for leaf in leaves:
            given.arguments.extend(leaf.deleted)


def _note_entries(commit: Commit, changes: dict[str, tuple[list[str], list[str]]]) -> None:
    """Note under which names documents stand with a commit, and did not before; and the other way round."""
    for key, document in commit.documents.items():
        old = commit.before.get(key, NO_ENTRIES)
        new = NO_ENTRIES if document is None else commit.entries.get(key, NO_ENTRIES)
        if old != new:
            left, come = set(names_of(key, old)), set(names_of(key, new))
            for set_, name in come - left:
                changes.setdefault(set_, ([], []))[0].append(name)
            for set_, name in left - come:
                changes.setdefault(set_, ([], []))[1].append(name)


def _size(commit: Commit) -> int:
    """Bytes of a commit's contents, and of what its documents are found by."""
    contents = (*commit.documents.values(), *commit.records.values())
    values = [value for entries in commit.entries.values() for _, value in entries.values]
    return sum([len(content) for content in contents if content is not None]) + 4 * sum(map(len, values))


def _named(commits: Sequence[Commit]) -> str:
    names = ", ".join([repr(commit.projection.name) for commit in commits])
    return f"a commit to the view of projection {names}"
