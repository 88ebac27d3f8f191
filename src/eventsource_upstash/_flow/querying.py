"""View -> query: reading documents by key, in order of their keys, or by an index."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

import msgspec

from ..domain.indexes import NUMBERS, STRINGS, encode_value
from ..domain.names import check_key
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import Misuse, UndecodableDocument, ViewNotBuilt
from ..ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Counted, Got, Listed, Log, Progress, Role, Span, Views
from .freshness import Answer, Fresh, Freshness

if TYPE_CHECKING:
    from .feeding import Feeding
    from .statuses import ProjectionStatus

D = TypeVar("D")
A = TypeVar("A", bound=Answer)

_SEPARATOR: Final = "\x1f"


class Page(msgspec.Struct, Generic[D], frozen=True):
    """A part of a listing.

    Attributes:
        items: Key and document of each.
        cursor: What to hand over as `after` for the next part; None where this was the last one.
    """

    items: tuple[tuple[str, D], ...]
    cursor: str | None


class Querying:
    """Reads documents of views.

    Args:
        views: The views.
        registry: The projections.
        freshness: Brings a view up where a read asks for it.
        clock: Nanoseconds since 1970 (UTC), by which documents end.
        log: The log that the views are folded from, with its personal data in clear.
    """

    def __init__(
        self, views: Views, registry: Registry, freshness: Freshness, clock: Callable[[], int], log: Log
    ) -> None:
        self.log: Log = log
        self._views = views
        self._registry = registry
        self._freshness = freshness
        self._clock = clock

    def check(self, projection: Projection[D], consistency: str) -> None:
        """Refuse a projection of another registry, and a consistency that there is not. Raises `Misuse`."""
        if not isinstance(cast("object", projection), Projection):
            raise Misuse(f"view() is given a projection, as registry.projection(...) answers it, not {projection!r}")
        if not any(projection is known for known in self._registry.subscriptions):
            raise Misuse(f"projection {projection.name!r} belongs to another registry than this store")
        if consistency not in ("eventual", "strong"):
            raise Misuse(f"consistency={consistency!r}: it is 'eventual' or 'strong'")

    @property
    def feeding(self) -> Feeding:
        """What reads change feeds."""
        from .feeding import Feeding  # for those who read any

        return Feeding(self._views, self._freshness)

    @property
    def _now_us(self) -> int:
        return self._clock() // 1000

    async def _read(
        self,
        projection: Projection[D],
        fresh: Fresh,
        ask: Callable[[ProjectionId, bool], Awaitable[A]],
        keys: Sequence[str] = (),
    ) -> A:
        return await self._freshness.read(cast("Projection[object]", projection), fresh, ask, keys)

    async def get_many(self, projection: Projection[D], keys: Sequence[str], fresh: Fresh) -> dict[str, D]:
        """See `View.get_many`."""
        if isinstance(keys, str):
            raise Misuse(f"get_many({keys!r}): keys are several strings, as in get_many([{keys!r}])")
        got = await self.got(projection, keys, fresh)
        return dict(self.decode(projection, got, got.documents.items()))

    async def got(self, projection: Projection[D], keys: Sequence[str], fresh: Fresh, *, latest: bool = False) -> Got:
        """Documents as they are stored, and how far the build is that they are from.

        With `latest` they are as of what was committed before, never from a copy that lags behind.
        """
        for key in keys:
            check_key(key)

        async def ask(source: ProjectionId, primary: bool) -> Got:
            return await self._views.get_many(source, keys, self._now_us, primary=primary or latest)

        return await self._read(projection, fresh, ask, keys)

    async def get(self, projection: Projection[D], key: str, fresh: Fresh) -> D | None:
        """See `View.get`."""
        found = await self.get_many(projection, (key,), fresh)
        return found.get(key)

    async def items(
        self, projection: Projection[D], after: str | None, limit: int | None, fresh: Fresh
    ) -> AsyncGenerator[Sequence[tuple[str, D]], None]:
        """Pages of documents. See `View.items`."""
        if after is not None:
            check_key(after)
        _check_limit(limit)
        source: ProjectionId | None = None
        while limit is None or limit > 0:
            size = MAX_PAGE_EVENTS if limit is None else min(limit, MAX_PAGE_EVENTS)
            listed = await self.listed(projection, fresh, source, after, size)
            source = listed.progress.projection  # the others are of the same version, however far a new one is by then
            if listed.documents:
                yield self.decode(projection, listed, listed.documents)
            if not listed.more or listed.last is None:
                return
            after = listed.last[1]
            limit = None if limit is None else limit - len(listed.documents)

    async def listed(
        self, projection: Projection[D], fresh: Fresh, source: ProjectionId | None, after: str | None, size: int
    ) -> Listed:
        """One page of documents, as they are stored: of the version that answers reads, or of the one that is said."""

        async def ask(source: ProjectionId, _primary: bool) -> Listed:
            return await self._views.items(source, after, size, MAX_PAGE_BYTES, self._now_us)

        return await (self._read(projection, fresh, ask) if source is None else ask(source, False))

    async def count(self, projection: Projection[D], fresh: Fresh) -> int:
        """See `View.count`."""

        async def ask(source: ProjectionId, primary: bool) -> Counted:
            return await self._views.count(source, None, self._now_us, primary=primary)

        return (await self._read(projection, fresh, ask)).count or 0

    async def version(self, projection: Projection[D], fresh: Fresh) -> str:
        """See `View.version`."""

        async def ask(source: ProjectionId, primary: bool) -> Got | Counted:
            if projection.ends:  # the view changes with the time, too: at one state of it, the fewer the later
                return await self._views.count(source, None, self._now_us, primary=primary)
            return await self._views.get_many(source, (), self._now_us, primary=primary)

        answer: Got | Counted = await self._read(projection, fresh, ask)
        count = f".{answer.count}" if isinstance(answer, Counted) else ""
        return state_of(answer.progress) + count

    async def top(self, projection: Projection[D], index: str, n: int, fresh: Fresh) -> list[tuple[str, D]]:
        """See `Index.top`."""
        if type(n) is not int or n < 0:
            raise Misuse(f"top({n!r}): it is a whole number from 0")
        found: list[tuple[str, D]] = []
        async for page in self.range(projection, Span(index, *NUMBERS), n, None, fresh, reverse=True):
            found += page.items
        return found

    async def range(
        self,
        projection: Projection[D],
        span: Span,
        limit: int | None,
        after: str | None,
        fresh: Fresh,
        *,
        reverse: bool,
    ) -> AsyncGenerator[Page[D], None]:
        """Pages of a span of an index. See `Index.range`."""
        _check_limit(limit)
        place = None if after is None else place_of(after, span.index)
        source: ProjectionId | None = None
        while limit is None or limit > 0:
            size = MAX_PAGE_EVENTS if limit is None else min(limit, MAX_PAGE_EVENTS)
            listed = await self.found(projection, fresh, source, span, place, size, reverse=reverse)
            source = listed.progress.projection
            place = listed.last
            more = listed.more and place is not None
            items = tuple(self.decode(projection, listed, listed.documents))
            yield Page(items, cursor_of(span.index, place) if more and place is not None else None)
            if not more:
                return
            limit = None if limit is None else limit - len(listed.documents)

    async def each(
        self,
        projection: Projection[D],
        span: Span,
        limit: int | None,
        fresh: Fresh,
        *,
        reverse: bool,
    ) -> AsyncGenerator[Sequence[tuple[str, D]], None]:
        """The documents of a span, in pages. See `Index.range`."""
        async for page in self.range(projection, span, limit, None, fresh, reverse=reverse):
            yield page.items

    async def found(
        self,
        projection: Projection[D],
        fresh: Fresh,
        source: ProjectionId | None,
        span: Span,
        place: tuple[str, str] | None,
        size: int,
        *,
        reverse: bool,
    ) -> Listed:
        """One page of a span of an index, as `listed`."""

        async def ask(source: ProjectionId, _primary: bool) -> Listed:
            return await self._views.find(source, span, place, size, MAX_PAGE_BYTES, self._now_us, reverse=reverse)

        listed = await (self._read(projection, fresh, ask) if source is None else ask(source, False))
        self._check_built(projection, span, listed.progress, listed.head)
        return listed

    async def page(
        self, projection: Projection[D], span: Span, limit: int, after: str | None, fresh: Fresh, *, reverse: bool
    ) -> Page[D]:
        """See `Index.page`."""
        if type(limit) is not int or limit < 1:
            raise Misuse(f"limit={limit!r}: a page holds at least one document, and at most so many")
        items: list[tuple[str, D]] = []
        cursor: str | None = None
        async for page in self.range(projection, span, limit, after, fresh, reverse=reverse):
            items += page.items
            cursor = page.cursor
        return Page(tuple(items), cursor)

    async def rank(self, projection: Projection[D], span: Span, key: str, fresh: Fresh, *, lowest: bool) -> int | None:
        """See `Index.rank`."""
        check_key(key)

        async def ask(source: ProjectionId, _primary: bool) -> Counted:
            return await self._views.rank(source, span, key, self._now_us)

        counted = await self._read(projection, fresh, ask)
        self._check_built(projection, span, counted.progress, counted.head)
        if counted.count is None:
            return None
        return counted.count + 1 if lowest else counted.total - counted.count

    async def count_span(self, projection: Projection[D], span: Span, fresh: Fresh) -> int:
        """See `Index.count`."""

        async def ask(source: ProjectionId, primary: bool) -> Counted:
            return await self._views.count(source, span, self._now_us, primary=primary)

        counted = await self._read(projection, fresh, ask)
        self._check_built(projection, span, counted.progress, counted.head)
        return counted.count or 0

    def _check_built(self, projection: Projection[D], span: Span, progress: Progress, head: int | None) -> None:
        """Refuse an answer from an index that the view was built without: it would hold nothing."""
        untouched = not progress.checkpoint and progress.projection == projection.id
        if untouched or span.index in progress.notes.shape.split(" "):
            return
        raise ViewNotBuilt(
            projection=projection.name,
            version=projection.version,
            reached=progress.checkpoint,
            head=head if head is not None else progress.checkpoint,
            why=f"what answers meanwhile was built without index {span.index!r}",
            remedy=(
                f"Raise its version above {projection.version}, or call rebuild: then it is found by it once that has "
                "caught up"
                if progress.projection == projection.id
                else None
            ),
        )

    async def status(self) -> tuple[ProjectionStatus, ...]:
        """See `ProjectionStore.status`."""
        projections = self._registry.projections
        if not projections:
            return ()
        builds, head, _ = await self._views.progress([projection.id for projection in projections])
        by_projection: dict[ProjectionId, list[Progress]] = {}
        for each in builds:
            if each.role is not Role.DROPPED:
                by_projection.setdefault(each.projection, []).append(each)
        from .statuses import status_of  # for those who ask

        return tuple(status_of(each, head) for each in by_projection.values())

    def decode(
        self, projection: Projection[D], answer: Answer, documents: Iterable[tuple[str, bytes]]
    ) -> list[tuple[str, D]]:
        """Documents out of an answer. Raises `UndecodableDocument`, and `ViewNotBuilt` of another version's."""
        try:
            return projection.documents(documents)
        except UndecodableDocument as error:
            source = answer.progress.projection
            if source == projection.id:
                raise
            raise ViewNotBuilt(
                projection=projection.name,
                version=projection.version,
                reached=0,
                head=answer.head if answer.head is not None else answer.progress.checkpoint,
                why=f"the documents of version {source.version}, which answers meanwhile, do not fit its class",
            ) from error


