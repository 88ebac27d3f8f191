"""A view over HTTP, read-only, on plain values: documents, listings, and what changes; no framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Literal, NamedTuple, TypeVar

from .._io.blocking import PORT, iterate, run
from ..blocking import App
from ..blocking.views import ProjectionStore
from ..domain.projections import Projection
from .conditional import PRIVATE
from .defaults import MAX_DURATION, RETRY, TIMEOUT
from .endpoint import Request, Response
from .feed import FEED_HEADERS
from .viewing import Viewing

D = TypeVar("D")


class Streaming(NamedTuple):
    """An answer that goes on: its parts are sent as they come.

    Attributes:
        status: 200.
        headers: Names in lower case.
        parts: What is sent; an iterator in blocking code, an asynchronous one on an event loop.
    """

    status: int
    headers: Mapping[str, str]
    parts: Iterator[bytes]


class ViewEndpoint(Generic[D]):
    """A view over HTTP, read-only, on plain values, for blocking frameworks.

    It answers everybody who asks: who may read is for the app to decide, before it hands a request over.

    Args:
        app: An app, or a projection store built by hand.
        projection: Which view.
        consistency: As for `ProjectionStore.view`; with "strong" each answer, and each look of a feed, folds first.
        timeout: Seconds that bringing the view up to `at_least` may take.
        interval: Seconds between two looks of a feed when nothing wakes it; without it 1, and 5 where looks are billed.
        max_duration: Seconds after which a feed ends. The reader comes back, and goes on where it was.
        retry: Milliseconds after which a reader comes back.
        cache_control: Who may keep an answer, and for how long: the Cache-Control of each 200 and 304, as in
            "public, max-age=60, stale-while-revalidate=600". Errors and the feed are never kept.

    Raises:
        Misuse: The projection is of another registry, or an argument cannot be one.
    """

    def __init__(
        self,
        app: App | ProjectionStore,
        projection: Projection[D],
        *,
        consistency: Literal["eventual", "strong"] = "eventual",
        timeout: float = TIMEOUT,
        interval: float | None = None,
        max_duration: float = MAX_DURATION,
        retry: int = RETRY,
        cache_control: str = PRIVATE,
    ) -> None:
        store = app.projection_store if isinstance(app, App) else app
        self.flow: Viewing[D] = Viewing(
            store.flow,
            store.flow.feeding,
            PORT,
            projection,
            store.backend,
            app.notifier.transport if isinstance(app, App) else None,
            consistency=consistency,
            timeout=timeout,
            pace=(interval, max_duration, retry),
            cache_control=cache_control,
        )

    def handle(self, request: Request, key: str = "") -> Response:
        """Answer a document, or with an empty key a page of them.

        Args:
            request: GET or HEAD. Of its URL only the query is looked at: `at_least`; and for a page `after`, `limit`,
                or a part of an `index` with `low` and `high`, or `equal`, and `reverse=yes`. A value that reads as a
                number is one; in quotes it is a string.
            key: The document's key, decoded.

        Returns:
            200 with an ETag; 304 when the caller has that state of the view; 400, 404, 405; 409 for `at_least` beyond
            the log; 503 for what may be there soon; 500. It never raises.

        Cost: one step, and another one when the caller's ETag is old.
        """
        return run(self.flow.handle(request, key))

    def feed(self, request: Request, *, once: bool = False) -> Response | Streaming:
        """Open the change feed, as server-sent events. The projection is registered with `changes=True`.

        Args:
            request: GET; `Last-Event-ID` says where the reader was. With `history=no` in its query the reader is not
                told the documents that there are when it begins, or has to begin anew, and reads them itself.
            once: Whether the feed ends as soon as the reader knows everything, where answers cannot go on.

        Returns:
            The feed; or why there is none: 400, 406 for a view without feed, 503, 500. It never raises.

        Cost: one step for each look, and one for up to 100 documents that have changed, or are history.
        """
        opened = run(self.flow.open(request, once=once))
        return opened if isinstance(opened, Response) else Streaming(200, FEED_HEADERS, iterate(opened.parts))

    def wants_feed(self, request: Request, key: str = "") -> bool:
        """Whether a request asks for the feed: by `Accept: text/event-stream`, as browsers do, and no key."""
        return self.flow.wants_feed(request, key)

    def wake(self) -> None:
        """Have the feeds look now: the view was folded in this process.

        Where notifications stay in the process, they notice the appends of the app by themselves.
        """
        self.flow.wake()

    def close(self) -> None:
        """Let the readers of the feeds go: the server ends, or begins anew."""
        self.flow.close()
