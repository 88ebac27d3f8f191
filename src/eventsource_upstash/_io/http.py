"""HTTP for both sides, on httpx, which is imported when the first request is sent.

What a failure means depends on one thing only: whether the request can have reached the server. Connections are kept
and used again; see `pool`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import NoReturn

from ..errors import Misuse, OutcomeUnknown, Unavailable
from .addresses import host_of
from .bodies import ACCEPTED, AnswerGarbled, AnswerTooLarge, Body
from .pool import POOLS
from .port import HttpRequest, HttpResponse

try:
    import anyio
    import httpx

    from .deadlines import until
except ModuleNotFoundError as error:
    raise Misuse("HTTP needs the package httpx: pip install 'eventsource-upstash[upstash]'") from error


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body that remembers whether anybody began to send it.

    The headers go first; so a body that nobody asked for was not sent, and the server has no whole request.
    """

    __slots__ = ("begun", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.begun = not content  # without a body the headers are the whole request, and may be on their way

    def __iter__(self) -> Iterator[bytes]:
        self.begun = True
        yield self.content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        yield self.content


class _Target(httpx.URL):
    """A URL whose text is its origin: httpx logs the URL of every request, and a path or query may hold a secret."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode('ascii')}"


def send(request: HttpRequest) -> HttpResponse:
    """Send a request and block for the answer. Raises as `Port.send`."""
    deadline = time.monotonic() + request.timeout
    prepared, sent = _prepared(request)
    client = POOLS.take()
    try:
        with until(deadline):
            response = client.http.send(prepared, stream=True)
            try:
                body = Body(response.headers, request.max_answer)
                for piece in response.iter_raw():  # not unpacked by httpx, which knows no limit
                    body.add(piece)
                    if time.monotonic() > deadline:  # what has come already is read without a look at the clock
                        raise httpx.ReadTimeout("the answer took too long", request=prepared)
                content = body.whole()
            finally:
                response.close()
    except httpx.LocalProtocolError as error:
        wrong = type(error).__name__
    except (httpx.HTTPError, AnswerTooLarge, AnswerGarbled) as error:
        _raise(error, request, sent)
    else:
        return HttpResponse(response.status_code, dict(response.headers), content)
    finally:
        POOLS.give_back(client)
    raise _header_refused(request, wrong)


async def send_async(request: HttpRequest) -> HttpResponse:
    """Send a request and suspend until the answer is there. Raises as `Port.send`."""
    prepared, sent = _prepared(request)
    client = await POOLS.take_async()
    try:
        with anyio.fail_after(request.timeout):
            response = await client.http.send(prepared, stream=True)
            try:
                body = Body(response.headers, request.max_answer)
                async for piece in response.aiter_raw():
                    body.add(piece)
                content = body.whole()
            finally:
                await response.aclose()
    except httpx.LocalProtocolError as error:
        wrong = type(error).__name__
    except (httpx.HTTPError, TimeoutError, AnswerTooLarge, AnswerGarbled) as error:
        _raise(error, request, sent)
    else:
        return HttpResponse(response.status_code, dict(response.headers), content)
    finally:
        await POOLS.give_back_async(client)
    raise _header_refused(request, wrong)


@lru_cache(maxsize=64)
def _target(url: str) -> tuple[_Target, str]:
    target = _Target(url)
    host_of(url)  # refuses some that httpx would ask the network about
    target.raw_host.decode("ascii").encode("idna")  # as does the system's look-up, with an error that is no HTTP's
    return target, target.netloc.decode("ascii")


def _prepared(request: HttpRequest) -> tuple[httpx.Request, _Body]:
    """The request as httpx sends it, without what its client would work out anew for each."""
    try:
        target, host = _target(request.url)
    except (httpx.InvalidURL, ValueError) as error:
        raise Misuse(f"a URL cannot be asked over HTTP ({type(error).__name__}): it starts with https://") from None
    body = _Body(request.body)
    total = request.timeout
    connect = min(total, request.connect_timeout or total)
    read = min(total, request.read_timeout or total)
    headers = {
        "host": host,
        "user-agent": "eventsource-upstash",
        "accept-encoding": ACCEPTED,
        "content-length": str(len(request.body)),
        **request.headers,
    }
    timeouts = {"connect": connect, "pool": connect, "read": read, "write": read}
    prepared = httpx.Request(request.method, target, headers=headers, stream=body, extensions={"timeout": timeouts})
    prepared.url = target  # else it is a copy, of httpx's own kind
    return prepared, body


def _header_refused(request: HttpRequest, what: str) -> Misuse:
    # The error's text quotes the header that is wrong, which may hold a token: it is not even behind this one.
    return Misuse(f"{host_of(request.url)}: a header cannot be sent ({what}); check it for line breaks and spaces")


def _raise(error: Exception, request: HttpRequest, body: _Body) -> NoReturn:
    # Only the host is named: paths and queries may hold what nobody else should read.
    where = host_of(request.url)
    what = type(error).__name__
    if isinstance(error, httpx.UnsupportedProtocol):
        raise Misuse(f"{where} cannot be asked over HTTP ({what}): a URL starts with https://") from error
    unreached = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
    if isinstance(error, AnswerTooLarge):
        raise OutcomeUnknown(
            f"{where} answered with more than {request.max_answer} bytes, which were not read to their end; whether it "
            "did what was asked is not known"
        ) from error
    if not body.begun or isinstance(error, unreached):
        raise Unavailable(f"{where} could not be reached ({what}); nothing was sent. Try again later") from error
    raise OutcomeUnknown(
        f"{where} did not answer ({what}); whether it did what was asked is not known. The same call with the same "
        "idempotency key is safe"
    ) from error
