"""The blocking face of views: reading documents, and what is found by an index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from .._flow.catching_up import CatchingUp
from .._flow.freshness import Fresh, Freshness
from .._flow.querying import Page, Querying, check_value, span_of
from .._flow.wiring import (
    check_parts,
    check_views_of,
    opened_views,
    parted_views,
    partitions_of,
    sealed_log,
    sealing,
)
from .._io.blocking import PORT, iterate, run
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..ports import MAX_PAGE_EVENTS, Backend, Log, Views

if TYPE_CHECKING:
    from .._flow.feeding import Changes
    from .._flow.partitions import Partitions
    from .._flow.statuses import ProjectionStatus
    from ..ports import KeyStore

D = TypeVar("D")


class Index(Generic[D]):
    """The documents of a view by a value of theirs. Made by `View.index`.

    Numbers stand in their order, equal ones in the order of their documents' keys. Each answer is of one moment.
    """

    def __init__(self, flow: Querying, projection: Projection[D], name: str, *, strong: bool) -> None:
        self.flow = flow
        self.projection = projection
        self.name = name
        self._strong = strong
        span_of(projection, name, None, None)

    def __repr__(self) -> str:
        return f"Index({self.projection!r}, {self.name!r})"

    def top(self, n: int, *, at_least: int | None = None, timeout: float = 5.0) -> list[tuple[str, D]]:
        """Keys and documents with the highest numbers, the highest first.

        Args:
            n: How many, at most.
            at_least: As for `View.get`.
            timeout: As for `View.get`.

        Cost: one step for up to 1,000 (250 on Upstash Redis).
        """
        return run(self.flow.top(self.projection, self.name, n, Fresh(at_least, timeout, self._strong)))

    def range(
        self,
        low: float | str | None = None,
        high: float | str | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> Iterator[tuple[str, D]]:
        """Keys and documents from one value to another, lazily, in pages.

        Args:
            low: Lowest value, inclusive; None for no lower end.
            high: Highest value, inclusive; None for no upper end.
            limit: Most documents to answer.
            reverse: Whether the highest come first.
            at_least: As for `View.get`.
            timeout: As for `View.get`.

        Raises:
            Misuse: A value that no index can hold; one end a number, the other a string.

        Cost: one step per page of up to 1,000 documents (250 on Upstash Redis).
        """
        span = span_of(self.projection, self.name, low, high)
        fresh = Fresh(at_least, timeout, self._strong)
        return iterate(self.flow.each(self.projection, span, limit, fresh, reverse=reverse))

    def page(
        self,
        low: float | str | None = None,
        high: float | str | None = None,
        *,
        limit: int = 50,
        after: str | None = None,
        reverse: bool = False,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> Page[D]:
        """A part of a range, and a cursor for the next one.

        The cursor names a place in the order, not a number of documents to pass over: it stays right while documents
        change, come and go.

        Args:
            low: As for `range`.
            high: As for `range`.
            limit: Most documents in the part.
            after: The cursor of the part before, of a call with the same ends and direction.
            reverse: As for `range`.
            at_least: As for `View.get`.
            timeout: As for `View.get`.

        Raises:
            Misuse: As for `range`; what is handed over as a cursor is none.

        Cost: one step for up to 1,000 documents (250 on Upstash Redis).
        """
        span = span_of(self.projection, self.name, low, high)
        fresh = Fresh(at_least, timeout, self._strong)
        return run(self.flow.page(self.projection, span, limit, after, fresh, reverse=reverse))

    def equal(
        self,
        value: float | str,
        *,
        limit: int | None = None,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> Iterator[tuple[str, D]]:
        """Keys and documents with that value, in order of key. Arguments, errors and cost as for `range`.

        Raises `Misuse` for None as well: documents without a value are not in the index.
        """
        check_value(self.projection, self.name, value)
        return self.range(value, value, limit=limit, at_least=at_least, timeout=timeout)

    def rank(self, key: str, *, lowest: bool = False, at_least: int | None = None, timeout: float = 5.0) -> int | None:
        """The place of a document in the order of numbers, from 1; None if it does not stand in it.

        Args:
            key: The document's key.
            lowest: Whether the lowest number is the first; else the highest is, as for `top`.
            at_least: As for `View.get`.
            timeout: As for `View.get`.

        Cost: one step.
        """
        span = span_of(self.projection, self.name, None, None, numbers=True)
        fresh = Fresh(at_least, timeout, self._strong)
        return run(self.flow.rank(self.projection, span, key, fresh, lowest=lowest))

    def count(
        self,
        low: float | str | None = None,
        high: float | str | None = None,
        *,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> int:
        """How many documents stand from one value to another, both inclusive. Arguments and errors as for `range`.

        Cost: one step.
        """
        span = span_of(self.projection, self.name, low, high)
        return run(self.flow.count_span(self.projection, span, Fresh(at_least, timeout, self._strong)))


class View(Generic[D]):
    """The stored documents of one projection. Made by `ProjectionStore.view`."""

    def __init__(self, flow: Querying, projection: Projection[D], *, strong: bool = False) -> None:
        self.flow = flow
        self.projection = projection
        self.strong = strong

    def __repr__(self) -> str:
        return f"View({self.projection!r})"

    def get(self, key: str, *, at_least: int | None = None, timeout: float = 5.0) -> D | None:
        """The document under a key, or None.

        Args:
            key: The document's key.
            at_least: A position, as `append` answers it, or a `Vector`, as `join` makes one of several: the view is
                brought up to it first.
            timeout: Seconds that bringing it up may take.

        Raises:
            StaleView: The view did not get there in time.
            ViewNotBuilt: This version of the view is still being built, and no older one can answer.
            LogRewound: The log has no such position (any more).
            ProjectionStopped: The view cannot get there, because a fold fails.

        Cost: one step; a catch-up and another one if the view is behind what is asked for.
        """
        reading = self.flow.get(self.projection, key, Fresh(at_least, timeout, self.strong))
        return run(reading)

    def get_many(self, keys: Sequence[str], *, at_least: int | None = None, timeout: float = 5.0) -> dict[str, D]:
        """The documents under those keys that exist, by key. Arguments, errors and cost as for `get`."""
        return run(self.flow.get_many(self.projection, keys, Fresh(at_least, timeout, self.strong)))

    def items(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        at_least: int | None = None,
        timeout: float = 5.0,
    ) -> Iterator[tuple[str, D]]:
        """Keys and documents in order of key, lazily, in pages.

        Args:
            after: Key to start after, exclusive; None starts at the first. The document need not be there any more.
            limit: Most documents to answer.
            at_least: As for `get`.
            timeout: As for `get`.

        Cost: one step per page of up to 1,000 documents (250 on Upstash Redis).
        """
        return iterate(self.flow.items(self.projection, after, limit, Fresh(at_least, timeout, self.strong)))

    def count(self, *, at_least: int | None = None, timeout: float = 5.0) -> int:
        """How many documents there are. Arguments, errors and cost as for `get`."""
        return run(self.flow.count(self.projection, Fresh(at_least, timeout, self.strong)))

    def index(self, name: str) -> Index[D]:
        """The documents by an index of the projection. Raises `Misuse` if it has none of that name."""
        return Index(self.flow, self.projection, name, strong=self.strong)

    def version(self, *, at_least: int | None = None, timeout: float = 5.0) -> str:
        """What names the present state of the view: the same as long as nothing in it has changed. An ETag.

        Arguments, errors and cost as for `get`.
        """
        return run(self.flow.version(self.projection, Fresh(at_least, timeout, self.strong)))

    def changes(self, *, after: str | None = None, limit: int = 16) -> Changes:
        """Which documents have changed since a reader looked last. Needs a projection with `changes=True`.

        First attach, without `after`: the answer is only a cursor. Then read the view, and then the changes after the
        cursor, again and again: nothing is missed, whatever changed meanwhile.

        Args:
            after: The cursor that the call before answered; None to attach.
            limit: Most commits to answer the changes of, up to 16.

        Raises:
            Misuse: The projection keeps no feed; the cursor is none.

        Cost: one step.
        """
        return run(self.flow.feeding.changes(self.projection, after, limit, Fresh(strong=self.strong)))


class ProjectionStore:
    """Reads the views of projections.

    Args:
        backend: Where the views are.
        registry: The projections.
        log_backend: Where the log is that they are folded from, if that is another backend.
        keys: Where the keys are that personal data is encrypted with.
        clock: Nanoseconds since 1970 (UTC), as `time.time_ns` tells them, by which documents end.

    Raises:
        Misuse: What is handed over is no backend, registry or key store; or there are event types with personal data,
            and no key store.
    """

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        *,
        log_backend: Backend | None = None,
        keys: KeyStore | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        check_parts(backend, registry)
        self.backend = backend
        self.registry = registry
        self.log_backend: Backend = log_backend or backend
        check_views_of(backend, self.log_backend)
        self.keys = keys
        log = self.log_backend.log(PORT)
        opening = sealing(keys, PORT, registry)
        self.log: Log = sealed_log(log, opening)
        whole = opened_views(backend.views(PORT, log), opening)
        self.partitions: Partitions | None = partitions_of(backend, log, whole, opening, registry, PORT)
        self.views: Views = parted_views(whole, self.partitions)
        catching_up = CatchingUp(self.views, registry, clock, MAX_PAGE_EVENTS, self.partitions)
        freshness = Freshness(self.views, registry, catching_up)
        self.flow: Querying = Querying(self.views, registry, freshness, clock, self.log)

    def __repr__(self) -> str:
        return f"ProjectionStore({self.backend!r})"

    def view(self, projection: Projection[D], *, consistency: Literal["eventual", "strong"] = "eventual") -> View[D]:
        """The view of a projection.

        Args:
            projection: Which.
            consistency: "eventual": reads answer what is folded. "strong": each read first folds what is in the log at
                that moment, so that an app can do without a worker.

        Raises:
            Misuse: The projection is of another registry.
        """
        self.flow.check(projection, consistency)
        return View(self.flow, projection, strong=consistency == "strong")

    def status(self) -> tuple[ProjectionStatus, ...]:
        """How every registered projection is: where its view stands, and what is built or kept beside it.

        Cost: one step.
        """
        return run(self.flow.status())
