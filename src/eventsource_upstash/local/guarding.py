"""Keeps everybody out who is not on this machine, and browsers that were sent here by another page."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

__all__ = ["guard", "is_loopback"]

_HEADERS: Final = "Authorization, Content-Type, Upstash-Encoding, Upstash-Response-Format, Upstash-Sync-Token"


def is_loopback(host: str | None) -> bool:
    """Whether a host name, as it stands in a URL, can only mean this machine."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None


def _authority(origin: str) -> str:
    """Host and port of an origin; "" of what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware, outermost.

    A `Host` that is not this machine's means that a foreign name was pointed at 127.0.0.1 (DNS rebinding). An `Origin`
    means that a page in a browser asks: pages served from this machine may use the API, with their token; what is below
    `/dev/` needs no token, so there the page has to come from this very server.
    """
    if not is_loopback(_host(request.host)):
        return _refused("this server answers only to names of this machine, such as 127.0.0.1 or localhost")
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            return _refused("this server does not answer pages of other sites")
        return await _answered(request, handler)
    if not is_loopback(_host(_authority(origin))):
        return _refused("this server does not answer pages of other sites")
    if request.path == "/dev" or request.path.startswith("/dev/"):
        if _authority(origin) != request.host:
            return _refused("what is below /dev/ is for this server's own page")
        return await _answered(request, handler)
    if request.method == "OPTIONS":
        answer: web.StreamResponse = web.Response()
        answer.headers["Access-Control-Allow-Methods"] = "HEAD, GET, POST, PUT, DELETE"
        answer.headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", _HEADERS)
    else:
        answer = await _answered(request, handler)
    if not answer.prepared:
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Expose-Headers"] = "Upstash-Sync-Token"
        answer.headers["Vary"] = "Origin"
    return answer


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ConnectionResetError:
        if request.transport is not None:
            raise
        return web.Response(status=499)  # the client ended amid its request: nobody is there to be told


def _refused(why: str) -> web.Response:
    return web.json_response({"error": why}, status=403)
