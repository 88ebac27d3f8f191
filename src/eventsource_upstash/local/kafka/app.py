"""Kafka over REST as one application: Upstash's shape at the root, Confluent's below `/confluent`."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import Counter
from collections.abc import Collection
from typing import Final, NamedTuple
from urllib.parse import unquote

from aiohttp import web

from ..faults import Faults, misbehaving
from ..guarding import guard
from ..metering import CALLER_HEADER, Meter, caller_name
from .answering import Call, Refusal, answer
from .cluster import Cluster
from .confluent import Confluent
from .failing import FAILURES, as_refusal
from .formats import PLAIN
from .groups import Groups
from .upstash import Upstash

__all__ = ["CONFLUENT", "Login", "create_app"]

CONFLUENT: Final = "/confluent"
"""Below it is what Confluent's REST Proxy has at its root."""

_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_METHODS: Final = frozenset({"GET", "POST", "DELETE"})


class Login(NamedTuple):
    """What callers have to show.

    Attributes:
        username: Who.
        password: And what they know.
    """

    username: str
    password: str

    def __repr__(self) -> str:
        return "Login(...)"


class _Rest:
    def __init__(self, cluster: Cluster, groups: Groups, meter: Meter, login: Login) -> None:
        self._upstash = Upstash(cluster, groups)
        self._confluent = Confluent(cluster, groups)
        self._meter = meter
        self._login = login

    async def handle(self, request: web.Request) -> web.Response:
        """One request, counted."""
        words, confluent = _words(request)
        caller = self._caller(request)  # before anything else is looked at
        if caller is None:
            return _refused(Refusal(401, "Unauthorized", 40101), confluent=confluent)
        counts: Counter[str] = Counter(requests=1)
        try:
            if request.method not in _METHODS:
                raise Refusal(405, "HTTP 405 Method Not Allowed")
            body = await _body(request)
            counts["bytes_in"] = len(body)
            base = f"{request.scheme}://{request.host}{CONFLUENT if confluent else ''}"
            call = Call(request.method, words, request.query, request.headers, body, base, counts)
            told = await (self._confluent if confluent else self._upstash).handle(call)
        except FAILURES as failure:
            told = _refused(as_refusal(failure), confluent=confluent)
        if told.status >= 400:
            counts["errors"] = 1
        counts["bytes_out"] = len(told.body) if isinstance(told.body, bytes) else 0
        counts["messages"] = counts["produced"] + counts["fetched"]
        self._meter.add(caller, counts)
        return told

    def _caller(self, request: web.Request) -> str | None:
        """Who asks; None if that is not who may."""
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            username, _, rest = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        password, _, name = rest.partition("~")
        known = hmac.compare_digest(username.encode(), self._login.username.encode())
        if not hmac.compare_digest(password.encode(), self._login.password.encode()) or not known:
            return None
        return caller_name(request.headers.get(CALLER_HEADER), name)


def _words(request: web.Request) -> tuple[list[str], bool]:
    """The parts of the path, decoded, and whether it is of Confluent's shape."""
    words = [unquote(part) for part in request.rel_url.raw_path.strip("/").split("/")]
    return (words[1:], True) if words[0] == CONFLUENT[1:] else (words, False)


async def _body(request: web.Request) -> bytes:
    try:
        if (request.content_length or 0) <= _MAX_BODY_BYTES:
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        pass
    raise Refusal(413, f"a request of more than {_MAX_BODY_BYTES} bytes is not taken")


def _refused(refusal: Refusal, *, confluent: bool) -> web.Response:
    if confluent:
        return answer({"error_code": refusal.code, "message": str(refusal)}, refusal.status, PLAIN)
    told = answer({"error": str(refusal), "status": refusal.status}, refusal.status)
    if refusal.status == 413:
        told.force_close()  # the rest of it is not waited for
    return told


async def _names_in(request: web.Request) -> Collection[str]:
    """What a request does, for faults that strike only some: produce, fetch, commit, offsets and so on."""
    words, confluent = _words(request)
    if not confluent:
        return words[:1]
    if words[-1:] == ["records"]:
        return ("produce" if request.method == "POST" else "fetch",)
    if words[:1] == ["topics"] and request.method == "POST":
        return ("produce",)
    if words[-1:] == ["offsets"]:
        return ("commit" if request.method == "POST" else "offsets",)
    return words[-1:] if words[-1:] and words[-1].isalpha() else words[:1]


def _quota() -> web.Response:
    return answer({"error": "Exceeded daily message limit. Please upgrade your plan", "status": 429}, 429)


def create_app(cluster: Cluster, groups: Groups, *, meter: Meter, faults: Faults, login: Login) -> web.Application:
    """The application.

    Args:
        cluster: Where the records are, connected.
        groups: Who reads them.
        meter: Counts requests and billed messages: those produced, and those fetched.
        faults: What goes wrong.
        login: What callers have to show.
    """
    app = web.Application(
        middlewares=[guard, misbehaving(faults, "kafka", quota=_quota, names_of=_names_in)],
        client_max_size=_MAX_BODY_BYTES,
    )
    rest = _Rest(cluster, groups, meter, login)
    app.router.add_route("*", "/{anything:.*}", rest.handle)
    return app
