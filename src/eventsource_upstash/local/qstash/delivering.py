"""One attempt to deliver: the signed request to a destination, and its answer."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ..faults import Fault
from ..metering import Meter
from .clock import Clock
from .plain_text import plain_headers
from .records import Answer, Keys, Message
from .settings import Settings
from .signing import new_key, sign
from .store import Store

__all__ = ["Delivering", "loopback", "mapped"]

_HOP_BY_HOP: Final = frozenset(
    {"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Delivering:
    """Makes attempts."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, meter: Meter) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Be ready to send."""
        self._session = aiohttp.ClientSession(
            # A connection of its own for each attempt: one that the app has closed meanwhile would look like a failure.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            trust_env=False,
        )

    async def close(self) -> None:
        """Send no more."""
        if self._session is not None:
            await self._session.close()

    async def carry(self, message: Message, fault: Fault | None) -> Answer:
        """Make one attempt, with what is to go wrong with it. It always answers."""
        # Every attempt is a message on the bill.
        self._meter.add(message.agent, {"messages": 1, "retried": 1 if message.retried else 0})
        kind = None if fault is None else fault.kind
        if kind == "lose-delivery":
            return Answer(error="connection reset by peer (on request)")
        target = mapped(message.url, self._settings.mapping)
        if self._settings.strict and target == message.url and loopback(message.url):
            return Answer(error="endpoint resolves to a loopback address")
        keys = self._store.keys.get("keys") or Keys(self._settings.current_key, self._settings.next_key)
        key = {"sign-with-next-key": keys.next, "sign-with-wrong-key": new_key()}.get(kind or "", keys.current)
        skew = fault.seconds if fault is not None and fault.kind == "sign-skewed" else 0.0
        headers = self._headers(message, sign(key, message.url, message.body, skew=skew), target)
        attempt = self._send(message, target, headers)
        if kind == "deliver-twice":
            answer, _ = await asyncio.gather(attempt, self._send(message, target, headers))
        else:
            answer = await attempt
        if kind == "lose-delivery-answer":
            return Answer(error="connection closed before the response came (on request)")
        return answer

    def _headers(self, message: Message, signature: str, target: str) -> CIMultiDict[str]:
        headers = CIMultiDict[str]()
        for name, value in message.options.headers:
            if name.lower() not in _HOP_BY_HOP:
                headers.add(name, value)
        own: dict[str, str | None] = {
            "User-Agent": "Upstash-QStash",
            "Upstash-Signature": signature,
            "Upstash-Message-Id": message.id,
            "Upstash-Retried": str(message.retried),
            "Upstash-Schedule-Id": message.schedule,
            "Upstash-Topic-Name": message.topic,
            "Upstash-Endpoint-Name": message.endpoint,
            "Upstash-Queue-Name": message.queue,
            "Upstash-Label": ",".join(message.options.labels),
            "Upstash-Caller-Ip": message.caller,
            "Upstash-Region": self._settings.region,
        }
        if target != message.url:
            # As a tunnel does: an app behind it can tell which URL was meant, and signed.
            public = urlsplit(message.url)
            own |= {"X-Forwarded-Host": public.netloc, "X-Forwarded-Proto": public.scheme}
        headers.update({name: value for name, value in own.items() if value})
        return headers

    async def _send(self, message: Message, target: str, headers: Mapping[str, str]) -> Answer:
        assert self._session is not None
        milliseconds = message.options.timeout or round(self._settings.max_response_time * 1000)
        request = asyncio.ensure_future(self._request(message, target, headers))
        deadline = asyncio.ensure_future(self._clock.reach(self._clock.now() + milliseconds))
        try:
            await asyncio.wait({request, deadline}, return_when=asyncio.FIRST_COMPLETED)
            if request.done():
                return request.result()
            return Answer(error=f"timeout: no response within {milliseconds / 1000:g}s")
        finally:
            request.cancel()
            deadline.cancel()
            await asyncio.gather(request, deadline, return_exceptions=True)

    async def _request(self, message: Message, target: str, headers: Mapping[str, str]) -> Answer:
        assert self._session is not None
        try:
            async with self._session.request(
                message.options.method,
                URL(target, encoded=True),
                data=message.body or None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > self._settings.max_message_size:  # "We may truncate the response body" (Callbacks)
                        del body[self._settings.max_message_size :]
                        break
                return Answer(status=response.status, headers=plain_headers(response.headers), body=bytes(body))
        except aiohttp.ClientResponseError as problem:  # its text repeats the URL
            return Answer(error=f"{type(problem).__name__}: {problem.status} {problem.message}")
        except aiohttp.InvalidURL as problem:
            return Answer(error=type(problem).__name__)
        except (aiohttp.ClientError, OSError, ValueError, asyncio.TimeoutError) as problem:
            return Answer(error=f"{type(problem).__name__}: {problem}")


def mapped(url: str, mapping: Mapping[str, str]) -> str:
    """The local URL that is called for a public one: by the longest beginning that is mapped, else the URL itself."""
    best: str | None = None
    for public in mapping:
        if (best is None or len(public) > len(best)) and _begins(url, public.rstrip("/")):
            best = public
    if best is None:
        return url
    return mapping[best].rstrip("/") + url[len(best.rstrip("/")) :]


def _begins(url: str, public: str) -> bool:
    """Whether it is this URL or lies below it: `https://app.example.com` is no beginning of `https://app.example.company`."""
    return url.lower().startswith(public.lower()) and url[len(public) : len(public) + 1] in {"", "/", "?", "#"}


def loopback(url: str) -> bool:
    """Whether a URL points at this very machine, as far as its words say so: no name is looked up."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
