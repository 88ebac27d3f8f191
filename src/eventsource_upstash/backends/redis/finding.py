"""What readers are answered from the names that documents stand under: pages, counts and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec

from ...domain.projections import ProjectionId
from ...ports import Counted, Ended, Listed, Span
from .documents import BEHIND, SEPARATOR, content_of, ended_by, read_entries
from .index import Names
from .keys import KEYS, index_set
from .lua import script
from .reading import run
from .records import Records
from .transport import Transport

# The keys of the documents and leaves that they find are not known beforehand.
FIND: Final = script("find", "view", "leaves", locks_its_keys=False, reads=True)
COUNT: Final = script("count", "view", "leaves", locks_its_keys=False, reads=True)

LISTING_PAGE: Final = 250
"""Most documents in a page of a listing, so that what a script holds at once stays small."""

MOST_ENDED: Final = 1_000
"""Most ended documents that are listed at once."""


class Finder:
    """Finds documents of the builds that serve.

    Args:
        transport: Carries the scripts.
        records: The views' records.
        names: The directories of the sets of names.
    """

    def __init__(self, transport: Transport, records: Records, names: Names) -> None:
        self._transport = transport
        self._records = records
        self._names = names

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `RedisViews.items`."""
        low = f"({after}" if after else "-"
        return await self._page(projection, "", low, "+", limit, max_bytes, now_us, reverse=False)

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool,
    ) -> Listed:
        """See `RedisViews.find`."""
        low, high = _bounds(span)
        if after is not None:
            place = f"({after[0]}{SEPARATOR}{after[1]}"
            if reverse:
                high = min(high, place)
            elif place[1:] >= low[1:]:
                low = place
        return await self._page(projection, span.index, low, high, limit, max_bytes, now_us, reverse=reverse)

    async def _page(
        self,
        projection: ProjectionId,
        index: str,
        low: str,
        high: str,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool,
    ) -> Listed:
        of = self._records.keys
        set_ = index_set(index) if index else KEYS
        generation = self._records.seen(projection).builds.serving.generation
        directory = self._names.known(projection, generation)
        leaf = directory.leaf_at(set_, high if reverse else low)
        arguments = [*_place(self._records, projection), set_, index, generation, directory.version, leaf]
        arguments += [low, high, int(reverse), min(limit, LISTING_PAGE), max_bytes, now_us]
        answer, receipt = await run(self._transport, FIND, [of.head, of.view(projection)], arguments)
        self._check(projection, answer)
        head, record, told, names, documents, more, last = answer[2:]
        view = self._records.read(projection, record)
        serving = view.builds.serving
        if told is not None:
            self._names.learn(projection, serving.generation, view.version, cast("str", told))
        found = [
            (_place_of(name, index)[1], content_of(document))
            for name, document in zip(cast("Sequence[str]", names), cast("Sequence[str]", documents), strict=True)
        ]
        where = _place_of(cast("str", last), index) if last else None
        return Listed(found, more == "1", serving, self._records.head(head), where, receipt)

    async def count(self, projection: ProjectionId, span: Span | None, now_us: int) -> Counted:
        """How many documents there are, or stand in a span, by the script."""
        counted, _ = await self._count(projection, span, "", now_us)
        return msgspec.structs.replace(counted, count=counted.total)

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `RedisViews.rank`."""
        return (await self._count(projection, span, key, now_us))[0]

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """See `RedisViews.ended`."""
        counted, answer = await self._count(projection, None, "", now_us, min(limit, MOST_ENDED))
        keys, headers = cast("tuple[Sequence[str], Sequence[str]]", answer[6:])
        found = {key: read_entries(header)[0] for key, header in zip(keys, headers, strict=True)}
        return Ended(found, counted.progress, counted.receipt)

    async def _count(
        self, projection: ProjectionId, span: Span | None, key: str, now_us: int, ended: int | None = None
    ) -> tuple[Counted, Sequence[object]]:
        of = self._records.keys
        low, high = ("-", "+") if span is None else _bounds(span)
        generation = self._records.seen(projection).builds.serving.generation
        arguments: list[str | int] = [*_place(self._records, projection), "" if span is None else span.index]
        arguments += [generation, low, high, key, now_us, ended_by(now_us), "" if ended is None else ended]
        answer, receipt = await run(self._transport, COUNT, [of.head, of.view(projection)], arguments)
        self._check(projection, answer)
        head, record, total, before = answer[2:6]
        serving = self._records.read(projection, record).builds.serving
        count = None if before is None else int(cast("str", before))
        return Counted(count, int(cast("str", total)), serving, self._records.head(head), receipt), answer

    def _check(self, projection: ProjectionId, answer: Sequence[object]) -> None:
        """Raise `Refused` where what has to be there is not, or is something else."""
        if answer[0] in ("lost", "strange"):
            serving = self._records.read(projection, answer[2]).builds.serving
            raise self._names.lost(projection, serving.generation)


def _bounds(span: Span) -> tuple[str, str]:
    end = BEHIND if span.before is None else f"{SEPARATOR}{span.before}"
    return f"[{span.low}", f"({span.high}{end}"


def _place(records: Records, projection: ProjectionId) -> list[str | int]:
    """What a script makes the names of keys of."""
    return [records.keys.prefix, f"{projection.name}@{projection.version}"]


def _place_of(name: str, index: str) -> tuple[str, str]:
    """Index value and key, of a name."""
    if not index:
        return "", name
    value, _, key = name.partition(SEPARATOR)
    return value, key
