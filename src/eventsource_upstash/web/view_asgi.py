"""A view as an ASGI application: documents, listings, and the change feed as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Generic, Literal, NamedTuple, TypeVar

from .._io.event_loop import PORT, iterate
from ..aio import AsyncApp
from ..aio.views import AsyncProjectionStore
from ..domain.projections import Projection
from .asgi import Message, Receive, Send, lifespan, request_of, send_start
from .conditional import PRIVATE
from .defaults import MAX_DURATION, RETRY, TIMEOUT
from .endpoint import Request, Response, with_length
from .feed import FEED_HEADERS
from .paths import NOT_FOUND, key_of
from .viewing import Viewing

D = TypeVar("D")


class AsyncStreaming(NamedTuple):
    """An answer that goes on: its parts are sent as they come.

    Attributes:
        status: 200.
        headers: Names in lower case.
        parts: What is sent; an iterator in blocking code, an asynchronous one on an event loop.
    """

    status: int
    headers: Mapping[str, str]
    parts: AsyncIterator[bytes]


class AsyncViewEndpoint(Generic[D]):
    """A view over HTTP, read-only, on plain values, for event-loop frameworks.

    Takes and raises what `ViewEndpoint` does.
    """

    def __init__(
        self,
        app: AsyncApp | AsyncProjectionStore,
        projection: Projection[D],
        *,
        consistency: Literal["eventual", "strong"] = "eventual",
        timeout: float = TIMEOUT,
        interval: float | None = None,
        max_duration: float = MAX_DURATION,
        retry: int = RETRY,
        cache_control: str = PRIVATE,
    ) -> None:
        store = app.projection_store if isinstance(app, AsyncApp) else app
        self.flow: Viewing[D] = Viewing(
            store.flow,
            store.flow.feeding,
            PORT,
            projection,
            store.backend,
            app.notifier.transport if isinstance(app, AsyncApp) else None,
            consistency=consistency,
            timeout=timeout,
            pace=(interval, max_duration, retry),
            cache_control=cache_control,
        )

    async def handle(self, request: Request, key: str = "") -> Response:
        """Answer a document, or with an empty key a page of them, as `ViewEndpoint.handle`."""
        return await self.flow.handle(request, key)

    async def feed(self, request: Request, *, once: bool = False) -> Response | AsyncStreaming:
        """Open the change feed, as `ViewEndpoint.feed`."""
        opened = await self.flow.open(request, once=once)
        return opened if isinstance(opened, Response) else AsyncStreaming(200, FEED_HEADERS, iterate(opened.parts))

    def wants_feed(self, request: Request, key: str = "") -> bool:
        """Whether a request asks for the feed, as `ViewEndpoint.wants_feed`."""
        return self.flow.wants_feed(request, key)

    def wake(self) -> None:
        """Have the feeds look now, as `ViewEndpoint.wake`. From any thread."""
        self.flow.wake()

    def close(self) -> None:
        """Let the readers of the feeds go: the server ends, or begins anew."""
        self.flow.close()


def asgi_view(
    app: AsyncApp | AsyncProjectionStore,
    projection: Projection[D],
    *,
    path: str = "",
    consistency: Literal["eventual", "strong"] = "eventual",
    timeout: float = TIMEOUT,
    interval: float | None = None,
    max_duration: float = MAX_DURATION,
    retry: int = RETRY,
    cache_control: str = PRIVATE,
) -> AsgiView[D]:
    """A view as an ASGI application, to be mounted: `GET /` a listing or the feed, `GET /KEY` a document.

    It answers everybody who asks: who may read is for the app to decide, in front of it.

    Args:
        app: An app, or a projection store built by hand.
        projection: Which view.
        path: What the paths begin with where it is routed to, and not mounted: "/players".
        consistency: As for `ViewEndpoint`; so are the others.
        timeout: Seconds that bringing the view up to `at_least` may take.
        interval: Seconds between two looks of a feed.
        max_duration: Seconds after which a feed ends.
        retry: Milliseconds after which a reader comes back.
        cache_control: Who may keep an answer, and for how long: the Cache-Control of each 200 and 304, as in
            "public, max-age=60, stale-while-revalidate=600". Errors and the feed are never kept.

    Raises:
        Misuse: The projection is of another registry, or an argument cannot be one.
    """
    endpoint = AsyncViewEndpoint(
        app,
        projection,
        consistency=consistency,
        timeout=timeout,
        interval=interval,
        max_duration=max_duration,
        retry=retry,
        cache_control=cache_control,
    )
    return AsgiView(endpoint, path)


class AsgiView(Generic[D]):
    """A view as an ASGI application. Made by `asgi_view`.

    Attributes:
        endpoint: What answers: call its `wake` when the view was folded, and its `close` when the server ends.
    """

    def __init__(self, endpoint: AsyncViewEndpoint[D], path: str = "") -> None:
        self.endpoint = endpoint
        self._path = path

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = request_of(scope)
        key = key_of(scope["path"], scope.get("root_path", ""), self._path)
        if key is None:
            answer: Response | AsyncStreaming = NOT_FOUND
        elif self.endpoint.wants_feed(request, key):
            answer = await self.endpoint.feed(request)
        else:
            answer = await self.endpoint.handle(request, key)
        if isinstance(answer, Response):
            await send_start(send, answer.status, with_length(answer))
            await send({"type": "http.response.body", "body": answer.body})
            return
        await send_start(send, answer.status, answer.headers)
        await _send_parts(answer.parts, receive, send)


async def _send_parts(parts: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send what comes, no faster than it is taken, until it ends or the reader has gone."""

    async def sending() -> None:
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def leaving() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(sending()), asyncio.ensure_future(leaving())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if tasks[0] in done:
        tasks[0].result()
