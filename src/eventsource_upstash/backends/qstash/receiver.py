"""Whether a delivery is from QStash: its signature, checked on raw bytes, without any library but Python's own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Final, NoReturn, cast

import msgspec

from ...domain.telling import without_user_and_query
from ...ports import Unverified
from .forwarded import TrustedProxies
from .settings import (
    SigningKeys,
    is_seconds,
    keys_problems,
    origin_and_rest,
    refuse,
    region_name,
    url_problems,
)

SIGNATURE_HEADER: Final = "upstash-signature"
REGION_HEADER: Final = "upstash-region"

MAX_TOKEN: Final = 16 * 1024
"""Longest signature header, in characters. What is longer no server passes on, and nobody has to decode."""

MAX_BODY: Final = 16 * 1024 * 1024
"""Largest body, in bytes: above the largest message of any plan."""

MAX_LEEWAY: Final = 600.0

_SEGMENTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Whole seconds since 1970, as exact as every language holds them."""


class _Header(msgspec.Struct):
    alg: str
    kid: str | msgspec.UnsetType = msgspec.UNSET
    crit: object = msgspec.UNSET
    b64: object = msgspec.UNSET


class _Claims(msgspec.Struct):
    iss: str
    sub: str
    exp: _Moment
    nbf: _Moment
    body: str
    iat: _Moment | msgspec.UnsetType = msgspec.UNSET
    jti: str | msgspec.UnsetType = msgspec.UNSET
    aud: object = None


_header: Final = msgspec.json.Decoder(_Header)
_claims: Final = msgspec.json.Decoder(_Claims)


