"""What is done to a request that is struck, kind by kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Protocol

from .faults import KINDS, Strike
from .passing import Answer, Asked, Client, Upstream, pieces

__all__ = ["STRIKES", "Exchange", "pass_on"]

_HTML: Final = (b"content-type", b"text/html")
_JSON: Final = (b"content-type", b"application/json")

_PAGE: Final = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)

QUOTA: Final = (
    "ERR max requests limit exceeded. Limit: 500000, Usage: 500000. "
    "See https://upstash.com/docs/redis/troubleshooting/max_requests_limit for details"
)
"""Upstash's own words, as the local Upstash has them."""

_PAGES: Final[Mapping[str, tuple[int, str, list[tuple[bytes, bytes]]]]] = {
    "error-500": (500, "500 Internal Server Error", [_HTML]),
    "error-502": (502, "502 Bad Gateway", [_HTML]),
    "error-503": (503, "503 Service Unavailable", [_HTML]),
    "error-429": (429, "", [_JSON, (b"retry-after", b"1")]),
    "error-429-now": (429, "", [_JSON]),
    "quota": (400, "", [_JSON]),
}

_ERRORS: Final = {"error-429": "Too Many Requests", "error-429-now": "Too Many Requests", "quota": QUOTA}


class Exchange(Protocol):
    """One request, on its way from a client to the server and back.

    Attributes:
        number: Which one it is.
        asked: The request.
        client: Where it came from.
        upstream: Where it goes.
        struck: Whether what strikes it comes to pass; it does, if nothing else is said.
    """

    number: int
    asked: Asked
    client: Client
    upstream: Upstream
    struck: bool

    def later(self, work: Awaitable[None]) -> None:
        """Have something done beside, which `settle` waits for."""
        ...

    async def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until `settle` is called."""
        ...

    async def overtaken(self, seconds: float) -> bool:
        """As `wait`, and until a request that came later has been answered. Tells whether one was."""
        ...


Act = Callable[[Exchange, Strike], Awaitable[None]]


async def pass_on(exchange: Exchange, *, slowly: float | None = None, slow_answer: float | None = None) -> None:
    """What a proxy is for: pass the request on, and the answer back."""
    client = exchange.client
    async with exchange.upstream.ask(exchange.asked, slowly=slowly) as (answer, chunks):
        await client.begin(answer)
        async for chunk in chunks:
            if slow_answer is None:
                await client.chunk(chunk)
                continue
            for piece in pieces(chunk):
                await client.chunk(piece)
                await asyncio.sleep(slow_answer)
    await client.end()


async def _ask_only(exchange: Exchange) -> None:
    """Pass the request on, and keep the answer. When its beginning is here, what was asked has been done."""
    async with exchange.upstream.ask(exchange.asked):
        pass


async def _lose_request(exchange: Exchange, _: Strike) -> None:
    exchange.client.close()


async def _lose_answer(exchange: Exchange, _: Strike) -> None:
    await _ask_only(exchange)
    exchange.client.close()


async def _delay(exchange: Exchange, strike: Strike) -> None:
    await exchange.wait(strike.seconds)
    await pass_on(exchange)


async def _duplicate(exchange: Exchange, _: Strike) -> None:
    await _ask_only(exchange)
    await pass_on(exchange)


async def _late_request(exchange: Exchange, strike: Strike) -> None:
    exchange.client.close()
    exchange.later(_after(strike.seconds, exchange))


async def _late_duplicate(exchange: Exchange, strike: Strike) -> None:
    await pass_on(exchange)
    exchange.later(_after(strike.seconds, exchange))


async def _after(seconds: float, exchange: Exchange) -> None:
    await exchange.wait(seconds)
    await _ask_only(exchange)


async def _reorder(exchange: Exchange, strike: Strike) -> None:
    exchange.struck = await exchange.overtaken(strike.seconds)
    await pass_on(exchange)


async def _page(exchange: Exchange, strike: Strike) -> None:
    status, title, headers = _PAGES[strike.kind]
    if strike.kind == "error-502":
        await _ask_only(exchange)
    body = _PAGE.format(title).encode() if title else json.dumps({"error": _ERRORS[strike.kind]}).encode()
    await exchange.client.page(Answer(status, headers), body)


async def _half_an_answer(exchange: Exchange) -> None:
    async with exchange.upstream.ask(exchange.asked) as (answer, chunks):
        await exchange.client.begin(answer)
        first = await _first(chunks)
        await exchange.client.chunk(first[: len(first) // 2])


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    async for chunk in chunks:
        return chunk
    return b""


async def _cut_answer(exchange: Exchange, _: Strike) -> None:
    await _half_an_answer(exchange)
    exchange.client.close()


async def _reset_answer(exchange: Exchange, _: Strike) -> None:
    await _half_an_answer(exchange)
    exchange.client.reset()


async def _slow_answer(exchange: Exchange, strike: Strike) -> None:
    await pass_on(exchange, slow_answer=strike.seconds)


async def _slow_request(exchange: Exchange, strike: Strike) -> None:
    await pass_on(exchange, slowly=strike.seconds)


async def _garbage(exchange: Exchange, _: Strike) -> None:
    await _ask_only(exchange)
    await exchange.client.raw(b"220 mail.example.com ESMTP ready\r\n\x00\xff\xfe\r\n\r\n")
    exchange.client.close()


async def _hang_up(exchange: Exchange, _: Strike) -> None:
    await pass_on(exchange)
    exchange.client.close()


async def _half_close(exchange: Exchange, strike: Strike) -> None:
    await pass_on(exchange)
    await exchange.client.half_close(strike.seconds)


STRIKES: Final[Mapping[str, Act]] = {
    "lose-request": _lose_request,
    "lose-answer": _lose_answer,
    "delay": _delay,
    "duplicate": _duplicate,
    "cut-answer": _cut_answer,
    "slow-answer": _slow_answer,
    "late-request": _late_request,
    "late-duplicate": _late_duplicate,
    "reorder": _reorder,
    "reset-answer": _reset_answer,
    "slow-request": _slow_request,
    "garbage": _garbage,
    "hang-up": _hang_up,
    "half-close": _half_close,
    **dict.fromkeys(_PAGES, _page),
}
"""All but `reset-request`, which strikes before there is a whole request."""

assert {*STRIKES, "reset-request"} == set(KINDS)
