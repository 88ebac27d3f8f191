"""View in parts -> query: what is asked of a view is asked of its parts, and answered as one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Final, TypeAlias

import msgspec

from ..domain.events import Receipt
from ..domain.progress import ProjectionId
from ..errors import Misuse, ViewNotBuilt
from ..ports import Counted, Got, Listed, Progress, Span, Views
from .partitions import Partitions, builds_in_one, each_part, in_one

SHARE: Final = 16
"""A page is asked for as so many documents of each part, besides twice its share: keys are spread, but not evenly."""

Place: TypeAlias = "tuple[str, str]"


class PartedViews:
    """Views of which some are kept in parts. Whatever is not of those is handed through.

    What is answered of several parts is not of one moment: each part is as of its own.

    Args:
        inner: The views.
        partitions: The log's partitions, and which views are kept in parts.
    """

    def __init__(self, inner: Views, partitions: Partitions) -> None:
        self._inner = inner
        self._partitions = partitions

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`. Cost: one step for all parts."""
        widths, receipt = await self._partitions.widths(projections)
        asked = [part for each in projections for part in (each_part(each, widths[each]) or [each])]
        found, head, cost = await self._inner.progress(asked)
        by_id: dict[ProjectionId, list[Progress]] = {}
        for build in found:
            by_id.setdefault(build.projection, []).append(build)
        answer: list[Progress] = []
        for each in projections:
            parts = dict(enumerate(each_part(each, widths[each])))
            builds = {number: by_id[part] for number, part in parts.items()}
            answer += builds_in_one(each, builds, widths[each]) if builds else by_id[each]
        return tuple(answer), head, receipt + cost

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """See `Views.get_many`. Cost: a step for each part that holds one of the keys; one for all without keys."""
        width, receipt = await self._partitions.width(projection)
        if not width:
            got = await self._inner.get_many(projection, keys, now_us, primary=primary)
            return got._replace(receipt=receipt + got.receipt)
        if not keys:
            builds, _, cost = await self.progress((projection,))
            return Got({}, builds[0], None, receipt + cost)
        documents: dict[str, bytes] = {}
        parts: dict[int, Progress] = {}
        asked = self._partitions.by_part(keys, width)
        found = await self._partitions.together(
            [
                partial(self._inner.get_many, projection.part(number), some, now_us, primary=primary)
                for number, some in asked.items()
            ]
        )
        for number, got in zip(asked, found, strict=True):
            documents.update(got.documents)
            parts[number] = got.progress
            receipt += got.receipt
        return Got(documents, in_one(projection, parts, width), None, receipt)

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `Views.items`. Cost: a step for each part."""

        async def ask(part: ProjectionId, limit: int, max_bytes: int) -> Listed:
            return await self._inner.items(part, after, limit, max_bytes, now_us)

        return await self._listed(projection, ask, lambda key, _: ("", key), limit, max_bytes, reverse=False)

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
        """See `Views.find`. Cost: a step for each part."""

        async def ask(part: ProjectionId, limit: int, max_bytes: int) -> Listed:
            return await self._inner.find(part, span, after, limit, max_bytes, now_us, reverse=reverse)

        def place(key: str, document: bytes) -> Place:
            value = self._value(projection, span.index, key, document)
            if value is None:
                raise Misuse(
                    f"projection {projection.known!r}, index {span.index!r}: document {key!r} stands in it, and its "
                    f"function answers None for it now; raise the version above {projection.version}, or call rebuild"
                )
            return value, key

        return await self._listed(projection, ask, place, limit, max_bytes, reverse=reverse)

    def _value(self, projection: ProjectionId, index: str, key: str, document: bytes) -> str | None:
        """What a document stands under in an index: asked of its class, since what is listed does not tell."""
        known = self._partitions.known(projection)
        if known is None:
            raise ViewNotBuilt(
                projection=projection.known,
                version=projection.version + 1,
                reached=0,
                head=0,
                why=f"version {projection.version}, which answers meanwhile, is in parts and not registered any more, "
                "so that its indexes cannot be read",
            )
        return dict(known.entries_of(known.decode_document(key, document)).values).get(index)

    async def _listed(
        self,
        projection: ProjectionId,
        ask: Callable[[ProjectionId, int, int], Coroutine[object, object, Listed]],
        place: Callable[[str, bytes], Place],
        limit: int,
        max_bytes: int,
        *,
        reverse: bool,
    ) -> Listed:
        """A page of all parts: as far as every one of them has been looked at, in order."""
        width, receipt = await self._partitions.width(projection)
        if not width:
            listed = await ask(projection, limit, max_bytes)
            return listed._replace(receipt=receipt + listed.receipt)
        share = min(limit, 2 * -(-limit // width) + SHARE)
        parts: dict[int, Progress] = {}
        found: list[tuple[Place, bytes]] = []
        lasts: list[Place] = []
        bounds: list[Place] = []
        room = max(1, 2 * max_bytes // width)
        pages = await self._partitions.together(
            [partial(ask, part, share, room) for part in each_part(projection, width)]
        )
        for number, page in enumerate(pages):
            receipt += page.receipt
            parts[number] = page.progress
            found += [(place(key, document), document) for key, document in page.documents]
            if page.last is not None:
                lasts.append(page.last)
                bounds += [page.last] if page.more else []
        # Beyond the place that a part's page ends at, that part may have more: what others have there waits.
        end = None if not bounds else max(bounds) if reverse else min(bounds)
        found.sort(reverse=reverse)
        taken: list[tuple[str, bytes]] = []
        size = 0
        last: Place | None = None
        for at, document in found:
            if end is not None and (at < end if reverse else at > end):
                break
            if len(taken) == limit or size >= max_bytes:
                return Listed(taken, True, in_one(projection, parts, width), None, last, receipt)
            taken.append((at[1], document))
            last = at
            size += len(document)
        last = end if end is not None else (min(lasts) if reverse else max(lasts)) if lasts else None
        return Listed(taken, end is not None, in_one(projection, parts, width), None, last, receipt)

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """See `Views.count`. Cost: a step for each part."""

        async def ask(part: ProjectionId) -> Counted:
            return await self._inner.count(part, span, now_us, primary=primary)

        return await self._counted(projection, ask)

    async def _counted(
        self, projection: ProjectionId, ask: Callable[[ProjectionId], Coroutine[object, object, Counted]]
    ) -> Counted:
        width, receipt = await self._partitions.width(projection)
        if not width:
            counted = await ask(projection)
            return msgspec.structs.replace(counted, receipt=receipt + counted.receipt)
        parts: dict[int, Progress] = {}
        count = total = 0
        every = await self._partitions.together([partial(ask, part) for part in each_part(projection, width)])
        for number, counted in enumerate(every):
            parts[number] = counted.progress
            count += counted.count or 0
            total += counted.total
            receipt += counted.receipt
        return Counted(count, total, in_one(projection, parts, width), None, receipt)

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `Views.rank`. Cost: two steps for each part."""
        width, receipt = await self._partitions.width(projection)
        if not width:
            counted = await self._inner.rank(projection, span, key, now_us)
            return msgspec.structs.replace(counted, receipt=receipt + counted.receipt)
        own = projection.part(self._partitions.partition_of(key, width))
        got = await self._inner.get_many(own, (key,), now_us, primary=True)
        total = await self.count(projection, span, now_us, primary=True)
        receipt += got.receipt + total.receipt
        document = got.documents.get(key)
        value = None if document is None else self._indexed(projection, span, key, document)
        if value is None:
            return msgspec.structs.replace(total, count=None, receipt=receipt)
        before = await self.count(projection, Span(span.index, span.low, value, before=key), now_us, primary=True)
        return msgspec.structs.replace(total, count=before.count, receipt=receipt + before.receipt)

    def _indexed(self, projection: ProjectionId, span: Span, key: str, document: bytes) -> str | None:
        """What a document stands under in an index, where that is within a span."""
        value = self._value(projection, span.index, key, document)
        return value if value is not None and span.low <= value <= span.high else None
