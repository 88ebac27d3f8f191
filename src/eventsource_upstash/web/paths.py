"""The part of a path that names a document."""

from __future__ import annotations

from typing import Final

from .endpoint import Response, problem

NOT_FOUND: Final[Response] = problem(404, "there is nothing at this path")


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
