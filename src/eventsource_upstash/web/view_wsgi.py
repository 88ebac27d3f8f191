"""A view as a WSGI application: documents, listings, and the change feed as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from ..blocking import App
from ..blocking.views import ProjectionStore
from ..domain.projections import Projection
from .conditional import PRIVATE
from .defaults import MAX_DURATION, RETRY, TIMEOUT
from .endpoint import Response
from .paths import NOT_FOUND, key_of
from .view_endpoint import ViewEndpoint
from .wsgi import request_of, respond, status_line

if TYPE_CHECKING:
    from .wsgi import Environment, StartResponse

D = TypeVar("D")


def wsgi_view(
    app: App | ProjectionStore,
    projection: Projection[D],
    *,
    path: str = "",
    consistency: Literal["eventual", "strong"] = "eventual",
    timeout: float = TIMEOUT,
    interval: float | None = None,
    max_duration: float = MAX_DURATION,
    retry: int = RETRY,
    cache_control: str = PRIVATE,
) -> WsgiView[D]:
    """A view as a WSGI application, to be mounted: `GET /` a listing or the feed, `GET /KEY` a document.

    It answers everybody who asks: who may read is for the app to decide, in front of it. Each reader of the feed holds
    one of the server's threads for as long as it listens.

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
    endpoint = ViewEndpoint(
        app,
        projection,
        consistency=consistency,
        timeout=timeout,
        interval=interval,
        max_duration=max_duration,
        retry=retry,
        cache_control=cache_control,
    )
    return WsgiView(endpoint, path)


class WsgiView(Generic[D]):
    """A view as a WSGI application. Made by `wsgi_view`.

    Attributes:
        endpoint: What answers: call its `wake` when the view was folded, and its `close` when the server ends.
    """

    def __init__(self, endpoint: ViewEndpoint[D], path: str = "") -> None:
        self.endpoint = endpoint
        self._path = path

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = request_of(environ)
        try:
            # WSGI hands paths over decoded, as Latin-1 text that stands for bytes.
            key = key_of(environ.get("PATH_INFO", "").encode("latin-1").decode(), "", self._path)
        except UnicodeError:
            key = None
        if key is None:
            return respond(NOT_FOUND, start_response)
        if not self.endpoint.wants_feed(request, key):
            return respond(self.endpoint.handle(request, key), start_response)
        answer = self.endpoint.feed(request)
        if isinstance(answer, Response):
            return respond(answer, start_response)
        start_response(status_line(answer.status), list(answer.headers.items()))
        return answer.parts
