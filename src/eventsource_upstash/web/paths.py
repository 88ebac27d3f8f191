"""The path and the query of a URL, and the part of a path that names a document."""

from __future__ import annotations

import re
from typing import Final

from .endpoint import Response, problem

NOT_FOUND: Final[Response] = problem(404, "there is nothing at this path")

_URL: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://[^/?#]*)?([^?#]*)(?:\?([^#]*))?")  # RFC 3986, appendix B


def path_and_query(url: str) -> tuple[str, str]:
    """The path and the query of a URL, as they stand there.

    Of any URL: what `urllib` refuses, with a host that can be none, is what a caller can make of a request's `Host`.
    """
    match = _URL.match(url)
    assert match is not None  # it matches the empty text
    return match[1], match[2] or ""


def key_of(path: str, mounted: str, routed: str) -> str | None:
    """The key in a decoded path: empty for the view itself, None where the path is none of the view's.

    Args:
        path: The path; some servers say it with the mount, some without.
        mounted: Where the application is mounted.
        routed: What the paths begin with below that.
    """
    mounted, routed = mounted.rstrip("/"), routed.rstrip("/")
    if mounted and (path == mounted or path.startswith(f"{mounted}/")):
        path = path[len(mounted) :]
    if path == routed or not path:
        return "" if path == routed else None
    return path[len(routed) + 1 :] if path.startswith(f"{routed}/") else None
