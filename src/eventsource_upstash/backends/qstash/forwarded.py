"""The public URL of a request, from the headers of proxies that are trusted: `X-Forwarded-*`, or `Forwarded`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ...ports import Unverified
from .settings import is_whole, refuse

MAX_HEADER: Final = 8 * 1024
MAX_HOPS: Final = 20

_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# One element of `Forwarded` (RFC 7239): pairs joined by semicolons, values plain or quoted.
_PAIR: Final = re.compile(r"""\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(;|,|$)""")


class TrustedProxies:
    """Which headers of which proxies are believed when they tell the public URL.

    Whoever calls can write these headers as well; what counts is what your own proxies added, at the right end.

    Args:
        hops: How many proxies of yours are before the app and add to the header: the value looked at is that many
            from the right, which the outermost of them wrote.
        header: `"x-forwarded"` for X-Forwarded-Proto and X-Forwarded-Host, `"forwarded"` for Forwarded (RFC 7239).
            Never both: a proxy that writes the one passes the other through as it came.

    Raises:
        Misuse: An argument is none of these.
    """

    def __init__(self, hops: int = 1, *, header: str = "x-forwarded") -> None:
        problems: list[str] = []
        if not is_whole(hops, 1, MAX_HOPS):
            problems.append(f"hops={hops!r}: it is the number of your proxies, from 1 to {MAX_HOPS}")
        if header not in {"x-forwarded", "forwarded"}:
            problems.append(f"header={header!r}: it is 'x-forwarded' or 'forwarded'")
        refuse(problems)
        self.hops = hops
        self.header = header

    def __repr__(self) -> str:
        return f"TrustedProxies({self.hops}, header={self.header!r})"

    def public_origin(self, value: Callable[[str], str], scheme: str, authority: str) -> str:
        """Scheme and host as the caller addressed them; what no proxy tells stays as it is.

        Raises:
            Unverified: A header that is trusted holds what cannot be.
        """
        if self.header == "forwarded":
            element = self._forwarded(value("forwarded"))
            scheme, authority = element.get("proto", scheme), element.get("host", authority)
        else:
            scheme = self._nth(value("x-forwarded-proto")) or scheme
            authority = self._nth(value("x-forwarded-host")) or authority
        scheme = scheme.lower()
        if scheme not in {"http", "https"} or not _AUTHORITY.fullmatch(authority):
            raise Unverified(
                f"a trusted proxy tells a scheme or host that cannot be one: {f'{scheme}://{authority}'[:200]!r}"
            )
        return f"{scheme}://{authority}"

    def _nth(self, value: str) -> str:
        _check_length(value)
        values = [one.strip() for one in value.split(",")]
        return values[-self.hops] if len(values) >= self.hops else ""

    def _forwarded(self, value: str) -> dict[str, str]:
        _check_length(value)
        elements: list[dict[str, str]] = [{}]
        at = 0
        while at < len(value):
            match = _PAIR.match(value, at)
            if match is None:
                raise Unverified("the header Forwarded cannot be read (RFC 7239)")
            name, given, mark = match.groups()
            plain = re.sub(r"\\(.)", r"\1", given[1:-1]) if given.startswith('"') else given
            if name.lower() in elements[-1]:
                raise Unverified(f"the header Forwarded says {name.lower()} twice in one element")
            elements[-1][name.lower()] = plain
            if mark == ",":
                elements.append({})
            at = match.end()
        return elements[-self.hops] if len(elements) >= self.hops else {}


def _check_length(value: str) -> None:
    if len(value) > MAX_HEADER:
        raise Unverified(f"a forwarding header has {len(value)} characters, at most {MAX_HEADER} are read")
