"""The answer to a request that a rate limit turned away."""

from __future__ import annotations

from ..domain.limits import Limited
from ..errors import Misuse
from .endpoint import Response, problem


def too_many(limited: Limited) -> Response:
    """The answer to a request that may not pass, as problem details: 429, and when it may come again.

    503 when it was not counted, because the store could not be reached: then it is nobody's doing who asks.

    Raises:
        Misuse: The request may pass.
    """
    if limited.allowed:
        raise Misuse("too_many: this request may pass; ask `limited.allowed` before it is turned away")
    headers = {name.lower(): value for name, value in limited.headers.items()}
    if not limited.counted:
        return problem(503, "this cannot be answered at the moment; try again", headers)
    return problem(429, f"too many requests; try again in {headers['retry-after']} s", headers)
