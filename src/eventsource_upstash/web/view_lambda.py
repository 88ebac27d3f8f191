"""A view as an AWS Lambda handler: documents and listings; of the feed, what is new, and then it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar
from urllib.parse import unquote

from ..blocking import App
from ..blocking.views import ProjectionStore
from ..domain.projections import Projection
from .aws_lambda import Event, mapping, request_of, response_of, wants_multi_value_headers
from .conditional import PRIVATE
from .defaults import LAMBDA_MAX_DURATION, RETRY, TIMEOUT
from .endpoint import Response
from .paths import NOT_FOUND, key_of
from .view_endpoint import ViewEndpoint

D = TypeVar("D")


def lambda_view(
    app: App | ProjectionStore,
    projection: Projection[D],
    *,
    path: str = "",
    consistency: Literal["eventual", "strong"] = "eventual",
    timeout: float = TIMEOUT,
    max_duration: float = LAMBDA_MAX_DURATION,
    retry: int = RETRY,
    cache_control: str = PRIVATE,
) -> Callable[[Event, object], dict[str, object]]:
    """A view as a Lambda handler: `GET PATH/` a listing, `GET PATH/KEY` a document.

    Lambda hands an answer on when it is complete. So a reader of the feed is told what there is to tell, and the feed
    ends; a browser comes back by itself after `retry`, and is told what is new since. It answers everybody who asks:
    who may read is for the app to decide, in front of it.

    Args:
        app: An app, or a projection store built by hand.
        projection: Which view.
        path: What the paths begin with: "/players".
        consistency: As for `ViewEndpoint`. Where nobody folds, "strong" does.
        timeout: Seconds that bringing the view up to `at_least` may take.
        max_duration: Seconds after which an answer of the feed is complete; the rest is told in the next one. All of it
            has to fit into what Lambda answers at once (6 MB).
        retry: Milliseconds after which a reader of the feed comes back: each time is a call of the function.
        cache_control: Who may keep an answer, and for how long: the Cache-Control of each 200 and 304, as in
            "public, max-age=60, stale-while-revalidate=600". Errors and the feed are never kept.

    Raises:
        Misuse: The projection is of another registry, or an argument cannot be one. The handler itself raises it for an
            event that is no HTTP request.
    """
    endpoint = ViewEndpoint(
        app,
        projection,
        consistency=consistency,
        timeout=timeout,
        max_duration=max_duration,
        retry=retry,
        cache_control=cache_control,
    )

    def handler(event: Event, context: object) -> dict[str, object]:  # noqa: ARG001  # Lambda hands it over
        request = request_of({**event, "body": None, "isBase64Encoded": False})
        key = key_of(path_of(event), "", path)
        if key is None:
            answer = NOT_FOUND
        elif endpoint.wants_feed(request, key):
            feed = endpoint.feed(request, once=True)
            answer = feed if isinstance(feed, Response) else Response(200, feed.headers, b"".join(feed.parts))
        else:
            answer = endpoint.handle(request, key)
        return response_of(answer, multi_value=wants_multi_value_headers(event))

    return handler


def path_of(event: Event) -> str:
    """The decoded path, without the stage: payload 1.0 has it so, 2.0 neither, and a load balancer encoded."""
    context = mapping(event.get("requestContext"))
    raw = event.get("rawPath")
    if raw is None:
        path = str(event.get("path") or "/")
        return unquote(path) if "elb" in context else path
    path, stage = unquote(str(raw)), f"/{context.get('stage')}"
    return path[len(stage) :] or "/" if path == stage or path.startswith(f"{stage}/") else path
