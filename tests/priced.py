"""A backend where each call costs a request: what a receipt tells can be compared with what was asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import msgspec

from eventsource_upstash import Memory
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.testing import BackendWrapper

T = TypeVar("T")


class Till(BackendWrapper):
    """Each call costs a request."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.calls = 0

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        return dearer(await step(), Receipt(requests=1))


def dearer(answer: T, cost: Receipt) -> T:
    """An answer whose receipt has grown, wherever it stands in it."""
    held = cast("Any", answer)  # of any of the ports' answers
    if isinstance(held, Receipt):
        return cast("T", held + cost)
    if isinstance(held, msgspec.Struct):
        return cast("T", msgspec.structs.replace(held, receipt=held.receipt + cost))  # type: ignore[attr-defined]
    if hasattr(held, "_replace"):
        return cast("T", held._replace(receipt=held.receipt + cost))
    assert sum(isinstance(each, Receipt) for each in held) == 1
    return cast("T", tuple(each + cost if isinstance(each, Receipt) else each for each in held))