def span_of(projection: Projection[D], index: str, low: object, high: object, *, numbers: bool = False) -> Span:
    """The span of an index from a value to a value, both inclusive; None is an open end. Raises `Misuse`.

    With both ends open it holds all there is, or all `numbers`.
    """
    if index not in projection.indexes:
        have = ", ".join(projection.indexes) or "none"
        raise Misuse(f"projection {projection.name!r} has no index {index!r} (it has: {have})")
    where = f"projection {projection.name!r}, index {index!r}"
    ends = [None if end is None else encode_value(end, where) for end in (low, high)]
    kinds = {end[0] for end in ends if end is not None} or ({"n"} if numbers else set[str]())
    if len(kinds) > 1:
        raise Misuse(f"{where}: a range from a number to a string, or from a string to a number, holds nothing")
    first, last = NUMBERS if kinds == {"n"} else STRINGS if kinds else (NUMBERS[0], STRINGS[1])
    return Span(index, first if ends[0] is None else ends[0], last if ends[1] is None else ends[1])


def state_of(progress: Progress) -> str:
    """What names a state of a view: the build, and the commit that it is as of."""
    return f"{progress.projection.version}.{progress.generation}.{int(progress.checkpoint)}.{progress.edition}"


def check_value(projection: Projection[D], index: str, value: object) -> None:
    """Refuse None where a value is looked for: as an end it is open, and would answer everything. Raises `Misuse`."""
    if value is None:
        raise Misuse(
            f"projection {projection.name!r}, index {index!r}: equal(None): documents without a value are not in the "
            "index; it finds a number or a string"
        )


def _check_limit(limit: int | None) -> None:
    if limit is not None and (type(limit) is not int or limit < 0):
        raise Misuse(f"limit={limit!r}: it is a whole number from 0, or None")


def cursor_of(index: str, place: tuple[str, str]) -> str:
    """A place in an index, for a client to keep."""
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(_SEPARATOR.join((index, *place)).encode()).decode().rstrip("=")


def place_of(cursor: str, index: str) -> tuple[str, str]:
    """The place in an index that a cursor names. Raises `Misuse` if it names none, or one in another index."""
    from base64 import urlsafe_b64decode

    try:
        # More signs at the end than it was filled up with are passed over.
        found = urlsafe_b64decode(cursor + "==").decode().split(_SEPARATOR)
    except (ValueError, TypeError, AttributeError):
        found = []
    if len(found) != 3 or found[0] != index or found[1][:1] not in ("n", "s"):
        raise Misuse(
            f"index {index!r}: after= is no cursor of it; hand over the one that a page of this index answered"
        )
    check_key(found[2])
    return found[1], found[2]
