"""HTTP for both sides, on httpx, which is imported when the first request is sent.

What a failure means depends on one thing only: whether the request can have reached the server. A connection lives as
long as its request, so that nothing of it belongs to a thread, a process or an event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from ..errors import Misuse, OutcomeUnknown, Unavailable
from .port import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import httpx


def send(request: HttpRequest) -> HttpResponse:
    """Send a request and block for the answer. Raises as `Port.send`."""
    import httpx

    try:
        with httpx.Client(timeout=request.timeout) as client:
            return _response(client.request(request.method, request.url, headers=request.headers, content=request.body))
    except httpx.HTTPError as error:
        _raise(error, request)


async def send_async(request: HttpRequest) -> HttpResponse:
    """Send a request and suspend until the answer is there. Raises as `Port.send`."""
    import httpx

    try:
        async with httpx.AsyncClient(timeout=request.timeout) as client:
            return _response(
                await client.request(request.method, request.url, headers=request.headers, content=request.body)
            )
    except httpx.HTTPError as error:
        _raise(error, request)


def _response(answer: httpx.Response) -> HttpResponse:
    return HttpResponse(answer.status_code, dict(answer.headers), answer.content)


def _raise(error: httpx.HTTPError, request: HttpRequest) -> NoReturn:
    import httpx

    # Only the host is named: paths and queries may hold what nobody else should read.
    where = urlsplit(request.url).hostname
    what = type(error).__name__
    if isinstance(error, httpx.UnsupportedProtocol):
        raise Misuse(f"{where or 'a URL'} cannot be asked over HTTP ({what}): a URL starts with https://") from error
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        raise Unavailable(f"{where} could not be reached ({what}); nothing was sent. Try again later") from error
    raise OutcomeUnknown(
        f"{where} did not answer ({what}); whether it did what was asked is not known. The same call with the same "
        "idempotency key is safe"
    ) from error