class Receiver:
    """Verifies deliveries of QStash: hand it to the endpoint as its `verifier`.

    A signature holds for one URL and one body, for five minutes. It is checked with the current key, then with the
    next one, so that a rotation loses nothing. The reason of a refusal tells which check failed, for which key: it is
    for the log, and the endpoint keeps it from the caller.

    Args:
        current_signing_key: From the console.
        next_signing_key: From the console.
        url: The URL that QStash delivers to, exactly as it was published; None to go by the request's own.
        regions: Further pairs of keys by region, as in `{"US_EAST_1": ("sig_...", "sig_...")}`: a delivery whose header
            `Upstash-Region` names one of them is checked with that pair.
        proxies: Which proxies' headers tell the public URL, where `url` does not. None trusts no header.
        leeway: Seconds that this machine's clock may be off, up to 600.
        clock: Nanoseconds since 1970 (UTC).

    Attributes:
        keys: The pairs of keys by region; the one without a region under "".

    Raises:
        Misuse: A key is empty, a URL or leeway is none.
    """

    def __init__(
        self,
        current_signing_key: str,
        next_signing_key: str,
        *,
        url: str | None = None,
        regions: Mapping[str, tuple[str, str]] | None = None,
        proxies: TrustedProxies | None = None,
        leeway: float = 0.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        pairs = {"": (current_signing_key, next_signing_key)} if current_signing_key or next_signing_key else {}
        pairs |= {region_name(region): pair for region, pair in (regions or {}).items()}
        problems = keys_problems(pairs)
        if not pairs:
            problems.append("no signing keys: copy both from the Upstash console, under QStash")
        if url is not None:
            problems += url_problems("url", url)
            if proxies is not None:
                problems.append("url and proxies both tell the public URL: give one of them")
        if not is_seconds(leeway, MAX_LEEWAY):
            problems.append(f"leeway={leeway!r}: it is a number of seconds from 0 to {MAX_LEEWAY:.0f}")
        refuse(problems)
        self.keys: dict[str, SigningKeys] = {region: SigningKeys(*pair) for region, pair in pairs.items()}
        self._url = url
        self._proxies = proxies
        self._leeway = leeway
        self._clock = clock

    def __repr__(self) -> str:
        return f"Receiver(url={without_user_and_query(self._url)!r})" if self._url else "Receiver()"

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        """See that a request is a delivery of QStash, to this URL, with this body.

        Args:
            headers: The request's.
            body: The raw bytes, as they arrived: not what a framework made of them.
            url: The whole URL that the request was sent to; not looked at where the receiver has its own.

        Raises:
            Unverified: It is not. The message says which check failed.
        """
        given = cast("object", body)  # a framework may hand over what it likes
        if not isinstance(given, bytes):
            raise Unverified(f"the body is {type(given).__name__}, and only raw bytes can be checked: hand over those")
        if len(body) > MAX_BODY:
            raise Unverified(f"the body has {len(body)} bytes, more than any message of QStash")
        token = _text(headers, SIGNATURE_HEADER)
        if not token:
            raise Unverified("there is no header Upstash-Signature: not from QStash, or a proxy drops it")
        key = self._signed(token, _text(headers, REGION_HEADER))
        claims = self._payload(token, key)
        self._check(claims, key)
        wanted = self._wanted_url(headers, url)
        if not hmac.compare_digest(claims.sub.encode(), wanted.encode("utf-8", "surrogatepass")):
            raise Unverified(
                f"signed for another URL ({key} key): for {_short(claims.sub)}, arrived at {_short(wanted)}. Behind a "
                "proxy, or where the path is rewritten, give the receiver the public URL"
            )
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=")
        if not hmac.compare_digest(claims.body.rstrip("=").encode(), digest):
            raise Unverified(
                f"the body is not the one that was signed ({key} key; {len(body)} bytes arrived). Hand over the raw "
                "bytes of the request: a body that a framework parsed and wrote again is another one"
            )

    def _signed(self, token: str, region: str) -> str:
        """Which key the token is signed with, by name."""
        if len(token) > MAX_TOKEN:
            raise Unverified(f"the signature has {len(token)} characters, at most {MAX_TOKEN} are read")
        match = _SEGMENTS.fullmatch(token)
        if match is None:
            raise Unverified("the signature is no JWT: three parts of base64url, joined by dots")
        _check_header(match[1])
        name, pair = self._pair(region)
        signing_input = token[: match.end(2)].encode()
        given = match[3].encode()
        found = ""
        for which, key in zip(("current", "next"), pair, strict=True):
            digest = hmac.new(key.encode(), signing_input, hashlib.sha256).digest()
            # One spelling only: what decodes to the same bytes with other last bits, or with padding, is refused.
            if hmac.compare_digest(given, base64.urlsafe_b64encode(digest).rstrip(b"=")) and not found:
                found = f"{name} {which}".strip()
        if not found:
            raise Unverified(
                f"signed with neither the current nor the next key{f' of {name}' if name else ''}. Are these the keys "
                "of the account and region that publish? They change when they are rotated in the console"
            )
        return found

    def _pair(self, header: str) -> tuple[str, SigningKeys]:
        region = region_name(header[:64])
        if region and region in self.keys:
            return region, self.keys[region]
        if "" in self.keys:
            return "", self.keys[""]
        raise Unverified(
            f"the header Upstash-Region is {_short(header)}; there are keys for {', '.join(self.keys)} only"
        )

    def _payload(self, token: str, key: str) -> _Claims:
        try:
            return _claims.decode(_decoded(token.split(".")[1]))
        except (ValueError, RecursionError) as error:
            # Its own words name the claim and the type, never the value.
            raise Unverified(f"the claims are not those of QStash ({key} key): {error}") from None

    def _check(self, claims: _Claims, key: str) -> None:
        if claims.iss != "Upstash":
            raise Unverified(f"issued by {_short(claims.iss)}, not by Upstash ({key} key)")
        if claims.aud:
            raise Unverified(f"meant for a certain audience, which this is not ({key} key)")
        now = self._clock() / 1_000_000_000
        signed = f"signed {_ago(now - claims.iat)}, " if claims.iat is not msgspec.UNSET else ""
        if claims.exp <= now - self._leeway:
            raise Unverified(
                f"expired {now - claims.exp:.0f} s ago by this machine's clock ({signed}{key} key): an old delivery "
                "sent again, or this clock is fast. Set the clock, or give the receiver leeway="
            )
        for claim, moment in (("nbf", claims.nbf), ("iat", claims.iat)):
            if moment is not msgspec.UNSET and moment > now + self._leeway:
                raise Unverified(
                    f"not valid for another {moment - now:.0f} s by this machine's clock ({claim}, {key} key): this "
                    "clock is slow. Set the clock, or give the receiver leeway="
                )

    def _wanted_url(self, headers: Mapping[str, str], url: str) -> str:
        if self._url is not None:
            return self._url
        if self._proxies is None:
            return url
        parts = origin_and_rest(url)
        if parts is None:
            raise Unverified(f"the request's URL is no whole one: {_short(url)}")
        origin, rest = parts
        scheme, _, authority = origin.partition("://")
        return self._proxies.public_origin(lambda name: _text(headers, name), scheme, authority) + rest


def _check_header(segment: str) -> None:
    try:
        header = _header.decode(_decoded(segment))
    except (ValueError, RecursionError) as error:
        raise Unverified(f"the signature's header cannot be read: {error}") from None
    if header.alg != "HS256":
        raise Unverified(f"signed by {_short(header.alg)}; QStash signs by HS256, and nothing else is looked at")
    if header.crit is not msgspec.UNSET or header.b64 is not msgspec.UNSET:
        raise Unverified("the signature's header asks for an extension (crit, b64) that QStash does not use")


def _decoded(segment: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        _bad_base64()


def _bad_base64() -> NoReturn:
    raise ValueError("a part is no base64url") from None


def _text(headers: Mapping[str, str], name: str) -> str:
    """A header's value, however its name is spelled; empty when it is not there, or not text."""
    found = headers.get(name)
    if found is None:
        found = next((given for key, given in headers.items() if str(key).lower() == name), "")
    value = cast("object", found)
    if not isinstance(value, str):
        raise Unverified(f"the header {name} is {type(value).__name__}, not text")
    return value


def _short(value: str) -> str:
    """A value from outside as it may be logged: without control characters, a query, or much length."""
    path, mark, _ = value.partition("?")
    return repr(path[:200] + ("?..." if mark else ""))


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if math.isfinite(seconds) else "at no time"
