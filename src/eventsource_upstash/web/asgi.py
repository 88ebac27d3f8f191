"""The endpoint as an ASGI application: Starlette, FastAPI, Django, Litestar, Quart, or an ASGI server by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias, cast

from ..aio import AsyncApp
from ..aio.projector import AsyncProjector
from .endpoint import DEFAULT_TIME_BUDGET, MAX_BODY, Handling, Request, Response, Verifier, with_length

# ASGI's messages are dicts of anything; frameworks declare them so, and an application has to fit.
Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class AsyncEndpoint:
    """The endpoint that a notification calls, on plain values, for event-loop frameworks.

    Takes and raises what `Endpoint` does.
    """

    def __init__(
        self,
        app: AsyncApp | AsyncProjector,
        *,
        verifier: Verifier | None = None,
        public_url: str | None = None,
        time_budget: float = DEFAULT_TIME_BUDGET,
    ) -> None:
        projector = app.projector if isinstance(app, AsyncApp) else app
        store = projector.event_store
        self.flow: Handling = Handling(
            projector.flow,
            store.notifier.flow,
            verifier,
            public_url,
            time_budget,
            transport=store.notifier.transport,
            public=store.backend.public,
        )

    async def handle(self, request: Request) -> Response:
        """Fold what is new, because a notification came. Answers as `Endpoint.handle`."""
        return await self.flow.handle(request)


def asgi_app(
    app: AsyncApp | AsyncProjector,
    *,
    verifier: Verifier | None = None,
    public_url: str | None = None,
    time_budget: float = DEFAULT_TIME_BUDGET,
) -> AsgiApp:
    """The endpoint as an ASGI application, to be mounted where notifications arrive.

    Args:
        app: An app, or a projector built by hand.
        verifier: Tells whether a notification is genuine; the notifier's own without one. A backend that is reached
            over the open network needs one.
        public_url: The URL that notifications are addressed to, where a proxy makes the request's own look different.
        time_budget: Seconds that one delivery may fold. What is left then is notified anew.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one.
    """
    return AsgiApp(AsyncEndpoint(app, verifier=verifier, public_url=public_url, time_budget=time_budget))


class AsgiApp:
    """An endpoint as an ASGI application. Made by `asgi_app`.

    An object, not a function: routers take a function for a handler of their own kind.
    """

    def __init__(self, endpoint: AsyncEndpoint) -> None:
        self.endpoint = endpoint

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's lifespan."""
        await serve(scope, receive, send, self.endpoint.handle, MAX_BODY)


async def serve(
    scope: Message, receive: Receive, send: Send, handle: Callable[[Request], Awaitable[Response]], limit: int
) -> None:
    """Answer one request, or the server's lifespan.

    Args:
        scope: As ASGI has it.
        receive: Likewise.
        send: Likewise.
        handle: Answers a request in plain values.
        limit: Bytes of a body; of a longer one no more is read than shows that it is.
    """
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = await _body(receive, limit)
    if body is None:
        return
    response = await handle(request_of(scope, body))
    await send_start(send, response.status, with_length(response))
    await send({"type": "http.response.body", "body": response.body})


def request_of(scope: Message, body: bytes = b"") -> Request:
    """A request in plain values."""
    return Request(scope["method"], _url(scope), _headers(scope), body)


async def send_start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send status and headers."""
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def lifespan(receive: Receive, send: Send) -> None:
    """Agree with a server that begins, and that ends."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The request's body, or a little more than is allowed of it; None when the caller hung up."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += cast("bytes", message.get("body", b""))
        if len(body) > limit or not message.get("more_body", False):
            return bytes(body)


def _headers(scope: Message) -> dict[str, str]:
    headers: dict[str, str] = {}
    for given_name, given_value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        name, value = given_name.decode("latin-1").lower(), given_value.decode("latin-1")
        # One that comes twice is a list (RFC 9110, section 5.3): which of two is meant, nobody may choose.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _url(scope: Message) -> str:
    host = _headers(scope).get("host", "")
    if not host and scope.get("server"):
        host = ":".join(map(str, scope["server"]))
    query = cast("bytes", scope.get("query_string", b""))
    raw = cast("bytes | None", scope.get("raw_path"))
    path = raw.decode("latin-1") if raw else cast("str", scope["path"])
    return f"{scope.get('scheme', 'http')}://{host}{path.partition('?')[0]}" + (
        f"?{query.decode('latin-1')}" if query else ""
    )
